"""The audit's loop: what counts as a verdict, what is kept, and what comes out twice."""

import dataclasses
import json

import pytest
import torch

import splitward as sw
from audit.doubles import Bad, Blank, Gradient, entry
from splitward.audit import loop
from splitward.audit.bench import Bench
from splitward.audit.suite import suite
from splitward.audit.world import weights_hash
from splitward.core.errors import ModelError, OverlapError, UsageError
from splitward.core.run import Run
from splitward.record.store import canonical, finished_trials

CPU = torch.device("cpu")


def run_audit(halves, pool, public, *attacks, at="relu1", defence="none", samples=12, **options):
    target = sw.Target(halves[at], sw.defence(defence))
    options.setdefault("run", Run(0, CPU))
    options.setdefault("released", "none")  # no decoder to train for the floor
    options.setdefault("judge", False)  # seconds each
    return sw.audit(
        target, [entry(a) for a in attacks], secrets=pool, public=public, samples=samples, effort="quick", **options
    )


def test_a_sound_attack_gives_a_verdict(halves, pool, public):
    record = run_audit(halves, pool, public, Gradient())
    assert record.verdict is not None
    assert record.verdict.attack == "gradient"
    assert record.verdict.leakage > 0.8
    assert record.trials[0].control.kind == "undefended"
    assert record.target.accuracy.n == len(pool)


@pytest.mark.parametrize("at", ["relu1", "fc1"])
@pytest.mark.parametrize(
    "broken",
    [Gradient(steps=0), Gradient(sign=-1), Gradient(shuffled=True), Blank()],
    ids=["zero", "sign", "shuffled", "blank"],
)
def test_a_broken_attack_fails_its_control_and_yields_no_verdict(halves, pool, public, at, broken):
    record = run_audit(halves, pool, public, broken, at=at)
    assert record.verdict is None
    assert record.no_verdict
    assert not record.trials[0].control.recovered
    assert not record.trials[0].believable


def test_where_the_cut_leaks_little_a_planted_leak_is_the_control(halves, pool, public):
    record = run_audit(halves, pool, public, Gradient(steps=400), at="fc1", samples=20)
    control = record.trials[0].control
    assert control.kind == "planted"
    assert control.recovered, control.reason


def test_naive_and_adaptive_are_both_run_on_a_defended_target(halves, pool, public):
    record = run_audit(halves, pool, public, Gradient(steps=60), defence="dropout:0.5")
    assert [t.adaptive for t in record.trials] == [False, True]
    assert record.target.defence == "dropout:0.5"


@pytest.mark.parametrize("how", ["raises", "nan", "shape", "range", "crashes"])
def test_an_attack_that_misbehaves_is_a_failed_trial(halves, pool, public, how):
    record = run_audit(halves, pool, public, Bad(how), Gradient(steps=40))
    status = {t.attack: t.status for t in record.trials}
    assert status == {"bad": "failed", "gradient": "ok"}
    assert next(t.reason for t in record.trials if t.attack == "bad")
    assert record.verdict is None  # black-box was asked for, and nothing of it can be believed


def test_an_attack_with_nothing_to_say_is_skipped(halves, pool, public):
    record = run_audit(halves, pool, public, Bad("skips"))
    assert record.trials[0].status == "skipped"


def test_two_runs_give_the_same_record_but_for_times(halves, pool, public):
    first = run_audit(halves, pool, public, Gradient(steps=40), defence="gaussian:0.5")
    again = run_audit(halves, pool, public, Gradient(steps=40), defence="gaussian:0.5")
    assert canonical(first) == canonical(again)
    other = run_audit(halves, pool, public, Gradient(steps=40), defence="gaussian:0.5", seed=1, run=Run(1, CPU))
    assert canonical(first) != canonical(other)


def test_an_interrupted_audit_goes_on_where_it_stopped(halves, pool, public, tmp_path, monkeypatch):
    attacks = (Gradient(steps=40), Gradient(steps=30, sign=-1))
    named = [dataclasses.replace(entry(a), name=f"gradient:{i}") for i, a in enumerate(attacks)]
    target = sw.Target(halves["relu1"], sw.defence("dropout:0.5"))

    def go(out):
        return sw.audit(
            target, named, secrets=pool, public=public, samples=12, effort="quick", out=out, run=Run(0, CPU),
            judge=False, released="none",
        )  # fmt: skip

    whole = go(tmp_path / "whole")
    attack, calls = Bench.attack, []

    def dies_at_the_third_trial(self, e, believed, true):
        if len(finished_trials(tmp_path / "torn")) == 2:
            raise KeyboardInterrupt
        return attack(self, e, believed, true)

    monkeypatch.setattr(Bench, "attack", dies_at_the_third_trial)
    with pytest.raises(KeyboardInterrupt):
        go(tmp_path / "torn")
    assert len(finished_trials(tmp_path / "torn")) == 2
    monkeypatch.setattr(Bench, "attack", lambda *a: calls.append(a[1].name) or attack(*a))
    resumed = go(tmp_path / "torn")
    assert set(calls) == {"gradient:1"}  # the finished ones were not run again
    assert canonical(resumed) == canonical(whole)


def test_exchanging_the_secrets_but_not_the_activations_changes_nothing(halves, pool, public):
    """An attack sees the secrets only through what crosses the wire."""
    target = sw.Target(halves["relu1"])
    settings = loop.Settings(samples=12)
    cast = loop.cast(pool, public, settings, CPU)
    world = loop.world_of(target, cast, settings, CPU)
    bench = Bench(Run(0, CPU), cast.secrets)
    sent = bench.sent(world)
    honest = bench.attack(entry(Gradient(steps=30)), world, world).guess
    swapped = dataclasses.replace(cast.secrets, images=cast.secrets.images.flip(0))
    other = Bench(Run(0, CPU), swapped)
    other.sent = lambda world: sent
    assert torch.equal(honest, other.attack(entry(Gradient(steps=30)), world, world).guess)


def test_public_and_secrets_may_not_overlap(halves, pool, public):
    mixed = dataclasses.replace(public, images=torch.cat([public.images[:-1], pool.images[:1]]))
    with pytest.raises(OverlapError):
        run_audit(halves, pool, mixed, Gradient())


@pytest.mark.parametrize(
    ("options", "said"),
    [({"samples": 0}, "samples"), ({"samples": 1000}, "1000"), ({"observations": 0}, "observations")],
)
def test_settings_that_make_no_sense(halves, pool, public, options, said):
    with pytest.raises(UsageError, match=said):
        run_audit(halves, pool, public, Gradient(), **options)


def test_images_that_are_not_pixels(halves, pool, public):
    with pytest.raises(UsageError, match="outside"):
        run_audit(halves, dataclasses.replace(pool, images=pool.images * 2 - 1), public, Gradient())
    with pytest.raises(UsageError, match="shape"):
        run_audit(halves, dataclasses.replace(pool, images=pool.images[:, :, :12]), public, Gradient())


def test_the_hash_of_the_weights_is_the_same_at_every_cut_and_refuses_nan(halves, model):
    hashes = {weights_hash(h.edge, h.cloud) for h in halves.values()}
    assert len(hashes) == 1
    bad = torch.nn.Linear(2, 2)
    bad.weight.data[0, 0] = float("nan")
    with pytest.raises(ModelError, match="NaN"):
        weights_hash(bad)


def test_a_record_is_saved_and_loaded_with_its_pictures(halves, pool, public, tmp_path):
    record = run_audit(halves, pool, public, Gradient(steps=20), out=tmp_path)
    loaded = sw.load(tmp_path)
    assert json.loads(loaded.model_dump_json()) == json.loads(record.model_dump_json())
    assert loaded.tensors["secrets"].shape == (12, 1, 16, 16)


def test_suites():
    assert suite("rmle:scripts")[0].attack.knows_defence is False
    assert {e.kind.label for e in suite("all")} == {"white-box", "black-box", "query-free"}
    assert {e.kind.label for e in suite("black-box")} == {"black-box"}
    assert any(e.name == "rmle:scripts" for e in suite("all"))


@pytest.mark.parametrize("chosen", [[0, 0], [0, 10**6], [-1, 3]])
def test_secrets_are_chosen_by_indices_that_there_are(halves, pool, public, chosen):
    with pytest.raises(UsageError, match="different indices"):
        run_audit(halves, pool, public, Blank(), samples=chosen)


def test_chosen_secrets_are_the_secrets(halves, pool, public):
    """In the pool's order; the accuracy is still that of the whole pool."""
    record = run_audit(halves, pool, public, Blank(), samples=[7, 2])
    assert record.samples == 2
    assert (record.tensors["secrets"] == pool.images[[2, 7]].numpy()).all()
    assert record.target.accuracy.n == len(pool)
