"""The privacy ledger: how often each input was released, kept across restarts, and asked before anything is sent.

A record says what k observations of one input give away. The ledger keeps the device to that: it counts the releases of
each input, by a keyed hash of its pixels, over all cuts and bundles that use the same file, and refuses the one that
would exceed k. A release is counted, and on the disk, before the first byte is sent; a device that is killed in between
has counted a release too many, never one too few. Under keyed noise, or without noise, an input that is sent again is
sent as the same numbers: its second release at the same cut tells nothing new and is not counted.

Frames of one video are nearly, not exactly, the same input. They are kept to a limit by source and time: at most so
many releases from one source within a window, whatever they show.

``BLIND`` says what a ledger cannot see.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from splitward.core.errors import LedgerError, LedgerRefusal
from splitward.runtime.draws import KEY_BYTES, digest

BLIND = (
    "near-identical inputs (one pixel changed, another frame, another crop) beyond the limit by source and time",
    "one scene sent under several names of sources, or seen by several devices",
    "releases by programs that do not ask it, or that use another ledger file",
    "a file that was deleted, or put back from an older copy: the counts are then those of the copy",
    "what the answers, the sizes and the times of messages tell",
)
"""What no ledger of this kind can see."""

FORMAT = 1

_TABLES = """
CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS releases (
  input BLOB NOT NULL, how BLOB NOT NULL, counted INTEGER NOT NULL, sent INTEGER NOT NULL, PRIMARY KEY (input, how)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS frames (source BLOB NOT NULL, at REAL NOT NULL);
CREATE INDEX IF NOT EXISTS frames_by_source ON frames (source, at);
"""


@dataclass(frozen=True)
class Window:
    """At most ``limit`` releases from one source within ``seconds``."""

    limit: int
    seconds: float


@dataclass(frozen=True)
class Summary:
    """Counts over everything that the ledger has seen. ``repeats``: sent again as the same numbers, and not counted."""

    inputs: int
    releases: int
    most: int
    repeats: int


class Ledger:
    """An SQLite file; several threads and processes may share it. It holds the device's key too, readable by its owner.

    Key and counts are one file, and every change of it is one durable transaction, so that a kill at any moment leaves
    both whole. Raises LedgerError for a file that cannot be used: without a ledger nothing is sent.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600))
            self._db = sqlite3.connect(path, timeout=10, isolation_level=None, check_same_thread=False)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
            with self._transaction():
                self._prepare()
                self._key = self._about("key")
        except OSError as error:
            raise LedgerError(f"the ledger {path} cannot be opened: {error.strerror or error}.") from None
        except sqlite3.Error as error:
            raise self._broken(error) from None

    def _prepare(self) -> None:
        for statement in filter(str.strip, _TABLES.split(";")):
            self._db.execute(statement)
        insert = "INSERT OR IGNORE INTO about VALUES (?, ?)"
        self._db.execute(insert, ("key", os.urandom(KEY_BYTES)))
        self._db.execute(insert, ("format", bytes([FORMAT])))
        if self._about("format") != bytes([FORMAT]) or len(self._about("key")) != KEY_BYTES:
            raise LedgerError(f"the ledger {self.path} is of no format that this splitward reads ({FORMAT}).")

    def _about(self, name: str) -> bytes:
        return bytes(self._db.execute("SELECT value FROM about WHERE name = ?", (name,)).fetchone()[0])

    @property
    def noise_key(self) -> bytes:
        """The key of keyed noise, 32 bytes: another than that of the hashes."""
        return digest(self._key, b"noise key")

    def release(
        self, inputs: Sequence[bytes], limit: int, how: bytes = b"", *, repeats: bool = False, source: str = "",
        window: Window | None = None,
    ) -> list[int]:  # fmt: skip
        """Count one release of each of ``inputs`` and return how many each then has had; all or none.

        ``how``: what is sent of them (bundle, cut, defence). ``repeats``: sent again so, they are the same numbers, and
        not counted again. Raises LedgerRefusal, having counted nothing, where one would have more than ``limit``, or
        its source more than ``window`` allows; LedgerError where the count cannot be kept. When it returns, the count
        is on the disk.
        """
        keys = [digest(self._key, b"input", one) for one in inputs]
        manner = digest(self._key, b"how", how) if repeats else b""
        with self._transaction():
            counts = [self._count(key, manner, limit, repeats) for key in keys]
            if window is not None:
                self._frame(digest(self._key, b"source", source.encode()), len(keys), source, window)
        return counts

    def _count(self, key: bytes, how: bytes, limit: int, repeats: bool) -> int:
        known = self._db.execute("SELECT how, counted FROM releases WHERE input = ?", (key,)).fetchall()
        before = sum(counted for _, counted in known)
        new = 0 if repeats and any(bytes(h) == how for h, _ in known) else 1
        if new and before + new > limit:
            raise LedgerRefusal(
                f"this input was released {_times(before)} already, and what more give away was not audited (the limit "
                f"is {limit}): audit with more --observations, or send it with keyed noise from the beginning."
            )
        self._db.execute(
            "INSERT INTO releases VALUES (?, ?, ?, 1) ON CONFLICT (input, how) "
            "DO UPDATE SET counted = counted + ?, sent = sent + 1",
            (key, how, new, new),
        )
        return int(before + new)

    def _frame(self, key: bytes, count: int, source: str, window: Window) -> None:
        now = time.time()
        self._db.execute("DELETE FROM frames WHERE source = ? AND at < ?", (key, now - window.seconds))
        recent = self._db.execute("SELECT count(*) FROM frames WHERE source = ?", (key,)).fetchone()[0]
        if recent + count > window.limit:  # a frame from the future counts: clocks can be put back
            raise LedgerRefusal(
                f"the source {source!r} released {recent} inputs within {window.seconds:g} s, and {window.limit} are "
                "the limit: send fewer frames of one scene, or wait."
            )
        self._db.executemany("INSERT INTO frames VALUES (?, ?)", [(key, now)] * count)

    def released(self, one: bytes) -> int:
        """Counted releases of an input."""
        with self._transaction():
            row = self._db.execute(
                "SELECT total(counted) FROM releases WHERE input = ?", (digest(self._key, b"input", one),)
            ).fetchone()
        return int(row[0])

    def summary(self) -> Summary:
        """What was counted so far."""
        each = "SELECT sum(counted) AS c, sum(sent) AS s FROM releases GROUP BY input"
        query = f"SELECT count(*), total(c), max(c), total(s) FROM ({each})"
        with self._transaction():
            inputs, releases, most, sent = self._db.execute(query).fetchone()
        return Summary(int(inputs), int(releases), int(most or 0), int(sent - releases))

    def close(self) -> None:
        """Close the file; nothing is pending."""
        self._db.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """One durable transaction; a failure of any kind undoes all of it, and one of the file is a LedgerError."""
        with self._lock:
            try:
                self._db.execute("BEGIN IMMEDIATE")
                try:
                    yield
                    self._db.execute("COMMIT")
                except BaseException:
                    if self._db.in_transaction:
                        self._db.execute("ROLLBACK")
                    raise
            except sqlite3.Error as error:
                raise self._broken(error) from None

    def _broken(self, error: sqlite3.Error) -> LedgerError:
        return LedgerError(
            f"the ledger {self.path} cannot be kept ({error}): nothing is sent without it; free its disk, or repair it."
        )


def _times(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count, f"{count} times")
