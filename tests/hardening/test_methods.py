"""Every method keeps its contract: shapes, gradients, levels, and recipes that can be read."""

import dataclasses
import math

import pytest
import torch

from splitward.core.errors import DefenceError
from splitward.core.hardening import Batch, Setting
from splitward.core.registry import discover
from splitward.core.run import Run
from splitward.hardening.assembly import assemble
from splitward.hardening.bottleneck import Sign
from splitward.hardening.distance_correlation import distance_correlation
from splitward.hardening.recipe import parse_recipe

METHODS = discover("hardening")
SHAPE = (6, 8, 8)


def made(name):
    level = {"channel-pruning": 0.5}.get(name, 2)
    return METHODS[name](level)


def test_those_of_the_issue_are_there():
    assert set(METHODS) >= {
        "adversary", "bottleneck", "channel-pruning", "channels", "collapse", "distance-correlation", "fisher",
        "learned-noise", "signs",
    }  # fmt: skip


@pytest.mark.parametrize("name", METHODS)
def test_the_recipes_that_a_method_suggests_can_be_read_and_hold_it(name):
    assert METHODS[name].tries
    for text in METHODS[name].tries:
        recipe = parse_recipe(text)
        assert name in recipe.method.split("+")
        assert str(parse_recipe(str(recipe))) == str(recipe)


@pytest.mark.parametrize("shape", [SHAPE, (6, 9, 5), (40,)])
@pytest.mark.parametrize("name", [n for n in METHODS if hasattr(METHODS[n], "insert")])
def test_what_is_inserted_is_undone_in_shape(name, shape):
    if name == "channels" and len(shape) != 3:
        with pytest.raises(DefenceError, match="channels: what crosses has shape"):
            made(name).insert(shape)
        return
    pair = made(name).insert(shape)
    values = torch.randn(5, *shape)
    sent = pair.edge(values)
    assert pair.cloud(sent).shape == values.shape
    sent.square().sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in pair.edge.parameters())


@pytest.mark.parametrize("name", [n for n in METHODS if hasattr(METHODS[n], "companion")])
def test_a_companion_adds_a_finite_term_that_the_device_can_follow(name):
    inserted = made(name).insert((20,)).edge if hasattr(METHODS[name], "insert") else None
    companion = made(name).companion(Setting((1, 12, 12), 20, 3, 0.05, inserted), Run(0))
    pixels = torch.rand(16, 1, 12, 12)
    for _ in range(3):
        weight = torch.randn(144, 20).requires_grad_()
        given = pixels.clone().requires_grad_(companion.differentiates_pixels)
        values = torch.tanh(given.flatten(1) @ weight)
        clean = inserted(values) if inserted is not None else values
        batch = Batch(given, torch.arange(16) % 3, clean, clean)
        companion.adapt(batch)
        loss = companion.loss(batch)
        assert loss.ndim == 0
        assert math.isfinite(loss.item())
        if loss.requires_grad:
            loss.backward()
    reached = weight.grad if inserted is None else inserted.log_scale.grad
    assert reached is None or torch.isfinite(reached).all()
    assert inserted is not None or name == "adversary" or reached.abs().sum() > 0


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("level", [0, -1, math.nan])
def test_bad_levels_are_one_sentence(name, level):
    with pytest.raises(DefenceError, match=f"{name}: .*not {level}"):
        METHODS[name](level)


def test_bad_recipes_are_one_sentence():
    with pytest.raises(DefenceError, match=r"'bottleneck:x' is not a number"):
        parse_recipe("bottleneck:x")
    with pytest.raises(DefenceError, match=r"no defence named 'botleneck'.*Hardenings are adversary"):
        parse_recipe("botleneck:8")


def test_distance_correlation_is_that_of_its_definition():
    """By double centring in NumPy's terms, and 1 for a rotation, near 0 for independent rows."""
    first, second = torch.randn(300, 5).double(), torch.randn(300, 2).double()
    turn = torch.linalg.qr(torch.randn(5, 5).double())[0]
    assert distance_correlation(first, 2 * first @ turn).item() == pytest.approx(1, abs=1e-4)
    assert distance_correlation(first, second).item() < 0.1
    a, b = (torch.cdist(x, x) for x in (first, second))
    a, b = (d - d.mean(0) - d.mean(1)[:, None] + d.mean() for d in (a, b))
    expected = (a * b).mean() / ((a * a).mean() * (b * b).mean()).sqrt()
    assert distance_correlation(first, second).item() == pytest.approx(expected.item(), abs=1e-4)


def test_signs_are_exact_and_whoever_differentiates_sees_the_identity():
    values = torch.tensor([[-0.3, 0.0, 1e-7, 0.9]]).requires_grad_()
    signs = Sign()(values)
    assert signs.tolist() == [[-1.0, -1.0, 1.0, 1.0]]
    signs.sum().backward()
    assert values.grad.tolist() == [[1.0] * 4]


def test_a_deployed_cloud_is_sent_few_activations_by_signs(halves, tiny):
    """What it has always taken, in shape; as exported, and still with slopes that an attack can follow."""
    made = assemble(halves, parse_recipe("signs:3"), "edge", Run(0)).halves()
    assert made.activation == halves.activation
    pixels = tiny.public.images[:60].clone().requires_grad_()
    sent = made.edge(pixels)
    assert 1 < len(sent.detach().flatten(1).unique(dim=0)) <= 8
    assert torch.autograd.grad(sent.sum(), pixels)[0].abs().sum() > 0
    assert made.cloud(sent).shape == (len(pixels), 3)


def test_the_gate_drops_the_stated_share():
    pair = METHODS["channel-pruning"](0.75).insert((8, 4, 4))
    kept = pair.edge(torch.rand(20, 8, 4, 4) + 0.1).flatten(2).abs().sum(2) > 0
    assert (kept.sum(1) == 2).all()


def test_the_fisher_term_is_the_trace_of_the_jacobian():
    """A linear device: Tr(J^T J) is known, and the probes agree on average."""
    companion = METHODS["fisher"](1.0).companion(Setting((1, 4, 4), 6, 2, 0.1, None), Run(0))
    weight = torch.randn(16, 6)
    pixels = torch.rand(4000, 1, 4, 4, requires_grad=True)
    clean = pixels.flatten(1) @ weight
    loss = companion.loss(Batch(pixels, torch.zeros(4000, dtype=torch.long), clean, clean))
    assert loss.item() == pytest.approx(math.log(weight.square().sum().item() / 16), abs=0.1)


def test_the_adversary_rewards_nothing_beyond_the_mean_image_of_the_class():
    companion = METHODS["adversary"](3.0).companion(Setting((1, 8, 8), 4, 2, 1e-6, None), Run(0))
    sent = torch.randn(9, 4, requires_grad=True)
    assert companion.loss(Batch(torch.rand(9, 1, 8, 8), torch.zeros(9, dtype=torch.long), sent, sent)).item() == 0


def test_a_collapsed_activation_costs_nothing():
    setting = Setting((1, 8, 8), 4, 3, 0.1, None)
    companion = METHODS["collapse"](1.0).companion(setting, Run(0))
    labels = torch.arange(30) % 3
    centres = torch.randn(3, 4)
    for clean, expected in ((centres[labels], 0.0), (centres[labels] + 1.0, 1.0)):
        batch = Batch(torch.rand(30, 1, 8, 8), labels, clean, clean)
        if expected == 0.0:
            companion.adapt(batch)
        assert companion.loss(batch).item() == pytest.approx(expected, abs=1e-5)


def test_a_method_is_its_own_description():
    for name in METHODS:
        assert dataclasses.is_dataclass(METHODS[name])
        assert METHODS[name].__doc__
