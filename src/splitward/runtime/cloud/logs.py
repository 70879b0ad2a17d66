"""One line of JSON on standard error for what happens; never a tensor, never more of a client's text than a name.

Lines are written by a thread: a full disk or a reader that sleeps costs lines, which are counted, and no answer.
"""

from __future__ import annotations

import json
import logging
import queue
import sys
import threading
from datetime import UTC, datetime
from typing import TextIO

WAITING = 1000
"""Lines that may wait for the writer."""


class Log:
    """Writes from its own thread; ``close`` waits a moment for what is left."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._lines: queue.Queue[str | None] = queue.Queue(WAITING)
        self._lost = 0
        self._thread = threading.Thread(target=self._write, name="log", daemon=True)
        self._thread.start()

    def __call__(self, event: str, level: str = "info", **fields: str | int | float | None) -> None:
        """One line; it is dropped, and counted, where too many wait."""
        told = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "level": level, "event": event, **fields}
        if self._lost:
            told["lines_lost"] = self._lost
        self.line(json.dumps(told))

    def line(self, text: str) -> None:
        """A line as it is."""
        try:
            self._lines.put_nowait(text)
            self._lost = 0 if '"lines_lost"' in text else self._lost
        except queue.Full:
            self._lost += 1

    def close(self) -> None:
        """Stop the thread when the lines are written, or after a second."""
        try:
            self._lines.put(None, timeout=1)
        except queue.Full:
            return
        self._thread.join(timeout=1)

    def _write(self) -> None:
        while (text := self._lines.get()) is not None:
            try:
                self._stream.write(text + "\n")
                self._stream.flush()
            except (OSError, ValueError):  # a full disk, a closed pipe
                self._lost += 1


class Libraries(logging.Handler):
    """What the libraries report becomes lines of ours: they would write by themselves, and wait for whoever reads.

    Messages alone: a traceback may hold values.
    """

    def __init__(self, log: Log) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """One line."""
        raised = record.exc_info[0] if record.exc_info else None
        self._log(
            "library", record.levelname.lower(), name=record.name, why=ascii(record.getMessage()[:200])[1:-1],
            exception=raised.__name__ if raised else None,
        )  # fmt: skip
