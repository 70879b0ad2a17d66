import json

import pytest

from plan.test_plan_alexnet import said
from splitward.attacks.allowed import Allowed
from splitward.audit import sketch
from splitward.audit.settings import AuditSettings
from splitward.cli import progress
from splitward.plan.privacy import evidence
from splitward.record import store

WAITING = {"ReLU1": ["none", "dropout:0.6", "gaussian:1"], "fc2": ["none"]}


@pytest.fixture
def hasty(monkeypatch):
    """Decoders that learn for a moment: what is tested is who attacks what, and what is kept."""
    monkeypatch.setattr(sketch, "DECODER", {"steps": 30, "batch": 16, "width": 8, "laps": 1})
    monkeypatch.setattr(Allowed, "efforts", {"quick": {"steps": 30, "laps": 1, "width": 8}})
    monkeypatch.setattr(progress, "audits_at_once", lambda: 1)


def made(tmp_path, waiting=WAITING):
    settings = AuditSettings(model="lenet5", data="digits", at=tuple(waiting), samples=8)
    return list(sketch.sketch(settings, waiting, tmp_path))


def test_every_cut_has_a_record_of_each_defence_and_what_is_there_is_not_made_again(tmp_path, hasty, monkeypatch):
    made(tmp_path, {"ReLU1": ["none", "gaussian:1"]})
    before = {p: p.stat().st_mtime_ns for p in tmp_path.glob("ReLU1*/record.json")}
    audited = []
    whole = sketch.audit
    monkeypatch.setattr(sketch, "audit", lambda target, *a, **k: audited.append(target) or whole(target, *a, **k))
    found = {(r.target.cut.name, r.target.defence): (folder, r) for folder, r in made(tmp_path)}
    assert len(before) == 2
    assert {p: p.stat().st_mtime_ns for p in before} == before
    assert [(t.halves.cut.name, str(t.defence)) for t in audited] == [("ReLU1", "dropout:0.6"), ("fc2", "none")]
    assert set(found) == {(at, defence) for at, defences in WAITING.items() for defence in defences}
    for folder, record in found.values():
        assert store.load(folder).target == record.target
        assert record.samples == 8
        assert set(record.threat_models) == {"black-box"}
        told = evidence(record)
        assert not told.believable  # no plan relies on a part of the attackers
        assert "white-box" in told.why
        assert "query-free" in told.why


@pytest.mark.slow
def test_one_command_gives_the_front(tmp_path, hasty, capsys):
    words = (
        "plan", "--model", "lenet5", "--data", "digits", "--cloud", "server-k40", "--audit", "sketch", "--samples", "8",
        "--defence", "none", "--defence", "gaussian:1", "--runs", str(tmp_path / "runs"), "--json",
    )  # fmt: skip
    _, output = said(capsys, *words)
    told = json.loads(output.out)
    cuts = [row for row in told["cuts"] if row["name"] not in ("cloud-only", "edge-only")]
    assert {row["defence"] for row in cuts} == {"none", "gaussian:1"}
    assert all(row["excess_at_least"] is not None or row["excess"] is not None for row in cuts if not row["audited"])
    assert not any(row["audited"] for row in cuts)
    assert not any(row["front"] and row["excess"] is None and row["excess_at_least"] is None for row in cuts)


def test_a_sketch_has_an_effort_of_its_own(capsys):
    code, output = said(
        capsys, "plan", "--model", "lenet5", "--data", "digits", "--audit", "sketch", "--effort", "standard"
    )
    assert code == 2
    assert "effort of its own" in output.err


@pytest.mark.parametrize("audits", ["sketch", "all"])
def test_too_few_secrets_are_refused_in_one_sentence(capsys, audits):
    code, output = said(capsys, "plan", "--model", "lenet5", "--data", "digits", "--audit", audits, "--samples", "-3")
    assert code == 2
    assert "samples" in output.err
    assert "ValidationError" not in output.err
