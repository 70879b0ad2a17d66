"""What every registered attack keeps, whoever wrote it."""

import dataclasses

import pytest
import torch
from torch import nn

from attacks.introspection import fingerprint, tensors_in_this_process
from splitward.audit.grant import grant
from splitward.audit.isolation import run_isolated
from splitward.audit.suite import configure
from splitward.audit.world import World, observe
from splitward.core.defence import Chain
from splitward.core.defence_text import parse_chain
from splitward.core.edge import Edge, Normalise
from splitward.core.knowledge import BlackBox, Samples, WhiteBox
from splitward.core.protocols import Scorer
from splitward.core.registry import discover
from splitward.core.run import Run
from splitward.core.spec import TensorSpec
from splitward.core.task import Classification

NAMES = [
    f"{name}:{preset}" if preset else name
    for name, plugin in discover("attack").items()
    for preset in ("", *getattr(plugin, "presets", {}))
]
SIDE = 16


def small(entry):
    """The attack at a budget of seconds: every count of steps, epochs, shadows and restarts at its least."""
    fields = {f.name: getattr(entry.attack, f.name) for f in dataclasses.fields(entry.attack)}
    cheap = {n: min(v, 4) for n, v in fields.items() if "steps" in n and isinstance(v, int)}
    cheap |= {n: min(v, 2) for n, v in fields.items() if n == "shadows"}
    cheap |= {n: 1 for n, v in fields.items() if "epochs" in n and isinstance(v, int)}
    return dataclasses.replace(entry.attack, **cheap)


def images(count, seed):
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 1, 4, 4, generator=generator)
    smooth = nn.functional.interpolate(coarse, size=SIDE, mode="bilinear")
    return Samples(smooth, torch.randint(10, (count,), generator=generator), f"set {seed}")


@pytest.fixture(scope="module")
def world():
    with torch.random.fork_rng():
        torch.manual_seed(3)
        body = nn.Sequential(nn.Conv2d(1, 4, 5), nn.ReLU())
        cloud = nn.Sequential(nn.Flatten(), nn.Linear(4 * 12 * 12, 10))
    return World(
        Edge(Normalise((0.5,), (0.5,)), body).requires_grad_(False), cloud.requires_grad_(False), Chain(),
        Classification(), TensorSpec((1, SIDE, SIDE)), (TensorSpec((4, 12, 12)),), images(48, 1), images(24, 2), 1,
        "test",
    )  # fmt: skip


SECRETS = images(6, 5)


def play(name, world, observations=1, budget=None, secrets=SECRETS):
    """Prepare and run an attack as the audit does; returns guess and knowledge."""
    world = dataclasses.replace(world, observations=observations)
    entry = configure(name, "quick", observations)
    knowledge = grant(entry.kind, world, Run(1, torch.device("cpu")), budget)
    sent = observe(world, secrets.images, torch.Generator().manual_seed(9))
    inverter = small(entry).prepare(knowledge, Run(2, torch.device("cpu")))
    return inverter, sent, knowledge


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("defence", ["none", "dropout:0.5", "gaussian:0.3@input"])
def test_gives_pixels(name, world, defence):
    inverter, sent, _ = play(name, dataclasses.replace(world, chain=parse_chain(defence)))
    guess = inverter(sent)
    assert guess.shape == SECRETS.images.shape
    assert guess.dtype == torch.float32
    assert torch.isfinite(guess).all()
    assert guess.min() >= 0
    assert guess.max() <= 1


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_gives_the_same_bytes_and_inverting_twice_too(name, world):
    """An inverter is a pure function: the audit asks it about several worlds, in any order."""
    noisy = dataclasses.replace(world, chain=parse_chain("dropout:0.5"))
    first, sent, _ = play(name, noisy)
    one, again = first(sent), first(sent)
    second, sent_again, _ = play(name, noisy)
    assert torch.equal(sent[0], sent_again[0])
    assert torch.equal(one, again)
    assert torch.equal(one, second(sent_again))


@pytest.mark.parametrize("name", NAMES)
def test_takes_several_observations(name, world):
    inverter, sent, _ = play(name, dataclasses.replace(world, chain=parse_chain("dropout:0.5")), observations=3)
    assert sent[0].shape[:2] == (6, 3)
    assert inverter(sent).shape == SECRETS.images.shape


@pytest.mark.parametrize("name", [n for n in NAMES if issubclass(configure(n, "quick", 1).kind, BlackBox)])
def test_the_query_budget_is_kept(name, world):
    inverter, sent, knowledge = play(name, dataclasses.replace(world, chain=parse_chain("dropout:0.5")), budget=30)
    inverter(sent)
    assert knowledge.query.used <= 30


@pytest.mark.parametrize("name", NAMES)
def test_who_scores_candidates_scores_each_by_itself_and_keeps_nothing_of_them(name, world):
    noisy = dataclasses.replace(world, chain=parse_chain("dropout:0.5"))
    inverter, sent, _ = play(name, noisy, observations=2)
    if not isinstance(inverter, Scorer):
        pytest.skip(f"{name} gives no likelihoods")
    before, candidates = inverter(sent), torch.cat([SECRETS.images, images(9, 7).images])
    scores = inverter.score(sent, candidates)
    assert scores.shape == (6, 15)
    assert not (torch.isnan(scores) | (scores == torch.inf)).any()
    order = torch.randperm(15, generator=torch.Generator().manual_seed(0))
    few = inverter.score(tuple(part[2:4] for part in sent), candidates[order])
    assert torch.allclose(few, scores[2:4][:, order], rtol=1e-4)
    assert torch.equal(before, inverter(sent))


@pytest.mark.parametrize("name", NAMES)
def test_leaves_the_victim_as_it_was(name, world):
    before = [v.clone() for m in (world.edge, world.cloud) for v in m.state_dict().values()]
    inverter, sent, _ = play(name, world)
    copy = sent[0].clone()
    inverter(sent)
    after = [v for m in (world.edge, world.cloud) for v in m.state_dict().values()]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert torch.equal(copy, sent[0])


@pytest.mark.parametrize("name", NAMES)
def test_works_where_introspection_cannot_reach_the_edge_or_the_secrets(name, world):
    """In a process of its own the attack gives the same bytes, and neither the secrets nor (but white-box) the edge is
    anywhere in it."""
    noisy = dataclasses.replace(world, chain=parse_chain("dropout:0.5"))
    entry = configure(name, "quick", 1)
    inverter, sent, _ = play(name, noisy)
    here = inverter(sent)
    knowledge = grant(entry.kind, noisy, Run(1, torch.device("cpu")))
    there, seen = run_isolated(small(entry), knowledge, sent, Run(2, torch.device("cpu")), tensors_in_this_process)
    assert torch.equal(here, there)
    assert fingerprint(knowledge.public.images) in seen  # the search does find what is there
    assert fingerprint(SECRETS.images) not in seen
    weights = {fingerprint(v) for n, v in world.edge.state_dict().items() if "body" in n}
    assert (len(weights & seen) > 0) == issubclass(entry.kind, WhiteBox)
