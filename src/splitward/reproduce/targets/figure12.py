"""IoTJ20 figure 12: dropout at five layers on CIFAR-10."""

from __future__ import annotations

from splitward.reproduce import plans, views
from splitward.reproduce.target import Found, Target

DATA, TARGET_TITLE = "cifar10", "Recovered inputs under dropout at five layers, CIFAR-10"


def draw(found: Found) -> str | None:
    """Rates across, layers down."""
    levels = found.scale.study(DATA).depth
    lines = [(DATA, at, views.levels_of(found, DATA, at, "dropout", "activation", levels)) for at in plans.DEPTHS[DATA]]
    return views.by_level(found, TARGET_TITLE, lines)


TARGET = Target(
    name="figure-12",
    title=TARGET_TITLE,
    source="IoTJ20 figure 12",
    needs=plans.depths,
    draw=draw,
    data=(DATA,),
    cause="A deeper layer cannot hold more of the input than the layer that it is computed from; where the "
    "papers' pictures "
    "get better with depth, it is their attack that gets better.",
)
