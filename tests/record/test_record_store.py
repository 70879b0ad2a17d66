"""Run folders: round trips, the same bytes, resuming, redaction, and files that are not what they claim."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

from splitward.core.errors import RecordError
from splitward.record import files, store
from splitward.record.schema import Record, Trial


@pytest.fixture
def folder(record: Record, tmp_path: Path) -> Path:
    return record.save(tmp_path / "run")


def rewrite(folder: Path, change: Any) -> None:
    data = json.loads((folder / "record.json").read_text())
    change(data)
    (folder / "record.json").write_text(json.dumps(data))


def refused(action: Any, *words: str) -> None:
    """One sentence, that names what it must."""
    with pytest.raises(RecordError) as caught:
        action()
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith(".")
    for word in words:
        assert word in message


def test_what_was_saved_is_loaded(record: Record, folder: Path) -> None:
    loaded = store.load(folder)
    assert loaded == record
    assert loaded.tensors.keys() == record.tensors.keys()
    for name, array in loaded.tensors.items():
        np.testing.assert_array_equal(array, record.tensors[name])
        assert array.dtype == record.tensors[name].dtype


def test_the_same_record_gives_the_same_bytes(record: Record, folder: Path, tmp_path: Path) -> None:
    again = store.load(folder)
    again.save(tmp_path / "again")
    for name in ("record.json", "tensors.safetensors"):
        assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes()


def test_the_order_of_a_dictionary_changes_no_byte(record: Record, folder: Path, tmp_path: Path) -> None:
    first = record.trials[0]
    turned = first.model_copy(update={"per_sample": dict(reversed(first.per_sample.items()))})
    record.model_copy(update={"trials": (turned, *record.trials[1:])}).save(tmp_path / "turned")
    assert (tmp_path / "turned" / "record.json").read_bytes() == (folder / "record.json").read_bytes()


FINITE = st.floats(allow_nan=False, allow_infinity=False)
SCALARS = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | FINITE | st.text()


@given(
    st.recursive(SCALARS, lambda v: st.lists(v, max_size=4) | st.dictionaries(st.text(), v, max_size=4), max_leaves=20)
)
def test_json_of_ours_is_json(value: Any) -> None:
    assert json.loads(files._encode(value, 0)) == value


def test_json_of_ours_refuses_nan() -> None:
    with pytest.raises(ValueError, match="JSON"):
        files._encode({"a": [1.0, float("nan")]}, 0)


def test_pixels_are_readable_by_their_owner_only(folder: Path) -> None:
    assert stat.S_IMODE((folder / "tensors.safetensors").stat().st_mode) == 0o600


def test_a_record_without_its_tensors_is_still_read(folder: Path) -> None:
    (folder / "tensors.safetensors").unlink()
    loaded = store.load(folder)
    refused(lambda: loaded.tensors, "tensors.safetensors")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d.pop("schema_version"), ["schema_version"]),
        (lambda d: d.update(schema_version=2), ["schema version 2", "up to 1", "update"]),
        (lambda d: d.update(schema_version=True), ["schema_version"]),
        (lambda d: d.update(schema_version="1"), ["schema_version"]),
        (lambda d: d.update(samples="many"), ["samples"]),
        (lambda d: d.update(leakage=0.1), ["leakage"]),
        (lambda d: d.pop("target"), ["target"]),
        (lambda d: d["trials"][0]["per_sample"]["ssim"].pop(), ["rmle:scripts", "39 values of ssim", "40"]),
        (lambda d: d["trials"][0].update(tensor="trial/1"), ["same tensor"]),
        (lambda d: d["trials"][0]["metrics"]["ssim"].update(mean="0.9"), ["trials.0.metrics.ssim.mean"]),
        (lambda d: d["trials"][0].update(threat_model="omniscient"), ["threat_model"]),
    ],
)
def test_a_record_that_is_none_is_refused(folder: Path, change: Any, words: list[str]) -> None:
    rewrite(folder, change)
    refused(lambda: store.load(folder), "record.json", *words)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", '"a"', "{}", '{"schema_version": 1}', "[" * 200_000, '{"schema_version": NaN}',
     '{"schema_version": 1' + "0" * 10_000 + "}", "\ufeff{}", "\x00"],
)  # fmt: skip
def test_hostile_json_is_refused(folder: Path, text: str) -> None:
    (folder / "record.json").write_text(text)
    refused(lambda: store.load(folder), "record.json")


def test_nan_in_a_record_is_refused(folder: Path) -> None:
    text = (folder / "record.json").read_text().replace('"undefended": 0.988', '"undefended": NaN')
    (folder / "record.json").write_text(text)
    refused(lambda: store.load(folder), "NaN")


def test_bytes_that_are_no_text_are_refused(folder: Path) -> None:
    (folder / "record.json").write_bytes(b"\xff\xfe\x80{}")
    refused(lambda: store.load(folder), "record.json")


@pytest.mark.parametrize(
    "content", [b"", b"12345678", b"\xff" * 64, (1 << 40).to_bytes(8, "little") + b"{}", b"\x80\x04."]
)
def test_hostile_tensors_are_refused(folder: Path, content: bytes) -> None:
    (folder / "tensors.safetensors").write_bytes(content)
    refused(lambda: store.load_tensors(folder), "tensors.safetensors")


def test_a_cut_off_tensor_file_is_refused(folder: Path) -> None:
    path = folder / "tensors.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    refused(lambda: store.load_tensors(folder), "tensors.safetensors")


@pytest.mark.parametrize(
    ("name", "array", "words"),
    [
        ("secrets", np.zeros((39, 1, 28, 28), np.float32), ["secrets", "(39, 1, 28, 28)", "(40, 1, 28, 28)"]),
        ("secrets", np.zeros((40, 1, 28, 28), np.float64), ["F64"]),
        ("secrets", np.zeros((40, 1, 28, 28), np.float16), ["float16"]),
        ("trial/0", np.full((40, 1, 28, 28), 1.5, np.float32), ["trial/0", "[0, 1]"]),
        ("trial/0", np.full((40, 1, 28, 28), np.nan, np.float32), ["trial/0", "[0, 1]"]),
        ("trial/0", None, ["lacks", "trial/0"]),
        ("extra", np.zeros((40, 1, 28, 28), np.float32), ["extra"]),
        ("labels", np.zeros(40, np.uint8), ["U8"]),
        ("labels", np.zeros(41, np.int64), ["labels", "(41,)"]),
    ],
)
def test_tensors_that_do_not_fit_are_refused(
    record: Record, folder: Path, name: str, array: Any, words: list[str]
) -> None:
    tensors = {k: v for k, v in record.tensors.items() if k != name} | ({} if array is None else {name: array})
    save_file(tensors, folder / "tensors.safetensors")
    refused(lambda: store.load_tensors(folder), "tensors.safetensors", *words)


def test_nothing_that_does_not_fit_is_saved(record: Record, tmp_path: Path) -> None:
    few = {**record.tensors, "secrets": np.zeros((3, 1, 28, 28), np.float32)}
    refused(lambda: store.save(record, tmp_path / "run", few), "secrets")
    assert not (tmp_path / "run" / "record.json").exists()
    short = record.trials[0].model_copy(update={"per_sample": {"ssim": [0.1]}})
    refused(lambda: store.save(record.model_copy(update={"trials": (short,)}), tmp_path / "run"), "1 values of ssim")


def test_a_missing_folder_and_a_file_in_its_place(tmp_path: Path, record: Record) -> None:
    refused(lambda: store.load(tmp_path / "nowhere"), "nowhere", "record.json")
    (tmp_path / "file").write_text("x")
    refused(lambda: record.save(tmp_path / "file"), "file")
    refused(lambda: store.runs_in(tmp_path / "nowhere"), "nowhere")
    refused(lambda: store.runs_in(tmp_path), "no finished run")


def test_a_record_is_also_found_by_its_file(folder: Path, record: Record) -> None:
    assert store.load(folder / "record.json") == record
    assert store.runs_in(folder / "record.json") == [folder]


def test_the_runs_of_a_sweep(record: Record, tmp_path: Path) -> None:
    for name in ("b", "a"):
        record.save(tmp_path / "sweep" / name)
    (tmp_path / "sweep" / "notes").mkdir()
    (tmp_path / "sweep" / "report.html").write_text("")
    assert store.runs_in(tmp_path / "sweep") == [tmp_path / "sweep" / "a", tmp_path / "sweep" / "b"]
    assert store.runs_in(tmp_path / "sweep" / "a") == [tmp_path / "sweep" / "a"]


def test_redaction_keeps_the_numbers_and_drops_the_pixels(record: Record, folder: Path) -> None:
    store.append_trial(folder, "k", record.trials[0], record.tensors["trial/0"])
    (folder / "report.html").write_text("pictures")
    store.redact(folder)
    assert [p.name for p in folder.iterdir()] == ["record.json"]
    loaded = store.load(folder)
    assert loaded.redacted
    assert loaded.tensors == {}
    assert loaded.verdict == record.verdict
    assert [t.per_sample for t in loaded.trials] == [t.per_sample for t in record.trials]
    refused(lambda: store.load_tensors(folder), "redacted")
    store.redact(folder)  # once more changes nothing
    assert store.load(folder) == loaded


def test_redaction_in_memory_leaves_the_original_alone(record: Record, tmp_path: Path) -> None:
    bare = store.redact(record)
    assert bare.tensors == {}
    assert record.tensors
    assert not record.redacted
    bare.save(tmp_path / "bare")
    assert [p.name for p in (tmp_path / "bare").iterdir()] == ["record.json"]
    refused(lambda: store.save(bare, tmp_path / "bare", record.tensors), "redacted")


def test_a_redacted_record_saved_over_its_run_takes_the_pixels_away(record: Record, folder: Path) -> None:
    store.redact(record).save(folder)
    assert [p.name for p in folder.iterdir()] == ["record.json"]


def test_finished_trials_come_back(record: Record, tmp_path: Path) -> None:
    assert store.finished_trials(tmp_path) == {}
    store.append_trial(tmp_path, "odd/../key\n", record.trials[0], record.tensors["trial/0"])
    store.append_trial(tmp_path, "second", record.trials[10], None)
    store.append_floor(tmp_path, "floor", record.floors[0], record.tensors["floor/prior-mean"])
    found = store.finished_trials(tmp_path)
    assert found.keys() == {"odd/../key\n", "second"}
    trial, tensor = found["odd/../key\n"]
    assert trial == record.trials[0]
    np.testing.assert_array_equal(tensor, record.tensors["trial/0"])
    assert found["second"] == (record.trials[10], None)
    assert store.finished_floors(tmp_path)["floor"][0] == record.floors[0]
    store.clear_unfinished(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_trial_that_is_written_twice_is_the_last_one(record: Record, tmp_path: Path) -> None:
    store.append_trial(tmp_path, "k", record.trials[0], record.tensors["trial/0"])
    store.append_trial(tmp_path, "k", record.trials[1], record.tensors["trial/1"])
    assert store.finished_trials(tmp_path)["k"][0] == record.trials[1]


@pytest.mark.parametrize("suffix", [".json", ".safetensors"])
@pytest.mark.parametrize("left", [0, 1, 10, 100])
def test_torn_trials_are_redone(record: Record, tmp_path: Path, suffix: str, left: int) -> None:
    store.append_trial(tmp_path, "whole", record.trials[0], record.tensors["trial/0"])
    store.append_trial(tmp_path / "other", "torn", record.trials[1], record.tensors["trial/1"])
    for path in (tmp_path / "other" / "trials").iterdir():
        content = path.read_bytes()
        (tmp_path / "trials" / path.name).write_bytes(content[:left] if path.suffix == suffix else content)
    assert store.finished_trials(tmp_path).keys() == {"whole"}


def test_a_trial_without_its_tensor_is_redone(record: Record, tmp_path: Path) -> None:
    store.append_trial(tmp_path, "k", record.trials[0], record.tensors["trial/0"])
    next((tmp_path / "trials").glob("*.safetensors")).unlink()
    assert store.finished_trials(tmp_path) == {}


def test_a_trial_under_a_foreign_name_is_passed_over(record: Record, tmp_path: Path) -> None:
    store.append_trial(tmp_path, "k", record.trials[9], None)
    path = next((tmp_path / "trials").glob("*.json"))
    path.rename(path.with_name("x.json"))
    assert store.finished_trials(tmp_path) == {}


def test_a_killed_writer_leaves_whole_files(record: Record, tmp_path: Path) -> None:
    """Kill a process that writes trials without end: everything that is found afterwards is whole."""
    script = textwrap.dedent(f"""
        import sys
        sys.path.insert(0, {str(Path(__file__).parents[1])!r})
        import numpy as np
        from splitward.record import store
        from splitward.record.schema import Trial
        guess = np.zeros((40, 1, 28, 28), np.float32)
        for i in range(100_000):
            trial = Trial(attack=str(i % 7), threat_model="white-box", adaptive=False, queries=i)
            store.append_trial({str(tmp_path)!r}, str(i % 7), trial, guess)
            if i == 20:
                print("going", flush=True)
    """)
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    found = store.finished_trials(tmp_path)
    assert found.keys() == set("0123456")
    for key, (trial, tensor) in found.items():
        assert trial.attack == key
        assert tensor is not None


def test_canonical_forgets_times_and_the_machine_and_nothing_else(record: Record) -> None:
    elsewhere = record.environment.model_copy(update={"threads": 9})
    later = record.model_copy(
        update={
            "created": "2030-01-01", "command": "another", "environment": elsewhere,
            "trials": tuple(t.model_copy(update={"seconds": 99.0}) for t in record.trials),
            "floors": tuple(f.model_copy(update={"seconds": 99.0}) for f in record.floors),
        }
    )  # fmt: skip
    assert later != record
    assert store.canonical(later) == store.canonical(record)
    changed = record.trials[0].model_copy(update={"queries": 1})
    other = record.model_copy(update={"trials": (changed, *record.trials[1:])})
    assert store.canonical(other) != store.canonical(record)


def test_reading_records_loads_no_torch() -> None:
    code = (
        "import sys; import splitward.record.store, splitward.record.checks, splitward.record.gates, "
        "splitward.record.compare; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_trials_with_defaults_only_round_trip(tmp_path: Path) -> None:
    trial = Trial(attack="a", threat_model="query-free", adaptive=False, parameters={"tuple": (1, 2), "none": None})
    store.append_trial(tmp_path, "k", trial, None)
    found = store.finished_trials(tmp_path)["k"][0]
    assert found.parameters == {"tuple": [1, 2], "none": None}
