"""IoTJ20 figure 8: what comes back under dropout."""

from __future__ import annotations

from splitward.reproduce import plans, views
from splitward.reproduce.claims import Claim, Decision, against, attacker, scored
from splitward.reproduce.need import DATA, DATA_NAMES
from splitward.reproduce.rows import Rows, defended
from splitward.reproduce.target import Target
from splitward.reproduce.targets import _causes
from splitward.reproduce.targets._pictures import CURVES, on_both_places

TARGET_TITLE = "Recovered inputs under dropout"
USELESS = 0.6
"""The rate from which on no useful information is said to be obtained."""


def useless(rows: Rows) -> Decision:
    """Whether, at rates from 0.6 on, each attacker gets no more than the mean image gives."""
    naive: list[bool] = []
    adaptive: list[bool] = []
    evidence: list[str] = []
    for data in DATA:
        floor = views.floor(rows, data, "prior/mean")
        if floor is None:
            continue
        evidence.append(f"{DATA_NAMES[data]}, no activation at all: the mean image has {scored(floor)}")
        for known, attackers in ((naive, views.naive_rows), (adaptive, views.adaptive_rows)):
            for row in attackers(rows, data, plans.DEFENDED[data], "dropout", "activation"):
                if row["level"] >= USELESS:
                    known.append(row["psnr_db"] <= floor["psnr_db"] and row["ssim_paper"] <= 0.3)
                    evidence.append(f"{DATA_NAMES[data]}, {defended(row)}, {attacker(row)}: {scored(row)}")
    return Decision(against(naive, adaptive, evidence), tuple(evidence))


TARGET = Target(
    name="figure-8",
    title=TARGET_TITLE,
    source="IoTJ20 figure 8",
    needs=plans.dropouts,
    draw=lambda found: on_both_places(found, TARGET_TITLE, "dropout"),
    remark="The papers' attack fits the dropped zeros as if they were values; an attacker who knows of dropout "
    "does not.",
    cause=_causes.defences,
    listed=CURVES,
    claims=(
        Claim(
            "no-useful-information", "IV-B",
            "With dropout of at least 0.6 the attacker obtains no useful information.", useless,
        ),
    ),
)  # fmt: skip
