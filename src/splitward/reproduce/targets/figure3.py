"""IoTJ20 figure 3: what comes back white-box."""

from __future__ import annotations

from splitward.reproduce import plans, views
from splitward.reproduce.claims import Claim
from splitward.reproduce.need import DATA, DATA_NAMES
from splitward.reproduce.target import Found, Target
from splitward.reproduce.targets import _causes
from splitward.reproduce.targets.table3 import arbitrary

TARGET_TITLE = "Recovered inputs, white-box"


def draw(found: Found) -> str | None:
    """Originals, the papers' attack, ours."""
    wanted = [
        (DATA_NAMES[data], f"{need.at}, {words}", need, attack)
        for data in DATA
        for need in plans.white_box(found.scale, data)
        for attack, words in (("rmle:scripts", "papers' rMLE"), ("rmle", "splitward's"))
    ]
    return views.recovered(found, TARGET_TITLE, wanted)


TARGET = Target(
    name="figure-3",
    title=TARGET_TITLE,
    source="IoTJ20 figure 3",
    listed=("table-3",),
    needs=lambda scale, data: [*plans.white_box(scale, data), *(plans.arbitrary(scale) if data == "mnist" else ())],
    draw=draw,
    remark="The papers' attack starts from grey and follows the scripts; splitward's keeps pixels in [0, 1] and "
    "solves a linear cut exactly.",
    cause=_causes.white_box,
    claims=(
        Claim("arbitrary-input", "V-A",
            "The attacks recover any arbitrary input, not only ones like the public data.", arbitrary),
    ),
)  # fmt: skip
