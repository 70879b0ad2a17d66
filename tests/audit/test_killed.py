"""An audit that is killed, as a power cut would do it, and started again."""

import os
import signal
import subprocess
import sys
import time

from splitward.record import store
from splitward.record.schema import Record

COMMAND = (
    "audit --model lenet5 --data digits --at fc2 --defence dropout:0.3 --attacks rmle,rmle:scripts "
    "--samples 4 --public-samples 60 --released none --effort quick --json --out"
)
PATIENCE_SECONDS = 240


def start(out):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    words = [sys.executable, "-m", "splitward", *COMMAND.split(), str(out)]
    return subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process):
    try:
        out, error = process.communicate(timeout=PATIENCE_SECONDS)
    finally:
        process.kill()
    assert process.returncode in (0, 1), error
    return Record.model_validate_json(out)


def kill_after_a_trial(process, out):
    """SIGKILL as soon as one trial is kept; what is kept then, by key."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not store.finished_trials(out):
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < end, "no trial was finished"
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    return {key: trial for key, (trial, _) in store.finished_trials(out).items()}


def test_a_killed_audit_goes_on_and_ends_in_the_same_record(tmp_path):
    folder = tmp_path / "torn"
    kept = kill_after_a_trial(start(folder), folder)
    assert not (folder / store.RECORD).exists()

    resumed, whole = finish(start(folder)), finish(start(tmp_path / "whole"))
    assert store.canonical(resumed) == store.canonical(whole)
    assert len(kept) < len(resumed.trials) == 3
    again = {t.key: t for t in resumed.trials}
    for key, trial in kept.items():
        assert again[key].seconds == trial.seconds  # it was read, not run again
    assert not (folder / store.TRIALS).exists()
