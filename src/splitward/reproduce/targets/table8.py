"""ACSAC19 table 8: model reconstruction, then rMLE, beside the inverse network."""

from __future__ import annotations

from splitward.reproduce import plans, views
from splitward.reproduce.claims import MARGIN_DB, Claim, Decision, clearly, scored, verdict
from splitward.reproduce.need import Need
from splitward.reproduce.rows import Rows
from splitward.reproduce.scales import Scale
from splitward.reproduce.target import Found, Target
from splitward.reproduce.targets import _causes


def needs(scale: Scale, data: str) -> list[Need]:
    """Its own audits, and those of the inverse network that it is compared with."""
    beside = [need for need in plans.black_box(scale, data) if need.setting == "same distribution"]
    return [*plans.reconstruction(scale, data), *beside]


def compared(rows: Rows) -> Decision:
    """Inverse network against model reconstruction at ReLU2."""
    network = rows.one(
        study="black-box", data="mnist", layer="ReLU2", setting="same distribution", attack="inverse-network:scripts"
    )
    other = rows.one(study="reconstruction", data="mnist", layer="ReLU2", attack="model-reconstruction:paper")
    evidence = f"inverse network: {scored(network)}", f"model reconstruction, then rMLE: {scored(other)}"
    held = clearly([network["psnr_db"] - other["psnr_db"]], MARGIN_DB, "dB", evidence)
    return Decision(verdict(held), evidence)


def draw(found: Found) -> str | None:
    """The table's points."""
    return views.comparison(found, "reconstruction", "Model reconstruction, then rMLE (ACSAC19 table 8)")


TARGET = Target(
    name="table-8",
    title="Black-box recovery by model reconstruction",
    source="ACSAC19 table 8",
    needs=needs,
    draw=draw,
    cause=_causes.reconstruction,
    claims=(
        Claim(
            "inverse-network-or-reconstruction", "III-B; ACSAC19 table 8",
            "The inverse network recovers more than a reconstructed model that is inverted by rMLE.", compared,
        ),
    ),
)  # fmt: skip
