"""The judge in an audit: trained once, after the attacks, the same when the audit is resumed, and never in its way."""

import dataclasses
import json

import pytest
import torch

import splitward as sw
from audit.doubles import Gradient, entry
from splitward.audit import judging
from splitward.audit.bench import Bench
from splitward.audit.judging import judged
from splitward.audit.settings import AuditSettings
from splitward.core import registry
from splitward.core.errors import MetricError
from splitward.core.judging import Yardstick
from splitward.core.run import Run
from splitward.models import judge as judges
from splitward.record import store
from splitward.record.store import canonical

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _short(monkeypatch):
    monkeypatch.setattr(judges, "SEEN", 200)
    monkeypatch.setattr(judges, "SEEN_PER_CLASS", 1)
    monkeypatch.setattr(judges, "SEEN_PER_IMAGE", 1)


def go(halves, pool, public, at="relu1", **options):
    options = {"released": "none", "run": Run(0, CPU), **options}
    target = sw.Target(halves[at])
    attacks = [entry(Gradient(steps=20))]
    return sw.audit(target, attacks, secrets=pool, public=public, samples=12, effort="quick", **options)


def test_every_floor_and_trial_is_judged_and_the_judge_is_described(halves, pool, public, tmp_path):
    record = go(halves, pool, public, out=tmp_path)
    assert {"semantic", "match", "perceptual"} == set(record.judge.judgements)
    assert record.judge.trained_on + record.judge.tested_on == len(public)
    assert record.judge.seed == Run(0).child("judge").seed
    for part in record.scored:
        for name in record.judge.judgements:
            assert len(part.per_sample[name]) == 12
            assert part.metrics[name].n == 12
    assert record.judge.judgements["semantic"].chance == pytest.approx(1 / 6)
    assert record.judge.judgements["perceptual"].ceiling.mean == 0
    loaded = sw.load(tmp_path)
    assert json.loads(loaded.model_dump_json()) == json.loads(record.model_dump_json())


def test_the_judge_decides_nothing(halves, pool, public):
    with_it, without = go(halves, pool, public), go(halves, pool, public, judge=False)
    assert without.judge is None
    assert with_it.verdict == without.verdict
    first, second = with_it.trials[0], without.trials[0]
    assert {k: v for k, v in first.per_sample.items() if k in second.per_sample} == second.per_sample


def test_a_sweep_trains_one_judge_and_a_second_run_the_same(halves, pool, public, monkeypatch):
    calls = []
    train = judging.train_judge
    monkeypatch.setattr(judging, "train_judge", lambda *a: calls.append(1) or train(*a))
    shared = Bench(Run(0, CPU), loop_secrets(pool))
    first = go(halves, pool, public, bench=shared)
    other = go(halves, pool, public, at="fc1", bench=shared)
    assert len(calls) == 1
    assert first.judge == other.judge
    assert canonical(go(halves, pool, public)) == canonical(first)
    assert len(calls) == 2


def loop_secrets(pool):
    from splitward.audit.loop import Settings, cast

    apart = dataclasses.replace(pool, images=pool.images[:1] * 0)
    return cast(pool, apart, Settings(samples=12), CPU).secrets


def test_a_run_that_is_broken_off_while_it_is_judged_is_resumed(halves, pool, public, tmp_path, monkeypatch):
    whole = go(halves, pool, public)

    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(judging, "train_judge", stop)
        with pytest.raises(KeyboardInterrupt):
            go(halves, pool, public, out=tmp_path)
    assert store.finished_trials(tmp_path)
    monkeypatch.setattr(Bench, "attack", stop)  # nothing is attacked again
    assert canonical(go(halves, pool, public, out=tmp_path)) == canonical(whole)


def test_without_labels_only_the_distance_is_left(halves, pool, public):
    bare = dataclasses.replace(public, labels=None)
    record = go(halves, pool, bare)
    assert record.judge.task == "rotations"
    assert set(record.judge.judgements) == {"perceptual"}
    assert set(record.judge.left_out) == {"semantic", "match"}
    assert all("no labels" in why for why in record.judge.left_out.values())
    assert "semantic" not in record.trials[0].metrics


def test_too_few_public_images_make_no_judge_and_no_error(halves, pool, public):
    record = go(halves, pool, public[:10])
    assert record.judge is None
    assert "too few" in record.no_judge
    assert any(c.name == "weak-judge" and c.level == "note" for c in record.checks)


@pytest.fixture
def own_judgements():
    registry.discover("judgement")
    before = dict(registry._plugins["judgement"])
    yield
    registry._plugins["judgement"].clear()
    registry._plugins["judgement"].update(before)


def test_a_judgement_of_somebody_else_is_scored_or_left_out_with_its_reason(halves, pool, public, own_judgements):
    def crash(guess):
        raise MetricError("it cannot.")

    for name, score in (("theirs", lambda g: g.flatten(1).mean(1)), ("crashes", crash), ("short", lambda g: g[0, 0])):

        class Theirs:
            unit, higher_is_closer = "cd", False

            def prepare(self, judge, secrets, others, score=score):
                return Yardstick(score)

        Theirs.name, Theirs.__qualname__ = name, name
        registry.register("judgement")(Theirs)
    record = go(halves, pool, public)
    assert record.scale("theirs").unit == "cd"
    assert record.trials[0].metrics["theirs"].n == 12
    assert record.judge.judgements["theirs"].chance is None
    assert "it cannot" in record.judge.left_out["crashes"]
    assert "RecordError" in record.judge.left_out["short"]
    assert "semantic" in record.judge.judgements


def test_the_judge_sees_no_secret_before_it_is_trained(halves, pool, public):
    """Its weights follow from public images and seed alone: with other secrets it is the same."""
    known: dict = {}
    record = go(halves, pool, public)
    judged(record, pool[:12], None, public, Run(0, CPU), known)
    again: dict = {}
    judged(record, pool[12:24], pool[24:], public, Run(0, CPU), again)
    (one,), (two,) = known.values(), again.values()
    assert torch.equal(one.embed(public.images), two.embed(public.images))


def test_settings():
    values = {"model": "m", "data": "d", "at": ("c",)}
    assert AuditSettings(**values).judge
    assert AuditSettings(**values).numeric() == AuditSettings(**values, judge=False).numeric()
