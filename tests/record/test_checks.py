"""Every check fires on what it is for, and is "ok" otherwise."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from record.factory import PLANS, Plan, make_record, make_sweep
from splitward.record.checks import check, check_sweep
from splitward.record.schema import Check, Record
from splitward.record.store import redact

N = 40


def levels(checks: tuple[Check, ...], name: str) -> list[str]:
    return [c.level for c in checks if c.name == name]


def messages(checks: tuple[Check, ...], name: str) -> str:
    return " ".join(c.message for c in checks if c.name == name)


def changed(record: Record, **data: Any) -> Record:
    target = record.target.model_copy(update={"data": record.target.data.model_copy(update=data)})
    return record.model_copy(update={"target": target})


def plans(**by_attack: dict[str, Any]) -> tuple[Plan, ...]:
    """The plans of the factory with changes to all trials of an attack (``-`` written as ``_``)."""
    return tuple(
        dataclasses.replace(p, **by_attack.get(p.attack.replace("-", "_"), {})) for p in PLANS if p.status == "ok"
    )


def test_messages_are_sentences(record: Record) -> None:
    for one in check(record):
        assert one.message.endswith(".")
        assert "\n" not in one.message
        assert one.message[0].isupper() or one.message[0].isdigit() or one.message.split()[0] in {
            t.attack for t in record.trials
        }  # fmt: skip


def test_a_good_record_passes_what_it_can() -> None:
    good = tuple(dataclasses.replace(p, observations=5) for p in plans(rmle={"quality": 0.95, "adaptive": True}))
    record, _ = make_record(N, plans=good, accuracy=0.985)
    found = check(record)
    for name in ("attack-failed", "control-not-recovered", "still-falling", "weaker-beats-stronger", "single-draw",
                 "no-adaptive-attack", "few-samples", "few-public", "floor-too-high", "accuracy"):  # fmt: skip
        assert levels(found, name) == ["ok"], (name, messages(found, name))


def test_failed_and_skipped_attacks(record: Record) -> None:
    found = check(record)
    assert levels(found, "attack-failed") == ["failure"]
    assert "third-party (white-box, adaptive) failed: the loss of 'rmle' is nan" in messages(found, "attack-failed")
    assert levels(found, "attack-skipped") == ["note"]


def test_an_attack_whose_loss_still_falls() -> None:
    record, _ = make_record(N, plans=plans(shadow_model={"converged": False}))
    assert levels(check(record), "still-falling") == ["warning"] * 2
    assert "shadow-model (query-free, naive)" in messages(check(record), "still-falling")


def test_the_trace_is_believed_over_the_flag() -> None:
    record, _ = make_record(N, plans=plans(shadow_model={"converged": False}))
    lying = tuple(t.model_copy(update={"converged": True}) for t in record.trials)
    assert "warning" in levels(check(record.model_copy(update={"trials": lying})), "still-falling")


def test_an_attack_that_tells_no_loss() -> None:
    record, _ = make_record(N, plans=plans())
    mute = record.trials[0].model_copy(update={"trace": {}, "converged": None})
    found = check(record.model_copy(update={"trials": (mute, *record.trials[1:])}))
    assert levels(found, "still-falling") == ["warning"]
    assert "recorded no loss" in messages(found, "still-falling")


def test_a_falling_loss_means_nothing_where_all_is_recovered() -> None:
    record, _ = make_record(N, plans=(Plan("a", "white-box", True, 1.0, converged=False),))
    assert levels(check(record), "still-falling") == ["ok"]


def test_an_attack_that_did_not_recover_its_control() -> None:
    record, _ = make_record(N, plans=plans(shadow_model={"recovered": False}))
    assert levels(check(record), "control-not-recovered") == ["failure"] * 2
    assert "2 of 100 images were identified" in messages(check(record), "control-not-recovered")


def test_a_weaker_attacker_who_beats_a_stronger_one(record: Record) -> None:
    text = messages(check(record), "weaker-beats-stronger")
    assert "best black-box attack (inverse-network, SSIM" in text
    assert "query-free attack (" not in text
    worse, _ = make_record(N, plans=plans(shadow_model={"quality": 0.97}))
    text = messages(check(worse), "weaker-beats-stronger")
    assert "The best query-free attack (shadow-model" in text
    assert "beats the best white-box" in text
    assert "beats the best black-box" in text


def test_a_naive_attacker_who_beats_an_adaptive_one() -> None:
    turned = tuple(dataclasses.replace(p, adaptive=not p.adaptive) for p in PLANS if p.attack == "rmle")
    record, _ = make_record(N, plans=turned)
    assert "rmle comes closer when it does not know of the defence" in messages(check(record), "weaker-beats-stronger")


def test_what_lies_within_the_interval_beats_nothing() -> None:
    equal = (Plan("a", "white-box", True, 0.60), Plan("b", "black-box", True, 0.601))
    record, _ = make_record(N, plans=equal)
    assert levels(check(record), "weaker-beats-stronger") == ["ok"]


def test_a_random_defence_and_a_single_draw(record: Record) -> None:
    assert levels(check(record), "single-draw") == ["warning"]
    undefended, _ = make_record(N, defence="none")
    assert levels(check(undefended), "single-draw") == []
    assert levels(check(undefended), "no-adaptive-attack") == []


@pytest.mark.parametrize(("samples", "level"), [(29, "warning"), (30, "ok")])
def test_too_few_secrets(samples: int, level: str) -> None:
    record, _ = make_record(samples, plans=plans()[:1])
    assert levels(check(record), "few-samples") == [level]


@pytest.mark.parametrize(("public", "level"), [(99, "warning"), (100, "note"), (999, "note"), (1000, "ok")])
def test_too_few_public_images(record: Record, public: int, level: str) -> None:
    assert levels(check(changed(record, public=public)), "few-public") == [level]


def test_a_floor_that_leaves_no_room(record: Record) -> None:
    per_sample = {name: [0.96] * N for name in record.floors[0].per_sample}
    high = tuple(f.model_copy(update={"per_sample": per_sample}) for f in record.floors)
    found = check(record.model_copy(update={"floors": high}))
    assert levels(found, "floor-too-high") == ["failure"]
    assert levels(check(record), "floor-too-high") == ["ok"]


@pytest.mark.parametrize(("defended", "level"), [(0.985, "ok"), (0.97, "note"), (0.90, "warning")])
def test_what_the_defence_costs(record: Record, defended: float, level: str) -> None:
    assert record.target.accuracy is not None
    accuracy = record.target.accuracy.model_copy(update={"defended": defended})
    costly = record.model_copy(update={"target": record.target.model_copy(update={"accuracy": accuracy})})
    assert levels(check(costly), "accuracy") == [level]


def test_degrees_of_freedom(record: Record) -> None:
    assert levels(check(record), "degrees-of-freedom") == []
    found = check(changed(record, name="digits", degrees_of_freedom=64))
    assert "64 degrees of freedom in 784 pixels" in messages(found, "degrees-of-freedom")


def test_naive_attacks_alone_do_not_judge_a_defence() -> None:
    record, _ = make_record(N, plans=tuple(p for p in plans() if not p.adaptive))
    assert levels(check(record), "no-adaptive-attack") == ["warning"] * 3


def test_a_verdict_from_an_attack_that_is_not_believable() -> None:
    record, _ = make_record(N, plans=(*plans(), Plan("wild", "white-box", True, 0.97, recovered=False)))
    assert record.verdict is not None
    assert record.verdict.attack == "wild"
    assert levels(check(record), "strongest-not-believable") == ["warning"]


def test_checks_need_no_pixels_and_no_verdict(record: Record) -> None:
    bare = redact(record)
    assert check(bare) == check(record)
    assert check(record.model_copy(update={"trials": (), "floors": (), "verdict": None}))


def at(cut: str, strength: float, defence: str = "none", **more: Any) -> Record:
    return make_record(N, cut=cut, strength=strength, defence=defence, plans=plans()[2:5], **more)[0]


def test_leakage_that_rises_with_depth() -> None:
    falling = [at("conv1", 1.1), at("ReLU1", 1.0), at("conv2", 0.8)]
    assert [c.level for c in check_sweep(falling)] == ["ok"]
    rising = [at("conv2", 1.0), at("conv1", 1.1), at("ReLU1", 0.6)]  # in any order
    found = check_sweep(rising)
    assert [(c.name, c.level) for c in found] == [("rises-with-depth", "warning")]
    assert found[0].message.startswith("conv2 leaks more than ReLU1, from which it is computed")


def test_depth_is_compared_without_a_defence_and_on_one_model_only() -> None:
    assert check_sweep([at("conv1", 0.5, "dropout:0.6"), at("conv2", 1.0, "dropout:0.6")]) == ()
    other = at("conv2", 1.0)
    model = other.target.model.model_copy(update={"weights_sha256": "f" * 64})
    other = other.model_copy(update={"target": other.target.model_copy(update={"model": model})})
    assert check_sweep([at("conv1", 0.5), other]) == ()


def test_leakage_that_rises_with_the_level() -> None:
    assert [c.level for c in check_sweep([r for r, _ in make_sweep(N)])] == ["ok"]
    rising = [at("ReLU2", 0.6, "dropout:0.3"), at("ReLU2", 1.0, "dropout:0.6"), at("ReLU2", 0.5)]
    found = check_sweep(rising)
    assert [c.name for c in found] == ["rises-with-level"] * 2
    assert "dropout:0.6 at ReLU2 leaks more than none at ReLU2" in found[1].message


def test_levels_of_different_kinds_places_and_cuts_are_not_compared() -> None:
    records = [
        at("ReLU2", 0.5, "dropout:0.1"), at("ReLU2", 1.0, "dropout:0.6@input"), at("ReLU2", 1.0, "gaussian:2"),
        at("conv1", 1.0, "dropout:0.9"), at("ReLU2", 1.0, "dropout:0.9+gaussian:1"), at("ReLU2", 1.0, "odd:1e"),
    ]  # fmt: skip
    assert check_sweep(records) == ()


def test_a_sweep_over_other_secrets_is_compared_with_wider_intervals() -> None:
    near = [at("conv1", 1.0), at("ReLU1", 1.02, secrets_seed=8)]
    assert [c.level for c in check_sweep(near)] == ["ok"]
    far = [at("conv1", 0.5), at("ReLU1", 1.1, secrets_seed=8)]
    assert [c.level for c in check_sweep(far)] == ["warning"]


@given(st.text(max_size=12))
@settings(max_examples=50, deadline=None)
def test_no_defence_text_breaks_a_check(made: Any, defence: str) -> None:
    record = made[0]
    odd = record.model_copy(update={"target": record.target.model_copy(update={"defence": defence})})
    check_sweep([odd, record])
    assert check(odd)


def test_only_records_with_as_many_observations_are_compared() -> None:
    """Twenty draws under more of a defence may well leak more than one under less of it."""
    weak, strong = at("ReLU2", 0.6, "dropout:0.3"), at("ReLU2", 1.0, "dropout:0.6")
    assert [c.level for c in check_sweep([weak, strong])] == ["warning"]
    trials = tuple(t.model_copy(update={"observations": 20}) for t in strong.trials)
    assert check_sweep([weak, strong.model_copy(update={"trials": trials})]) == ()
