"""What got better or worse between two records, as rows, as a gate and on the command line."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import typer

from record.factory import PLANS, make_record, make_sweep
from splitward.cli.compare import compare_command
from splitward.core.errors import RecordError, SplitwardError
from splitward.record.compare import Comparison, Row, compare, describe, match
from splitward.record.pairs import leakage_difference, same_secrets
from splitward.record.schema import Record
from splitward.record.store import redact

N = 40


def made(strength: float = 1.0, **more: Any) -> Record:
    record, tensors = make_record(N, strength=strength, **more)
    record.attach(tensors)
    return record


def row(found: Comparison, name: str) -> Row:
    return next(r for r in found.rows if r.name == name)


def command(*words: str) -> int:
    app = typer.Typer()
    app.command()(compare_command)
    status = app(list(words), standalone_mode=False)
    return status if isinstance(status, int) else 0


@pytest.fixture(scope="module")
def weaker() -> Record:
    return made(0.8)


@pytest.fixture(scope="module")
def stronger() -> Record:
    return made(1.0)


def test_more_leakage_is_worse_and_less_is_better(weaker: Record, stronger: Record) -> None:
    up, down = compare(weaker, stronger), compare(stronger, weaker)
    assert (up.worse, down.worse) == (True, False)
    assert row(up, "leakage, ssim").judgement == "worse"
    assert row(down, "leakage, ssim").judgement == "better"
    change = row(up, "leakage, ssim").change
    assert change is not None
    assert change > 0
    assert "leaks more" in up.sentence
    assert "leaks less" in down.sentence
    assert row(up, "inverse-network, adaptive").judgement == "worse"
    assert row(up, "third-party, adaptive").before == row(up, "third-party, adaptive").after


def test_a_record_is_the_same_as_itself(stronger: Record) -> None:
    found = compare(stronger, stronger)
    assert not found.worse
    assert not found.stale
    assert found.paired
    assert found.notes == ()
    assert {r.judgement for r in found.rows} <= {"same", ""}
    assert {r.change for r in found.rows if r.change is not None} == {0.0}


def test_a_small_change_is_seen_pair_by_pair_only(stronger: Record) -> None:
    """The same images: 0.01 in SSIM is beyond the paired interval. Other images: it is lost in their spread."""

    def shifted(record: Record, by: float) -> Record:
        trials = tuple(
            t.model_copy(update={"per_sample": {**t.per_sample, "ssim": [v - by for v in t.per_sample["ssim"]]}})
            if t.per_sample else t
            for t in record.trials
        )  # fmt: skip
        return record.model_copy(update={"trials": trials})

    assert compare(shifted(stronger, 0.01), stronger).worse
    other = made(secrets_seed=8)
    gap = leakage_difference(stronger, other)
    assert gap is not None
    assert not gap.paired
    found = compare(shifted(stronger, gap.mean * -1 + 0.001), other)
    assert not found.worse
    assert any("independent" in note for note in found.notes)


def test_secrets_are_recognised_without_pixels(stronger: Record, weaker: Record) -> None:
    assert same_secrets(redact(stronger), redact(weaker))
    assert not same_secrets(stronger, made(secrets_seed=8))
    assert not same_secrets(stronger, stronger.model_copy(update={"floors": ()}))


def test_a_lost_verdict_is_worse_whatever_leaks(stronger: Record) -> None:
    plans = tuple(dataclasses.replace(p, recovered=p.threat_model != "query-free") for p in PLANS)
    lost = made(0.5, plans=plans)
    found = compare(stronger, lost)
    assert found.worse
    assert row(found, "verdict").judgement == "worse"
    assert "lost its verdict: No query-free" in found.sentence
    assert row(found, "shadow-model, adaptive: believable").judgement == "worse"
    assert not compare(lost, lost).worse


def test_other_weights_make_a_verdict_stale(stronger: Record) -> None:
    target = stronger.target
    model = target.model.model_copy(update={"weights_sha256": "f" * 64})
    other = stronger.model_copy(update={"target": target.model_copy(update={"model": model})})
    found = compare(stronger, other)
    assert found.stale
    assert any("stale" in note for note in found.notes)
    assert row(found, "weights") == Row("weights", "c0ffee000000", "f" * 12, None, "changed")


def test_a_weaker_suite_is_noted(stronger: Record) -> None:
    fewer = made(plans=tuple(p for p in PLANS if p.attack != "inverse-network"))
    found = compare(stronger, fewer)
    assert any("inverse-network, adaptive" in n and "weaker suite" in n for n in found.notes)
    hasty = stronger.model_copy(update={"effort": "quick"})
    assert any("efforts differ" in n for n in compare(stronger, hasty).notes)


def test_accuracy_is_judged_beyond_its_own_interval(stronger: Record) -> None:
    assert row(compare(stronger, made(accuracy=0.90)), "accuracy, defended").judgement == "worse"
    assert row(compare(stronger, made(accuracy=0.99)), "accuracy, defended").judgement == "better"
    assert row(compare(stronger, made(accuracy=0.9641)), "accuracy, defended").judgement == "same"


def test_small_images_are_compared_by_error() -> None:
    found = compare(made(0.8, size=8), made(1.0, size=8))
    assert found.metric == "mse"
    assert found.worse
    change = row(found, "leakage, mse").change
    assert change is not None
    assert change < 0  # a smaller error is closer, and worse


def test_what_cannot_be_compared_is_said(stronger: Record) -> None:
    found = compare(stronger, made(1.0, size=8))
    assert not found.worse
    assert any("no measure of leakage in common" in n for n in found.notes)
    assert "cannot be compared" in found.sentence


def test_sweeps_are_matched_by_target(stronger: Record) -> None:
    sweep = [r for r, _ in make_sweep(20)]
    assert [(describe(a), describe(b)) for a, b in match(sweep, sweep[::-1])] == [(describe(r),) * 2 for r in sweep]
    assert match([sweep[0]], [stronger]) == [(sweep[0], stronger)]
    with pytest.raises(RecordError, match="second sweep has no run of"):
        match(sweep, sweep[1:])
    with pytest.raises(RecordError, match="one target twice"):
        match(sweep + sweep[:1], sweep)


def test_the_command_is_a_gate(weaker: Record, stronger: Record, tmp_path: Path, capsys: Any) -> None:
    a, b = weaker.save(tmp_path / "a"), stronger.save(tmp_path / "b")
    assert command(str(a), str(b)) == 1
    out = capsys.readouterr().out
    assert "The second leaks more" in out
    assert "leakage, ssim" in out
    assert command(str(b), str(a)) == 0
    assert command(str(a), str(a)) == 0


def test_the_command_writes_one_json_document(weaker: Record, stronger: Record, tmp_path: Path, capsys: Any) -> None:
    a, b = weaker.save(tmp_path / "a"), stronger.save(tmp_path / "b")
    assert command(str(a), str(b), "--json") == 1
    document = json.loads(capsys.readouterr().out)
    assert document["worse"] is True
    assert document["comparisons"][0]["metric"] == "ssim"


def test_the_command_on_sweeps(tmp_path: Path, capsys: Any) -> None:
    for folder in ("before", "after"):
        for i, (record, tensors) in enumerate(make_sweep(20)):
            record.attach(tensors)
            record.save(tmp_path / folder / str(i))
    assert command(str(tmp_path / "before"), str(tmp_path / "after")) == 0
    assert capsys.readouterr().out.count("leaks the same") == 4


def test_the_command_on_nothing(tmp_path: Path) -> None:
    with pytest.raises(SplitwardError, match="is no folder"):
        command(str(tmp_path / "a"), str(tmp_path / "b"))
