"""A plan's rows as points: leakage against latency, energy and accuracy, panels that share the axis of the leakage."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from splitward.report.figures import Scale, round_scale
from splitward.report.front import COLOURS

WIDTH, HEIGHT, LEFT, GAP, TOP, BOTTOM = 760, 300, 56, 34, 14, 44
LETTER = 6.2
"""Width of a letter of a label, on average."""
ENDS = {"cloud-only": 1.0, "edge-only": 0.0}
"""What leaks where no cut is made."""
NO_CUT, GREY = "no cut", "#7f7f7f"
BRIGHT = tuple(c for c in COLOURS if c != GREY)


@dataclass(frozen=True)
class Mark:
    """One row: where it lies in each panel, what leaks (at least, where no verdict says how much at most).

    ``audit``: what its leakage rests on; empty where there is no cut.
    """

    name: str
    defence: str
    leak: float
    at_least: bool
    front: bool
    chosen: bool
    numbers: Mapping[str, float]
    audit: str

    @property
    def series(self) -> str:
        """What gives it its colour."""
        return NO_CUT if self.name in ENDS else "no defence" if self.defence == "none" else self.defence

    @property
    def hover(self) -> str:
        """In words."""
        known = "at least " if self.at_least else "" if self.name in ENDS else "at most "
        numbers = ", ".join(PANELS[k][1].format(v) for k, v in self.numbers.items())
        return f"{self.name}, {self.series}: excess {known}{self.leak:.3f}; {numbers}"


PANELS = {
    "latency_ms": ("latency, ms", "{:.4g} ms"),
    "energy_mj": ("energy of the device, mJ", "{:.4g} mJ"),
    "accuracy": ("accuracy", "accuracy {:.4g}"),
}
"""Of each number: the title of its axis, and how a value is told."""
LEAST_SPAN = 0.02
"""Of the axis of the accuracy, at least."""


def timed(row: Mapping[str, Any]) -> bool:
    """Whether a plan's row can be made, with a cloud that keeps up."""
    return row["latency_ms"] is not None and row["latency_ms"]["cloud"] is not None


def marks(document: Mapping[str, Any]) -> list[Mark]:
    """The rows of a plan's document whose leakage is known, from above or from below."""
    found = []
    for row in document["cuts"]:
        least = row["excess_at_least"]  # there where no verdict may be relied on
        leak = row["excess"] if least is None else least
        if leak is None or not timed(row):
            continue
        numbers = {
            name: float(sum(row[name].values()) if isinstance(row[name], Mapping) else row[name])
            for name in PANELS
            if row[name] is not None
        }
        chosen = (row["name"], row["defence"]) == (document["choice"], document["choice_defence"])
        found.append(
            Mark(row["name"], row["defence"], leak, least is not None, row["front"], chosen, numbers, row["audit"])
        )
    return found


def draw(points: Sequence[Mark]) -> str:
    """The figure as SVG; empty where no cut's leakage is known."""
    if all(point.name in ENDS for point in points):
        return ""
    shown = [name for name in PANELS if any(name in point.numbers for point in points if point.name not in ENDS)]
    series = list(dict.fromkeys(point.series for point in points))
    others = [s for s in series if s != NO_CUT]
    colour = {NO_CUT: GREY} | {s: BRIGHT[i % len(BRIGHT)] for i, s in enumerate(others)}
    legend = 22 * (1 + (len(series) + 2) // 3) + 8
    width = (WIDTH - LEFT - GAP * len(shown)) / len(shown)
    leak = round_scale(min(0.0, *(p.leak for p in points)), max(1.0, *(p.leak for p in points)))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT + legend}" role="img" '
        f'font-family="system-ui, sans-serif" font-size="12" fill="currentColor">',
        "<title>Excess leakage against what each choice costs</title>",
        f'<text transform="translate(13 {(TOP + HEIGHT - BOTTOM) / 2}) rotate(-90)" text-anchor="middle">'
        "excess leakage (SSIM)</text>",
    ]
    for i, name in enumerate(shown):
        here = [point for point in points if name in point.numbers]
        parts += _panel(here, name, LEFT + i * (width + GAP), width, leak, colour, i == 0)
    return "\n".join([*parts, *_legend(series, colour), "</svg>"]) + "\n"


def _panel(
    points: Sequence[Mark], name: str, left: float, width: float, leak: Scale, colour: Mapping[str, str], first: bool
) -> Iterable[str]:
    values = [point.numbers[name] for point in points]
    high = max(values)
    across = round_scale(min(*values, high - LEAST_SPAN) if name == "accuracy" else 0.0, high, 4)
    bottom, right = HEIGHT - BOTTOM, left + width
    for tick in leak.ticks:
        y = _up(tick.at)
        yield f'<path d="M{left:.1f} {y}H{right:.1f}" stroke="currentColor" stroke-opacity=".12"/>'
        if first:
            yield f'<text x="{left - 7:.1f}" y="{y + 4}" text-anchor="end">{tick.text}</text>'
    yield f'<path d="M{left:.1f} {bottom}H{right:.1f}" stroke="currentColor" stroke-opacity=".5"/>'
    for tick in across.ticks:
        x = left + width * tick.at / 100
        yield f'<text x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{tick.text}</text>'
    yield f'<text x="{left + width / 2:.1f}" y="{bottom + 36}" text-anchor="middle">{PANELS[name][0]}</text>'
    placed = [(left + width * across.at(p.numbers[name]) / 100, _up(leak.at(p.leak)), p) for p in points]
    for x, y, point in sorted(placed, key=lambda item: item[2].front):
        yield _symbol(point, x, y, colour[point.series])
    yield from _labels(placed, left, right)


def _up(share: float) -> float:
    """From per cent of the leakage's axis."""
    return round(TOP + (HEIGHT - TOP - BOTTOM) * (1 - share / 100), 1)


def _arrow(x: float, y: float, colour: str) -> str:
    """Upwards: so much at least."""
    return f'<path d="M{x - 4.5:.1f} {y + 4}L{x:.1f} {y - 5}L{x + 4.5:.1f} {y + 4}Z" fill="none" stroke="{colour}"/>'


def _symbol(point: Mark, x: float, y: float, colour: str) -> str:
    strength = "" if point.front or point.name in ENDS else ' opacity=".55"'
    if point.at_least:
        shape = _arrow(x, y, colour)
    elif point.name in ENDS:
        shape = f'<rect x="{x - 4:.1f}" y="{y - 4}" width="8" height="8" fill="{colour}"/>'
    else:
        shape = f'<circle cx="{x:.1f}" cy="{y}" r="4.5" fill="{colour}"/>'
    ring = f'<circle cx="{x:.1f}" cy="{y}" r="8" fill="none" stroke="currentColor"/>' if point.chosen else ""
    return f"<g{strength}>{shape}{ring}<title>{escape(point.hover)}</title></g>"


def _labels(placed: Sequence[tuple[float, float, Mark]], left: float, right: float) -> Iterable[str]:
    """The names of cuts, the choice and the front first, each once and none over another or a symbol of another cut."""
    taken: list[tuple[float, float, float]] = []
    named: set[str] = set()
    for x, y, point in sorted(placed, key=lambda item: (not item[2].chosen, not item[2].front, item[2].leak)):
        long = LETTER * len(point.name)
        turned = x + 8 + long > right
        start = x - 8 - long if turned else x + 8
        free = start >= left and not any(abs(y - b) < 13 and start < end and start + long > a for a, b, end in taken)
        covers = any(abs(y - b) < 8 and start - 4 < a < start + long + 4 for a, b, p in placed if p is not point)
        if point.name in named or not free or (covers and not point.chosen):
            continue
        named.add(point.name)
        taken.append((start, y, start + long))
        low = -5 if y > HEIGHT - BOTTOM - 8 else 4  # above the axis, not through it
        yield f'<text x="{start:.1f}" y="{y + low}" font-size="11">{escape(point.name)}</text>'


def _legend(series: Sequence[str], colour: Mapping[str, str]) -> Iterable[str]:
    column = (WIDTH - LEFT) / 3
    for i, name in enumerate(series):
        x, y = LEFT + (i % 3) * column, HEIGHT + 12 + 22 * (i // 3)
        yield f'<rect x="{x - 5:.1f}" y="{y - 9}" width="10" height="10" fill="{colour[name]}"/>'
        yield f'<text x="{x + 11:.1f}" y="{y}">{escape(name)}</text>'
    y = HEIGHT + 12 + 22 * ((len(series) + 2) // 3)
    yield f'<circle cx="{LEFT}" cy="{y - 4}" r="4.5"/><text x="{LEFT + 11}" y="{y}">at most, by a verdict</text>'
    x = LEFT + column
    yield _arrow(x, y - 4, "currentColor")
    yield f'<text x="{x + 11:.1f}" y="{y}">at least: no verdict</text>'
    yield f'<text x="{LEFT + 2 * column:.1f}" y="{y}">pale: not on the Pareto front</text>'
