"""Which epsilon of differential privacy the papers' noise levels give.

For one image, its neighbour is any other image (local differential privacy of the whole input), or one that differs in
a single pixel. The normalised MNIST input spans [-1, 1] in each of 784 numbers.
"""

from __future__ import annotations

import math

from splitward.bounds.accounting import DELTA, gaussian_epsilon, laplace_epsilon
from splitward.reproduce.claims import Decision, verdict
from splitward.reproduce.rows import Rows

PIXELS, SPAN = 784, 2.0
MEANINGFUL = 10.0
"""An epsilon above it bounds next to nothing: odds may change by a factor of e^10 = 22,000."""


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
