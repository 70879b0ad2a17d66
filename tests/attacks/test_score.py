"""How likely a candidate is, by rMLE's own account: against the defence's density, summed by hand."""

import dataclasses
import sys

import pytest
import torch

from splitward.attacks.rmle import RMLE
from splitward.audit.grant import grant
from splitward.audit.world import observe
from splitward.core.defence_text import parse_chain
from splitward.core.knowledge import WhiteBox
from splitward.core.protocols import Scorer
from splitward.core.run import Run


def prepared(scene, defence, k, naive=False, **fields):
    """(inverter, what crossed for the secrets, what the device computes for the candidates, chain)."""
    world = dataclasses.replace(scene.world, chain=parse_chain(defence), observations=k)
    knowledge = grant(WhiteBox, world.undefended() if naive else world, Run(1, torch.device("cpu")))
    attack = RMLE(steps=2, observations=k, **fields)
    inverter = attack.prepare(knowledge, Run(2, torch.device("cpu")))
    sent = observe(world, scene.secrets.images, torch.Generator().manual_seed(9))
    return inverter, sent, world.edge(candidates(scene)).detach(), world.chain


def candidates(scene):
    return torch.cat([scene.public.images[:30], scene.secrets.images])


@pytest.mark.parametrize("defence", ["gaussian:0.5", "laplace:0.3", "dropout:0.5"])
@pytest.mark.parametrize("k", [1, 3])
def test_is_the_likelihood_of_all_observations_together(scene, defence, k):
    inverter, sent, clean, chain = prepared(scene, defence, k)
    scores = inverter.score(sent, candidates(scene))
    tolerance = RMLE().tolerance[1] * scene.world.edge(scene.public.images).square().mean().sqrt().item()
    assert scores.shape == (12, 42)
    for i in (0, 5, 11):
        for j in (0, 29, 30 + i):
            by_hand = sum(
                chain.log_density(sent[0][i : i + 1, d], clean[j : j + 1], tolerance).item() for d in range(k)
            )
            # the tolerance is of the references, 2 % off at most; it matters to dropout alone
            assert scores[i, j].item() == pytest.approx(by_hand, rel=0.1 if "dropout" in defence else 1e-4)


@pytest.mark.parametrize("defence", ["none", "dropout:0.5", "gaussian:0.3", "gaussian:0.3@input"])
def test_the_secret_is_the_likeliest(scene, defence):
    inverter, sent, _, _ = prepared(scene, defence, 4)
    scores = inverter.score(sent, candidates(scene))
    assert scores.argmax(1).tolist() == list(range(30, 42))


def test_more_observations_and_knowledge_of_the_defence_help(scene):
    def named(k, naive):
        inverter, sent, _, _ = prepared(scene, "dropout:0.93", k, naive)
        return float((inverter.score(sent, candidates(scene)).argmax(1) == torch.arange(30, 42)).float().mean())

    assert named(1, naive=False) > named(1, naive=True)
    assert named(8, naive=False) == 1.0


def test_large_activations_are_compared_in_parts(scene, monkeypatch):
    inverter, sent, _, _ = prepared(scene, "dropout:0.5", 2)
    whole = inverter.score(sent, candidates(scene))
    monkeypatch.setattr(sys.modules["splitward.attacks._likelihood"], "SCORED_NUMBERS", 5000)
    assert torch.allclose(inverter.score(sent, candidates(scene)), whole, rtol=1e-5)


def test_the_papers_own_objectives_give_no_likelihood(scene):
    inverter, _, _, _ = prepared(scene, "none", 1, objective="squared")
    assert not isinstance(inverter, Scorer)
