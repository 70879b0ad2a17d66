"""Figures as SVG: small multiples of curves. ``bars``, ``dots`` and ``strips`` draw the other forms with what is here.

Every figure is ``WIDTH`` units wide, so that text has one size in all of them: in a column of 85 mm the smallest is
6 pt. Okabe and Ito's colours, and a marker or a dash of its own for each kind, so that none is told by colour alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from html import escape

from splitward.report.figures import Scale, round_scale

INK, SOFT, LINE, PAPER = "#1b1c20", "#5b5e66", "#e3e0d8", "#ffffff"
BLUE, ORANGE, GREEN, GREY = "#0072b2", "#d55e00", "#00795a", "#6d7079"
WIDTH = 480
TEXT, SMALL = 13, 12
SHOWN = 1.25  # pixels that a unit is wide on a page with room for it
COLUMNS = 2
LEFT, RIGHT, TOP, BOTTOM = 54, 12, 28, 44
PANEL_WIDTH, PANEL_HEIGHT = WIDTH // COLUMNS - LEFT - RIGHT, 140
LETTER = 7.3  # units that a letter of the widest usual font needs


@dataclass(frozen=True)
class Style:
    """How a series is drawn: colour, dash of the line (None: no line), marker ("": none), and whether it is filled."""

    colour: str
    dash: str | None = ""
    marker: str = "circle"
    filled: bool = True


PUBLISHED = Style(INK, "", "circle", False)
NAIVE = Style(BLUE, "", "square")
ADAPTIVE = Style(ORANGE, "", "diamond")
OTHER = Style(GREEN, "", "triangle")
FLOOR = Style(GREY, None, "bar")


def dashed(style: Style) -> Style:
    """The same with a dashed line."""
    return replace(style, dash="5 3")


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


def axis(
    name: str, values: Sequence[float], low: float | None = None, high: float | None = None, marks: int = 5
) -> Axis:
    """An axis with round ends around ``values``, and around ``low`` and ``high`` where they are given."""
    known = [*values, *(v for v in (low, high) if v is not None)]
    return Axis(name, round_scale(min(known, default=0.0), max(known, default=1.0), marks))


def categories(name: str, names: Sequence[str]) -> Axis:
    """An axis of names, at 0, 1, 2, ..."""
    return Axis(name, Scale(-0.5, len(names) - 0.5, 1.0), tuple(names))


def shared(panels: Sequence[Panel]) -> list[Panel]:
    """The same panels, those with axes of the same names with the same ends, so that they can be compared."""

    def around(axes: Sequence[Axis]) -> Axis:
        ends = [end for one in axes for end in (one.scale.low, one.scale.high)]
        return axes[0] if axes[0].categories else axis(axes[0].name, ends)

    def like(panel: Panel) -> list[Panel]:
        return [other for other in panels if (other.x.name, other.y.name) == (panel.x.name, panel.y.name)]

    return [replace(p, x=around([o.x for o in like(p)]), y=around([o.y for o in like(p)])) for p in panels]


def text(x: float, y: float, words: str, anchor: str = "start", size: int = SMALL, more: str = "") -> str:
    """One line of text."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" {more}>{escape(words)}</text>'


def document(height: float, parts: Sequence[str], title: str) -> str:
    """The file."""
    font = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Liberation Sans', Arial, sans-serif"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" width="{WIDTH * SHOWN:.0f}" '
        f'height="{height * SHOWN:.0f}" role="img" font-family="{font}" fill="{INK}">\n<title>{escape(title)}</title>\n'
        f'<rect width="100%" height="100%" fill="{PAPER}"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def chart(
    title: str, panels: Sequence[Panel], height: int = PANEL_HEIGHT, keys: Sequence[tuple[str, Style]] = ()
) -> str:
    """Panels in rows of two, the legend below them. ``keys``: more lines of the legend."""
    named = 28 if any(_turned(panel.x) for panel in panels) else 0
    wide, tall = WIDTH // COLUMNS, TOP + height + BOTTOM + named
    rows = -(-len(panels) // COLUMNS)
    parts = [
        f'<g transform="translate({(i % COLUMNS) * wide + LEFT} {(i // COLUMNS) * tall + TOP})">{_panel(p, height)}</g>'
        for i, p in enumerate(panels)
    ]
    entries: dict[str, Style] = {}
    for panel in panels:
        for series in panel.series:
            entries.setdefault(series.name, series.style)
        for rule in panel.rules:
            entries.setdefault(rule.name, Style(GREY, rule.dash, ""))
    below, used = legend([*entries.items(), *keys], rows * tall + 4)
    return document(rows * tall + 4 + used, [*parts, below], title)


def frame(wide: int, height: int) -> str:
    """The two axes of a plot whose corner is the origin."""
    return f'<path d="M0 0V{height}H{wide}" fill="none" stroke="{SOFT}"/>'


def levels(scale: Scale, wide: int, height: int) -> str:
    """The lines across it, and their numbers."""
    parts = []
    for tick in scale.ticks:
        y = height - tick.at * height / 100
        parts.append(f'<line x1="0" x2="{wide}" y1="{y:.1f}" y2="{y:.1f}" stroke="{LINE}"/>')
        parts.append(text(-6, y + 4, tick.text, "end", more=f'fill="{SOFT}"'))
    return "".join(parts)


def upright(name: str, height: int) -> str:
    """The name of its upright axis."""
    turned = f'fill="{SOFT}" transform="rotate(-90 -39 {height / 2})"'
    return text(-39, height / 2, name, "middle", more=turned)


def _panel(panel: Panel, height: int) -> str:
    """One panel; its plot's corner is the origin."""
    parts = [text(0, -10, panel.title, size=TEXT, more='font-weight="600"'), _ticks(panel, height)]
    name = height + (64 if _turned(panel.x) else 34)
    parts.append(text(PANEL_WIDTH / 2, name, panel.x.name, "middle", more=f'fill="{SOFT}"'))
    parts.append(upright(panel.y.name, height))
    for rule in panel.rules:
        x, y = _place(panel, height, rule.value, rule.value)
        ends = (
            f'x1="{x}" x2="{x}" y1="0" y2="{height}"'
            if rule.upright
            else f'x1="0" x2="{PANEL_WIDTH}" y1="{y}" y2="{y}"'
        )
        parts.append(f'<line {ends} stroke="{GREY}" stroke-width="1.5" stroke-dasharray="{rule.dash}"/>')
    return "".join([*parts, *(_series(panel, height, series) for series in panel.series)])


def _turned(one: Axis) -> bool:
    """Whether its names are too long to stand side by side."""
    return any(LETTER * len(name) > PANEL_WIDTH / len(one.categories) for name in one.categories)


def _place(panel: Panel, height: int, x: float, y: float) -> tuple[float, float]:
    across = panel.x.scale.at(x) * PANEL_WIDTH / 100
    return round(across, 1), round(height - panel.y.scale.at(y) * height / 100, 1)


def _ticks(panel: Panel, height: int) -> str:
    parts = [frame(PANEL_WIDTH, height), levels(panel.y.scale, PANEL_WIDTH, height)]
    if panel.x.categories:
        for number, name in enumerate(panel.x.categories):
            x = panel.x.scale.at(number) * PANEL_WIDTH / 100
            if not _turned(panel.x):
                parts.append(text(x, height + 16, name, "middle", more=f'fill="{SOFT}"'))
                continue
            turned = f'fill="{SOFT}" transform="rotate(-60 {x:.1f} {height + 10})"'
            parts.append(text(x + 3, height + 14, name, "end", more=turned))
        return "".join(parts)
    for tick in panel.x.scale.ticks:
        x = tick.at * PANEL_WIDTH / 100
        parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{height}" stroke="{LINE}"/>')
        parts.append(text(x, height + 16, tick.text, "middle", more=f'fill="{SOFT}"'))
    return "".join(parts)


def _series(panel: Panel, height: int, series: Series) -> str:
    places = [_place(panel, height, x, y) for x, y in series.points]
    style, parts = series.style, []
    if style.dash is not None and len(places) > 1:
        line = " ".join(f"{x},{y}" for x, y in places)
        parts.append(
            f'<polyline points="{line}" fill="none" stroke="{style.colour}" stroke-width="1.5" '
            f'stroke-dasharray="{style.dash}" stroke-linejoin="round"/>'
        )
    return "".join([*parts, *(marker(x, y, style) for x, y in places)])


def marker(x: float, y: float, style: Style) -> str:
    """One marker, about 6 units wide."""
    paint = f'fill="{style.colour if style.filled else PAPER}" stroke="{style.colour}" stroke-width="1.25"'
    if not style.marker:
        return ""
    if style.marker == "circle":
        return f'<circle cx="{x}" cy="{y}" r="2.8" {paint}/>'
    if style.marker == "ring":  # around another marker
        return f'<circle cx="{x}" cy="{y}" r="5.5" fill="none" stroke="{style.colour}" stroke-width="1.25"/>'
    shapes = {
        "square": ((-2.8, -2.8), (2.8, -2.8), (2.8, 2.8), (-2.8, 2.8)),
        "diamond": ((0, -4), (4, 0), (0, 4), (-4, 0)),
        "triangle": ((0, -3.6), (3.6, 3.2), (-3.6, 3.2)),
        "bar": ((-0.3, -7), (0.3, -7), (0.3, 7), (-0.3, 7)),
    }
    points = " ".join(f"{x + a:.1f},{y + b:.1f}" for a, b in shapes[style.marker])
    return f'<polygon points="{points}" {paint}/>'


def legend(entries: Sequence[tuple[str, Style]], top: float) -> tuple[str, float]:
    """In two columns, a name that is too long for its own takes the whole line; and the height that it needs."""
    parts, column, y = [], 0, top + 12.0
    for name, style in entries:
        wide = 34 + LETTER * len(name) > WIDTH / 2 - 8
        if column == COLUMNS or (wide and column):
            column, y = 0, y + 19
        x = 8 + column * WIDTH / 2
        if style.dash is not None:
            parts.append(
                f'<line x1="{x}" x2="{x + 26}" y1="{y}" y2="{y}" stroke="{style.colour}" stroke-width="1.5" '
                f'stroke-dasharray="{style.dash}"/>'
            )
        parts += [marker(x + 13, y, style), text(x + 32, y + 4, name)]
        column += COLUMNS if wide else 1
    return "".join(parts), y - top + 14
