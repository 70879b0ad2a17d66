"""IoTJ20 figure 4: what comes back black-box."""

from __future__ import annotations

from splitward.reproduce import plans, views
from splitward.reproduce.need import DATA, DATA_NAMES
from splitward.reproduce.target import Found, Target
from splitward.reproduce.targets import _causes

TARGET_TITLE = "Recovered inputs, black-box"


def draw(found: Found) -> str | None:
    """Originals, and the inverse network by what it was trained on."""
    wanted = [
        (DATA_NAMES[data], f"{need.at},\n{need.setting}", need, "inverse-network:scripts")
        for data in DATA
        for need in plans.black_box(found.scale, data)
    ]
    return views.recovered(found, TARGET_TITLE, wanted)


TARGET = Target(
    name="figure-4",
    title=TARGET_TITLE,
    source="IoTJ20 figure 4",
    listed=("table-4",),
    needs=plans.black_box,
    draw=draw,
    cause=_causes.black_box,
)
