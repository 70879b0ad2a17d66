"""Claims that the papers' own numbers contradict, drawn: the published points, ours beside them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from splitward.reproduce import draw, plans, published, views
from splitward.reproduce.need import DATA, DATA_NAMES
from splitward.reproduce.rows import KINDS, LIKE, Row, Rows

DECODER = "inverse network, ours"
HIDDEN, LOST = 0.25, 0.008
"""What is said of dropout on CIFAR-10: an SSIM below the one, for less accuracy than the other."""


def two_attacks() -> tuple[Row, Row]:
    """MNIST at ReLU2 without a defence, as published: in the attack study, and in the logs of the defence study."""
    logs = published.defended("mnist", "ReLU2", "dropout", "activation", 0.0)
    study = published.attacked("table 3", "mnist", "ReLU2", "rMLE")
    assert logs is not None
    assert study is not None
    return study, logs


def own_attacks(rows: Rows) -> tuple[list[Row], list[Row]]:
    """The same of ours."""
    here = rows.where(data="mnist", layer="ReLU2", defence="none", attack="rmle:scripts", secrets=LIKE, status="ok")
    return here.where(study="white-box").rows[:1], here.where(study="defence").rows[:1]


def attack_of_the_defences(rows: Rows) -> str:
    """PSNR and SSIM of the papers' attack in both studies; the mean image as a level."""
    (study, logs), (ours, early) = two_attacks(), own_attacks(rows)
    panels = []
    for metric, column, name in views.METRICS:
        series = [draw.Series(views.PUBLISHED_NAME, [(0, logs[column]), (1, study[column])], draw.PUBLISHED)]
        points = [(at, row[metric]) for at, found in enumerate((early, ours)) for row in found]
        series += [draw.Series(views.NAIVE_NAME, points, draw.NAIVE)] if points else []
        rules = views.floor_rules(rows, "mnist", metric, upright=False)[:1]
        values = [y for s in series for _, y in s.points] + [rule.value for rule in rules]
        x = draw.categories("study", ("of defences", "of attacks"))
        panels.append(draw.Panel("MNIST at ReLU2", x, draw.axis(name, values, 0.0), series, rules))
    return draw.chart("The papers' attack in the attack study and in the defence study", panels)


def by_depth(rows: Rows) -> str:
    """PSNR without a defence, by layer: it can only fall for an attack that finds what is there."""
    panels = []
    for data in DATA:
        layers = plans.DEPTHS[data]
        told = [published.defended(data, at, "dropout", "activation", 0.0) for at in layers]
        series = [
            draw.Series(
                views.PUBLISHED_NAME, [(i, row["psnr_db"]) for i, row in enumerate(told) if row], draw.PUBLISHED
            )
        ]
        for attack, words, style in (
            ("rmle:scripts", views.NAIVE_NAME, draw.NAIVE), ("inverse-network", DECODER, draw.ADAPTIVE),
        ):  # fmt: skip
            points = [
                (i, row["psnr_db"])
                for i, at in enumerate(layers)
                for row in views.defence_rows(rows, data, at).where(defence="none", attack=attack).rows[:1]
            ]
            series += [draw.Series(words, points, style)] if points else []
        values = [y for s in series for _, y in s.points]
        axes = draw.categories("cut after", layers), draw.axis("PSNR in dB", values, 0.0)
        panels.append(draw.Panel(f"{DATA_NAMES[data]}, no defence", *axes, series))
    return draw.chart("What is recovered without a defence, by layer", panels)


def lost_for_hiding(rows: Rows) -> str:
    """Accuracy lost against SSIM under dropout on the activation of CIFAR-10; what is claimed is below both lines."""
    at = plans.DEFENDED["cifar10"]
    told = views.published_curve("cifar10", at, "dropout", "activation")
    first = [(views.PUBLISHED_NAME, draw.PUBLISHED, _lost([(r["ssim"], r["accuracy"]) for r in told]))]
    second = []
    sources: Sequence[tuple[str, draw.Style, Callable[..., list[Row]]]] = (
        (views.NAIVE_NAME, draw.NAIVE, views.naive_rows), (views.ADAPTIVE_NAME, draw.ADAPTIVE, views.adaptive_rows),
    )  # fmt: skip
    for words, style, source in sources:
        found = [r for r in source(rows, "cifar10", at, "dropout", "activation") if r["accuracy"] is not None]
        second += [(words, style, _lost([(r["ssim_paper"], r["accuracy"]) for r in found]))] if found else []
    rules = (
        draw.Rule(f"claimed: an SSIM below {HIDDEN:g}", HIDDEN, "2 3", upright=True),
        draw.Rule(f"claimed: less than {100 * LOST:g} points lost", 100 * LOST, "8 4"),
    )
    panels = []
    for title, curves in (("CIFAR-10, published", first), ("CIFAR-10, ours", second)):
        values = [y for _, _, points in curves for _, y in points]
        axes = (
            draw.axis("SSIM (the papers' variant)", (), 0.0, 1.0),
            draw.axis("accuracy lost in points", values, 0.0, 100 * LOST),
        )
        panels.append(draw.Panel(title, *axes, [draw.Series(n, p, s) for n, s, p in curves], rules))
    return draw.chart("Accuracy lost for hiding the input by dropout, CIFAR-10", draw.shared(panels))


def _lost(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """(SSIM, points of accuracy lost) from (SSIM, accuracy), the undefended one first."""
    return [(ssim, 100 * (points[0][1] - accuracy)) for ssim, accuracy in points]


def noise_by_place(rows: Rows) -> str:
    """Accuracy against SSIM under noise on the input and on the activation."""
    panels = []
    for data in DATA:
        for kind in ("gaussian", "laplace"):
            series = [
                draw.Series(words, points, style if place == "activation" else draw.dashed(style))
                for place in ("activation", "input")
                for words, style, points in views.curves(
                    rows, data, plans.DEFENDED[data], kind, place, "ssim_paper", "ssim"
                )
            ]
            axes = (
                draw.axis("SSIM (the papers' variant)", (), 0.0, 1.0),
                draw.axis("accuracy in %", (), 0.0, 100.0),
            )
            panels.append(draw.Panel(f"{DATA_NAMES[data]}, {KINDS[kind]}", *axes, series))
    return draw.chart("Accuracy against image quality under noise, by its place", panels, keys=views.PLACE_KEYS)
