"""What the project promises of its first attacks, on real data; minutes each."""

import pytest

import splitward as sw
from splitward.audit.bench import Bench
from splitward.audit.loop import Settings, cast, world_of
from splitward.audit.suite import configure
from splitward.core.run import Run
from splitward.split import export

pytestmark = pytest.mark.slow


def audited(victim, dataset, at, attacks, defence="none"):
    halves = sw.split(victim.model, dataset.public.images[:2], at=at)
    target = sw.Target(halves, sw.defence(defence), model="lenet5")
    record = sw.audit(target, attacks, secrets=dataset.held_out, public=dataset.public, samples=100)
    return record, {(t.attack, t.adaptive): t.metrics for t in record.trials}


@pytest.mark.mnist
def test_dropout_hides_nothing_from_an_attacker_who_knows_of_it(lenet5_mnist, mnist):
    """IoTJ20 section IV-B: "no useful information can be obtained" at a rate of 0.6."""
    record, reached = audited(lenet5_mnist, mnist, "ReLU2", "rmle:scripts,rmle,inverse-network", "dropout:0.6")
    mean_image = next(f for f in record.floors if f.name == "prior/mean")
    assert reached["rmle:scripts", False]["psnr"].mean < mean_image.metrics["psnr"].mean
    assert record.verdict.leakage >= 0.80
    assert record.verdict.adaptive
    assert record.target.accuracy.defended >= 0.95


@pytest.mark.mnist
@pytest.mark.parametrize(
    ("at", "rmle", "inverse"),
    [("ReLU2", (18.5, 0.75), (25.0, 0.94)), ("conv1", (45.0, 0.0), (45.0, 0.0))],
)
def test_without_a_defence_mnist_comes_back(lenet5_mnist, mnist, at, rmle, inverse):
    _, reached = audited(lenet5_mnist, mnist, at, "rmle,inverse-network")
    for name, (psnr_db, ssim) in (("rmle", rmle), ("inverse-network", inverse)):
        metrics = reached[name, False]
        assert metrics["psnr"].mean >= psnr_db, name
        assert metrics["ssim"].mean >= ssim, name


@pytest.mark.parametrize("name", ["rmle", "inverse-network", "shadow-model"])
def test_a_sound_attack_passes_its_control_at_every_cut_of_lenet5(lenet5_digits, digits, name):
    """The last layer included: ten numbers, of which nine are a planted copy."""
    exported = export(lenet5_digits.model, digits.public.images[:2])
    settings, run = Settings(samples=60), Run(0)
    roles = cast(digits.held_out, digits.public, settings, run.device)
    bench = Bench(run, roles.secrets)
    entry = configure(name, "standard", 1)
    failed = []
    for cut in exported.cuts():
        world = world_of(sw.Target(exported.split(cut.name)), roles, settings, run.device)
        control = bench.control(entry, world)
        if not control.recovered:
            failed.append(f"{cut.name}: {control.reason}")
    assert not failed
