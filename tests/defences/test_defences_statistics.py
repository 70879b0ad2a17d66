"""Defences: the draws have the stated law, and log_density is its logarithm."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from splitward.core.defence import Chain
from splitward.core.errors import DefenceError
from splitward.core.registry import discover, find

KINDS = {"gaussian": 0.7, "laplace": 0.7, "dropout": 0.6, "dropout-rescaled": 0.6}
N = 100_000


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def defence(kind: str, level: float, position: str = "wire"):
    return find("defence", kind)(level, position)


def test_the_registry_knows_them_all():
    assert set(KINDS) <= set(discover("defence"))


@pytest.mark.parametrize(("kind", "law"), [("gaussian", stats.norm), ("laplace", stats.laplace)])
@pytest.mark.parametrize("level", [0.1, 3.0])
def test_noise_follows_its_law(kind, law, level):
    clean = torch.full((1, N), 2.0, dtype=torch.float64)
    noise = (defence(kind, level).sample(clean, generator()) - clean).flatten().numpy()
    assert stats.kstest(noise, law(scale=level).cdf).pvalue > 1e-3
    assert noise.mean() == pytest.approx(0, abs=5 * level * math.sqrt(2 / N))
    assert noise.std() == pytest.approx(law(scale=level).std(), rel=0.02)


@pytest.mark.parametrize(("kind", "gain"), [("dropout", lambda r: 1.0), ("dropout-rescaled", lambda r: 1 / (1 - r))])
@pytest.mark.parametrize("rate", [0.1, 0.6, 0.9])
def test_dropout_zeroes_its_share_and_keeps_the_rest(kind, gain, rate):
    clean = 1 + torch.rand(1, N, generator=generator(1))
    sent = defence(kind, rate).sample(clean, generator())
    zeros = (sent == 0).double().mean().item()
    assert zeros == pytest.approx(rate, abs=5 * math.sqrt(rate * (1 - rate) / N))
    survived = sent != 0
    assert torch.allclose(sent[survived], gain(rate) * clean[survived])


@pytest.mark.parametrize(("kind", "level"), KINDS.items())
def test_draws_are_independent_between_entries_samples_and_calls_and_repeat_with_the_seed(kind, level):
    clean = torch.ones(200, 500)
    stream = generator()
    first, second = (defence(kind, level).sample(clean, stream) for _ in range(2))
    for a, b in ((first, second), (first[1:], first[:-1]), (first[:, 1:], first[:, :-1])):
        correlation = np.corrcoef(a.flatten().numpy(), b.flatten().numpy())[0, 1]
        assert abs(correlation) < 5 / math.sqrt(a.numel())
    assert torch.equal(defence(kind, level).sample(clean, generator()), first)
    assert not torch.equal(defence(kind, level).sample(clean, generator(1)), first)


@pytest.mark.parametrize(("kind", "level"), KINDS.items())
def test_sampling_leaves_its_argument_and_integers_alone_and_is_differentiable(kind, level):
    clean = torch.ones(4, 50, requires_grad=True)
    sent = defence(kind, level).sample(clean, generator())
    assert torch.equal(clean, torch.ones(4, 50))
    sent.sum().backward()
    assert clean.grad.abs().sum() > 0
    whole = torch.arange(6).view(2, 3)
    assert torch.equal(defence(kind, level).sample(whole, generator()), whole)


@pytest.mark.parametrize("kind", KINDS)
def test_level_zero_sends_the_clean_value_and_is_a_point_mass(kind):
    clean = torch.randn(3, 4, 5, generator=generator())
    none = defence(kind, 0)
    assert torch.equal(none.sample(clean, generator()), clean)
    sent = clean + 0.1
    expected = Chain().log_density(sent, clean, 0.2)
    assert torch.allclose(none.log_density(sent, clean, 0.2), expected)


@pytest.mark.parametrize(("kind", "law"), [("gaussian", stats.norm), ("laplace", stats.laplace)])
def test_noise_log_density_is_the_law_up_to_a_constant(kind, law):
    sent, clean = torch.randn(2, 6, 3, 4, dtype=torch.float64, generator=generator())
    found = defence(kind, 0.4).log_density(sent, clean, 0.1).numpy()
    expected = law.logpdf(sent.numpy(), loc=clean.numpy(), scale=0.4).sum((1, 2))
    constant = law.logpdf(0, scale=0.4) * 12
    assert found == pytest.approx(expected - constant)


@pytest.mark.parametrize(("kind", "gain"), [("dropout", 1.0), ("dropout-rescaled", 2.5)])
def test_dropout_log_density_is_the_widened_mixture_up_to_a_constant(kind, gain):
    rate, tolerance = 0.6, 0.3
    clean = torch.linspace(-2, 2, 9, dtype=torch.float64).view(9, 1)
    zero = defence(kind, rate).log_density(torch.zeros_like(clean), clean, tolerance).numpy()
    width = stats.norm(scale=tolerance)
    mixture = rate * width.pdf(0) + (1 - rate) * width.pdf(gain * clean[:, 0].numpy())
    assert zero == pytest.approx(np.log(mixture / width.pdf(0)))
    assert zero.min() == pytest.approx(math.log(rate), abs=1e-3)
    sent = torch.full_like(clean, 0.5)
    survived = defence(kind, rate).log_density(sent, clean, tolerance).numpy()
    expected = (1 - rate) * width.pdf(0.5 - gain * clean[:, 0].numpy()) / width.pdf(0)
    assert survived == pytest.approx(np.log(expected))


@pytest.mark.parametrize(("kind", "level"), KINDS.items())
def test_log_density_has_the_gradient_of_finite_differences(kind, level):
    torch.manual_seed(0)
    sent = torch.randn(3, 7, dtype=torch.float64) * torch.tensor([1, 0, 1, 1, 0, 1, 1])
    clean = torch.randn(3, 7, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda c: defence(kind, level).log_density(sent, c, 0.5), clean)
    assert defence(kind, level).log_density(sent, clean, 0.5).shape == (3,)


@pytest.mark.parametrize(("kind", "level"), KINDS.items())
def test_the_truth_is_likelier_than_another_clean_value(kind, level):
    clean = 1 + torch.rand(20, 400, generator=generator(1))
    sent = defence(kind, level).sample(clean, generator())
    one = defence(kind, level)
    assert (one.log_density(sent, clean, 0.05) > one.log_density(sent, clean.roll(1, 0), 0.05)).all()


def test_log_density_stays_finite_where_the_tolerance_is_tiny():
    clean = torch.tensor([[3.0, -3.0, 0.0]], requires_grad=True)
    value = defence("dropout", 0.6).log_density(torch.zeros(1, 3), clean, 1e-6)
    value.sum().backward()
    assert value.isfinite().all()
    assert clean.grad.isfinite().all()


BAD_SCALES = [-0.1, float("nan"), float("inf"), 1e7, "1", None, True]


@pytest.mark.parametrize("kind", ["gaussian", "laplace"])
@pytest.mark.parametrize("level", BAD_SCALES)
def test_a_bad_scale_is_one_sentence(kind, level):
    with pytest.raises(DefenceError, match=rf"^{kind}: the level is .*, a number from 0 to 1,000,000, not .*\.$"):
        defence(kind, level)


@pytest.mark.parametrize("kind", ["dropout", "dropout-rescaled"])
@pytest.mark.parametrize("level", [-0.1, float("nan"), float("inf"), 1.0, 1.5, "0.5", None, True])
def test_a_bad_rate_is_one_sentence(kind, level):
    with pytest.raises(DefenceError, match=rf"^{kind}: the level is the share .* to below 1, not .*\.$"):
        defence(kind, level)


@pytest.mark.parametrize("kind", KINDS)
def test_a_bad_position_is_one_sentence(kind):
    with pytest.raises(DefenceError, match=rf'^{kind}: a defence acts at "input" or at "wire", not at .cloud.\.$'):
        defence(kind, 0.5, "cloud")
