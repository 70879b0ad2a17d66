"""IoTJ20 figure 15: query-free recovery at every layer of LeNet-5."""

from __future__ import annotations

from splitward.reproduce import draw, plans, published, views
from splitward.reproduce.claims import MARGIN_SSIM, Claim, Decision, attacker, clearly, scored, verdict
from splitward.reproduce.need import Need
from splitward.reproduce.rows import LIKE, Row, Rows
from splitward.reproduce.scales import Scale
from splitward.reproduce.target import Found, Target
from splitward.reproduce.targets import _causes

ATTACKS = (
    ("shadow-model:scripts", views.NAIVE_NAME, draw.NAIVE),
    ("shadow-model", "our query-free attack", draw.ADAPTIVE),
)


def needs(scale: Scale, data: str) -> list[Need]:
    """Every layer, and an attacker who may ask the device at fc1."""
    return [*plans.every_layer(scale), plans.asked(scale, "mnist", "fc1")] if data == "mnist" else []


def by_layer(rows: Rows, attack: str) -> list[Row]:
    """An attack's rows, from shallow to deep."""
    found = {row["layer"]: row for row in rows.where(study="layers", attack=attack, secrets=LIKE, status="ok")}
    return [found[at] for at in plans.LAYERS if at in found]


def figure(found: Found) -> str:
    """Both metrics by layer."""
    panels = []
    for metric, column, name in views.METRICS:
        told = [
            (i, r[column]) for i, at in enumerate(plans.LAYERS) if (r := published.find("figure15", split_layer=at))
        ]
        series = [draw.Series("published", told, draw.PUBLISHED)]
        for attack, words, style in ATTACKS:
            points = [(plans.LAYERS.index(r["layer"]), r[metric]) for r in by_layer(found.rows, attack)]
            series.append(draw.Series(words, points, style))
        floors = [(plans.LAYERS.index(r["layer"]), r[metric]) for r in by_layer(found.rows, "floor allowed")]
        series.append(draw.Series("no activation: label known", floors, draw.Style(draw.GREY, "8 4", "")))
        values = [y for s in series for _, y in s.points]
        panels.append(
            draw.Panel("MNIST", draw.categories("cut after", plans.LAYERS), draw.axis(name, values, 0.0), series)
        )
    return draw.chart("Query-free recovery by layer", panels)


def drop(rows: Rows) -> Decision:
    """The papers' attack and ours before and behind the first fully connected layer."""
    evidence, held = [], []
    for attack, words, _ in ATTACKS:
        before = rows.one(study="layers", layer="pool2", attack=attack, secrets=LIKE, status="ok")
        behind = rows.one(study="layers", layer="fc1", attack=attack, secrets=LIKE, status="ok")
        held.append(behind["ssim"] < 0.5 * before["ssim"])
        evidence.append(f"{words}: pool2 {scored(before)}; fc1 {scored(behind)}")
    return Decision(verdict(all(held)), tuple(evidence))


def hides(rows: Rows) -> Decision:
    """Whether behind fc1 any attacker beats the decoder that knows only the label."""
    floor = rows.one(study="layers", layer="fc1", attack="floor allowed", secrets=LIKE)
    here = [
        *rows.where(study="layers", layer="fc1", secrets=LIKE, status="ok"),
        *rows.some(study="asked", layer="fc1", status="ok", secrets=LIKE),
    ]
    attacks = [row for row in here if not row["attack"].startswith("floor")]
    best = max(attacks, key=lambda row: row["ssim"])
    evidence = [f"no activation, label known: {scored(floor)}"]
    evidence += [f"fc1, {row['threat_model']}, {attacker(row)}: {scored(row)}" for row in attacks]
    return Decision(verdict(clearly([floor["ssim"] - best["ssim"]], MARGIN_SSIM, "SSIM", evidence)), tuple(evidence))


TARGET = Target(
    name="figure-15",
    title="Query-free recovery at every layer of LeNet-5",
    source="IoTJ20 figure 15",
    needs=needs,
    draw=figure,
    data=("mnist",),
    remark="How well the descent inverts a shadow varies from shadow to shadow; the published bars are one "
    "shadow a layer.",
    cause=_causes.query_free,
    claims=(
        Claim("drop-at-fc1", "IV-C", "What comes back drops sharply at the first fully connected layer.", drop),
        Claim(
            "fully-connected-hides", "IV-C",
            "One fully connected layer on the device hides the input.", hides,
        ),
    ),
)  # fmt: skip
