"""ACSAC19 table 3: rMLE with the edge's weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from splitward.record.nesting import STRENGTH, may_run
from splitward.reproduce import plans, published, views
from splitward.reproduce.claims import MARGIN_DB, Claim, Decision, attacker, clearly, scored, verdict
from splitward.reproduce.need import DATA_NAMES
from splitward.reproduce.rows import LIKE, Rows, Undecided
from splitward.reproduce.target import Found, Target
from splitward.reproduce.targets import _causes

MET_DB = 2.0
MET_SSIM = 0.08
"""How far below the published values a recovery may lie and still count as met."""


def recovers(rows: Rows, study: str, data: Sequence[str] = ("mnist",), **wanted: object) -> Decision:
    """Whether every published recovery is met or exceeded, and beats what is reached without the activation.

    By the strongest attack that may be run there: the claim is about what the cloud can do, and how far the papers' own
    attack comes in this run is told beside it. Without the activation: the mean image, and where it was run the decoder
    of what is allowed to be known, in PSNR and SSIM. ``data``: whose cuts are looked at, as far as they were run.
    """
    evidence, held, missing = [], [], []
    for name in [d for d in data if len(rows.where(study=study, data=d, **wanted))] or data[:1]:
        for layer in plans.CUTS[name]:
            try:
                told, good = _recovered(rows.where(data=name, layer=layer, secrets=LIKE), rows, study, wanted)
            except Undecided as reason:
                missing.append(reason)
                continue
            evidence.append(told)
            held.append(good)
    if missing and all(held):  # what is not met anywhere needs no other cut
        raise Undecided(str(missing[0]), evidence)
    return Decision(verdict(all(held)), tuple(evidence))


def _recovered(here: Rows, rows: Rows, study: str, wanted: Mapping[str, object]) -> tuple[str, bool]:
    """At one cut: the evidence, and whether it holds."""
    row = here.one(study=study, status="ok", **wanted)
    told, layer = row["published"], row["layer"]
    allowed = tuple(model for model in STRENGTH if may_run(row["threat_model"], model))
    fair = Rows([r for r in here.where(victim=row.get("victim")) if _fair(r.get("setting", ""), row["setting"])])
    strongest = fair.strongest(threat_model=allowed, defence="none", status="ok")
    guesses = [
        *here.where(study=study, setting=row["setting"], attack=("floor prior/mean", "floor allowed")),
        *rows.where(study="yardsticks", data=row["data"], attack="mean image"),
    ]
    if not guesses:
        raise Undecided(f"nothing was run at {layer} that needs no activation: what guessing reaches is not known")
    beaten = all(strongest[metric] > guess[metric] for guess in guesses for metric in ("psnr_db", "ssim"))
    met = strongest["psnr_db"] >= told["psnr_db"] - MET_DB and strongest["ssim_paper"] >= told["ssim"] - MET_SSIM
    best = max(guesses, key=lambda guess: guess["psnr_db"])
    text = (
        f"{layer}: the papers' attack, ours, {scored(row)}; published {told['psnr_db']:.1f} dB, SSIM "
        f"{told['ssim']:.2f} ({told['source']}); the strongest that may be run there, {attacker(strongest)}: "
        f"{scored(strongest)}; without the activation, {attacker(best)}: {scored(best)}"
    )
    return text, beaten and met


def _fair(setting: str, own: str) -> bool:
    """Whether who is of one setting holds no more than who is of another: not the victim's images or architecture."""
    return setting == own or not any(more in setting for more in ("same set", "same net"))


def arbitrary(rows: Rows) -> Decision:
    """Secrets unlike the public data, against what guessing gets there."""
    evidence, held = [], []
    for kind in ("rotated", "inverted", "shuffled", "faces"):
        here = rows.some(study="arbitrary", secrets=kind)
        floors = [r for r in here if r["attack"].startswith("floor")]
        best = max((r for r in here if r not in floors), key=lambda r: r["psnr_db"])
        floor = max(floors, key=lambda r: r["psnr_db"])
        held.append(best["psnr_db"] > floor["psnr_db"] + 3 and best["ssim"] > floor["ssim"])
        evidence.append(f"{kind}: {attacker(best)} {scored(best)}; without the activation {floor['psnr_db']:.1f} dB")
    return Decision(verdict(all(held)), tuple(evidence))


def deeper(rows: Rows) -> Decision:
    """Whether the recovery at the second cut is worse than at the first, for the papers' attack and for ours."""
    told, falls = [], []
    for attack in ("rmle:scripts", "rmle"):
        first, second = (
            rows.one(study="white-box", data="mnist", layer=layer, attack=attack) for layer in plans.CUTS["mnist"]
        )
        falls.append(first["psnr_db"] - second["psnr_db"])
        told.append(f"{attacker(first)}: conv1 {scored(first)}; ReLU2 {scored(second)}")
    return Decision(verdict(clearly(falls, MARGIN_DB, "dB", told)), tuple(told))


def told_at(table: str, setting: str, data: Sequence[str] = ("mnist",)) -> str:
    """The published recoveries, as a claim names them."""
    parts = []
    for name in data:
        found = [(at, published.attacked(table, name, at, setting)) for at in plans.CUTS[name]]
        places = " and ".join(f"at {at} ({row['psnr_db']:.2f} dB)" for at, row in found if row)
        parts.append(places if name == "mnist" else f"on {DATA_NAMES[name]} {places}")
    return ", and ".join(parts)


def draw(found: Found) -> str | None:
    """The table's points."""
    ours = ("white-box", "rmle", "splitward's rMLE"), ("white-box", "rmle:paper", "the text's constants, ours")
    return views.comparison(found, "white-box", "White-box recovery (ACSAC19 table 3)", ours)


TARGET = Target(
    name="table-3",
    title="White-box recovery by rMLE",
    source="ACSAC19 table 3; IoTJ20 section III-A",
    needs=plans.white_box,
    draw=draw,
    remark="The descent of the scripts starts from grey and stops after a fixed number of iterations; "
    "splitward's keeps pixels in [0, 1] and solves a linear cut exactly.",
    cause=_causes.white_box,
    claims=(
        Claim(
            "recovery-white-box", "III-A",
            f"Who knows the edge's weights recovers the input {told_at('table 3', 'rMLE', tuple(plans.CUTS))}.",
            lambda rows: recovers(rows, "white-box", tuple(plans.CUTS), attack="rmle:scripts"),
        ),
        Claim("deeper-is-harder", "III-A", "At a deeper cut the recovered images are worse.", deeper),
    ),
)  # fmt: skip
