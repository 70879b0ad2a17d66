"""What a defence's noise does to the moments of traffic, undone by one who has the defence's description.

Of noise that is drawn for each number by itself, with E[sent | x] = a x + b and Var[sent | x] = v(x) a quadratic,
(sent - b) / a is an estimate of x without bias, and of its moments only the variances are off: by E[v(x)] / a^2, which
follows from the second moment itself. Additive noise and random zeros are such; a, b and v are found by drawing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from splitward.attacks._moments import Whitening, spread
from splitward.attacks._surrogate import rectified
from splitward.core.defence import Chain
from splitward.core.knowledge import Activations

PROBES = (-1.0, -0.5, 0.0, 0.5, 1.0)
"""Values, in units of the traffic's root mean square, for which the noise is drawn ..."""
DRAWN = 1 << 16
"""... and numbers that are drawn for each."""
FLATTEST = 1e-3
"""Slope of the expectation below which nothing is left to be undone."""
WRONG = 0.01
"""Share of a mean's or a covariance's square by which what is undone may be wrong."""
DEVIATIONS = 5
"""Standard errors below zero down to which a mean may be that of numbers that are never negative."""


@dataclass(frozen=True)
class Response:
    """E[sent | x] = slope x + offset; Var[sent | x] = c[0] + c[1] x + c[2] x^2 with c = ``variance``."""

    slope: float
    offset: float
    variance: tuple[float, float, float]

    def steady(self, estimates: Tensor) -> bool:
        """Whether most of the variance is the same whatever the number: noise is added, and nothing is wiped out."""
        constant, _, square = self.variance
        return constant > abs(square) * float(estimates.square().mean())

    def unbiased(self, sent: Tensor) -> Tensor:
        """What was there, but for noise of mean 0."""
        return (sent - self.offset) / self.slope

    def estimate(self, part: Tensor) -> tuple[Tensor, Tensor]:
        """(M, k, *shape) of what was sent to the estimates (M, *shape), and the variance of noise in each place."""
        seen = self.unbiased(part).mean(1)
        share = 1 / (part.shape[1] * self.slope**2)
        constant, linear, square = (share * c for c in self.variance)
        second, mean = seen.square().mean(0), seen.mean(0)
        before = (second - constant - linear * mean) / (1 + square)
        return seen, (second - before).clamp_min(0).minimum(seen.var(0))


@dataclass(frozen=True)
class Undone:
    """Traffic as it was expected to be before the noise.

    ``estimates``: of each tensor, (M, 1, *shape). ``noise``: the variance that the estimates have beside that of the
    activation, (C,) of a map's channels and (*shape) of a vector. ``rectified``: of each tensor, whether it looks like
    the output of a ReLU. ``responses``: what the noise does to it.
    """

    estimates: Activations
    noise: tuple[Tensor, ...]
    rectified: tuple[bool, ...]
    responses: tuple[Response, ...]


UNCHANGED = Response(1.0, 0.0, (0.0, 0.0, 0.0))
"""Of integers and booleans, which pass every defence."""


def parted(chain: Chain) -> tuple[Chain, Chain]:
    """What comes before the first draw on the wire, defences of the input included; and the rest."""
    wire = chain.at("wire").channels
    first = next((i for i, channel in enumerate(wire) if getattr(channel, "draws", True)), len(wire))
    return Chain((*chain.at("input").channels, *wire[:first])), Chain(wire[first:])


@torch.no_grad()
def undo(traffic: Activations, noise: Chain, generator: Generator) -> Undone | None:
    """``traffic`` (M, k, *shape) without ``noise``; None where that is none, or of another kind."""
    if not noise.draws or len(traffic[0]) < 2:
        return None
    estimates, left, never_negative, responses = [], [], [], []
    for part, positive in zip(traffic, rectified(traffic), strict=True):
        response = _response(part, noise, generator) if part.is_floating_point() else UNCHANGED
        if response is None:
            return None
        seen, variance = response.estimate(part.float())
        error = (seen.var(0) / len(seen)).sqrt()
        responses.append(response)
        estimates.append(seen[:, None])
        left.append(_by_channel(variance))
        never_negative.append(positive or bool((seen.mean(0) >= -DEVIATIONS * error).all()))
    return Undone(tuple(estimates), tuple(left), tuple(never_negative), tuple(responses))


def _by_channel(variance: Tensor) -> Tensor:
    return variance.mean((1, 2)) if variance.ndim == 3 else variance


def _response(part: Tensor, noise: Chain, generator: Generator) -> Response | None:
    """What draws for tensors of one value say; None where it does not hold for the traffic, or leaves nothing."""
    shape = part.shape[2:]
    count = math.ceil(DRAWN / max(1, math.prod(shape)))
    unit = part.square().mean().sqrt().item() or 1.0
    values = torch.tensor(PROBES, dtype=torch.float64) * unit
    draws = [noise.sample(part.new_full((count, *shape), float(v)), generator).double() for v in values]
    means = torch.stack([d.mean() for d in draws]).cpu()
    variances = torch.stack([d.var() for d in draws]).cpu()
    powers = torch.stack([values**0, values, values**2], 1)
    offset, slope = (float(c) for c in torch.linalg.lstsq(powers[:, :2], means[:, None]).solution[:, 0])
    constant, linear, square = (float(c) for c in torch.linalg.lstsq(powers, variances[:, None]).solution[:, 0])
    if abs(slope) <= FLATTEST:
        return None
    found = Response(slope, offset, (constant, linear, square))
    return found if _holds(found, part, noise, generator) else None


def _holds(response: Response, part: Tensor, noise: Chain, generator: Generator) -> bool:
    """Whether it gives back the moments of what is known: the traffic itself, through the noise once more."""
    known = part[:, 0].float()
    white = Whitening(known)
    before = white(known)
    mean, covariance = before.mean(0), spread(before)
    off = []
    for _ in range(2):  # the product of two errors by chance is nothing, in expectation
        seen, variance = response.estimate(noise.sample(part[:, 0], generator).float()[:, None])
        again = white(seen)
        excess = white.excess(_by_channel(variance), covariance)
        off.append((again.mean(0) - mean, spread(again) - excess - covariance))
    (one, first), (two, second) = off
    shift = float((one * two).mean() / mean.square().mean().clamp_min(1.0))
    return shift < WRONG and float((first * second).sum() / covariance.square().sum().clamp_min(1e-12)) < WRONG
