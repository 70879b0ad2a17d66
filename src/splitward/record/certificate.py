"""Certificates in the record, and what follows from one for any number of observations. Arithmetic, free of torch.

Of m numbers that cross with additive noise, Fisher's information about the pixels x is M(x) / variance, M = J^T J. Let
u_1..u_d be an orthonormal basis of the pixels, in G bands of n_g directions, W_g the mean of u^T M u over a band and
over images, k the number of independent observations, s = k / variance. Then the mean squared error per pixel is

- of any attacker, where each pixel of the secret carries independent normal noise of standard deviation ``dither``
  that is part of what is to be recovered, at least sum_g n_g / (s W_g + 1/dither^2) / d. Van Trees' inequality (1968;
  R. Gill and B. Levit, Bernoulli 1995) for the law of that noise about an image that the attacker may even know; then
  diag(A^-1) >= 1/diag(A), and Jensen's inequality over directions and images: each step lowers the bound.
- of an unbiased attacker the same with 1/dither^2 = 0. With one band that is d variance / (k Tr M) = 1/(k dFIL): Guo,
  Karrer, Chaudhuri and van der Maaten (ICML 2022); Maeng, Guo, Kariyappa and Suh (NeurIPS 2023).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

from splitward.core.errors import BoundError
from splitward.record.part import Finite, Part

MOST = 10**12
"""Observations beyond which nobody counts."""


COUNTED = 64
"""Bits beyond which counting messages bounds nothing that anybody could ask for."""


class Band(Part):
    """Some directions of pixel space: how far the activation moves when the picture does by 1 along one of them."""

    directions: int
    energy: Finite  # mean squared length of that move: the upper limit
    energy_mean: Finite  # and as estimated


class Privacy(Part):
    """Differential privacy of releases about one input, whatever else is known; neighbours are any two inputs."""

    clip: Finite  # Euclidean norm of what one input can send, at most, before the noise
    queries: int  # releases that are counted together
    delta: Finite
    epsilon: Finite


class Certificate(Part):
    """What no attacker can beat, and under which assumptions; or why only experiments speak."""

    status: Literal["bounded", "counted", "empirical-only"]  # of errors; of images told apart alone; none
    reason: str = ""  # why only experiments speak of errors
    bits: int | None = None  # that all observations of an input together can say, at most, where they are few
    fresh: bool = False  # whether a further observation can say as many again
    noise: str = ""  # the defences whose noise it rests on
    variance: Finite | None = None  # of that noise, after the expansion of what acts before it; 1 / information
    observations: int = 1
    pixels: int = 0
    dither: Finite | None = None
    samples: int = 0  # images at which the edge was differentiated
    method: Literal["", "bands", "trace", "probes"] = ""
    confidence: Finite = 0.95
    bands: tuple[Band, ...] = ()
    dfil: Finite | None = None  # of one observation: mean over the images
    dfil_upper: Finite | None = None
    dfil_worst: Finite | None = None  # the largest of the images
    unbiased_mse: Finite | None = None
    unbiased_worst_mse: Finite | None = None
    any_mse: Finite | None = None
    any_worst_mse: Finite | None = None
    prior_information: Finite | None = None  # of the dithered images, per pixel, by a kernel estimate
    prior_information_upper: Finite | None = None
    prior_mse: Finite | None = None
    candidates: int = 0
    candidates_mse: Finite | None = None
    candidates_mse_low: Finite | None = None
    self_check: Finite | None = None  # largest relative error of the derivatives against differences
    privacy: Privacy | None = None
    statements: tuple[str, ...] = ()  # each number with its assumptions, in one sentence

    @property
    def trace(self) -> float:
        """Tr(J^T J) / d: the upper limit of its mean."""
        return sum(b.directions * b.energy for b in self.bands) / self.pixels


def unbiased_mse(certificate: Certificate, observations: int = 1, variance: float | None = None) -> float:
    """1 / (k dFIL): of attackers without bias, for whom no dither is needed. Infinite where nothing crosses."""
    _refuse_empirical(certificate)
    scale = _scale(certificate, observations, variance)
    return 1 / (scale * certificate.trace) if certificate.trace else math.inf


def any_mse(
    certificate: Certificate, observations: int = 1, variance: float | None = None, *, alike: bool = False
) -> float:
    """Of any attacker, for secrets with the certificate's dither, after ``observations`` with independent noise.

    ``variance``: of another noise than the certificate's. ``alike``: the observations are of near-identical inputs
    (shifted frames of one scene), not of one: what one frame hides the next may show, but traces add, so that the
    bound with a single band holds. Raises BoundError where there is none.
    """
    _refuse_empirical(certificate)
    assert certificate.dither is not None
    scale, floor = _scale(certificate, observations, variance), 1 / certificate.dither**2
    if alike:
        return 1 / (scale * certificate.trace + floor)
    return sum(b.directions / (scale * b.energy + floor) for b in certificate.bands) / certificate.pixels


def prior_mse(certificate: Certificate, observations: int = 1, variance: float | None = None) -> float:
    """1 / (k dFIL + J(prior)): of any attacker who knows the law of the dithered images, and not the image.

    With the kernel estimate of J(prior), which is worth its name only where it lies below 1/dither^2.
    """
    _refuse_empirical(certificate)
    assert certificate.prior_information_upper is not None
    scale = _scale(certificate, observations, variance)
    return 1 / (scale * certificate.trace + certificate.prior_information_upper)


def named_share(certificate: Certificate, candidates: int) -> float:
    """How often any attacker names an input out of so many equally likely ones, at most: messages / candidates."""
    if certificate.bits is None:
        raise BoundError("there is no bound on naming: too many bits cross, or nobody counts them.")
    return min(1.0, 2.0**certificate.bits / candidates)


def allowed_observations(
    certificate: Certificate, target_mse: float, *, alike: bool = False, variance: float | None = None
) -> int | None:
    """How often one input may be sent with fresh noise before the any-attacker bound falls below ``target_mse``.

    0: not even once. None: as often as anybody can count (10^12). Inputs that are near-identical rather than identical
    need ``alike``. A repetition with the same keyed noise is no new observation. Raises BoundError where there is no
    bound, or where the dither itself is less than the target.
    """
    refuse_unreachable(certificate, target_mse)

    def holds(k: int) -> bool:
        return any_mse(certificate, k, variance, alike=alike) >= target_mse

    if not holds(1):
        return 0
    if holds(MOST):
        return None
    low, high = 1, MOST
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


def variance_for(
    certificate: Certificate, target_mse: float, observations: int = 1, *, unbiased: bool = False
) -> float:
    """The variance of noise from which on the bound is at least ``target_mse``; closed for unbiased attackers.

    Any attacker: by bisection, to 1e-9 of the value. Raises BoundError as ``allowed_observations``.
    """
    _refuse_empirical(certificate)
    if unbiased:
        _refuse_target(target_mse)
        return target_mse * observations * certificate.trace
    refuse_unreachable(certificate, target_mse)
    return _smallest(lambda variance: any_mse(certificate, observations, variance) >= target_mse)


def _smallest(holds: Callable[[float], bool]) -> float:
    """The smallest positive number from which on ``holds``, by bisection of its logarithm between 1e-30 and 1e30."""
    low, high = 1e-30, 1e30
    if not holds(high):
        raise BoundError("no noise reaches the target: ask for a smaller mean squared error.")
    while high / low > 1 + 1e-9:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


def refuse_unreachable(certificate: Certificate, target_mse: float) -> None:
    """Raise BoundError where there is no bound, or none can reach ``target_mse``."""
    _refuse_empirical(certificate)
    _refuse_target(target_mse)
    assert certificate.dither is not None
    if target_mse >= certificate.dither**2:
        raise BoundError(
            f"a mean squared error of {target_mse:g} cannot be guaranteed: an attacker who knows the picture but for a "
            f"dither of {certificate.dither:g} is already at {certificate.dither**2:g}; ask for less, or certify with "
            "a larger dither."
        )


def _refuse_empirical(certificate: Certificate) -> None:
    if certificate.status != "bounded":
        raise BoundError(f"there is no bound, only experiments: {certificate.reason}")


def _refuse_target(target_mse: float) -> None:
    if not (math.isfinite(target_mse) and target_mse > 0):
        raise BoundError(f"the target is a mean squared error above 0, not {target_mse:g}.")


def _scale(certificate: Certificate, observations: int, variance: float | None) -> float:
    used = certificate.variance if variance is None else variance
    assert used is not None
    if observations < 1 or not used > 0:
        raise BoundError(
            f"a bound is for at least 1 observation under noise of positive variance, not {observations} under "
            f"{used:g}."
        )
    return observations / used
