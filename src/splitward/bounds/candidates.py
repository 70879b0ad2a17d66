"""An attacker with the list: the secret is one of n images, and the attacker holds all n.

Whoever holds less can do no better, so the error of the best guess, which can be computed (the posterior mean), bounds
every attacker's on secrets that are drawn from the list. No derivative, no smoothness and no law of images is assumed.
It grows with n towards what holds for the images' own law.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Generator, Tensor

from splitward.core.defence import Chain
from splitward.core.errors import BoundError

MOST, NUMBERS = 2000, 1 << 24
"""Candidates, and numbers that all of them make together, at most."""
DRAWS, FEW_DRAWS = 2000, 200
"""Secrets that are drawn and sent; the few where a likelihood is written out entry by entry."""
WORK, PRODUCTS = 1 << 28, 1 << 33
"""Entries of likelihoods that are written out, and products of what was sent with candidates, at most."""
CHUNK = 200

Estimate = tuple[float, float]
"""A mean, and its lower limit at 95 %."""


def normal(clean: Tensor, images: Tensor, scale: float, generator: Generator, draws: int = DRAWS) -> Estimate:
    """Mean squared error per pixel of the best guess of ``images`` (n, d) from ``clean`` (n, a) plus normal noise.

    k observations are one with ``scale`` / sqrt(k): their mean says all.
    """
    clean = (clean - clean.mean(0)).double()
    size = 0.5 * clean.square().sum(1)
    draws = min(draws, max(FEW_DRAWS, PRODUCTS // clean.numel()))

    def weigh(secret: Tensor) -> Tensor:
        noise = torch.randn(len(secret), clean.shape[1], generator=generator, dtype=clean.dtype, device=clean.device)
        sent = clean[secret] + scale * noise
        return ((sent @ clean.T - size) / scale**2).softmax(1)

    return _spread(weigh, images, generator, draws)


def scale_for(clean: Tensor, images: Tensor, target_mse: float, generator: Generator) -> float:
    """The scale of normal noise at which the lower limit of ``normal`` reaches ``target_mse``, to 2 % above.

    By bisection, the same draws at each step. Raises BoundError where no noise reaches it.
    """
    state = generator.get_state()

    def holds(scale: float) -> bool:
        generator.set_state(state)
        return normal(clean, images, scale, generator)[1] >= target_mse

    size = float((clean - clean.mean(0)).double().norm(dim=1).max())
    low, high = size * 1e-4, size * 1e2
    if not holds(high):
        raise BoundError(
            f"no noise guarantees a mean squared error of {target_mse:g} against an attacker who holds the list: "
            "its mean image is nearer than that; ask for less."
        )
    while high / low > 1.02:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


def general(
    clean: Tensor, images: Tensor, chain: Chain, observations: int, generator: Generator, draws: int = FEW_DRAWS
) -> tuple[int, Estimate] | None:
    """The same for any chain with a density, whose log-likelihoods are added over the observations; None without.

    Where that would be too much work, for fewer candidates; their number comes with the estimate.
    """
    clean = clean.double()
    if chain.log_density(clean[:1], clean[:1], 1.0) is None:
        return None
    n = min(len(clean), WORK // (draws * observations * clean.shape[1]))
    if n < 2:
        return None
    clean = clean[:n]

    def weigh(secret: Tensor) -> Tensor:
        return torch.stack([_likelihood(clean, chain, int(i), observations, generator) for i in secret]).softmax(1)

    return n, _spread(weigh, images[:n], generator, draws)


def _likelihood(clean: Tensor, chain: Chain, secret: int, observations: int, generator: Generator) -> Tensor:
    """(n,): of each candidate, from k fresh draws of what one of them sends."""
    total = torch.zeros(len(clean), dtype=clean.dtype, device=clean.device)
    for _ in range(observations):
        sent = chain.sample(clean[secret : secret + 1], generator)
        density = chain.log_density(sent.expand_as(clean), clean, 1e-6)
        assert density is not None
        total += density
    return total


def _spread(weigh: Callable[[Tensor], Tensor], images: Tensor, generator: Generator, draws: int) -> Estimate:
    """The posterior variance per pixel, whose mean over secrets and draws is the error of the posterior mean."""
    images = (images - images.mean(0)).double()
    size, pixels = images.square().sum(1), images.shape[1]
    found = []
    for secret in torch.randint(len(images), (draws,), generator=generator, device=images.device).split(CHUNK):
        weights = weigh(secret)
        found.append((weights @ size - (weights @ images).square().sum(1)).clamp_min(0) / pixels)
    largest = float((images.amax(0) - images.amin(0)).square().mean()) / 4  # Popoviciu, pixel by pixel
    values = torch.cat(found)
    return float(values.mean()), lower_limit(values, largest)


def lower_limit(values: Tensor, largest: float, confidence: float = 0.95) -> float:
    """Of the mean of independent values in [0, largest]: empirical Bernstein (Maurer and Pontil, COLT 2009, thm 4)."""
    n, log = len(values), math.log(2 / (1 - confidence))
    margin = math.sqrt(2 * float(values.var()) * log / n) + 7 * largest * log / (3 * (n - 1))
    return max(0.0, float(values.mean()) - margin)


def prior_information(images: Tensor, dither: float, generator: Generator) -> tuple[float, float]:
    """Fisher's information per pixel of images (n, d) with normal noise of ``dither``: an estimate, its upper limit.

    Of p * N(0, dither^2 I) it is (1 - v / dither^2) / dither^2, v the error per pixel of the best denoiser (Brown's
    identity; from Tweedie's formula for the score). For p the n images are put, a kernel estimate with the dither as
    its bandwidth. Fisher's information is convex in the law, so the estimate is too high on average (Jensen), which
    weakens a bound: the safe side. An estimate by score matching would be too low, and a bound from it too strong.
    """
    spread, low = normal(images, images, dither, generator)
    return (1 - spread / dither**2) / dither**2, (1 - low / dither**2) / dither**2
