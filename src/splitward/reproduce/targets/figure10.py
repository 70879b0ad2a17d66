"""IoTJ20 figure 10: accuracy against image quality on CIFAR-10."""

from __future__ import annotations

from splitward.reproduce import draw, views
from splitward.reproduce.claims import Claim
from splitward.reproduce.target import Found, Target
from splitward.reproduce.targets import _causes
from splitward.reproduce.targets._evidence import HIDDEN, LOST, lost_for_hiding
from splitward.reproduce.targets._tradeoffs import hidden, panels
from splitward.reproduce.targets.figure9 import needs


def figure(found: Found) -> str:
    """Three kinds of defence, two metrics."""
    return draw.chart(
        "Accuracy against image quality on CIFAR-10 at ReLU22", panels(found, "cifar10"), keys=views.PLACE_KEYS
    )


TARGET = Target(
    name="figure-10",
    title="Accuracy against image quality on CIFAR-10, cut at ReLU22",
    source="IoTJ20 figure 10",
    needs=needs,
    draw=figure,
    data=("cifar10",),
    remark="Left of the dotted line an attack recovers less than the mean image, which needs no activation.",
    cause=_causes.defences,
    claims=(
        Claim(
            "hidden-on-cifar10", "IV-B",
            f"On CIFAR-10, dropout on the activation hides the input (SSIM < {HIDDEN:g}) for less than "
            f"{100 * LOST:g} % of accuracy.",
            lambda rows: hidden(rows, "cifar10", LOST, None), lost_for_hiding,
        ),
    ),
)  # fmt: skip
