"""The figure of ``defence_curves.py``: leakage against accuracy, one small chart for each defence, as one SVG."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from html import escape
from typing import Any

from splitward.report.figures import Scale, round_scale

DEFENCES = {"dropout": "Dropout", "gaussian": "Gaussian noise", "laplace": "Laplace noise"}
PLACES = {"activation": "on the activation", "input": "on the input"}
CURVES = (
    # who knows, observations, name, colour (Okabe and Ito, told apart by the colour-blind), dash
    ("adaptive", 20, "knows the defence, 20 observations", "#0072B2", ""),
    ("adaptive", 1, "knows the defence, 1 observation", "#56B4E9", ""),
    ("naive", 20, "naive, 20 observations", "#D55E00", "6 3"),
    ("naive", 1, "naive, 1 observation", "#E69F00", "6 3"),
)
FLOORS = (
    ("floor_allowed_ssim", "floor: the label alone", "#555555", "8 3 2 3"),
    ("floor_prior_ssim", "floor: public images alone", "#555555", "2 3"),
)
WIDTH, HEIGHT = 250, 190
"""Of one chart, in pixels."""
LEFT, TOP, ACROSS, DOWN = 62, 56, 32, 84
"""Margins of the figure, and what lies between two charts."""
TITLES = {"mnist": "LeNet-5 on MNIST", "cifar10": "The CIFAR CNN on CIFAR-10"}

Rows = Sequence[dict[str, Any]]


def draw(dataset: str, rows: Rows) -> str:
    """The figure of one data set's rows, as SVG text."""
    accuracies = [100 * row["accuracy"] for row in rows]
    x, y = round_scale(min(accuracies), 100.0), Scale(0.0, 1.0, 0.2)
    width = LEFT + 3 * WIDTH + 2 * ACROSS + 20
    bottom = TOP + 2 * HEIGHT + DOWN
    height = bottom + 84 + 20 * ((len(CURVES) + len(FLOORS) + 1) // 2)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'font-family="sans-serif" font-size="12" fill="#222">',
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
        text(LEFT, 22, f"{TITLES[dataset]}, cut at {rows[0]['cut']}: leakage against accuracy", 'font-size="15"'),
    ]
    for across, defence in enumerate(DEFENCES):
        for down, place in enumerate(PLACES):
            here = [row for row in rows if row["defence"] == defence and row["where"] == place]
            left, top = LEFT + across * (WIDTH + ACROSS), TOP + down * (HEIGHT + DOWN)
            title = text(0, -8, f"{DEFENCES[defence]} {PLACES[place]}", 'font-weight="bold"')
            chart = [title, *axes(x, y, across == 0), *lines(here, x, y)]
            parts.append(f'<g transform="translate({left},{top})">' + "\n".join(chart) + "</g>")
    parts += legend(LEFT, bottom + 62, {row["observations"] for row in rows})
    return "\n".join([*parts, "</svg>"]) + "\n"


def text(x: float, y: float, what: str, style: str = "") -> str:
    """A text that begins at (x, y)."""
    return f'<text x="{x:.1f}" y="{y:.1f}" {style}>{escape(what)}</text>'


def axes(x: Scale, y: Scale, named: bool) -> list[str]:
    """The frame, marks and names of both axes."""
    parts = [f'<rect width="{WIDTH}" height="{HEIGHT}" fill="none" stroke="#999"/>']
    for tick in x.ticks:
        at = tick.at / 100 * WIDTH
        parts.append(f'<path d="M{at:.1f} {HEIGHT}v4" stroke="#999"/>')
        parts.append(text(at, HEIGHT + 17, tick.text, 'text-anchor="middle" font-size="11"'))
    for tick in y.ticks:
        at = HEIGHT - tick.at / 100 * HEIGHT
        parts.append(f'<path d="M0 {at:.1f}h{WIDTH}" stroke="#eee"/>')
        parts.append(text(-6, at + 4, tick.text, 'text-anchor="end" font-size="11"'))
    parts.append(text(WIDTH / 2, HEIGHT + 34, "task accuracy (%)", 'text-anchor="middle"'))
    if named:
        turned = 'transform="rotate(-90)" text-anchor="middle"'
        parts.append(text(-HEIGHT / 2, -38, "SSIM of the strongest attack", turned))
    return parts


def lines(rows: Rows, x: Scale, y: Scale) -> list[str]:
    """The floors and the curves of one chart; the interval of each point as a bar."""
    parts = []
    for name, _, colour, dash in FLOORS if rows else ():
        at = HEIGHT - y.at(max(row[name] for row in rows)) / 100 * HEIGHT  # on another machine it differs a little
        parts.append(f'<path d="M0 {at:.1f}H{WIDTH}" stroke="{colour}" stroke-dasharray="{dash}"/>')
    for knows, observations, _, colour, dash in CURVES:
        own = sorted((row for row in rows if row["observations"] == observations), key=lambda row: row["level"])
        points = [(x.at(100 * r["accuracy"]) / 100 * WIDTH, r) for r in own]
        path = " ".join(f"{a:.1f},{height(r, knows, '', y):.1f}" for a, r in points)
        parts.append(
            f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2" stroke-dasharray="{dash}"/>'
        )
        for a, r in points:
            low, high, at = (height(r, knows, end, y) for end in ("_low", "_high", ""))
            parts.append(f'<path d="M{a:.1f} {low:.1f}V{high:.1f}" stroke="{colour}"/>')
            parts.append(mark(a, at, observations, colour))
    return parts


def height(row: dict[str, Any], knows: str, end: str, y: Scale) -> float:
    """Where the SSIM of a row's strongest attack lies, in pixels from the top of its chart."""
    return HEIGHT - y.at(row[f"{knows}_ssim{end}"]) / 100 * HEIGHT


def mark(x: float, y: float, observations: int, colour: str) -> str:
    """A circle for one observation, a square for several."""
    if observations == 1:
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>'
    return f'<rect x="{x - 3.5:.1f}" y="{y - 3.5:.1f}" width="7" height="7" fill="{colour}"/>'


def legend(left: float, top: float, drawn: Collection[int]) -> list[str]:
    """What each line that is drawn is, in two columns below the charts; ``drawn``: numbers of observations."""
    named: list[tuple[str, str, str, int]] = [
        (name, colour, dash, k) for _, k, name, colour, dash in CURVES if k in drawn
    ]
    named += [(name, colour, dash, 0) for _, name, colour, dash in FLOORS]
    parts = []
    for i, (name, colour, dash, observations) in enumerate(named):
        x, y = left + 300 * (i % 2), top + 20 * (i // 2)
        parts.append(f'<path d="M{x} {y}h34" stroke="{colour}" stroke-width="2" stroke-dasharray="{dash}"/>')
        parts += [mark(x + 17, y, observations, colour)] if observations else []
        parts.append(text(x + 42, y + 4, name))
    last = top + 6 + 20 * ((len(named) + 1) // 2)
    parts.append(text(left, last, "Bars: 95 % intervals over images. Along a curve the defence grows to the left."))
    return parts
