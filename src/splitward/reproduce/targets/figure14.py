"""IoTJ20 figure 14: what comes back query-free at every layer of LeNet-5."""

from __future__ import annotations

from splitward.reproduce import plans, views
from splitward.reproduce.target import Found, Target
from splitward.reproduce.targets import _causes

TARGET_TITLE = "Recovered inputs, query-free, at every layer of LeNet-5"


def draw(found: Found) -> str | None:
    """Layers down; the papers' attack and ours."""
    wanted = [
        ("MNIST", f"{need.at}, {words}", need, attack)
        for need in plans.every_layer(found.scale)
        for attack, words in (("shadow-model:scripts", "papers' shadow"), ("shadow-model", "splitward's"))
    ]
    return views.recovered(found, TARGET_TITLE, wanted)


TARGET = Target(
    name="figure-14",
    title=TARGET_TITLE,
    source="IoTJ20 figure 14",
    listed=("figure-15",),
    needs=lambda scale, data: plans.every_layer(scale) if data == "mnist" else [],
    draw=draw,
    data=("mnist",),
    remark="Ours makes several shadows, fits them to other users' traffic, and inverts them by a decoder.",
    cause=_causes.query_free,
)
