"""The best linear estimate of what was sent before the noise, from other users' activations."""

import pytest
import torch

import splitward as sw
from splitward.attacks._denoising import EACH, Denoiser
from splitward.attacks._undoing import parted, undo


def seeded(number=0):
    return torch.Generator().manual_seed(number)


def clean(count, seed=1):
    """Maps (N, 6, 9, 9) of correlated channels, smooth over places, never negative."""
    fields = torch.randn(count, 3, 13, 13, generator=seeded(seed))
    weights = torch.ones(6, 3, 5, 5) / 15 + torch.randn(6, 3, 1, 1, generator=seeded(2)) / 10
    return torch.nn.functional.conv2d(fields, weights).relu()


def denoiser(values, defence, draws=1):
    chain = sw.defence(defence)
    sent = torch.stack([chain.sample(values, seeded(10 + k)) for k in range(draws)], 1)
    return Denoiser.of(undo((sent,), parted(chain)[1], seeded()))


def error(guess, values):
    return float((guess - values).square().mean())


@pytest.mark.parametrize("defence", ["gaussian:0.5", "laplace:0.5", "dropout:0.6"])
def test_activations_come_nearer_to_what_was_there(defence):
    denoise, others = denoiser(clean(600), defence), clean(50, seed=5)
    sent = sw.defence(defence).sample(others, seeded(6))[:, None]
    (guess,) = denoise((sent,))
    assert guess.shape == sent.shape
    assert (guess >= 0).all()
    plain = sent[:, 0] if defence != "dropout:0.6" else sent[:, 0] / 0.4
    assert error(guess[:, 0], others) < 0.4 * error(plain, others)
    assert error(guess[:, 0], others) < 0.7 * float(others.var())


def test_it_is_the_best_linear_estimate_of_a_vector():
    """Two numbers of variances 4 and 1 under noise of variance 1: to be multiplied by 4/5 and 1/2."""
    values = torch.randn(40_000, 2, generator=seeded()) * torch.tensor([2.0, 1.0]) + 3
    denoise = denoiser(values, "gaussian:1")
    (guess,) = denoise((torch.tensor([[[3.0, 3.0], [4.0, 3.0], [3.0, 4.0]]]),))
    due = torch.tensor([[3.0, 3.0], [3.8, 3.0], [3.0, 3.5]])
    assert torch.allclose(guess[0], due, atol=0.03)


def test_of_several_draws_less_is_taken_off_each():
    values, others = clean(600), clean(20, seed=5)
    once, often = denoiser(values, "gaussian:0.5"), denoiser(values, "gaussian:0.5", draws=9)
    sent = sw.defence("gaussian:0.5").sample(others, seeded(6))[:, None]
    assert float(often((sent,))[0].var()) > float(once((sent,))[0].var())


def test_too_few_activations_leave_all_as_it_is():
    values = torch.randn(EACH * 40 - 2, 40, generator=seeded())
    few = denoiser(values, "gaussian:0.5")
    assert not few
    assert few((values[:, None],))[0] is not None
    assert torch.equal(few((values[:, None],))[0], values[:, None])


def test_without_noise_nothing_is_done():
    assert not Denoiser.of(undo((clean(50)[:, None],), sw.defence("none"), seeded()))
