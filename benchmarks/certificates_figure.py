"""The figure of ``certificates.py``: what repetitions give away, and what a list of all secrets proves, as one SVG."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from splitward.reproduce.draw import BLUE, GREEN, ORANGE, Panel, Series, Style, axis, categories, chart, dashed

HOW = {
    "fresh": ("fresh noise at each repetition", Style(ORANGE, "", "diamond")),
    "frames": ("near-identical frames, fresh noise", Style(GREEN, "", "triangle")),
    "keyed": ("keyed noise: the same at each repetition", Style(BLUE, "", "square")),
}
LISTED = {"ReLU2": Style(ORANGE, "", "circle"), "pool2": Style(BLUE, "", "square")}

Rows = Sequence[dict[str, Any]]


def draw(rows: Rows) -> str:
    """The figure; a part that was not measured has no panel."""
    repeats, bounds = ([row for row in rows if row["part"] == part] for part in ("repeats", "bounds"))
    panels = [*([_repeats(repeats)] if repeats else []), *([_listed(bounds)] if bounds else [])]
    return chart("Certificates: LeNet-5 on MNIST under Gaussian noise", panels, 2)


def _repeats(rows: Rows) -> Panel:
    counts = sorted({row["observations"] for row in rows})
    series = []
    for how, (name, style) in HOW.items():
        own = sorted((r for r in rows if r["how"] == how), key=lambda r: r["observations"])
        series.append(Series(name, [(counts.index(r["observations"]), 1000 * r["mse"]) for r in own], style))
    x = categories("observations of one secret", [f"{k:,}" for k in counts])
    y = axis("error reached, in 1/1,000", [1000 * row["mse"] for row in rows], 0.0)
    return Panel(f"A decoder, {rows[0]['cut']}, {rows[0]['defence']}", x, y, series)


def _listed(rows: Rows) -> Panel:
    levels = list(dict.fromkeys(row["defence"] for row in rows))
    series = []
    for cut, style in LISTED.items():
        for k in sorted({row["observations"] for row in rows}):
            own = [row for row in rows if (row["cut"], row["observations"]) == (cut, k)]
            points = [(levels.index(r["defence"]), 1000 * r["candidates_mse_low"]) for r in own]
            series.append(Series(f"{cut}, k = {k}", points, style if k == 1 else dashed(style)))
    x = categories("noise on the activation", [level.removeprefix("gaussian:") for level in levels])
    y = axis("any attacker, at least, in 1/1,000", [1000 * row["candidates_mse_low"] for row in rows], 0.0)
    return Panel(f"Proved: a list of {rows[0]['candidates']:,} images", x, y, series)
