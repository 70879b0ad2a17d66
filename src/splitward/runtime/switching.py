"""Which cut of a bundle to use on the present link: that of the least latency, by the planner's own arithmetic.

The device measures how long a small message takes there and back, and how much longer an activation takes. What the
halves take comes from the bundle's plan where there is one; else the device times its own half, and the cloud's is not
known and left out, for all cuts alike.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

from splitward.plan.problem import Problem

BETTER = 0.1
"""Share of the latency that another cut must save before it is switched to: links are noisy."""
WEIGHT = 0.3
"""Of a new measurement against those before it."""
FEWEST = 3
"""Measurements before anything is decided."""


@dataclass(frozen=True)
class Cost:
    """Of one input at one cut: milliseconds on either side, bytes up and down."""

    edge_ms: float
    cloud_ms: float
    up_bytes: int
    down_bytes: int

    def latency_ms(self, ms_per_byte: float, round_trip_ms: float) -> float:
        """End to end on a link that is equally fast both ways."""
        nothing = (0.0, 0.0)
        problem = Problem(
            nothing, nothing, nothing, (), 0.0, result_bytes=self.down_bytes, round_trip_ms=round_trip_ms,
            up_ms_per_byte=ms_per_byte, down_ms_per_byte=ms_per_byte,
        )  # fmt: skip
        return problem.choice(1, self.edge_ms, self.cloud_ms, 0.0, self.up_bytes).latency_ms


class Link:
    """What was measured of a link, later measurements weighing more; threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.round_trip_ms, self.ms_per_byte, self.measurements = 0.0, 0.0, 0

    def pinged(self, ms: float) -> None:
        """A message of no size took so long there and back."""
        with self._lock:
            self.round_trip_ms = ms if not self.round_trip_ms else _mixed(self.round_trip_ms, ms)

    def carried(self, size: int, ms: float, cloud_ms: float) -> None:
        """A message of ``size`` bytes was answered after so long, ``cloud_ms`` of it the cloud's."""
        with self._lock:
            own = max(ms - self.round_trip_ms - cloud_ms, 0.0) / size
            self.ms_per_byte = own if not self.measurements else _mixed(self.ms_per_byte, own)
            self.measurements += 1

    def best(self, costs: Sequence[Cost], present: int) -> int:
        """Which cut to use; ``present`` unless another is clearly faster."""
        with self._lock:
            if self.measurements < FEWEST:
                return present
            latencies = [cost.latency_ms(self.ms_per_byte, self.round_trip_ms) for cost in costs]
        fastest = min(range(len(costs)), key=latencies.__getitem__)
        return fastest if latencies[fastest] < (1 - BETTER) * latencies[present] else present


def _mixed(before: float, now: float) -> float:
    return (1 - WEIGHT) * before + WEIGHT * now
