"""Rows of pictures as SVG, with what is written beside and below them."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from splitward.report.pictures import png, to_bytes
from splitward.reproduce.draw import INK, SOFT, TEXT, WIDTH, document, text

NAMES, GAP, LARGEST = 152, 2, 56
"""The room for names, between pictures, and the largest side of a picture."""
LEADING = 14

Pixels = NDArray[np.floating]


@dataclass(frozen=True)
class Strip:
    """A row: pictures, each (C, H, W) in [0, 1], or words in their columns (``first``: of a group), or a heading."""

    name: str
    pictures: Sequence[Pixels] = ()
    words: Sequence[str] = ()
    first: bool = False


def strips(title: str, rows: Sequence[Strip], note: str = "") -> str:
    """Rows from top to bottom. ``note``: a sentence below them."""
    columns = max((len(row.pictures) for row in rows), default=1)
    side = min(LARGEST, (WIDTH - NAMES - 8) // columns - GAP)
    parts: list[str] = []
    y = 0.0
    for row in rows:
        drawn, used = _row(row, y, side)
        parts.append(drawn)
        y += used
    if note:
        parts.append(text(8, y + 18, note, more=f'fill="{SOFT}"'))
    return document(y + (26 if note else 8), parts, title)


def _row(row: Strip, y: float, side: int) -> tuple[str, float]:
    """One row, and its height."""
    if not row.pictures and not row.words:
        return text(8, y + 20, row.name, size=TEXT, more='font-weight="600"'), 26
    if row.words:
        line = y + (22 if row.first else 12)
        words = [
            text(NAMES + number * (side + GAP) + side / 2, line, word, "middle", more=f'fill="{SOFT}"')
            for number, word in enumerate(row.words)
        ]
        return "".join([text(8, line, row.name, more=f'fill="{INK if row.first else SOFT}"'), *words]), line - y + 4
    lines = row.name.split("\n")
    tall = max(side, LEADING * len(lines))
    first = y + tall / 2 + 4 - LEADING * (len(lines) - 1) / 2
    parts = [text(8, first + LEADING * number, line) for number, line in enumerate(lines)]
    for number, picture in enumerate(row.pictures):
        data = base64.b64encode(png(to_bytes(picture))).decode("ascii")
        parts.append(
            f'<image x="{NAMES + number * (side + GAP)}" y="{y + (tall - side) / 2:.1f}" width="{side}" '
            f'height="{side}" style="image-rendering:pixelated" href="data:image/png;base64,{data}"/>'
        )
    return "".join(parts), tall + GAP
