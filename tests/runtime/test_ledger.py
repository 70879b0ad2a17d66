"""The ledger counts before anything is sent, over restarts and kills, and refuses what was not audited."""

import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import time

import pytest

from splitward.core.errors import LedgerError, LedgerRefusal
from splitward.runtime import ledger as module
from splitward.runtime.ledger import Ledger, Window


@pytest.fixture
def path(tmp_path):
    return tmp_path / "ledger.sqlite"


def test_it_counts_and_refuses_what_exceeds_the_limit_across_restarts(path):
    assert Ledger(path).release([b"a"], 2) == [1]
    assert Ledger(path).release([b"a", b"b"], 2) == [2, 1]
    with pytest.raises(LedgerRefusal, match="released twice already"):
        Ledger(path).release([b"a"], 2)
    assert Ledger(path).released(b"a") == 2
    assert Ledger(path).summary() == module.Summary(inputs=2, releases=3, most=2, repeats=0)


def test_a_batch_is_counted_whole_or_not_at_all(path):
    ledger = Ledger(path)
    ledger.release([b"a"], 1)
    with pytest.raises(LedgerRefusal):
        ledger.release([b"new", b"a"], 1)
    assert ledger.released(b"new") == 0
    with pytest.raises(LedgerRefusal):
        ledger.release([b"twin", b"twin"], 1)  # the same input twice in one batch


def test_what_repeats_is_counted_once_for_each_way_of_sending(path):
    ledger = Ledger(path)
    for _ in range(100):
        assert ledger.release([b"a"], 1, b"cut one", repeats=True) == [1]
    with pytest.raises(LedgerRefusal):
        ledger.release([b"a"], 1, b"cut two", repeats=True)
    with pytest.raises(LedgerRefusal):
        ledger.release([b"a"], 1)
    assert ledger.release([b"a"], 2, b"cut two", repeats=True) == [2]
    assert ledger.summary() == module.Summary(inputs=1, releases=2, most=2, repeats=99)


def test_fresh_draws_are_never_taken_for_repeats(path):
    ledger = Ledger(path)
    ledger.release([b"a"], 2, b"cut", repeats=True)
    assert ledger.release([b"a"], 2, b"cut") == [2]
    with pytest.raises(LedgerRefusal):
        ledger.release([b"a"], 2, b"cut")


def test_frames_of_one_source_are_limited_within_a_window(path, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(time, "time", lambda: now[0])
    ledger, window = Ledger(path), Window(2, 10.0)
    send = lambda name, source: ledger.release([name], 1, source=source, window=window)  # noqa: E731
    send(b"1", "camera")
    send(b"2", "camera")
    with pytest.raises(LedgerRefusal, match="camera"):
        send(b"3", "camera")
    assert ledger.released(b"3") == 0
    send(b"4", "door")
    now[0] -= 500  # a clock that is put back frees nothing
    with pytest.raises(LedgerRefusal):
        send(b"5", "camera")
    now[0] += 511
    send(b"6", "camera")


def test_inputs_are_kept_by_keyed_hashes_only(path):
    ledger = Ledger(path)
    ledger.release([b"the very private input"], 1, source="the very private source", window=Window(9, 9.0))
    other = Ledger(path.with_name("other"))
    assert ledger.noise_key != other.noise_key
    assert Ledger(path).noise_key == ledger.noise_key
    ledger.close()
    for file in path.parent.glob("ledger*"):
        assert b"very private" not in file.read_bytes()
        assert ledger.noise_key not in file.read_bytes()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_many_threads_and_connections_never_exceed_the_limit(path):
    granted = []

    def ask():
        ledger = Ledger(path)
        for _ in range(10):
            try:
                granted.append(ledger.release([b"a"], 7))
            except LedgerRefusal:
                return

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(granted) == [[i] for i in range(1, 8)]


def test_a_damaged_ledger_is_refused(path):
    path.write_bytes(b"no database at all" * 100)
    with pytest.raises(LedgerError, match="nothing is sent"):
        Ledger(path)
    path.unlink()
    path.symlink_to(path.with_name("elsewhere"))
    with pytest.raises(LedgerError):
        Ledger(path)
    other = path.with_name("later")
    Ledger(other).close()
    with sqlite3.connect(other) as db:
        db.execute("UPDATE about SET value = ? WHERE name = 'format'", (b"\x09",))
    with pytest.raises(LedgerError, match="format"):
        Ledger(other)


def test_a_full_disk_sends_nothing(path):
    ledger = Ledger(path)
    ledger._db.execute(f"PRAGMA max_page_count = {ledger._db.execute('PRAGMA page_count').fetchone()[0]}")
    counted = []

    def fill():
        for number in range(10_000):
            ledger.release([b"%d" % number], 1)
            counted.append(number)

    with pytest.raises(LedgerError, match="full"):
        fill()
    assert counted
    assert ledger.summary().releases == len(counted)


SENDER = """
import sys
from pathlib import Path
from splitward.runtime.ledger import Ledger
ledger = Ledger(Path(sys.argv[1]))
print(ledger.noise_key.hex(), flush=True)
for number in range(10**6):
    ledger.release([b"%d" % (number % 50)], 10**6)
    print(number, flush=True)  # sent
"""


def test_a_kill_at_any_moment_loses_no_release_and_no_key(path):
    """A killed device has sent at most what is counted, and its key is what it was."""
    sent, keys = 0, set()
    for round_ in range(4):
        with subprocess.Popen([sys.executable, "-c", SENDER, str(path)], stdout=subprocess.PIPE, text=True) as process:
            keys.add(process.stdout.readline())
            time.sleep(0.05 + 0.037 * round_)
            os.kill(process.pid, signal.SIGKILL)
            sent += process.stdout.read().count("\n")
        counted = Ledger(path).summary().releases
        assert sent <= counted <= sent + round_ + 1  # at most the one that was under way, each time
    assert sent > 0
    assert keys == {Ledger(path).noise_key.hex() + "\n"}


def test_it_says_what_it_cannot_see():
    assert any("near-identical" in line for line in module.BLIND)
    assert any("older copy" in line for line in module.BLIND)
