"""ACSAC19 table 6: the shadow model, by training set and architecture."""

from __future__ import annotations

from splitward.reproduce import plans, views
from splitward.reproduce.claims import Claim
from splitward.reproduce.target import Found, Target
from splitward.reproduce.targets.table3 import recovers


def draw(found: Found) -> str | None:
    """The table's points."""
    ours = (("layers", "shadow-model", "splitward's shadow models"),)
    return views.comparison(found, "query-free", "Query-free recovery by a shadow (ACSAC19 table 6)", ours)


TARGET = Target(
    name="table-6",
    title="Query-free recovery by a shadow model",
    source="ACSAC19 table 6; IoTJ20 section III-C",
    needs=plans.query_free,
    draw=draw,
    cause="The released query-free script loads the whole victim model, which a query-free attacker does not "
    "have; ours "
    "is handed the cloud half alone, and a shadow is trained anew each time.",
    claims=(
        Claim(
            "recovery-query-free", "III-C",
            "Who may not even query the device recovers the input at conv1 (17.86 dB) and at ReLU2 (8.03 dB).",
            lambda rows: recovers(
                rows, "query-free", attack="shadow-model:scripts", setting="different set different net"
            ),
        ),
    ),
)  # fmt: skip
