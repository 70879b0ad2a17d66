"""Differential privacy of what is sent: one release, and several together. Free of torch.

Neighbours are any two inputs (local differential privacy of the whole input). It needs a bound on what one input can
send: a clipped activation. Nothing else is clipped in the papers, so that their noise levels have no epsilon at all.
"""

from __future__ import annotations

import math

from splitward.core.errors import BoundError

DELTA = 1e-5
CELLS = 20_000
"""Steps of the discretised privacy loss between its largest values."""


def log_tail(x: float) -> float:
    """log P(Z > x) of a standard normal, also far out (asymptotic series beyond 30)."""
    if x < 30:
        return math.log(0.5 * math.erfc(x / math.sqrt(2)))
    return -0.5 * x * x - math.log(x * math.sqrt(2 * math.pi)) + math.log1p(-1 / (x * x))


def gaussian_delta(epsilon: float, ratio: float) -> float:
    """delta of the Gaussian mechanism with sensitivity / sigma = ``ratio`` (Balle and Wang 2018, theorem 8)."""
    first = log_tail(epsilon / ratio - ratio / 2)
    second = epsilon + log_tail(epsilon / ratio + ratio / 2)
    return max(math.exp(first) - math.exp(second), 0.0) if first > second else 0.0


def gaussian_epsilon(ratio: float, delta: float = DELTA, queries: int = 1) -> float:
    """The smallest epsilon at ``delta``, by bisection; ``queries`` releases are one with sqrt(queries) times the ratio.

    That is exact (Dong, Roth and Su 2022, corollary 3.3).

    >>> round(gaussian_epsilon(1.0), 2)
    4.38
    """
    refuse(delta, queries)
    ratio *= math.sqrt(queries)
    low, high = 0.0, ratio * ratio + 20 * ratio + 1
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if gaussian_delta(middle, ratio) > delta else (low, middle)
    return high


def laplace_epsilon(sensitivity: float, scale: float) -> float:
    """Of the Laplace mechanism with L1 ``sensitivity``; its delta is 0."""
    return sensitivity / scale


def pure_epsilon(epsilon: float, delta: float = DELTA, queries: int = 1) -> float:
    """Of ``queries`` releases that are each ``epsilon``-private, at ``delta``.

    The less of their sum, and of the composition of the privacy loss that dominates every such mechanism
    (dp-accounting, discretised upwards).
    """
    refuse(delta, queries)
    if queries == 1:
        return epsilon
    from dp_accounting.pld.common import DifferentialPrivacyParameters
    from dp_accounting.pld.privacy_loss_distribution import from_privacy_parameters

    total = queries * epsilon
    if epsilon > 50:  # the composition gains nothing, and e^epsilon is beyond what it computes with
        return total
    one = from_privacy_parameters(DifferentialPrivacyParameters(epsilon, 0), max(epsilon / 100, total / CELLS))
    return min(total, float(one.self_compose(queries).get_epsilon_for_delta(delta)))


def refuse(delta: float, queries: int) -> None:
    """Raise BoundError for a delta that is no probability, and for less than one query."""
    if not 0 < delta < 1:
        raise BoundError(f"delta is {delta:g}; it is a probability above 0 and below 1, such as 1e-5.")
    if queries < 1:
        raise BoundError(f"{queries} queries were asked for; count at least 1.")
