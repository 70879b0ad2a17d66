"""IoTJ20 figure 10: accuracy against image quality on CIFAR-10."""

from __future__ import annotations

from splitward.reproduce import draw, views
from splitward.reproduce.claims import Claim
from splitward.reproduce.target import Found, Target
from splitward.reproduce.targets._tradeoffs import hidden, panels
from splitward.reproduce.targets.figure9 import needs


def figure(found: Found) -> str:
    """Three kinds of defence, two metrics."""
    return draw.chart("Accuracy against image quality on CIFAR-10 at ReLU22", panels(found, "cifar10"), keys=views.PLACE_KEYS)


TARGET = Target(
    name="figure-10",
    title="Accuracy against image quality on CIFAR-10, cut at ReLU22",
    source="IoTJ20 figure 10",
    needs=needs,
    draw=figure,
    data=("cifar10",),
    cause="The papers' descent runs for 5,000 iterations; the quick scale gives it a tenth, so it stops earlier.",
    claims=(
        Claim(
            "hidden-on-cifar10", "IV-B",
            "On CIFAR-10, dropout on the activation hides the input (SSIM < 0.25) for less than 0.8 % of accuracy.",
            lambda rows: hidden(rows, "cifar10", 0.008, None),
        ),
    ),
)  # fmt: skip
