"""Dot plots as SVG: values of named things, a line each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from splitward.reproduce.draw import LINE, SOFT, WIDTH, Axis, Style, document, legend, marker, text

STEP, NAMES, GAP = 22, 200, 26
"""The height of a line, and the room for its name and between columns."""


@dataclass(frozen=True)
class Line:
    """Its name, and (series, style, value in each column); a heading has none."""

    name: str
    dots: Sequence[tuple[str, Style, Sequence[float]]] = ()


def dot_plot(title: str, columns: Sequence[Axis], lines: Sequence[Line], note: str = "") -> str:
    """Columns side by side. ``note``: a sentence below the legend."""
    wide = (WIDTH - NAMES - GAP * len(columns)) / len(columns)
    height = STEP * len(lines)
    parts = [
        f'<g transform="translate({NAMES + number * (wide + GAP):.1f} 8)">{_column(column, number, lines, wide)}</g>'
        for number, column in enumerate(columns)
    ]
    for place, line in enumerate(lines):
        more = "" if line.dots else 'font-weight="600"'
        parts.append(text(18 if line.dots else 8, (place + 0.5) * STEP + 12, line.name, more=more))
    series = {name: style for line in lines for name, style, _ in line.dots}
    below, used = legend([(name, replace(style, dash=None)) for name, style in series.items()], height + 50)
    if note:
        parts.append(text(8, height + 50 + used + 8, note, more=f'fill="{SOFT}"'))
    return document(height + 50 + used + (18 if note else 0), [*parts, below], title)


def _column(column: Axis, number: int, lines: Sequence[Line], wide: float) -> str:
    """One column; its upper left corner is the origin."""
    height = STEP * len(lines)
    parts = [text(wide / 2, height + 32, column.name, "middle", more=f'fill="{SOFT}"')]
    for tick in column.scale.ticks:
        x = tick.at * wide / 100
        parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{height}" stroke="{LINE}"/>')
        parts.append(text(x, height + 15, tick.text, "middle", more=f'fill="{SOFT}"'))
    for place, line in enumerate(lines):
        for _, style, values in line.dots:
            parts.append(marker(round(column.scale.at(values[number]) * wide / 100, 1), (place + 0.5) * STEP, style))
    return "".join(parts)
