"""ACSAC19 table 4: the inverse network, by what it was trained on."""

from __future__ import annotations

from splitward.reproduce import plans, views
from splitward.reproduce.claims import MARGIN_DB, Claim, Decision, clearly, scored, verdict
from splitward.reproduce.need import Need
from splitward.reproduce.rows import Rows, decimals
from splitward.reproduce.scales import Scale
from splitward.reproduce.target import Found, Target
from splitward.reproduce.targets import _causes
from splitward.reproduce.targets.table3 import recovers, told_at


def needs(scale: Scale, data: str) -> list[Need]:
    """The table, and our own decoder beside it."""
    return [*plans.black_box(scale, data), *(plans.asked(scale, data, at) for at in plans.CUTS[data])]


def kinds(rows: Rows) -> Decision:
    """Inverse network against rMLE at ReLU2: better with real images, worse with noise."""
    rmle = rows.one(study="white-box", data="mnist", layer="ReLU2", attack="rmle:scripts")
    evidence, gains = [f"rMLE: {scored(rmle)}"], {}
    for kind in plans.AUXILIARIES:
        row = rows.one(study="black-box", data="mnist", layer="ReLU2", setting=kind, attack="inverse-network:scripts")
        gains[kind] = row["psnr_db"] - rmle["psnr_db"]
        evidence.append(f"inverse network, {kind}: {scored(row)}; {decimals(gains[kind], 1, '+')} dB beside rMLE")
    held = clearly(
        [gains["same set"], gains["same distribution"], -gains["random noise set"]], MARGIN_DB, "dB", evidence
    )
    return Decision(verdict(held), tuple(evidence))


def efficient(rows: Rows) -> Decision:
    """Seconds an image of both at the images of the audit, the training included; and that neither has settings."""
    images = rows.one(study="black-box", data="mnist", layer="ReLU2", setting="same distribution")["images"]
    network = rows.one(
        study="black-box", data="mnist", layer="ReLU2", setting="same distribution", attack="inverse-network:scripts"
    )
    rmle = rows.one(study="white-box", data="mnist", layer="ReLU2", attack="rmle:scripts")
    worth = network["seconds"] / max(rmle["seconds"] / images, 1e-9)
    each = network["seconds"] / network["images"], rmle["seconds"] / rmle["images"]
    return Decision(
        verdict(each[0] < each[1] and network["settings"] == 0),
        (
            f"measured on the machine of this run, which other work shared, at n = {images}: the network took "
            f"{each[0]:.2f} s an image, its training included, and rMLE {each[1]:.2f} s; a trained network answers "
            f"at once, so it pays from about {worth:,.0f} images on",
            f"parameter-free it is not: the network has an architecture and a training, {network['settings']} settings "
            f"here, and rMLE {rmle['settings']}",
        ),
    )


def draw(found: Found) -> str | None:
    """The table's points."""
    ours = (("asked", "inverse-network", "splitward's decoder"),)
    return views.comparison(found, "black-box", "Black-box recovery by training images (ACSAC19 table 4)", ours)


TARGET = Target(
    name="table-4",
    title="Black-box recovery by an inverse network",
    source="ACSAC19 table 4; IoTJ20 section III-B",
    needs=needs,
    draw=draw,
    remark="A decoder of our own, for the same attacker, stands beside the papers'.",
    cause=_causes.black_box,
    claims=(
        Claim(
            "recovery-black-box", "III-B",
            "Who may only query the device recovers the input "
            f"{told_at('table 4', 'same distribution', tuple(plans.CUTS))}.",
            lambda rows: recovers(
                rows, "black-box", tuple(plans.CUTS), attack="inverse-network:scripts", setting="same distribution"
            ),
        ),
        Claim(
            "auxiliary-data", "ACSAC19 table 4",
            "With images like the victim's the inverse network recovers more than rMLE; with noise it recovers less.",
            kinds,
        ),
        Claim(
            "efficient-and-parameter-free", "III-B",
            "The inverse network is more efficient than rMLE, and parameter-free.", efficient,
        ),
    ),
)  # fmt: skip
