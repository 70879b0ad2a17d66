"""IoTJ20 figure 13: accuracy against image quality under dropout at five layers."""

from __future__ import annotations

from itertools import pairwise

from splitward.reproduce import draw, plans, published, views
from splitward.reproduce.claims import Claim, Decision, against, gaps, mean, points, verdict
from splitward.reproduce.need import DATA, DATA_NAMES
from splitward.reproduce.rows import Row, Rows, Undecided
from splitward.reproduce.target import Found, Target
from splitward.reproduce.targets import _causes
from splitward.reproduce.targets._evidence import by_depth


def figure(found: Found) -> str:
    """A row of panels for each layer; the panels of a data set have the same axes."""
    panels: list[draw.Panel] = []
    for data in found.data:
        panels += draw.shared(
            [
                panel
                for at in plans.DEPTHS[data]
                for panel in views.tradeoff(found, data, at, "dropout", ("activation",), f"{DATA_NAMES[data]}, {at}")
            ]
        )
    return draw.chart("Accuracy against image quality under dropout, by layer", panels, 100)


def rising(rows: Rows) -> Decision:
    """Whether the leakage of the papers' attack falls with depth, without a defence, as it must for a good attack."""
    evidence, falls = [], []
    for data in DATA:
        known = [published.defended(data, at, "dropout", "activation", 0.0) or {} for at in plans.DEPTHS[data]]
        falls.append(all(b["psnr_db"] <= a["psnr_db"] for a, b in pairwise(known)))
        told = ", ".join(f"{at} {row['psnr_db']:.2f}" for at, row in zip(plans.DEPTHS[data], known, strict=True))
        evidence.append(f"{DATA_NAMES[data]}, papers' logs without a defence, dB from shallow to deep: {told}")
        for who, attack in (("papers' attack", "rmle:scripts"), ("inverse network", "inverse-network")):
            here = [
                views.defence_rows(rows, data, at).where(defence="none", attack=attack).rows
                for at in plans.DEPTHS[data]
            ]
            if all(here):
                told = ", ".join(f"{r[0]['layer']} {r[0]['psnr_db']:.2f}" for r in here)
                evidence.append(f"{DATA_NAMES[data]}, ours, {who}: {told}")
    evidence.append(
        "a deeper layer is computed from the shallower one and cannot tell more of the input: where the number "
        "rises, the attack fails, not the layer"
    )
    return Decision(verdict(all(falls)), tuple(evidence))


def deeper(rows: Rows) -> Decision:
    """Whether dropout at a deeper layer costs less accuracy at equal image quality, against each attacker."""
    results: list[list[bool]] = []
    evidence: list[str] = []
    for who, source in (("papers' attack", views.naive_rows), ("who knows the defence", views.adaptive_rows)):
        ordered: list[bool] = []
        for above, below in pairwise(plans.DEPTHS["mnist"]):
            first, second = (_curve(source(rows, "mnist", at, "dropout", "activation"), at) for at in (below, above))
            if gap := gaps(first, second):
                evidence.append(f"{who}: {below} minus {above}, accuracy at equal SSIM {points(mean(gap))} points")
                if above != "ReLU1":  # the exception
                    ordered.append(mean(gap) > 0)
        results.append(ordered)
    return Decision(against(results[0], results[1], evidence), tuple(evidence))


def _curve(rows: list[Row], at: str) -> list[tuple[float, float]]:
    known = [(row["ssim_paper"], row["accuracy"]) for row in rows if row["accuracy"] is not None]
    if len(known) < 2:
        raise Undecided(f"no dropout was run on MNIST at {at}")
    return known


TARGET = Target(
    name="figure-13",
    title="Accuracy against image quality under dropout, by layer",
    source="IoTJ20 figure 13; CIFAR-10 from the authors' logs",
    needs=plans.depths,
    draw=figure,
    remark="Where the published number rises with depth, the attack fails and not the layer: see the claim on it.",
    cause=_causes.defences,
    claims=(
        Claim(
            "deeper-leaks-less", "III-A, IV-B",
            "What the papers' attack recovers falls from layer to layer, as what is there to recover does.",
            rising, by_depth,
        ),
        Claim(
            "deeper-dropout", "IV-B",
            "Dropout on a deeper layer is more effective, with ReLU1 as the only exception.", deeper,
        ),
    ),
)  # fmt: skip
