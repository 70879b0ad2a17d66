"""The best linear estimate of what was sent before the noise, from other users' activations."""

import pytest
import torch

import splitward as sw
from splitward.attacks._denoising import EACH, Denoiser
from splitward.attacks._reading import read
from splitward.attacks._undoing import parted, undo
from splitward.audit.forms import HalfPrecision
from splitward.core.defence import Chain
from splitward.core.spec import TensorSpec

IMAGE = TensorSpec((1, 18, 18))


def seeded(number=0):
    return torch.Generator().manual_seed(number)


def clean(count, seed=1, side=9):
    """Maps (N, 6, side, side) of correlated channels, smooth over places, of either sign."""
    fields = torch.randn(count, 3, side + 4, side + 4, generator=seeded(seed))
    weights = torch.ones(6, 3, 5, 5) / 15 + torch.randn(6, 3, 1, 1, generator=seeded(2)) / 10
    return torch.nn.functional.conv2d(fields, weights)


def denoiser(values, defence, draws=1):
    chain = sw.defence(defence)
    sent = torch.stack([chain.sample(values, seeded(10 + k)) for k in range(draws)], 1)
    return made((sent,), chain)


def made(sent, chain):
    readings = [read(TensorSpec(tuple(part.shape[2:])), IMAGE) for part in sent]
    return Denoiser.of(undo(sent, parted(chain)[1], seeded()), readings)


def error(guess, values):
    return float((guess - values).square().mean())


@pytest.mark.parametrize("defence", ["gaussian:0.5", "laplace:0.5", "gaussian:0.5+dropout:0.1"])
@pytest.mark.parametrize("side", [9, 8])
@pytest.mark.parametrize("rectified", [True, False])
def test_activations_come_nearer_to_what_was_there(defence, side, rectified):
    values, others = clean(600, side=side), clean(50, seed=5, side=side)
    if rectified:
        values, others = values.relu(), others.relu()
    sent = sw.defence(defence).sample(others, seeded(6))[:, None]
    (guess,) = denoiser(values, defence)((sent,))
    assert guess.shape == sent.shape
    assert error(guess[:, 0], others) < 0.6 * error(sent[:, 0], others)
    assert error(guess[:, 0], others) < 0.7 * float(others.var())


def test_it_is_the_best_linear_estimate_of_a_vector():
    """Two numbers of variances 4 and 1 under noise of variance 1: to be multiplied by 4/5 and 1/2."""
    values = torch.randn(40_000, 2, generator=seeded()) * torch.tensor([2.0, 1.0]) + 3
    denoise = denoiser(values, "gaussian:1")
    (guess,) = denoise((torch.tensor([[[3.0, 3.0], [4.0, 3.0], [3.0, 4.0]]]),))
    due = torch.tensor([[3.0, 3.0], [3.8, 3.0], [3.0, 3.5]])
    assert torch.allclose(guess[0], due, atol=0.03)


@pytest.mark.parametrize("defence", ["gaussian:0.5", "gaussian:3"])
def test_several_draws_are_denoised_by_their_mean(defence):
    values, others = clean(600).relu(), clean(50, seed=5).relu()
    denoise = denoiser(values, defence, draws=20)
    sent = torch.stack([sw.defence(defence).sample(others, seeded(60 + k)) for k in range(20)], 1)
    (jointly,), (each,) = denoise.jointly((sent,)), denoise((sent,))
    assert jointly.shape == (50, 1, 6, 9, 9)
    assert torch.allclose(each.mean(1), jointly[:, 0], atol=1e-4)
    assert error(jointly[:, 0], others) < 0.9 * error(sent.mean(1), others)


def test_too_few_activations_leave_all_as_it_is():
    values = torch.randn(EACH * 40 - 1, 40, generator=seeded())
    few = denoiser(values, "gaussian:0.5")
    assert not few
    assert torch.equal(few((values[:, None],))[0], values[:, None])
    assert denoiser(torch.randn(EACH * 40, 40, generator=seeded()), "gaussian:0.5")


@pytest.mark.parametrize(
    "chain", [Chain(), Chain((HalfPrecision(),)), sw.defence("clip:1+quantise:8"), sw.defence("dropout:0.6")]
)
def test_nothing_is_done_without_noise_that_is_added(chain):
    sent = (clean(300)[:, None],)
    assert not made((chain.sample(sent[0][:, 0], seeded())[:, None],), chain)


def test_only_what_it_can_read_is_touched():
    """Beside a map: numbers that no defence touches, a map with its channels last, and one in double precision."""
    chain, maps = sw.defence("gaussian:0.5"), clean(600)[:, None]
    others = torch.arange(600)[:, None, None] % 7, maps.movedim(2, -1)[..., :5], maps.double()
    sent = (chain.sample(maps, seeded(1)), *(chain.sample(part, seeded(2)) for part in others))
    denoise = made(sent, chain)
    found = denoise(sent)
    assert [f is not None for f in denoise.filters] == [True, False, False, True]
    assert [part.dtype for part in found] == [part.dtype for part in sent]
    assert torch.equal(found[1], others[0])
    assert torch.equal(found[2], sent[2])
    assert error(found[3], maps) < 0.7 * error(sent[3], maps)
