"""Which attack the verdict speaks of, when there is one, and what the gates make of it."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from record.factory import PLANS, Plan, estimates, make_record
from splitward.core.errors import RecordError
from splitward.record.gates import GateResult, gate
from splitward.record.schema import Floor, Record, Trial
from splitward.record.statistics import excess_ssim, upper_mean, upper_worst_decile
from splitward.record.verdict import answers, decide, stronger_floor

N = 40


def trial(attack: str, values: list[float], **changes: Any) -> Trial:
    fields: dict[str, Any] = {
        "attack": attack, "threat_model": "white-box", "adaptive": True, "believable": True, "converged": True,
        "per_sample": {"ssim": values, "psnr": [20.0] * len(values)},
    }  # fmt: skip
    fields |= changes
    return Trial.model_validate(fields | {"metrics": estimates(fields["per_sample"])})


def floor(name: str, values: list[float], **changes: Any) -> Floor:
    scored = {"ssim": values, "psnr": [11.0] * len(values)}
    fields = {"name": name, "kind": name.split("/", maxsplit=1)[0], "per_sample": scored, "metrics": estimates(scored)}
    return Floor.model_validate(fields | changes)


def with_parts(record: Record, trials: list[Trial], floors: list[Floor] | None = None, **changes: Any) -> Record:
    n = len(next(t.per_sample["ssim"] for t in trials if t.per_sample))
    parts = {
        "trials": tuple(trials), "floors": tuple(floors or [floor("prior/mean", [0.1] * n)]), "samples": n,
        "threat_models": ("white-box",),
    }  # fmt: skip
    return record.model_copy(update=parts | changes)


def decided(record: Record, trials: list[Trial], floors: list[Floor] | None = None, **changes: Any) -> Record:
    return decide(with_parts(record, trials, floors, **changes))


def test_the_verdict_is_the_strongest_attack_against_the_stronger_floor(record: Record) -> None:
    found = record.verdict
    assert found is not None
    assert (found.attack, found.adaptive, found.threat_model) == ("inverse-network", True, "black-box")
    best = next(t for t in record.trials if t.attack == "inverse-network" and t.adaptive)
    assert found.leakage == pytest.approx(best.metrics["ssim"].mean)
    assert found.leakage == pytest.approx(max(t.metrics["ssim"].mean for t in record.trials if t.metrics))
    assert found.floor == pytest.approx(max(f.metrics["ssim"].mean for f in record.floors))
    base = next(f for f in record.floors if f.name == found.floor_name)
    over = excess_ssim(best.per_sample["ssim"], base.per_sample["ssim"])
    assert found.excess == pytest.approx(over.mean())
    assert found.upper == pytest.approx(upper_mean(over))
    assert found.worst_decile == pytest.approx(upper_worst_decile(over))
    assert found.bound_to.weights_sha256 == record.target.model.weights_sha256
    assert found.bound_to.defence == "dropout:0.6"
    assert found.finding == "recovered"
    assert found.believable


def test_deciding_is_pure(record: Record) -> None:
    bare = record.model_copy(update={"verdict": None, "no_verdict": "x"})
    assert decide(bare) == record.model_copy(update={"no_verdict": ""})
    assert bare.no_verdict == "x"
    assert decide(decide(bare)) == decide(bare)


def test_what_was_recovered_counts_whether_or_not_it_is_believed(record: Record) -> None:
    """An attack that failed its control, or that was even called failed, has still recovered what it shows."""
    for change in ({"believable": False}, {"status": "failed", "believable": False, "reason": "control"}):
        out = decided(record, [trial("weak", [0.2] * N), trial("strong", [0.9] * N, **change)])
        assert out.verdict is not None
        assert out.verdict.attack == "strong"
        assert not out.verdict.believable
        assert "a better one may recover more" in out.verdict.sentence


def test_without_a_believable_attack_there_is_no_verdict_but_its_finding_is_told(record: Record) -> None:
    out = decided(record, [trial("strong", [0.9] * N, believable=False, converged=False)])
    assert out.verdict is None
    assert "strong had not converged" in out.no_verdict
    assert "SSIM 0.90 all the same" in out.no_verdict


def test_each_threat_model_that_was_asked_for_needs_a_believable_attack() -> None:
    plans = tuple(dataclasses.replace(p, recovered=p.threat_model != "query-free") for p in PLANS)
    record, _ = make_record(N, plans=plans)
    assert record.verdict is None
    assert "No query-free attack can be believed" in record.no_verdict
    assert "shadow-model did not recover its positive control" in record.no_verdict
    assert "skipped (the edge's architecture is not public)" in record.no_verdict
    assert "white-box attack can" not in record.no_verdict
    assert decide(record.model_copy(update={"threat_models": ("white-box", "black-box")})).verdict is not None


def test_a_threat_model_that_was_not_tried(record: Record) -> None:
    out = decided(record, [trial("a", [0.5] * N)], threat_models=("white-box", "query-free"))
    assert out.verdict is None
    assert out.no_verdict.startswith("No query-free attack was tried.")


def test_nothing_to_decide(record: Record) -> None:
    bare = record.model_copy(update={"trials": (), "threat_models": ()})
    assert decide(bare).no_verdict == "No attack was tried."
    assert "No floor" in decide(record.model_copy(update={"floors": ()})).no_verdict
    unscored = [trial("a", [0.1] * N).model_copy(update={"per_sample": {"psnr": [9.0] * N}})]
    out = decide(record.model_copy(update={"trials": tuple(unscored), "threat_models": ("white-box",)}))
    assert "Neither SSIM nor MSE" in out.no_verdict


def test_a_failed_believable_flag_does_not_license(record: Record) -> None:
    """A trial that failed licenses nothing, whatever its flag says."""
    assert decided(record, [trial("a", [0.5] * N, status="failed")]).verdict is None


def test_the_undefined_excess(record: Record) -> None:
    high = [floor("prior/mean", [0.96] * N)]
    out = decided(record, [trial("a", [0.99] * N)], high)
    assert out.verdict is not None
    assert (out.verdict.excess, out.verdict.upper, out.verdict.worst_decile) == (None, None, None)
    assert not gate(out, max_excess=1.0)[0].kept
    just_below = decided(record, [trial("a", [0.99] * N)], [floor("prior/mean", [0.95] * N)])
    assert just_below.verdict is not None
    assert just_below.verdict.excess == pytest.approx(0.8)


def test_the_floor_is_matched_by_the_number_of_observations(record: Record) -> None:
    """Five observations of a released answer are no fair floor for an attack that saw one."""
    floors = [floor("prior/mean", [0.1] * N), floor("allowed", [0.3] * N), floor("allowed", [0.6] * N, observations=5)]
    once = decided(record, [trial("a", [0.5] * N)], floors)
    often = decided(record, [trial("a", [0.5] * N, observations=5)], floors)
    assert (once.verdict and once.verdict.floor, often.verdict and often.verdict.floor) == (
        pytest.approx(0.3),
        pytest.approx(0.6),
    )


def test_the_sentence_tells_how_often_a_secret_was_seen(record: Record) -> None:
    out = decided(record, [trial("a", [0.9] * N, observations=5)])
    assert out.verdict is not None
    assert "who knows the defence and sees each secret 5 times" in out.verdict.sentence


def test_the_unluckiest_tenth_may_be_anothers_victims(record: Record) -> None:
    """An attack that recovers one image in ten exactly has a poor mean, and the worst decile is its."""
    steady = trial("steady", [0.4] * N)
    lucky = trial("lucky", [1.0 if i % 10 == 0 else 0.1 for i in range(N)])
    found = decided(record, [steady, lucky]).verdict
    assert found is not None
    assert found.attack == "steady"
    assert found.worst_decile_attack == "lucky"
    assert found.worst_decile == pytest.approx(1.0)
    assert not gate(decided(record, [steady, lucky]), max_excess=0.5)[0].kept


def test_no_leak_found_is_a_result(record: Record) -> None:
    out = decided(record, [trial("a", [0.2 + 0.01 * (i % 3) for i in range(N)])], [floor("allowed", [0.25] * N)])
    assert out.verdict is not None
    assert out.verdict.finding == "none-found"
    assert out.verdict.sentence.startswith("No leak found at this effort by this suite")
    assert "safe" not in out.verdict.sentence


def test_a_partial_leak(record: Record) -> None:
    spread = [0.31 + 0.01 * (i % 5) for i in range(N)]
    out = decided(record, [trial("a", spread)], [floor("allowed", [0.25] * N, released="label")])
    assert out.verdict is not None
    assert out.verdict.finding == "partial"
    assert "more than the label alone tells" in out.verdict.sentence


def test_images_too_small_for_ssim_are_judged_by_their_error() -> None:
    record, _ = make_record(N, size=8)
    found = record.verdict
    assert found is not None
    assert found.metric == "mse"
    assert found.attack == "inverse-network"
    assert found.leakage < found.floor
    assert found.excess is not None
    assert 0.5 < found.excess <= 1
    assert "mean squared error" in found.sentence
    assert not gate(record, max_ssim=1.0)[0].kept


def test_a_repetition_that_failed_does_not_dilute_a_leak(record: Record) -> None:
    """An attack that is not to be believed understates: with a believable one beside it, it does not count."""
    leak = [trial("a", [0.9] * N)]
    failed = [trial("a", [0.0] * N, repetition=r, believable=False, converged=False) for r in (1, 2, 3)]
    assert decided(record, leak + failed).verdict == decided(record, leak).verdict


def test_attack_seeds_are_one_attacker(record: Record) -> None:
    """The repetitions of an attack under other seeds are averaged, and widen the limit."""
    same = [trial("a", [0.5] * N, repetition=r) for r in range(3)]
    other = [trial("a", [0.5 + d] * N, repetition=r) for r, d in enumerate((-0.2, 0.0, 0.2))]
    calm, wild = decided(record, same).verdict, decided(record, other).verdict
    assert calm is not None
    assert wild is not None
    assert calm.leakage == pytest.approx(wild.leakage)
    assert calm.upper is not None
    assert wild.upper is not None
    assert wild.upper > calm.upper + 0.1
    assert len(answers(with_parts(record, same), "ssim")) == 1


def test_scores_that_do_not_belong_together_are_refused(record: Record) -> None:
    with pytest.raises(RecordError, match="scores 39 samples"):
        decided(record, [trial("a", [0.5] * 39)], [floor("prior/mean", [0.1] * N)])
    with pytest.raises(RecordError, match="same number of samples"):
        decided(record, [trial("a", [0.5] * N), trial("a", [0.5] * 3, repetition=1)])


def test_the_recognisable_share_is_shown_beside_the_floors(record: Record) -> None:
    found = record.verdict
    assert found is not None
    assert found.recovered_share == 1.0
    assert found.floor_recovered_share is not None
    assert found.floor_recovered_share > 0.2  # the paper's threshold is passed without the activation
    assert found.recovered_strictly_share == 1.0


def test_a_defended_target_needs_attackers_who_know_the_defence() -> None:
    record, _ = make_record(N, plans=tuple(p for p in PLANS if not p.adaptive), strength=0.1)
    assert record.verdict is not None
    assert record.verdict.naive_only == ("white-box", "black-box", "query-free")
    assert "knew of the defence" in record.verdict.sentence
    assert not any(g.kept for g in gate(record, max_ssim=1.0, max_excess=1.0))
    undefended, _ = make_record(N, plans=tuple(p for p in PLANS if not p.adaptive), defence="none")
    assert undefended.verdict is not None
    assert undefended.verdict.naive_only == ()
    assert all(g.kept for g in gate(undefended, max_ssim=1.0, max_excess=1.0))


@pytest.mark.parametrize("strength", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("defence", ["none", "dropout:0.6"])
def test_a_sentence_is_one_or_two_and_never_says_safe(strength: float, defence: str) -> None:
    record, _ = make_record(N, strength=strength, defence=defence)
    text = record.verdict.sentence if record.verdict else record.no_verdict
    assert text.endswith(".")
    assert not re.search(r"\b(safe|secure|private|protected)", text.lower())
    assert len(re.findall(r"[.](\s|$)", text)) <= 2
    if defence == "none":
        assert "knows the defence" not in text


def test_gates_hold_against_upper_limits(record: Record) -> None:
    found = record.verdict
    assert found is not None
    assert found.upper is not None
    assert found.worst_decile is not None
    high = max(t.metrics["ssim"].high for t in record.trials if t.metrics)
    assert found.leakage < high
    assert not gate(record, max_ssim=(found.leakage + high) / 2)[0].kept
    assert gate(record, max_ssim=high + 1e-3)[0].kept
    larger = max(found.upper, found.worst_decile)
    assert found.excess is not None
    assert found.excess < found.upper < found.worst_decile
    assert not gate(record, max_excess=(found.upper + larger) / 2)[0].kept
    assert gate(record, max_excess=larger)[0].kept
    assert gate(record, min_accuracy=0.964)[0].kept
    assert not gate(record, min_accuracy=0.965)[0].kept
    assert gate(record) == []
    assert [g.name for g in gate(record, 0.1, 0.1, 0.1)] == ["max-ssim", "max-excess", "min-accuracy"]


def test_without_a_verdict_no_leakage_gate_is_kept(record: Record) -> None:
    bare = record.model_copy(update={"verdict": None, "no_verdict": "why"})
    assert [g.kept for g in gate(bare, 1.0, 1.0, 0.5)] == [False, False, True]
    unmeasured = record.model_copy(update={"target": record.target.model_copy(update={"accuracy": None})})
    assert not gate(unmeasured, min_accuracy=0.0)[0].kept


@pytest.mark.parametrize("limit", [float("nan"), -1.0])
def test_odd_limits_keep_nothing(record: Record, limit: float) -> None:
    results: list[GateResult] = gate(record, max_ssim=limit, max_excess=limit)
    assert not any(r.kept for r in results)


@given(
    st.lists(st.lists(st.floats(-1, 1), min_size=12, max_size=12), min_size=1, max_size=5),
    st.lists(st.floats(-1, 1), min_size=12, max_size=12),
)
@settings(max_examples=25, deadline=None)
def test_another_attack_never_makes_the_verdict_milder(made: Any, tables: list[list[float]], base: list[float]) -> None:
    record = made[0]
    floors = [floor("prior/mean", base)]
    trials = [trial(f"a{i}", values) for i, values in enumerate(tables)]
    fewer, more = decided(record, trials[:1], floors).verdict, decided(record, trials, floors).verdict
    assert fewer is not None
    assert more is not None
    assert more.leakage >= fewer.leakage - 1e-12
    if fewer.upper is not None and fewer.worst_decile is not None:
        assert more.upper is not None
        assert more.worst_decile is not None
        assert more.upper >= fewer.upper - 1e-12
        assert more.worst_decile >= fewer.worst_decile - 1e-12


def test_the_stronger_floor_has_the_better_mean(record: Record) -> None:
    chosen = stronger_floor(record, "ssim")
    assert chosen is not None
    assert chosen.metrics["ssim"].mean == max(f.metrics["ssim"].mean for f in record.floors)
    chosen = stronger_floor(record, "mse")
    assert chosen is not None
    assert chosen.metrics["mse"].mean == min(f.metrics["mse"].mean for f in record.floors)


def test_the_factory_is_what_it_says() -> None:
    record, tensors = make_record(20, plans=(Plan("perfect", "white-box", True, 1.0),))
    assert record.trials[0].metrics["ssim"].mean == pytest.approx(1.0)
    assert tensors["secrets"].shape == (20, 1, 28, 28)
