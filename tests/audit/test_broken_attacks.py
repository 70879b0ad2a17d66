"""A broken attack fails its control at every cut of LeNet-5 and is believed under no defence; a sound one is believed.

The attacks are small ones, a regression from activations to pixels, so that the whole matrix can be run: every cut,
every kind of defence at both places, naive and adaptive. What is prepared on a cut is kept for all defences there.
"""

import dataclasses
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

import pytest
import torch

import splitward as sw
from audit.doubles import entry
from splitward.attacks import _descent
from splitward.audit import loop
from splitward.audit.bench import Bench
from splitward.audit.suite import configure
from splitward.core.knowledge import BlackBox
from splitward.core.registry import discover
from splitward.core.run import Run
from splitward.data.dataset import load
from splitward.models.zoo import load_model
from splitward.record.convergence import settled
from splitward.split import export

CPU = torch.device("cpu")
CUTS = ["conv1", "ReLU1", "pool1", "conv2", "ReLU2", "pool2", "flatten", "fc1", "fc1act", "fc2", "fc2act", "fc3"]
LEVELS = {"gaussian": 0.3, "laplace": 0.2, "dropout": 0.3, "dropout-rescaled": 0.3, "quantise": 6, "clip": 4.0}
DEFENCES = ["none", *(f"{k}:{LEVELS.get(k, 0.3)}{at}" for k in sorted(discover("defence")) for at in ("", "@input"))]
BREAKAGES = ["zero steps", "wrong sign", "shuffled activations"]


@dataclass(frozen=True)
class Regression:
    """Ridge regression from what the device answers for public images to their pixels; or broken in one of three ways.

    A single step of Newton's, so the loss after it is the loss at the end.
    """

    name: ClassVar[str] = "regression"
    steps: int = 1
    sign: int = 1
    shuffled: bool = False
    ridge: float = 1e-6

    def prepare(self, knowledge: BlackBox, run):
        public = knowledge.public.images
        answers = torch.cat([part.flatten(1) for part in knowledge.query(public)], 1).double()
        mean, centre = answers.mean(0), public.double().mean(0)
        rows, target = answers - mean, (public - centre).flatten(1)
        gram = rows @ rows.T
        dual = torch.linalg.solve(gram + self.ridge * gram.diagonal().sum() * torch.eye(len(gram)).double(), target)
        run.record_loss("fit", self.steps, float((gram @ dual - target).square().mean()))

        def invert(sent):
            given = torch.cat([part.double().mean(1).flatten(1) for part in sent], 1)
            given = given.roll(1, 0) if self.shuffled else given
            away = self.sign * self.steps * ((given - mean) @ rows.T) @ dual
            return (away.view(len(given), *centre.shape) + centre).clamp(0, 1).float()

        return invert


def broken(how):
    changes = {"zero steps": {"steps": 0}, "wrong sign": {"sign": -1}, "shuffled activations": {"shuffled": True}}
    return entry(Regression(**changes[how]))


SETTINGS = loop.Settings(samples=24)


@cache
def scene():
    """LeNet-5 on digits, exported, and who holds what."""
    digits = load("digits")
    roles = loop.cast(digits.held_out, digits.public[:300], SETTINGS, CPU)
    small = dataclasses.replace(roles, others=None)
    return export(load_model("lenet5", data="digits").model, digits.public.images[:2]), small


@cache
def bench(at):
    """One bench for each cut: a control, and a naive attack, are prepared once for all defences."""
    return Bench(Run(0, CPU), scene()[1].secrets)


@cache
def halves(at):
    return scene()[0].split(at)


def trials(attack, at, defence):
    """The naive trial and, under a defence, the adaptive one: as an audit makes them."""
    chain, shared = sw.defence(defence), bench(at)
    state = loop._Audit(sw.Target(halves(at), chain), scene()[1], SETTINGS, shared.run, shared, None)
    return [state.trial(e, adaptive, i) for i, (e, adaptive) in enumerate(loop.plan([attack], bool(chain)))]


def test_these_are_all_cuts():
    assert [cut.name for cut in scene()[0].cuts()] == CUTS
    assert len(DEFENCES) >= 9


@pytest.mark.parametrize("at", CUTS)
def test_the_sound_attack_is_believed_everywhere(at):
    """Otherwise the tests below would show nothing."""
    for defence in DEFENCES:
        for trial in trials(entry(Regression()), at, defence):
            assert trial.status == "ok"
            assert trial.control.recovered, (defence, trial.control.reason)
            assert trial.believable, (defence, trial.adaptive)


@pytest.mark.parametrize("how", BREAKAGES)
@pytest.mark.parametrize("at", CUTS)
def test_a_broken_attack_fails_its_control_and_is_never_believed(at, how):
    for defence in DEFENCES:
        found = trials(broken(how), at, defence)
        assert [t.adaptive for t in found] == ([False] if defence == "none" else [False, True])
        for trial in found:
            assert trial.status == "ok", trial.reason
            assert not trial.control.recovered, (defence, trial.control.reason)
            assert not trial.believable, (defence, trial.adaptive)


@pytest.mark.parametrize("how", ["wrong sign", "shuffled activations"])
def test_it_is_the_control_that_fails_them(how):
    """Their loss has settled: nothing but the control speaks against them."""
    assert all(settled(trial) for trial in trials(broken(how), "ReLU2", "dropout:0.3"))


@pytest.mark.parametrize("how", BREAKAGES)
def test_an_audit_of_a_broken_attack_has_no_verdict(how, digits):
    target = sw.Target(halves("fc2"), sw.defence("gaussian:0.3"))
    options = {"samples": 24, "effort": "quick", "released": "none", "run": Run(0, CPU)}
    record = sw.audit(target, [broken(how)], secrets=digits.held_out, public=digits.public[:300], **options)
    assert record.verdict is None
    assert "did not recover its positive control" in record.no_verdict


# --- the attacks of the project, broken in the same ways ---


def shortened(attack, steps):
    """The attack with every number of steps replaced."""
    lengths = [f.name for f in dataclasses.fields(attack) if f.name.split("_")[-1] == "steps"]
    assert lengths
    return dataclasses.replace(attack, **dict.fromkeys(lengths, steps))


@dataclass(frozen=True)
class Rolled:
    """Shows each inverter the activations of other secrets."""

    attack: Any

    def prepare(self, knowledge, run):
        invert = self.attack.prepare(knowledge, run)
        return lambda sent: invert(tuple(part.roll(1, 0) for part in sent))


def refuse_belief(attack, at="ReLU2"):
    for trial in trials(attack, at, "dropout:0.3"):
        assert not trial.believable, trial.adaptive
        assert trial.status == "failed" or not trial.control.recovered, trial.adaptive


NAMES = ["rmle", "inverse-network", "model-reconstruction", "shadow-model"]


@pytest.mark.parametrize("name", NAMES)
def test_our_attacks_without_steps_are_not_believed(name):
    real = configure(name, "quick", 1)
    idle = dataclasses.replace(real, attack=shortened(real.attack, 0))
    for at in ("ReLU2", "fc3"):
        refuse_belief(idle, at)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_our_attacks_on_shuffled_activations_are_not_believed(name):
    real = configure(name, "quick", 1)
    refuse_belief(dataclasses.replace(real, attack=Rolled(real.attack)))


@pytest.mark.parametrize("name", ["rmle:scripts", "rmle"])
def test_our_descents_that_climb_are_not_believed(name, monkeypatch):
    """The wrong sign. Attacks that learn are not here: of what they see on held-out public data they keep the best."""
    down = _descent.gradient_of
    monkeypatch.setattr(_descent, "gradient_of", lambda *given: -down(*given))
    refuse_belief(dataclasses.replace(configure(name, "quick", 1), name=f"{name}, climbing"))
