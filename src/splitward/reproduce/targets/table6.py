"""ACSAC19 table 6: the shadow model, by training set and architecture."""

from __future__ import annotations

from splitward.reproduce import plans, views
from splitward.reproduce.claims import Claim
from splitward.reproduce.target import Found, Target
from splitward.reproduce.targets import _causes
from splitward.reproduce.targets.table3 import recovers, told_at


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
    remark="Our own query-free attack stands beside the papers' on MNIST.",
    cause=_causes.query_free,
    claims=(
        Claim(
            "recovery-query-free", "III-C",
            "Who may not even query the device recovers the input "
            f"{told_at('table 6', 'different set different net')}.",
            lambda rows: recovers(
                rows, "query-free", attack="shadow-model:scripts", setting="different set different net"
            ),
        ),
    ),
)  # fmt: skip
