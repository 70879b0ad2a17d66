"""A metric is added to a finished run without attacking again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer

from record.test_meaning import judged
from splitward.cli.score import score_command
from splitward.core.errors import RecordError, SplitwardError
from splitward.record import store
from splitward.record.rescore import rescore
from splitward.record.schema import Record, Scale


def command(*words: str) -> None:
    app = typer.Typer()
    app.command()(score_command)
    app(list(words), standalone_mode=False)


def largest_error(guess: Any, truth: Any) -> Any:
    return np.abs(guess - truth).reshape(len(truth), -1).max(1)


LOWER = Scale(unit="", higher_is_closer=False)


def test_every_part_with_images_is_scored(record: Record) -> None:
    scored = rescore(record, "largest-error", largest_error, LOWER)
    for part, old in zip(scored.scored, record.scored, strict=True):
        if part.tensor is None:
            assert part == old  # not scored is not zero
            continue
        expected = largest_error(record.tensors[part.tensor], record.tensors["secrets"])
        assert part.per_sample["largest-error"] == pytest.approx(expected.tolist())
        estimate = part.metrics["largest-error"]
        assert estimate.mean == pytest.approx(expected.mean())
        assert estimate.worst <= estimate.mean  # the smallest errors are the closest guesses
        assert {k: v for k, v in part.metrics.items() if k != "largest-error"} == old.metrics
    assert scored.scale("largest-error") == LOWER
    assert scored.verdict == record.verdict


def test_a_redacted_or_pixelless_record_is_refused(record: Record) -> None:
    with pytest.raises(RecordError, match="redacted"):
        rescore(store.redact(record), "m", largest_error, LOWER)
    bare = record.model_copy()
    bare.attach({})
    with pytest.raises(RecordError, match="holds no images"):
        rescore(bare, "m", largest_error, LOWER)


@pytest.mark.parametrize(
    "result", [lambda n: np.zeros(n - 1), lambda n: np.full(n, np.nan), lambda n: np.zeros((n, 1))]
)
def test_a_metric_that_is_none_is_refused(record: Record, result: Any) -> None:
    with pytest.raises(RecordError, match="one finite value"):
        rescore(record, "m", lambda guess, truth: result(len(truth)), LOWER)


def test_the_command_adds_what_an_audit_would_have_measured(record: Record, tmp_path: Path, capsys: Any) -> None:
    """The factory's own SSIM, PSNR and identification, written independently, are those of the metrics."""
    pytest.importorskip("torch")
    folder = record.save(tmp_path / "run")
    tensors = (folder / "tensors.safetensors").read_bytes()
    for metric, tolerance in (("ssim", 1e-3), ("psnr", 1e-3), ("mse", 1e-5), ("identification", 1e-6)):
        command(str(folder), "--metric", metric)
        for part, old in zip(store.load(folder).scored, record.scored, strict=True):
            assert part.per_sample.get(metric, []) == pytest.approx(old.per_sample.get(metric, []), abs=tolerance)
    assert (folder / "tensors.safetensors").read_bytes() == tensors
    assert "inverse-network (black-box)" in capsys.readouterr().out


def test_the_command_writes_one_json_document(record: Record, tmp_path: Path, capsys: Any) -> None:
    pytest.importorskip("torch")
    for name in ("a", "b"):
        record.save(tmp_path / "sweep" / name)
    command(str(tmp_path / "sweep"), "--metric", "mse", "--json")
    document = json.loads(capsys.readouterr().out)
    assert document["metric"] == "mse"
    assert [Path(r["run"]).name for r in document["runs"]] == ["a", "b"]
    skipped = next(t for t in document["runs"][0]["trials"] if t["status"] == "skipped")
    assert skipped["estimate"] is None


def test_the_command_refuses_in_one_sentence_and_changes_nothing(record: Record, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    folder = record.save(tmp_path / "run")
    before = (folder / "record.json").read_bytes()
    with pytest.raises(SplitwardError, match="no metric named 'sim'"):
        command(str(folder), "--metric", "sim")
    assert (folder / "record.json").read_bytes() == before
    store.redact(folder)
    with pytest.raises(SplitwardError, match="redacted"):
        command(str(folder), "--metric", "mse")
    with pytest.raises(SplitwardError, match="no folder"):
        command(str(tmp_path / "nowhere"), "--metric", "mse")


def test_what_needs_a_judge_is_refused_in_one_sentence(record: Record, tmp_path: Path) -> None:
    """Its judge was trained on public images, which a run folder does not hold."""
    pytest.importorskip("torch")
    folder = record.save(tmp_path / "run")
    before = (folder / "record.json").read_bytes()
    with pytest.raises(SplitwardError, match=r"^'semantic' asks a judge[^\n]* audit again with --judge\.$"):
        command(str(folder), "--metric", "semantic")
    assert (folder / "record.json").read_bytes() == before


def test_what_was_judged_already_is_shown(record: Record, tmp_path: Path, capsys: Any) -> None:
    pytest.importorskip("torch")
    folder = store.save(judged(record, {"semantic": (0.7, 0.93)}), tmp_path / "run", record.tensors)
    before = (folder / "record.json").read_bytes()
    command(str(folder), "--metric", "semantic", "--json")
    document = json.loads(capsys.readouterr().out)
    assert document["runs"][0]["floors"][-1]["estimate"]["mean"] == pytest.approx(0.7, abs=0.01)
    assert (folder / "record.json").read_bytes() == before
    with pytest.raises(SplitwardError, match="match"):
        command(str(folder), "--metric", "match")
