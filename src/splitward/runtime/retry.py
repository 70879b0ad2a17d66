"""Patience with a cloud: when to ask again, and when to stop asking for a while. Free of networks."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Patience:
    """Limits of one request. It is sent again, the same bytes, until it is answered, ``deadline_s`` or ``attempts``.

    ``attempt_s``: of one attempt. Before attempt n + 1 it waits a random time up to first_s * 2^n, ``most_s`` at most
    ("full jitter": devices that lost one cloud at one moment do not come back at one moment).
    """

    deadline_s: float = 10.0
    attempt_s: float = 2.0
    attempts: int = 8
    first_s: float = 0.05
    most_s: float = 1.0

    def pause_s(self, failures: int) -> float:
        """Seconds before the next attempt, after so many failed ones."""
        return random.SystemRandom().uniform(0, min(self.most_s, self.first_s * 2.0**failures))


class Breaker:
    """Stops asking a cloud that does not answer: open after ``threshold`` failures in a row.

    While it is open one attempt may be made every ``cool_off_s``; its answer closes the breaker.
    """

    def __init__(
        self, threshold: int = 5, cool_off_s: float = 1.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.threshold, self.cool_off_s, self._clock = threshold, cool_off_s, clock
        self._failures, self._until = 0, 0.0
        self._lock = threading.Lock()

    @property
    def is_open(self) -> bool:
        """Whether nothing may be asked now."""
        with self._lock:
            return self._failures >= self.threshold and self._clock() < self._until

    def allow(self) -> bool:
        """Whether an attempt may be made; it is then made."""
        with self._lock:
            if self._failures >= self.threshold:
                if self._clock() < self._until:
                    return False
                self._until = self._clock() + self.cool_off_s
            return True

    def succeed(self) -> None:
        """It answered, be it with an error of its own."""
        with self._lock:
            self._failures = 0

    def fail(self) -> None:
        """It did not."""
        with self._lock:
            self._failures += 1
            if self._failures >= self.threshold:
                self._until = self._clock() + self.cool_off_s
