"""Whoever is given more never reaches less: the whole matrix of attacks, threat models, cuts, draws and queries."""

import pytest

import splitward as sw
from splitward.core.knowledge import BlackBox, QueryFree, WhiteBox
from splitward.core.protocols import threat_model
from splitward.record.monotone import orderings
from splitward.record.nesting import STRENGTH, reach
from splitward.split import export

ATTACKS = "rmle,prior-guided,inverse-network,model-reconstruction,shadow-model"
CIFAR_CUTS = ("conv11", "conv12", "ReLU12", "pool1", "conv22", "ReLU22", "pool2", "ReLU32", "fc1", "fc2")


def audited(victim, dataset, at, defence="none", attacks=ATTACKS, **more):
    target = sw.Target(sw.split(victim.model, dataset.public.images[:2], at=at), sw.defence(defence), model="victim")
    more = {"samples": 60, "effort": "quick", "released": "none", "judge": False} | more
    return sw.audit(target, attacks, secrets=dataset.held_out, public=dataset.public, **more)


def violated(records, *rules):
    """The comparisons of some rules that do not hold, in words."""
    found = [o for o in orderings(records) if o.rule in rules]
    assert {o.rule for o in found} == set(rules)
    return [
        f"{o.rule}: {o.stronger.threat_model} {o.stronger.answer.trial.attack} at {o.stronger.record.target.cut.name} "
        f"below {o.weaker.threat_model} {o.weaker.answer.trial.attack} at {o.weaker.record.target.cut.name} by "
        f"{o.gap.mean:.4f} ({o.gap.low:.4f} to {o.gap.high:.4f})"
        for o in found
        if not o.holds
    ]


def test_what_a_threat_model_holds_a_stronger_one_holds(halves, pool, public):
    """The nesting of the record is that of the types: an attack of a weaker type is handed stronger knowledge."""
    assert issubclass(WhiteBox, BlackBox)
    assert issubclass(BlackBox, QueryFree)
    assert [kind.label for kind in (WhiteBox, BlackBox, QueryFree)] == list(STRENGTH)
    record = sw.audit(
        sw.Target(halves["relu1"], sw.defence("dropout:0.3")), "rmle:scripts,inverse-network:scripts", secrets=pool,
        public=public, samples=6, effort="quick", released="none", judge=False,
    )  # fmt: skip
    found = reach(record, "ssim")
    assert found["white-box"].answer.mean >= found["black-box"].answer.mean
    assert all(threat_model(sw.attacks(t.attack)[0].attack).label == t.threat_model for t in record.trials)


@pytest.mark.slow
def test_every_cut_of_lenet5_on_digits(lenet5_digits, digits):
    cuts = [cut.name for cut in export(lenet5_digits.model, digits.public.images[:2]).cuts()]
    records = [audited(lenet5_digits, digits, at) for at in cuts]
    assert not violated(records, "depth", "knowledge")


@pytest.mark.slow
@pytest.mark.parametrize("defence", ["dropout:0.6", "gaussian:1"])
def test_defences_and_draws_on_digits(lenet5_digits, digits, defence):
    records = [audited(lenet5_digits, digits, "ReLU2", defence, observations=k) for k in (1, 5)]
    assert not violated(records, "adaptive", "observations", "knowledge")


@pytest.mark.slow
def test_queries_on_digits(lenet5_digits, digits):
    budgets = (100, 1000, None)
    records = [audited(lenet5_digits, digits, "ReLU2", attacks="black-box", query_budget=n) for n in budgets]
    assert not violated(records, "queries")


@pytest.mark.slow
@pytest.mark.mnist
def test_every_cut_of_lenet5_on_mnist(lenet5_mnist, mnist):
    cuts = [cut.name for cut in export(lenet5_mnist.model, mnist.public.images[:2]).cuts()]
    records = [audited(lenet5_mnist, mnist, at, effort="standard", samples=100) for at in cuts]
    assert not violated(records, "depth", "knowledge")


@pytest.mark.slow
@pytest.mark.mnist
@pytest.mark.parametrize("defence", ["dropout:0.6", "gaussian:1"])
@pytest.mark.parametrize("at", ["conv1", "ReLU2", "fc1act"])
def test_defences_and_draws_on_mnist(lenet5_mnist, mnist, at, defence):
    records = [audited(lenet5_mnist, mnist, at, defence, observations=k, effort="standard") for k in (1, 5)]
    assert not violated(records, "adaptive", "observations", "knowledge")


@pytest.mark.slow
@pytest.mark.cifar
def test_the_cuts_of_the_cifar_cnn(cifar_cnn, cifar10):
    records = [audited(cifar_cnn, cifar10, at, samples=50) for at in CIFAR_CUTS]
    assert not violated(records, "depth", "knowledge")
