"""Requests that wait together run together: one queue a model, on the event loop.

A batch is taken when the loop has nothing else at hand (or ``delay_s`` after the first request came), so that under
load batches form by themselves and a lone request waits for nobody. A run that is short is made on the loop itself,
which saves two changes of thread; a longer one in a thread, while requests go on arriving.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from splitward.runtime.cloud.refusal import Kind, Refusal

Array = NDArray[np.generic]
Run = Callable[[Sequence[Array]], list[Array]]

INLINE_S = 1e-3
"""A model whose last run took longer than this is run in a thread."""


@dataclass(frozen=True)
class Limits:
    """``rows``: samples of a batch, and of a request. ``waiting``: requests in the queue."""

    rows: int = 64
    delay_s: float = 0.0
    waiting: int = 256
    batching: bool = True


@dataclass
class _Entry:
    arrays: Sequence[Array]
    count: int
    answer: asyncio.Future[list[Array]]
    deadline: float | None
    came: float = field(default_factory=time.monotonic)
    alone: bool = False


class Batcher:
    """The queue of one model. Used from one event loop only.

    ``observe(rows, waited_s, ran_s)`` is told of each run; ``seconds``: what a run is known to take.
    """

    def __init__(
        self, name: str, run: Run, limits: Limits, executor: Executor,
        observe: Callable[[int, float, float], None], seconds: float = 0.0,
    ) -> None:  # fmt: skip
        self.name, self.limits = name, limits
        self._run, self._executor, self._observe = run, executor, observe
        self._queue: deque[_Entry] = deque()
        self._scheduled = self._running = False
        self._slow = seconds > INLINE_S

    @property
    def waiting(self) -> int:
        """Requests in the queue whose clients still wait."""
        return sum(not e.answer.done() for e in self._queue)

    async def submit(self, arrays: Sequence[Array], count: int, timeout_s: float | None = None) -> list[Array]:
        """The outputs for ``arrays`` (each (count, *shape)), each (count, *shape).

        Raises Refusal where the queue is full, its turn did not come within ``timeout_s``, or the model failed.
        Cancelled, it leaves the queue.
        """
        if len(self._queue) >= self.limits.waiting:
            self._queue = deque(e for e in self._queue if not e.answer.done())  # those that were cancelled
        if len(self._queue) >= self.limits.waiting:
            raise Refusal(
                Kind.EXHAUSTED, f"{self.limits.waiting} requests wait for {self.name} already: try again later."
            )
        loop = asyncio.get_running_loop()
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        entry = _Entry(arrays, count, loop.create_future(), deadline)
        self._queue.append(entry)
        self._schedule(loop, self.limits.delay_s)
        return await entry.answer

    def _schedule(self, loop: asyncio.AbstractEventLoop, delay_s: float) -> None:
        if self._scheduled or self._running or not self._queue:
            return
        self._scheduled = True
        if delay_s > 0 and sum(e.count for e in self._queue) < self.limits.rows:
            loop.call_later(delay_s, self._begin, loop)
        else:
            loop.call_soon(self._begin, loop)

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        self._scheduled = False
        batch = self._take()
        if not batch:
            return
        joined = (
            batch[0].arrays
            if len(batch) == 1
            else [np.concatenate(parts) for parts in zip(*(e.arrays for e in batch), strict=True)]
        )
        start = time.monotonic()
        if not self._slow:
            try:
                outputs: list[Array] | BaseException = self._run(joined)
            except Exception as error:  # whatever the model raises
                outputs = error
            self._finish(loop, batch, start, outputs)
        else:
            self._running = True
            done = loop.run_in_executor(self._executor, self._run, joined)
            done.add_done_callback(lambda f: self._finish(loop, batch, start, f.exception() or f.result()))

    def _take(self) -> list[_Entry]:
        """The next requests that fit into one batch; those that are gone or late leave the queue."""
        batch: list[_Entry] = []
        now, rows = time.monotonic(), 0
        while self._queue and (self.limits.batching or not batch):
            entry = self._queue[0]
            if not entry.answer.done():
                if entry.deadline is not None and now > entry.deadline:
                    entry.answer.set_exception(Refusal(Kind.LATE, f"its turn at {self.name} did not come in time."))
                elif batch and (entry.alone or batch[0].alone or rows + entry.count > self.limits.rows):
                    break
                else:
                    batch.append(entry)
                    rows += entry.count
            self._queue.popleft()
        return batch

    def _finish(
        self, loop: asyncio.AbstractEventLoop, batch: list[_Entry], start: float, outputs: list[Array] | BaseException
    ) -> None:
        ran = time.monotonic() - start
        self._running, self._slow = False, ran > INLINE_S
        self._observe(sum(e.count for e in batch), start - batch[0].came, ran)
        if not isinstance(outputs, BaseException):
            _hand_out(batch, outputs)
        elif len(batch) > 1:  # one of them made the model fail: each runs by itself, and only that one is refused
            for entry in reversed(batch):
                entry.alone = True
                self._queue.appendleft(entry)
        elif not batch[0].answer.done():
            batch[0].answer.set_exception(Refusal(Kind.FAILED, f"{self.name} failed on this input."))
        self._schedule(loop, 0.0)  # they waited while the batch ran


def _hand_out(batch: list[_Entry], outputs: list[Array]) -> None:
    """Each request its own rows."""
    start = 0
    for entry in batch:
        end = start + entry.count
        if not entry.answer.done():
            entry.answer.set_result(outputs if len(batch) == 1 else [o[start:end] for o in outputs])
        start = end
