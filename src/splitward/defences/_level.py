"""The check that every defence makes of its level and position."""

from __future__ import annotations

import math
import typing

from splitward.core.defence import Position
from splitward.core.errors import DefenceError

LARGEST_SCALE = 1e6
"""Of additive noise: beyond it float32 activations keep no digit of the signal, and sums overflow."""


def check_scale(kind: str, level: float, position: Position, meaning: str) -> None:
    """Raises DefenceError unless ``level`` is a finite scale of noise, 0 to 1e6."""
    check_position(kind, position)
    if not _is_number(level) or not 0 <= level <= LARGEST_SCALE:
        raise DefenceError(f"{kind}: the level is {meaning}, a number from 0 to {LARGEST_SCALE:,.0f}, not {level}.")


def check_rate(kind: str, level: float, position: Position) -> None:
    """Raises DefenceError unless ``level`` is a rate: at least 0 and below 1."""
    check_position(kind, position)
    if not _is_number(level) or not 0 <= level < 1:
        raise DefenceError(
            f"{kind}: the level is the share of entries set to zero, a number from 0 to below 1, not {level}."
        )


def check_position(kind: str, position: str) -> None:
    """Raises DefenceError for a position that is neither "input" nor "wire"."""
    if position not in typing.get_args(Position):
        raise DefenceError(f'{kind}: a defence acts at "input" or at "wire", not at {position!r}.')


def _is_number(level: object) -> bool:
    return isinstance(level, int | float) and not isinstance(level, bool) and math.isfinite(level)
