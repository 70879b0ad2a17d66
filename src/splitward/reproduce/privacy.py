"""Which epsilon of differential privacy the papers' noise levels give.

For one image, its neighbour is any other image (local differential privacy of the whole input), or one that differs in
a single pixel. The normalised MNIST input spans [-1, 1] in each of 784 numbers.
"""

from __future__ import annotations

import math

from splitward.reproduce.claims import Decision, verdict
from splitward.reproduce.rows import Rows

PIXELS, SPAN, DELTA = 784, 2.0, 1e-5
MEANINGFUL = 10.0
"""An epsilon above it bounds next to nothing: odds may change by a factor of e^10 = 22,000."""


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


def gaussian_epsilon(ratio: float, delta: float = DELTA) -> float:
    """The smallest epsilon at ``delta``, by bisection.

    >>> round(gaussian_epsilon(1.0), 2)
    4.38
    """
    low, high = 0.0, ratio * ratio + 20 * ratio + 1
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if gaussian_delta(middle, ratio) > delta else (low, middle)
    return high


def laplace_epsilon(sensitivity: float, scale: float) -> float:
    """Of the Laplace mechanism with L1 ``sensitivity``."""
    return sensitivity / scale


def decide(rows: Rows) -> Decision:  # noqa: ARG001 - the levels are the papers'
    """Epsilon at the highest levels that keep 95 % by the papers' text, and at the highest levels of all."""
    evidence: list[str] = []
    epsilons: list[float] = []
    for sigma, b in ((0.8, 0.5), (5.0, 5.0)):
        whole = gaussian_epsilon(SPAN * math.sqrt(PIXELS) / sigma), laplace_epsilon(SPAN * PIXELS, b)
        pixel = gaussian_epsilon(SPAN / sigma), laplace_epsilon(SPAN, b)
        epsilons += whole
        evidence.append(
            f"noise on the input, computed: Gaussian {sigma:g} (delta {DELTA:g}) epsilon {whole[0]:,.0f} for "
            f"the whole image "
            f"and {pixel[0]:.1f} for one pixel; Laplace {b:g} epsilon {whole[1]:,.0f} and {pixel[1]:.1f}"
        )
    evidence.append(
        "noise on the activation: none, because a ReLU's output has no bound and the papers clip nothing, so that the "
        "sensitivity is not finite by construction"
    )
    return Decision(verdict(min(epsilons) <= MEANINGFUL), tuple(evidence))
