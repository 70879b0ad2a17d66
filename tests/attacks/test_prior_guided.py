"""A learned answer corrected by the edge; affine edges as linear systems."""

import dataclasses

import pytest
import torch
from torch import nn

from splitward.attacks._affine import conjugate_gradients
from splitward.attacks._exact import solve_affine
from splitward.attacks.inverse_network import InverseNetwork
from splitward.attacks.prior_guided import ErrorLaw, PriorGuided, unrest
from splitward.attacks.rmle import RMLE
from splitward.core.edge import Edge, Normalise
from splitward.core.knowledge import Samples, WhiteBox
from splitward.core.run import Run

CPU = torch.device("cpu")
SMALL = PriorGuided(steps=60, batch=32, width=16, descent_steps=200)


def decoder_of(attack):
    return InverseNetwork(steps=attack.steps, batch=attack.batch, width=attack.width, depth=attack.depth)


def test_corrects_the_learned_answer(scene):
    learned, _, _ = scene.play(decoder_of(SMALL))
    guided, _, run = scene.play(SMALL, kind=WhiteBox)
    assert scene.share(guided) < 0.1 * scene.share(learned)
    assert {"inverse-network/decoder", "correction"} <= set(run.trace)


def test_without_any_step_it_is_grey(scene):
    guess, _, _ = scene.play(dataclasses.replace(SMALL, steps=0, descent_steps=0), kind=WhiteBox)
    assert scene.share(guess) > 0.9


@pytest.mark.parametrize("defence", ["dropout:0.5", "gaussian:0.3", "laplace:0.2", "gaussian:0.3@input"])
def test_the_edge_adds_to_the_answer_behind_every_defence(scene, defence):
    learned, _, _ = scene.play(decoder_of(SMALL), defence)
    guided, _, _ = scene.play(SMALL, defence, kind=WhiteBox)
    assert scene.share(guided) < 1.05 * scene.share(learned)


def test_several_observations_are_joined(scene):
    once, _, _ = scene.play(SMALL, "dropout:0.5", kind=WhiteBox)
    often, _, _ = scene.play(dataclasses.replace(SMALL, observations=6), "dropout:0.5", k=6, kind=WhiteBox)
    assert scene.share(often) < 0.7 * scene.share(once)


def test_takes_over_what_somebody_else_has_learnt(scene):
    asked = []
    run = Run(2, CPU)
    knowledge = scene.play(SMALL, kind=WhiteBox)[1]

    def workshop(attack, held):
        asked.append(attack)
        return attack.prepare(held, Run(2, CPU)), {"decoder": [(0, 1.0)]}

    run.workshop = workshop
    SMALL.prepare(knowledge, run)
    assert asked == [decoder_of(SMALL)]
    assert run.trace["inverse-network/decoder"] == [(0, 1.0)]


def test_the_law_of_errors_is_the_mean_error_of_like_places():
    generator = torch.Generator().manual_seed(0)
    answers = (torch.rand(40, 1, 9, 9, generator=generator) > 0.9).float()
    truth = (answers + 0.3 * unrest(answers) * torch.randn(answers.shape, generator=generator)).clamp(0, 1)
    law = ErrorLaw(answers, truth)
    error = (answers - truth).abs()
    for value in (0.0, 1.0):
        there = unrest(answers) == value
        assert law(answers)[there].unique().item() == pytest.approx(max(float(error[there].mean()), 1e-3), rel=1e-4)


def test_unrest_is_the_range_of_the_neighbourhood():
    image = torch.zeros(1, 1, 5, 5)
    image[0, 0, 0, 0] = 0.5
    expected = torch.zeros(5, 5)
    expected[:2, :2] = 0.5
    assert torch.equal(unrest(image)[0, 0], expected)


def eight_bit(count, shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, *shape), generator=generator) / 255


@pytest.mark.parametrize(
    "body",
    [
        lambda: nn.Conv2d(3, 30, 5, padding=2, stride=2),
        lambda: nn.Conv2d(3, 8, 3),
        lambda: nn.Sequential(nn.Conv2d(3, 12, 3, padding=1), nn.Conv2d(12, 8, 3), nn.Flatten(), nn.Linear(1568, 1600)),
        lambda: nn.Sequential(nn.Conv2d(3, 8, 3, padding=1, padding_mode="circular"), nn.BatchNorm2d(8).eval()),
    ],
    ids=["strided", "unpadded", "several layers", "circular"],
)
def test_an_affine_edge_gives_every_pixel_back(body):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        edge = Edge(Normalise((0.4,), (0.3,)), body()).requires_grad_(False).eval()
    public, secrets = eight_bit(40, (3, 16, 16)), eight_bit(10, (3, 16, 16), 1)
    exact = solve_affine(edge, public, Run(0, CPU))
    assert exact is not None
    assert torch.equal((exact((edge(secrets)[:, None],)) * 255).round(), (secrets * 255).round())


@pytest.mark.parametrize(
    "body",
    [lambda: nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU()), lambda: nn.Conv2d(3, 2, 3, stride=2)],
    ids=["not affine", "too few numbers"],
)
def test_what_is_no_exact_system_is_left_to_others(body):
    edge = Edge(Normalise(), body()).requires_grad_(False).eval()
    assert solve_affine(edge, eight_bit(40, (3, 16, 16)), Run(0, CPU)) is None


@pytest.mark.parametrize("attack", [RMLE(), PriorGuided()], ids=lambda a: a.name)
def test_white_box_attacks_solve_affine_edges(make_scene, attack):
    scene = make_scene(lambda: nn.Conv2d(1, 6, 5))
    scene.public = Samples((scene.public.images * 255).round() / 255, scene.public.labels)
    scene.secrets = Samples((scene.secrets.images * 255).round() / 255, scene.secrets.labels)
    guess, _, run = scene.having(public=scene.public).play(attack, kind=WhiteBox)
    assert torch.equal((guess * 255).round(), (scene.secrets.images * 255).round())
    assert set(run.trace) == {"exact"}


def test_conjugate_gradients_solve_each_image_by_itself():
    generator = torch.Generator().manual_seed(0)
    factors = torch.randn(3, 12, 8, generator=generator, dtype=torch.float64)
    matrices = factors.transpose(1, 2) @ factors
    target = torch.randn(3, 2, 2, 2, generator=generator, dtype=torch.float64)

    def apply(x):
        return torch.einsum("nij,nj->ni", matrices, x.flatten(1)).view_as(x)

    found = conjugate_gradients(apply, target, 50)
    assert torch.allclose(found.flatten(1), torch.linalg.solve(matrices, target.flatten(1)), rtol=1e-6)
