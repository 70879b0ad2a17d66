"""Many requests over one connection that stays open: ``ModelStreamInfer``.

Several requests are under way at once; answers are told apart by their ids and given out in the order of the requests.
Where the stream breaks, what was not answered is sent again over a new one, the same bytes.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import grpc

from splitward.core.errors import CloudError, CloudUnavailable, SplitwardError, WireError
from splitward.runtime import parsing
from splitward.runtime import protocol as pb
from splitward.runtime.messages import Request
from splitward.runtime.remote import SERVICE, Remote, Reply, printable

_TICK_S = 0.05
"""How often deadlines are looked at where nothing happens."""


@dataclass
class _Waiting:
    """A request until its result is given out; ``request`` None: it failed before it was sent."""

    request: Request | None
    asked: float
    sent: float = 0.0  # over the present stream; 0: not yet
    attempts: int = 0
    result: Reply | SplitwardError | None = None


@dataclass(frozen=True)
class _Item:
    """From the source: a request, an error, or None at its end."""

    value: Request | Exception | None


@dataclass(frozen=True)
class _Heard:
    """From a stream: a response, how it broke, or None at its end."""

    call: _Call
    value: Any


class _Call:
    """One stream; what comes back, and how it ended, goes to ``events``."""

    def __init__(self, remote: Remote, events: queue.SimpleQueue[Any]) -> None:
        channel, self.generation = remote.channel()
        self._outbox: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        method = channel.stream_stream(SERVICE + "ModelStreamInfer")  # bytes as they are
        self._call = method(iter(self._outbox.get, None))
        threading.Thread(target=self._read, args=(events,), daemon=True).start()

    def _read(self, events: queue.SimpleQueue[Any]) -> None:
        try:
            for response in self._call:
                events.put(_Heard(self, response))
            events.put(_Heard(self, None))
        except grpc.RpcError as error:
            events.put(_Heard(self, error))

    def send(self, message: bytes) -> None:
        self._outbox.put(message)

    def close(self) -> None:
        self._outbox.put(None)
        self._call.cancel()


class Stream:
    """Answers to ``source``, in its order, at most ``window`` requests under way.

    ``source`` yields requests, or errors of requests that came to none, and is read by a thread of its own. Every item
    comes out as its reply or its error: none is lost. An error of another kind ends the stream.
    """

    def __init__(self, remote: Remote, source: Iterable[Request | SplitwardError], window: int = 16) -> None:
        self._remote, self._source = remote, iter(source)
        self._events: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._room, self._stop = threading.Semaphore(window), threading.Event()
        self._waiting: list[_Waiting] = []
        self._call: _Call | None = None
        self._failures, self._not_before, self._more = 0, 0.0, True

    def _feed(self) -> None:
        while not self._stop.is_set():
            if self._room.acquire(timeout=_TICK_S):
                try:
                    item = _Item(next(self._source, None))
                except Exception as error:  # raised where its answer would be due
                    item = _Item(error)
                self._events.put(item)
                if item.value is None or not isinstance(item.value, Request | SplitwardError):
                    return

    def __iter__(self) -> Iterator[Reply | SplitwardError]:
        threading.Thread(target=self._feed, daemon=True).start()
        try:
            while self._more or self._waiting:
                self._happen()
                self._expire()
                self._send()
                while self._waiting and (result := self._waiting[0].result) is not None:
                    self._waiting.pop(0)
                    self._room.release()
                    yield result
        finally:
            self._stop.set()
            self._hang_up()

    def _happen(self) -> None:
        """The next event, if one comes soon."""
        try:
            event = self._events.get(timeout=_TICK_S)
        except queue.Empty:
            return
        if isinstance(event, _Item):
            self._take(event.value)
        elif event.call is self._call:
            self._hear(event.value)

    def _take(self, item: Request | Exception | None) -> None:
        if item is None:
            self._more = False
        elif isinstance(item, Request):
            self._waiting.append(_Waiting(item, time.monotonic()))
        elif isinstance(item, SplitwardError):
            self._waiting.append(_Waiting(None, time.monotonic(), result=item))
        else:
            raise item

    @property
    def _open(self) -> list[_Waiting]:
        return [one for one in self._waiting if one.result is None]

    def _send(self) -> None:
        waiting = self._open
        if self._call is None:
            if not waiting or time.monotonic() < self._not_before or not self._remote.breaker.allow():
                return
            self._call = _Call(self._remote, self._events)
            for one in waiting:
                one.sent = 0.0
        for one in waiting:
            if not one.sent and one.request is not None:
                one.sent, one.attempts = time.monotonic(), one.attempts + 1
                self._call.send(one.request.message)

    def _hear(self, item: Any) -> None:
        assert self._call is not None
        if isinstance(item, bytes):
            try:
                self._answered(parsing.stream_response(item))
            except WireError as error:
                self._fail_all(CloudError(f"{self._remote.address} answered nonsense: {error}"))
        elif isinstance(item, grpc.RpcError):
            try:
                self._broken(self._remote.failed(item, self._call.generation))
            except CloudError as error:
                self._fail_all(error)
        else:
            self._remote.breaker.fail()
            self._broken("the stream was ended")

    def _answered(self, item: pb.ModelStreamInferResponse) -> None:
        one = next((w for w in self._waiting if w.request and w.request.id == item.infer_response.id), None)
        self._remote.breaker.succeed()
        self._failures = 0
        if item.error_message:
            error = CloudError(f"{self._remote.address} refused the request: {printable(item.error_message)}.")
            if one is None:  # it does not say which
                self._fail_all(error)
            elif one.result is None:
                one.result = error
        elif one is not None and one.result is None:  # else it comes too late: the request was given up
            one.result = Reply(item.infer_response, one.attempts, time.monotonic() - one.sent)

    def _fail_all(self, error: CloudError) -> None:
        for one in self._open:
            one.result = error
        self._hang_up()

    def _broken(self, told: str) -> None:
        self._hang_up()
        self._failures += 1
        self._not_before = time.monotonic() + self._remote.patience.pause_s(self._failures)
        for one in self._open:
            if one.attempts >= self._remote.patience.attempts:
                one.result = self._unavailable(f"in {one.attempts} attempts: {told}")

    def _expire(self) -> None:
        now, patience = time.monotonic(), self._remote.patience
        for one in self._open:
            if now - one.asked > patience.deadline_s:
                one.result = self._unavailable(f"within {patience.deadline_s:g} s")
        sent = [one.sent for one in self._open if one.sent]
        if self._call is not None and sent and now - min(sent) > patience.attempt_s:
            self._remote.breaker.fail()
            self._remote.renew(self._call.generation)
            self._broken("no answer in time")

    def _unavailable(self, told: str) -> CloudUnavailable:
        return CloudUnavailable(f"{self._remote.address} gave no answer {told}.")

    def _hang_up(self) -> None:
        if self._call is not None:
            self._call.close()
            self._call = None
