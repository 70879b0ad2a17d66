"""Has a loss settled? Robust to the noise of mini-batches; free of torch."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

TAIL = 0.3
"""The last part of the steps, whose first half is compared with its second."""

TOLERANCE = 0.03
"""A tail that moves by less than this share of the whole improvement has settled, unless it still falls steeply."""

STEEP = 0.2
"""A loss that falls by more than this share of itself within a sixth of the steps still falls, however small it is.

LeNet-5 at ReLU2: rMLE as in the scripts, without a prior, falls by 30 % there at the end of 500 iterations (10.7 dB,
13.0 dB after 2500), decoders with mini-batches, which would gain little more, by 4 to 12 %."""

FLAT = 0.01
"""A loss that moves by less than this share of itself has settled, however little it improved: a warm start."""

NOTHING = 1e-3
"""The share of the loss at the start below which a further fall changes no image: 30 dB."""


def converged(points: Iterable[tuple[int, float]]) -> bool:
    """Whether a loss trace of (step, loss) points has settled.

    In the last 30 % of the steps, the median loss of the second half differs from that of the first half by no more
    than 3 % of the improvement since the start (the median of the first tenth). Of losses that are never negative, it
    does not fall by more than a fifth of itself either; and a change below 1 % of itself is none. Noise between
    neighbouring points is allowed for. A trace that ends above its start has diverged. A trace that never left step 0
    is the work of zero steps and has not settled; one without points, or with one point at a later step, is a closed
    form.

    A schedule that takes the learning rate to zero settles any loss: what that is worth, the positive control tells.

    >>> import math
    >>> converged([(s, 0.1 + math.exp(-s / 100)) for s in range(0, 1001, 25)])
    True
    >>> converged([(s, 0.1 + math.exp(-s / 100)) for s in range(0, 201, 5)])
    False
    >>> converged([(0, 1.0)])
    False
    """
    ordered = sorted(points)
    if not ordered:
        return True
    steps, losses = _columns(ordered)
    if steps[-1] <= 0 or diverged(ordered):
        return False
    before, after = _tail(steps, losses)
    start, end = _ends(steps, losses)
    moved, noise = float(np.median(before)) - end, _noise(before, after)
    level = end + NOTHING * start if losses.min() >= 0 else None
    if level is not None and moved > max(STEEP * level, noise):
        return False
    return bool(abs(moved) <= max(TOLERANCE * (start - end), noise, 0.0 if level is None else FLAT * level))


def diverged(points: Iterable[tuple[int, float]]) -> bool:
    """Whether a loss trace ends above its start, beyond its noise, or is not finite: an attack that attacks nothing.

    >>> diverged([(0, 1.0), (10, 1.5), (20, 2.0)]), diverged([(0, 1.0), (10, 0.5), (20, 0.6)])
    (True, False)
    """
    ordered = sorted(points)
    if not ordered:
        return False
    steps, losses = _columns(ordered)
    if not np.isfinite(losses).all():
        return True
    start, end = _ends(steps, losses)
    slack = FLAT * (end + NOTHING * start) if losses.min() >= 0 else 0.0
    return bool(end - start > max(_noise(*_tail(steps, losses)), slack))


def _columns(ordered: list[tuple[int, float]]) -> tuple[Floats, Floats]:
    return np.array([s for s, _ in ordered], dtype=np.float64), np.array([v for _, v in ordered], dtype=np.float64)


def _ends(steps: Floats, losses: Floats) -> tuple[float, float]:
    """The median loss of the first tenth of the steps, and of the last part of the tail."""
    start = float(np.median(losses[steps <= steps[0] + 0.1 * (steps[-1] - steps[0])]))
    return start, float(np.median(_tail(steps, losses)[1]))


def _tail(steps: Floats, losses: Floats) -> tuple[Floats, Floats]:
    """The losses of the two halves of the tail, each with at least one point (the first: the last one before)."""
    span = steps[-1] - steps[0]
    middle, first = steps[-1] - TAIL / 2 * span, steps[-1] - TAIL * span
    after = losses[steps >= middle]
    before = losses[(steps >= first) & (steps < middle)]
    if not before.size:
        earlier = losses[steps < middle]
        before = earlier[-1:] if earlier.size else after
    return before, after


def _noise(before: Floats, after: Floats) -> float:
    """Two standard errors of the difference of the two medians, from the differences of neighbouring points."""
    tail = np.concatenate([before, after])
    if len(tail) < 4:
        return 0.0
    jumps = np.diff(tail)
    sigma = 1.4826 * float(np.median(np.abs(jumps - np.median(jumps)))) / np.sqrt(2)
    return float(2 * 1.2533 * sigma * np.sqrt(1 / len(before) + 1 / len(after)))
