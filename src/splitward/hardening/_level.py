"""The check that every hardening makes of its level."""

from __future__ import annotations

import math

from splitward.core.errors import DefenceError


def check_weight(kind: str, level: float) -> None:
    """Raises DefenceError unless ``level`` is a finite weight of a term of the loss, above 0."""
    if isinstance(level, bool) or not isinstance(level, int | float) or not math.isfinite(level) or level <= 0:
        raise DefenceError(f"{kind}: the level is the weight of its term of the loss, above 0, not {level}.")


def check_count(kind: str, level: float, what: str, most: int = 4096) -> None:
    """Raises DefenceError unless ``level`` is a whole number from 1 to ``most``."""
    if isinstance(level, bool) or level not in range(1, most + 1):
        raise DefenceError(f"{kind}: the level is the number of {what}, a whole number from 1 to {most}, not {level}.")
