"""IoTJ20 figure 5: what comes back query-free."""

from __future__ import annotations

from splitward.reproduce import plans, views
from splitward.reproduce.need import DATA, DATA_NAMES
from splitward.reproduce.target import Found, Target
from splitward.reproduce.targets import _causes

TARGET_TITLE = "Recovered inputs, query-free"


def draw(found: Found) -> str | None:
    """Originals, and rMLE on a shadow by what the shadow was made of."""
    wanted = []
    for data in DATA:
        for need in plans.query_free(found.scale, data):
            kind, _, net = need.setting.partition(" set ")
            wanted.append((DATA_NAMES[data], f"{need.at}, {kind} set,\n{net}", need, "shadow-model:scripts"))
    return views.recovered(found, TARGET_TITLE, wanted)


TARGET = Target(
    name="figure-5",
    title=TARGET_TITLE,
    source="IoTJ20 figure 5",
    listed=("table-6",),
    needs=plans.query_free,
    draw=draw,
    cause=_causes.query_free,
)
