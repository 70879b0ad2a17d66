"""Who may run what, and what must not fall where an attacker is given more."""

from __future__ import annotations

import dataclasses

import pytest

from record.factory import CUTS, PLANS, Plan, make_record
from splitward.record.monotone import adaptive, depth, knowledge, observations, orderings, queries
from splitward.record.nesting import STRENGTH, may_run, reach
from splitward.record.schema import Record

N = 40
TYPICAL = (
    Plan("rmle", "white-box", False, 0.8),
    Plan("inverse-network", "black-box", False, 0.6),
    Plan("shadow-model", "query-free", False, 0.3),
)


def made(*plans: Plan, defence: str = "none", cut: str = "ReLU2", strength: float = 1.0, seed: int = 7) -> Record:
    return make_record(N, plans=plans or TYPICAL, defence=defence, cut=cut, strength=strength, secrets_seed=seed)[0]


def observed(k: int, quality: float) -> Record:
    return made(Plan("a", "white-box", True, quality, observations=k), defence="dropout:0.6")


def test_a_stronger_attacker_may_run_what_a_weaker_one_runs() -> None:
    assert [[may_run(holder, attack) for attack in STRENGTH] for holder in STRENGTH] == [
        [True, True, True],
        [False, True, True],
        [False, False, True],
    ]


@pytest.mark.parametrize("order", [(0.8, 0.6, 0.3), (0.3, 0.6, 0.8), (0.6, 0.3, 0.8), (0.3, 0.8, 0.6)])
def test_what_a_threat_model_reaches_is_nested(order: tuple[float, float, float]) -> None:
    plans = [dataclasses.replace(p, quality=q) for p, q in zip(TYPICAL, order, strict=True)]
    found = reach(made(*plans), "ssim")
    reached = [found[m].answer.mean for m in STRENGTH]
    assert reached == sorted(reached, reverse=True)
    for i, model in enumerate(STRENGTH):
        assert found[model].borrowed == (max(order[i:]) > order[i])
        assert found[model].own is not None


def test_the_strongest_attack_of_all_is_the_strongest_threat_models(record: Record) -> None:
    found = reach(record, "ssim")
    assert record.verdict is not None
    assert found["white-box"].answer.mean == record.verdict.leakage
    assert found["white-box"].answer.trial.attack == record.verdict.attack == "inverse-network"
    assert found["white-box"].borrowed


def test_a_threat_model_that_was_not_asked_for_reaches_nothing() -> None:
    record = made().model_copy(update={"threat_models": ("black-box",)})
    assert list(reach(record, "ssim")) == ["black-box"]
    assert reach(record, "ssim")["black-box"].answer.trial.attack == "inverse-network"
    assert not reach(record, "ssim", observations=5)


def test_knowledge_compares_every_two_threat_models() -> None:
    assert all(o.holds for o in knowledge(made()))
    worse = list(knowledge(made(*TYPICAL[1:], dataclasses.replace(TYPICAL[0], quality=0.4))))
    assert [(o.weaker.threat_model, o.stronger.threat_model, o.holds) for o in worse] == [
        ("black-box", "white-box", False),
        ("query-free", "white-box", True),
        ("query-free", "black-box", True),
    ]
    gap = worse[0].gap
    assert gap.paired
    assert gap.low < gap.mean < gap.high < 0


def test_adaptive_compares_an_attack_with_itself() -> None:
    found = list(adaptive(made(*(p for p in PLANS if p.status == "ok"), defence="dropout:0.6")))
    assert [o.stronger.answer.trial.attack for o in found] == [o.weaker.answer.trial.attack for o in found]
    assert len(found) == 4  # rmle:scripts knows of no defence
    assert all(o.holds for o in found)
    turned = [dataclasses.replace(p, adaptive=not p.adaptive) for p in PLANS if p.attack == "rmle"]
    assert [o.holds for o in adaptive(made(*turned, defence="dropout:0.6"))] == [False]


def test_more_observations_never_leak_less() -> None:
    records = [observed(20, 0.5), observed(1, 0.4), observed(5, 0.7)]
    found = [
        (o.weaker.answer.trial.observations, o.stronger.answer.trial.observations, o.holds)
        for o in observations(records)
    ]
    assert sorted(found) == [(1, 5, True), (1, 20, True), (5, 20, False)]
    assert all(o.gap.paired for o in observations(records))
    elsewhere = made(Plan("a", "white-box", True, 0.1, observations=50), defence="gaussian:1")
    assert len(list(observations([*records, elsewhere]))) == 3


def test_more_queries_never_leak_less() -> None:
    made_with = {None: 0.9, 1000: 1.0, 100: 0.5}
    records = [made(strength=s).model_copy(update={"query_budget": n}) for n, s in made_with.items()]
    found = [o for o in queries(records) if o.stronger.threat_model == "black-box"]
    named = [(o.weaker.record.query_budget, o.stronger.record.query_budget, o.holds) for o in found]
    assert sorted(named, key=str) == [(100, 1000, True), (100, None, True), (1000, None, False)]
    assert {o.stronger.threat_model for o in queries(records)} == {"white-box", "black-box"}  # the third may not ask
    assert not list(depth([records[0], records[1].model_copy(update={"target": made(cut="pool2").target})]))


def test_a_shallower_cut_never_leaks_less() -> None:
    records = [made(cut=cut, strength=s) for cut, s in ((CUTS[5], 0.5), (CUTS[1], 1.0), (CUTS[3], 0.4))]
    found = list(depth(records))
    assert len(found) == 3 * len(STRENGTH)
    violated = {(o.stronger.record.target.cut.name, o.weaker.record.target.cut.name) for o in found if not o.holds}
    assert violated == {(CUTS[3], CUTS[5])}
    defended = [made(cut=cut, defence="dropout:0.6", strength=s) for cut, s in ((CUTS[1], 0.4), (CUTS[3], 1.0))]
    assert not list(depth(defended))


def test_depth_counts_what_a_threat_model_may_run() -> None:
    """A poor white-box attack at the shallower cut is no violation of depth where a black-box one makes up for it."""
    shallow = made(
        dataclasses.replace(TYPICAL[0], quality=0.2), dataclasses.replace(TYPICAL[1], quality=0.9), cut="conv1"
    )
    found = {o.stronger.threat_model: o for o in depth([shallow, made()])}
    assert found["white-box"].holds
    assert found["white-box"].stronger.answer.trial.attack == "inverse-network"
    assert not next(o.holds for o in knowledge(shallow))


def test_what_lies_within_the_interval_violates_nothing() -> None:
    near = made(Plan("a", "white-box", False, 0.600), Plan("b", "black-box", False, 0.601))
    assert [o.holds for o in knowledge(near)] == [True]


def test_every_rule_is_looked_at() -> None:
    plans = (Plan("rmle", "white-box", False, 0.4), Plan("rmle", "white-box", True, 0.6), *TYPICAL[1:])
    more = [dataclasses.replace(p, observations=5) for p in plans]
    records = [made(), made(cut="pool2"), made(*plans, defence="dropout:0.6"), made(*more, defence="dropout:0.6")]
    assert {o.rule for o in orderings(records)} == {"knowledge", "adaptive", "observations", "depth"}
