"""Figures as SVG: small multiples of curves, bars, and strips of pictures. The report's colours; text beside the data.

Okabe and Ito's colours, a marker and a dash of its own for each kind, so that no kind is told by its colour alone.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

import numpy as np
from numpy.typing import NDArray

from splitward.report.figures import Scale, round_scale
from splitward.report.pictures import png, to_bytes

INK, SOFT, LINE, PAPER = "#1b1c20", "#5b5e66", "#e3e0d8", "#ffffff"
BLUE, ORANGE, GREEN, GREY = "#0072b2", "#d55e00", "#00795a", "#6d7079"
TEXT, SMALL = 13, 12
PANEL_WIDTH, PANEL_HEIGHT = 240, 190
LEFT, RIGHT, TOP, BOTTOM = 58, 16, 30, 46
LETTER = 7.0  # pixels that a letter of the legend needs, at most

Pixels = NDArray[np.floating]


@dataclass(frozen=True)
class Style:
    """How a series is drawn: colour, dash of the line (None: no line), marker, and whether the marker is filled."""

    colour: str
    dash: str | None = ""
    marker: str = "circle"
    filled: bool = True


PUBLISHED = Style(INK, "", "circle", False)
NAIVE = Style(BLUE, "", "square")
ADAPTIVE = Style(ORANGE, "", "diamond")
OTHER = Style(GREEN, "", "triangle")


def dashed(style: Style) -> Style:
    """The same with a dashed line."""
    return Style(style.colour, "6 4", style.marker, style.filled)


@dataclass(frozen=True)
class Series:
    """Points (x, y) in data units, joined in their order."""

    name: str
    points: Sequence[tuple[float, float]]
    style: Style


@dataclass(frozen=True)
class Rule:
    """A level across the panel, upright (of x) or level (of y)."""

    name: str
    value: float
    dash: str = "4 4"
    upright: bool = False


@dataclass(frozen=True)
class Axis:
    """``categories``: names of the whole numbers from 0, in place of numbers."""

    name: str
    scale: Scale
    categories: tuple[str, ...] = ()


@dataclass(frozen=True)
class Panel:
    """One small chart."""

    title: str
    x: Axis
    y: Axis
    series: Sequence[Series] = field(default_factory=tuple)
    rules: Sequence[Rule] = field(default_factory=tuple)


def axis(name: str, values: Sequence[float], low: float | None = None, high: float | None = None) -> Axis:
    """An axis with round ends around ``values``, and around ``low`` and ``high`` where they are given."""
    known = [*values, *(v for v in (low, high) if v is not None)]
    return Axis(name, round_scale(min(known, default=0.0), max(known, default=1.0)))


def categories(name: str, names: Sequence[str]) -> Axis:
    """An axis of names, at 0, 1, 2, ..."""
    return Axis(name, Scale(-0.5, len(names) - 0.5, 1.0), tuple(names))


def text(x: float, y: float, words: str, anchor: str = "start", size: int = SMALL, more: str = "") -> str:
    """One line of text."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" {more}>{escape(words)}</text>'


def document(width: float, height: float, parts: Sequence[str], title: str) -> str:
    """The file."""
    font = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Liberation Sans', Arial, sans-serif"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" '
        f'height="{height:.0f}" role="img" font-family="{font}" fill="{INK}">\n<title>{escape(title)}</title>\n'
        f'<rect width="100%" height="100%" fill="{PAPER}"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def chart(title: str, panels: Sequence[Panel], columns: int = 3) -> str:
    """Panels in rows of ``columns``, the legend below them."""
    columns = min(columns, len(panels))
    named = 16 if any(panel.x.categories for panel in panels) else 0
    wide, tall = LEFT + PANEL_WIDTH + RIGHT, TOP + PANEL_HEIGHT + BOTTOM + named
    rows = -(-len(panels) // columns)
    parts = [
        f'<g transform="translate({(i % columns) * wide + LEFT} {(i // columns) * tall + TOP})">{_panel(p)}</g>'
        for i, p in enumerate(panels)
    ]
    legend, height = _legend(panels, columns * wide)
    parts.append(f'<g transform="translate(0 {rows * tall + 4})">{legend}</g>')
    return document(columns * wide, rows * tall + height + 12, parts, title)


def _panel(panel: Panel) -> str:
    """One panel; its plot's corner is the origin."""
    parts = [text(0, -12, panel.title, size=TEXT, more='font-weight="600"')]
    parts += [_ticks(panel)]
    bottom = PANEL_HEIGHT
    name = PANEL_HEIGHT + (52 if panel.x.categories else 36)
    parts.append(text(PANEL_WIDTH / 2, name, panel.x.name, "middle", more=f'fill="{SOFT}"'))
    turned = f'fill="{SOFT}" transform="rotate(-90 -42 {PANEL_HEIGHT / 2})"'
    parts.append(text(-42, PANEL_HEIGHT / 2, panel.y.name, "middle", more=turned))
    for rule in panel.rules:
        x, y = _place(panel, rule.value, 0)[0], _place(panel, 0, rule.value)[1]
        ends = (
            f'x1="{x}" x2="{x}" y1="0" y2="{bottom}"'
            if rule.upright
            else f'x1="0" x2="{PANEL_WIDTH}" y1="{y}" y2="{y}"'
        )
        parts.append(f'<line {ends} stroke="{GREY}" stroke-width="1.5" stroke-dasharray="{rule.dash}"/>')
    for series in panel.series:
        parts.append(_series(panel, series))
    return "".join(parts)


def _place(panel: Panel, x: float, y: float) -> tuple[float, float]:
    across = panel.x.scale.at(x) * PANEL_WIDTH / 100
    return round(across, 1), round(PANEL_HEIGHT - panel.y.scale.at(y) * PANEL_HEIGHT / 100, 1)


def _ticks(panel: Panel) -> str:
    parts = [f'<path d="M0 0V{PANEL_HEIGHT}H{PANEL_WIDTH}" fill="none" stroke="{SOFT}"/>']
    for tick in panel.y.scale.ticks:
        y = PANEL_HEIGHT - tick.at * PANEL_HEIGHT / 100
        parts.append(f'<line x1="0" x2="{PANEL_WIDTH}" y1="{y:.1f}" y2="{y:.1f}" stroke="{LINE}"/>')
        parts.append(text(-7, y + 4, tick.text, "end", more=f'fill="{SOFT}"'))
    if panel.x.categories:
        for number, name in enumerate(panel.x.categories):
            x = panel.x.scale.at(number) * PANEL_WIDTH / 100
            turned = f'fill="{SOFT}" transform="rotate(-35 {x:.1f} {PANEL_HEIGHT + 12})"'
            parts.append(text(x + 4, PANEL_HEIGHT + 14, name, "end", 11, turned))
        return "".join(parts)
    for tick in panel.x.scale.ticks:
        x = tick.at * PANEL_WIDTH / 100
        parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{PANEL_HEIGHT}" stroke="{LINE}"/>')
        parts.append(text(x, PANEL_HEIGHT + 17, tick.text, "middle", more=f'fill="{SOFT}"'))
    return "".join(parts)


def _series(panel: Panel, series: Series) -> str:
    places = [_place(panel, x, y) for x, y in series.points]
    style, parts = series.style, []
    if style.dash is not None and len(places) > 1:
        line = " ".join(f"{x},{y}" for x, y in places)
        parts.append(
            f'<polyline points="{line}" fill="none" stroke="{style.colour}" stroke-width="1.75" '
            f'stroke-dasharray="{style.dash}" stroke-linejoin="round"/>'
        )
    return "".join([*parts, *(marker(x, y, style) for x, y in places)])


def marker(x: float, y: float, style: Style) -> str:
    """One marker, about 8 pixels wide."""
    paint = f'fill="{style.colour if style.filled else PAPER}" stroke="{style.colour}" stroke-width="1.5"'
    if style.marker == "circle":
        return f'<circle cx="{x}" cy="{y}" r="3.5" {paint}/>'
    shapes = {
        "square": ((-3.5, -3.5), (3.5, -3.5), (3.5, 3.5), (-3.5, 3.5)),
        "diamond": ((0, -5), (5, 0), (0, 5), (-5, 0)),
        "triangle": ((0, -4.5), (4.5, 4), (-4.5, 4)),
    }
    points = " ".join(f"{x + a:.1f},{y + b:.1f}" for a, b in shapes[style.marker])
    return f'<polygon points="{points}" {paint}/>'


def _legend(panels: Sequence[Panel], width: float) -> tuple[str, float]:
    """Every name once, in as many lines as it takes; and their height."""
    entries: dict[str, Style | Rule] = {}
    for panel in panels:
        for series in panel.series:
            entries.setdefault(series.name, series.style)
        for rule in panel.rules:
            entries.setdefault(rule.name, rule)
    parts, x, y = [], 12.0, 12.0
    for name, kind in entries.items():
        needed = 46 + LETTER * len(name)
        if x > 12 and x + needed > width:
            x, y = 12.0, y + 22
        dash, colour = (kind.dash, GREY) if isinstance(kind, Rule) else (kind.dash, kind.colour)
        if dash is not None:
            parts.append(
                f'<line x1="{x}" x2="{x + 28}" y1="{y}" y2="{y}" stroke="{colour}" stroke-width="1.75" '
                f'stroke-dasharray="{dash}"/>'
            )
        if isinstance(kind, Style):
            parts.append(marker(x + 14, y, kind))
        parts.append(text(x + 34, y + 4, name))
        x += needed
    return "".join(parts), y + 12


@dataclass(frozen=True)
class Line:
    """One line of a dot plot: its name, and (series, style, value in each column); a heading has none."""

    name: str
    dots: Sequence[tuple[str, Style, Sequence[float]]] = ()


def dot_plot(title: str, columns: Sequence[Axis], lines: Sequence[Line], names: int = 260) -> str:
    """Values of named things, a line each; columns side by side."""
    step, wide = 24, 230
    height, parts = step * len(lines), []
    for number, column in enumerate(columns):
        left = names + number * (wide + 30)
        inner = [text(wide / 2, height + 34, column.name, "middle", more=f'fill="{SOFT}"')]
        for tick in column.scale.ticks:
            x = tick.at * wide / 100
            inner.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{height}" stroke="{LINE}"/>')
            inner.append(text(x, height + 16, tick.text, "middle", more=f'fill="{SOFT}"'))
        for place, line in enumerate(lines):
            y = (place + 0.5) * step
            for _, style, values in line.dots:
                inner.append(marker(round(column.scale.at(values[number]) * wide / 100, 1), y, style))
        parts.append(f'<g transform="translate({left} 12)">{"".join(inner)}</g>')
    for place, line in enumerate(lines):
        more = "" if line.dots else 'font-weight="600"'
        parts.append(text(8 if not line.dots else 20, (place + 0.5) * step + 16, line.name, more=more))
    legend = {name: style for line in lines for name, style, _ in line.dots}
    x, y = 20.0, height + 66
    for name, style in legend.items():
        parts.append(marker(x, y - 4, style) + text(x + 12, y, name))
        x += 40 + LETTER * len(name)
    return document(names + len(columns) * (wide + 30), height + 80, parts, title)


@dataclass(frozen=True)
class Stack:
    """One bar: pieces from the bottom, each (name, height, colour)."""

    name: str
    pieces: Sequence[tuple[str, float, str]]


def bars(title: str, charts: Sequence[tuple[str, str, Sequence[Stack]]]) -> str:
    """Stacked bars: charts of (title, name of the axis with its unit, bars), side by side."""
    plot = 420
    wide, parts = LEFT + plot + RIGHT, []
    legend: dict[str, str] = {}
    for number, (name, unit, stacks) in enumerate(charts):
        scale = round_scale(0.0, max(sum(h for _, h, _ in stack.pieces) for stack in stacks))
        inner = [text(0, -12, name, size=TEXT, more='font-weight="600"')]
        for tick in scale.ticks:
            y = PANEL_HEIGHT - tick.at * PANEL_HEIGHT / 100
            inner.append(f'<line x1="0" x2="{plot}" y1="{y:.1f}" y2="{y:.1f}" stroke="{LINE}"/>')
            inner.append(text(-7, y + 4, tick.text, "end", more=f'fill="{SOFT}"'))
        inner.append(text(-42, PANEL_HEIGHT / 2, unit, "middle", more=f'fill="{SOFT}" transform="rotate(-90 -42 95)"'))
        step = plot / len(stacks)
        for place, stack in enumerate(stacks):
            x, y = (place + 0.2) * step, float(PANEL_HEIGHT)
            for piece, height, colour in stack.pieces:
                tall = scale.at(height) * PANEL_HEIGHT / 100
                y -= tall
                legend[piece] = colour
                inner.append(
                    f'<rect x="{x:.1f}" y="{y:.1f}" width="{0.6 * step:.1f}" height="{tall:.1f}" fill="{colour}" '
                    f'stroke="{PAPER}"/>'
                )
            inner += [
                text(x + 0.3 * step, PANEL_HEIGHT + 16 + 15 * line, words, "middle", 11, f'fill="{SOFT}"')
                for line, words in enumerate(stack.name.split("\n"))
            ]
        inner.append(f'<path d="M0 0V{PANEL_HEIGHT}H{plot}" fill="none" stroke="{SOFT}"/>')
        parts.append(f'<g transform="translate({number * wide + LEFT} {TOP})">{"".join(inner)}</g>')
    x, y = 12.0, TOP + PANEL_HEIGHT + BOTTOM + 8
    for piece, colour in legend.items():
        parts.append(f'<rect x="{x}" y="{y - 9}" width="14" height="12" fill="{colour}"/>' + text(x + 20, y + 2, piece))
        x += 40 + LETTER * len(piece)
    return document(len(charts) * wide, y + 14, parts, title)


@dataclass(frozen=True)
class Strip:
    """A row of pictures, each (C, H, W) in [0, 1], under its name; a name alone is a heading of the rows below."""

    name: str
    pictures: Sequence[Pixels] = ()
    notes: Sequence[str] = ()


def strips(title: str, rows: Sequence[Strip], side: int = 56, names: int = 200) -> str:
    """Rows of pictures, ``side`` pixels wide each; ``notes`` stand above the pictures of their row."""
    columns = max((len(row.pictures) for row in rows), default=1)
    parts, y = [], 10.0
    for row in rows:
        if not row.pictures:
            y += 22
            parts.append(text(8, y, row.name, size=TEXT, more='font-weight="600"'))
            y += 8
            continue
        if row.notes:
            y += 14
            parts += [
                text(names + (i + 0.5) * (side + 4), y - 3, note, "middle", 11, f'fill="{SOFT}"')
                for i, note in enumerate(row.notes)
            ]
        parts += [
            text(8, y + side / 2 + 4 + 15 * (n - (row.name.count("\n")) / 2), line)
            for n, line in enumerate(row.name.split("\n"))
        ]
        for number, picture in enumerate(row.pictures):
            data = base64.b64encode(png(to_bytes(picture))).decode("ascii")
            parts.append(
                f'<image x="{names + number * (side + 4)}" y="{y:.0f}" width="{side}" height="{side}" '
                f'style="image-rendering:pixelated" href="data:image/png;base64,{data}"/>'
            )
        y += side + 4
    return document(names + columns * (side + 4) + 8, y + 8, parts, title)
