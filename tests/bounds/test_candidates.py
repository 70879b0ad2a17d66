"""The attacker with the list, and what an estimate of the prior's information is on the safe side of."""

import math

import pytest
import torch
from scipy import integrate, stats

from splitward.bounds import candidates
from splitward.core.defence_text import parse_chain
from splitward.core.errors import BoundError


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_two_candidates_have_a_closed_form():
    """Two pictures that differ by 1 in every pixel, sent as -g and g: the error is E[p (1 - p)]."""
    images, clean, sigma = torch.tensor([[0.0, 0.0], [1.0, 1.0]]), torch.tensor([[-0.7], [0.7]]), 1.1

    def error(z):
        p = 1 / (1 + math.exp(-2 * 0.7 * z / sigma**2))
        return p * (1 - p) * (stats.norm.pdf(z, 0.7, sigma) + stats.norm.pdf(z, -0.7, sigma)) / 2

    exact = integrate.quad(error, -20, 20)[0]
    mean, low = candidates.normal(clean, images, sigma, generator(), 20_000)
    assert mean == pytest.approx(exact, rel=0.02)
    assert 0.9 * exact < low < exact


@pytest.mark.parametrize("kind", ["gaussian:1.5", "laplace:1"])
def test_several_observations_count_jointly(kind):
    """Written out entry by entry, or by the mean of the draws: the same; and less is left after more draws."""
    images, clean = torch.rand(40, 6, generator=generator(1)), torch.randn(40, 5, generator=generator(2))
    once, often = (candidates.general(clean, images, parse_chain(kind), k, generator(), 600) for k in (1, 9))
    assert once[0] == often[0] == 40
    assert once[1][0] > 2 * often[1][0]
    if kind.startswith("gaussian"):
        assert often[1][0] == pytest.approx(candidates.normal(clean, images, 0.5, generator(), 4000)[0], rel=0.15)


def test_it_is_the_error_of_the_best_guess():
    images, clean = torch.rand(50, 6, generator=generator(1)), torch.randn(50, 5, generator=generator(2))
    draws, sigma = 20_000, 0.8
    who = torch.randint(50, (draws,), generator=generator(3))
    sent = clean[who] + sigma * torch.randn(draws, 5, generator=generator(4))
    weights = (-torch.cdist(sent, clean).square() / (2 * sigma**2)).softmax(1)
    errors = [(guess - images[who]).square().mean().item() for guess in (weights @ images, images[weights.argmax(1)])]
    mean, low = candidates.normal(clean, images, sigma, generator(), draws)
    assert errors[0] == pytest.approx(mean, rel=0.02)
    assert low < errors[0] < errors[1]


def test_a_lower_limit_holds():
    """95 times of 100 and more, for values that are nearly always nothing."""
    misses = 0
    for seed in range(200):
        values = (torch.rand(300, generator=generator(seed)) < 0.02).double() * 0.25
        misses += candidates.lower_limit(values, 0.25) > 0.005
    assert misses <= 10
    assert candidates.lower_limit(torch.full((5000,), 0.1, dtype=torch.float64), 0.25) > 0.09


def test_the_noise_for_a_target_reaches_it():
    images, clean = torch.rand(60, 6, generator=generator(1)), torch.randn(60, 5, generator=generator(2))
    scale = candidates.scale_for(clean, images, 0.03, generator())
    assert candidates.normal(clean, images, scale, generator())[1] >= 0.03
    assert candidates.normal(clean, images, scale / 1.1, generator())[1] < 0.03
    with pytest.raises(BoundError, match="mean image is nearer"):
        candidates.scale_for(clean, images, 0.5, generator())


@pytest.mark.parametrize("dither", [0.3, 1.0, 3.0])
def test_the_information_of_a_normal_prior_is_never_underestimated(dither):
    """Of N(0, 1) in 3 dimensions it is 1 / (1 + dither^2); few images, or little dither, make the estimate too high."""
    exact = 1 / (1 + dither**2)
    means = []
    for n in (5, 2000):
        found = [
            candidates.prior_information(torch.randn(n, 3, generator=generator(s)), dither, generator(s + 50))
            for s in range(8)
        ]
        means.append(sum(mean for mean, _ in found) / 8)
        assert means[-1] > 0.97 * exact
        assert all(upper >= mean for mean, upper in found)
    assert means[0] >= means[1]
    assert means[1] < (1.1 if dither >= 1 else 2) * exact
