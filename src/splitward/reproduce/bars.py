"""Stacked bars as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from splitward.report.figures import round_scale
from splitward.reproduce.draw import (
    LEFT,
    PAPER,
    RIGHT,
    SMALL,
    SOFT,
    TEXT,
    TOP,
    WIDTH,
    document,
    frame,
    levels,
    text,
    upright,
)  # fmt: skip

PLOT, HEIGHT = WIDTH - LEFT - RIGHT, 150
TALL = TOP + HEIGHT + 42


@dataclass(frozen=True)
class Stack:
    """One bar: pieces from the bottom, each (name, colour, height). ``group``: what is written below the name."""

    name: str
    pieces: Sequence[tuple[str, str, float]]
    group: str = ""


def bars(title: str, charts: Sequence[tuple[str, str, Sequence[Stack]]]) -> str:
    """Charts of (title, name of the axis with its unit, bars), one below the other."""
    parts = [
        f'<g transform="translate({LEFT} {number * TALL + TOP})">{_chart(*one)}</g>'
        for number, one in enumerate(charts)
    ]
    pieces = {
        name: colour for _, _, stacks in charts for stack in stacks for name, colour, height in stack.pieces if height
    }
    y, step = len(charts) * TALL + 12, (WIDTH - 8) / len(pieces)
    for place, (name, colour) in enumerate(pieces.items()):
        x = 8 + place * step
        parts.append(f'<rect x="{x:.1f}" y="{y - 9}" width="14" height="12" fill="{colour}"/>')
        parts.append(text(x + 19, y + 2, name))
    return document(y + 12, parts, title)


def _chart(name: str, unit: str, stacks: Sequence[Stack]) -> str:
    """One chart; its plot's corner is the origin."""
    scale = round_scale(0.0, max(sum(h for _, _, h in stack.pieces) for stack in stacks))
    parts = [
        text(0, -10, name, size=TEXT, more='font-weight="600"'),
        levels(scale, PLOT, HEIGHT),
        upright(unit, HEIGHT),
    ]
    step, groups = PLOT / len(stacks), dict[str, list[float]]()
    for place, stack in enumerate(stacks):
        x, y = (place + 0.2) * step, float(HEIGHT)
        groups.setdefault(stack.group, []).append(x + 0.3 * step)
        for _, colour, height in stack.pieces:
            tall = scale.at(height) * HEIGHT / 100
            y -= tall
            parts.append(
                f'<rect x="{x:.1f}" y="{y:.1f}" width="{0.6 * step:.1f}" height="{tall:.1f}" fill="{colour}" '
                f'stroke="{PAPER}"/>'
            )
        parts.append(text(x + 0.3 * step, HEIGHT + 15, stack.name, "middle", SMALL, f'fill="{SOFT}"'))
    for group, middles in groups.items():
        parts.append(text((middles[0] + middles[-1]) / 2, HEIGHT + 31, group, "middle", more='font-weight="600"'))
    parts.append(frame(PLOT, HEIGHT))
    return "".join(parts)
