"""The geometry of the charts: from numbers to per cent of a width or a height. The templates draw it in HTML and SVG.

Charts are made by hand and not with Plotly: a page that is read on a phone, in print and without scripts needs five
quiet kinds of chart and no interaction; Plotly's inline script alone weighs 4.8 MB, ten times the page.
Positions are percentages, so that a chart fits any width while its text keeps its size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from splitward.record.schema import Estimate

BINS = 25
"""Bars of a distribution over [0, 1]: 0.04 wide."""


@dataclass(frozen=True)
class Tick:
    """A mark of an axis: where (per cent) and what it says."""

    at: float
    text: str


@dataclass(frozen=True)
class Scale:
    """A linear axis from ``low`` to ``high``."""

    low: float
    high: float
    step: float

    def at(self, value: float) -> float:
        """Per cent of the axis, kept on it."""
        share = (value - self.low) / (self.high - self.low)
        return round(100 * min(max(share, 0.0), 1.0), 2)

    @property
    def ticks(self) -> list[Tick]:
        """Marks at multiples of ``step``."""
        first, last = math.ceil(self.low / self.step - 1e-9), math.floor(self.high / self.step + 1e-9)
        decimals = max(0, -math.floor(math.log10(self.step) + 1e-9))
        values = [i * self.step for i in range(first, last + 1)]
        return [Tick(self.at(v), f"{v:.{decimals}f}".replace("-", "\N{MINUS SIGN}")) for v in values]


def scale_for(values: Sequence[float], bounded: bool = True) -> Scale:
    """The axis for a similarity: 0 to 1, further down where a value is clearly negative; for other metrics round.

    >>> scale_for([0.1, 0.9])
    Scale(low=0.0, high=1.0, step=0.2)
    >>> scale_for([-0.07, 0.9]).low
    -0.2
    >>> scale_for([11.5, 26.4], bounded=False)
    Scale(low=0.0, high=30.0, step=5.0)
    """
    low, high = min(values, default=0.0), max(values, default=1.0)
    if bounded and low >= -1 and high <= 1:
        return Scale(0.0 if low > -0.03 else 0.2 * math.floor(low / 0.2), 1.0, 0.2)
    return round_scale(min(low, 0.0), high)


def round_scale(low: float, high: float, marks: int = 5) -> Scale:
    """An axis with round ends and about ``marks`` steps of 1, 2 or 5 times a power of ten.

    >>> round_scale(0.861, 0.978)
    Scale(low=0.86, high=0.98, step=0.02)
    """
    span = max(high - low, 1e-9 + 1e-6 * abs(high))
    power = 10.0 ** math.floor(math.log10(span / marks))
    step = next(power * m for m in (1, 2, 5, 10) if span / (power * m) <= marks * 1.3)
    bottom, top = step * math.floor(low / step + 1e-9), step * math.ceil(high / step - 1e-9)
    return Scale(round(bottom, 12), round(max(top, bottom + step), 12), round(step, 12))


@dataclass(frozen=True)
class Mark:
    """A point with its interval, in per cent. ``kind``: naive, adaptive, only (no defence to know of), floor."""

    kind: str
    at: float
    low: float
    high: float
    value: float
    text: str
    label: str
    doubtful: bool = False

    @property
    def width(self) -> float:
        """Of the interval, in per cent."""
        return round(max(self.high - self.low, 0.0), 2)


def mark(scale: Scale, estimate: Estimate, kind: str, text: str, label: str, doubtful: bool = False) -> Mark:
    """An estimate on ``scale``."""
    return Mark(
        kind,
        scale.at(estimate.mean),
        scale.at(estimate.low),
        scale.at(estimate.high),
        estimate.mean,
        text,
        label,
        doubtful,
    )


@dataclass(frozen=True)
class Bar:
    """One bar of a distribution: left edge, width and height in per cent, and how many samples it holds."""

    left: float
    width: float
    height: float
    count: int
    interval: str


@dataclass(frozen=True)
class Distribution:
    """Per-sample scores of the strongest attack (upwards) above those of the stronger floor (downwards)."""

    scale: Scale
    upper: list[Bar]
    lower: list[Bar]
    upper_mean: float
    lower_mean: float | None
    samples: int

    @property
    def tallest(self) -> tuple[int, int]:
        """Samples in the tallest bar above and below."""
        return max((b.count for b in self.upper), default=0), max((b.count for b in self.lower), default=0)


def distribution(upper: Sequence[float], lower: Sequence[float], scale: Scale) -> Distribution:
    """Two histograms with common bins, each as tall as its tallest bar; values outside go to the bars at the ends."""
    edges = np.linspace(scale.low, scale.high, BINS + 1)
    bars = [_bars(_counts(values, edges), edges) for values in (upper, lower)]
    means = [scale.at(float(np.mean(v))) if len(v) else None for v in (upper, lower)]
    return Distribution(scale, bars[0], bars[1], means[0] or 0.0, means[1], len(upper))


def _counts(values: Sequence[float], edges: NDArray[np.floating]) -> NDArray[np.intp]:
    counts, _ = np.histogram(np.clip(np.asarray(values, dtype=float), edges[0], edges[-1]), edges)
    return counts.astype(np.intp)


def _bars(counts: NDArray[np.intp], edges: NDArray[np.floating]) -> list[Bar]:
    width, tallest = 100 / len(counts), max(int(counts.max(initial=0)), 1)
    return [
        Bar(
            round(i * width, 2),
            round(width, 2),
            round(100 * int(count) / tallest, 2),
            int(count),
            f"{edges[i]:.3g} to {edges[i + 1]:.3g}",
        )
        for i, count in enumerate(counts)
        if count
    ]


@dataclass(frozen=True)
class Curve:
    """A loss trace in a box of 100 x 100: SVG points (y downwards), first and last value, logarithmic or not."""

    title: str
    phase: str
    points: str
    first: float
    last: float
    steps: int
    logarithmic: bool


def curve(title: str, phase: str, trace: Sequence[tuple[int, float]]) -> Curve | None:
    """A loss trace as a line; logarithmic where it is positive and spans more than a factor of 20; None if short."""
    if len(trace) < 2:
        return None
    steps = np.array([s for s, _ in trace], dtype=float)
    losses = np.array([v for _, v in trace], dtype=float)
    logarithmic = bool(losses.min() > 0 and losses.max() / losses.min() > 20)
    heights = np.log10(losses) if logarithmic else losses
    x = 100 * (steps - steps.min()) / max(float(np.ptp(steps)), 1.0)
    y = 96 - 92 * (heights - heights.min()) / (float(np.ptp(heights)) or 1.0)
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
    return Curve(title, phase, points, float(losses[0]), float(losses[-1]), int(steps.max()), logarithmic)
