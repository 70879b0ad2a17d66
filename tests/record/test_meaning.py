"""What pictures still tell: against the floor, in the right direction, and with the judge's own limits."""

from __future__ import annotations

from typing import Any

import pytest

from record.factory import make_record
from splitward.record import checks, meaning, store
from splitward.record.schema import Estimate, Judge, Record, Yardstick
from splitward.record.statistics import estimate, paired_difference

HIGHER = {"semantic": True, "match": True, "perceptual": False, "theirs": True}


def exactly(mean: float, n: int) -> Estimate:
    return Estimate(mean=mean, low=mean, high=mean, worst=mean, n=n)


def judged(record: Record, scores: dict[str, tuple[float, float]], ceiling: float = 0.98) -> Record:
    """``record`` with judgements: for each, the share (or distance) of the allowed floor, and of every trial.

    The other floors are at a tenth (a distance of 0.9).
    """

    def values(name: str, mean: float) -> list[float]:
        if name in meaning.SHARES:
            return [float(i < round(mean * record.samples)) for i in range(record.samples)]
        return [mean + 0.001 * (i % 3) for i in range(record.samples)]

    def scored(part: Any, which: int) -> Any:
        if not part.per_sample:
            return part
        per_sample, metrics = dict(part.per_sample), dict(part.metrics)
        for name, pair in scores.items():
            weak = 0.1 if HIGHER[name] else 0.9
            mean = weak if which == 0 and getattr(part, "kind", "") == "prior" else pair[which]
            per_sample[name] = values(name, mean)
            metrics[name] = estimate(per_sample[name], HIGHER[name])
        return part.model_copy(update={"per_sample": per_sample, "metrics": metrics})

    made = {
        n: Yardstick(chance=0.1 if HIGHER[n] else 0.8, ceiling=exactly(ceiling if HIGHER[n] else 0.0, record.samples))
        for n in scores
    }
    judge = Judge(task="classes", told_apart=10, trained_on=436, tested_on=104, accuracy=0.96, judgements=made)
    result = record.model_copy(
        update={
            "floors": tuple(scored(f, 0) for f in record.floors),
            "trials": tuple(scored(t, 1) for t in record.trials),
            "judge": judge,
        }
    )
    return result.model_copy(update={"checks": checks.check(result)})


@pytest.fixture(scope="module")
def bare() -> Record:
    return make_record(100)[0]


def test_the_floor_is_the_one_that_does_best_and_the_difference_is_paired(bare: Record) -> None:
    record = judged(bare, {"semantic": (0.7, 0.93), "perceptual": (0.3, 0.1)})
    trial = meaning.strongest(record, "semantic")
    assert trial is not None
    found = meaning.gain(record, trial, "semantic")
    assert found is not None
    assert found.floor.name == "allowed"
    expected = paired_difference(found.floor.per_sample["semantic"], trial.per_sample["semantic"])
    assert (found.mean, found.low, found.high) == expected
    assert found.mean == pytest.approx(0.23)
    assert found.beyond
    assert found.words == "23 points more"
    assert found.interval == f"{100 * found.low:.0f} to {100 * found.high:.0f}"


def test_a_distance_is_turned_so_that_nearer_is_positive(bare: Record) -> None:
    near, far = (judged(bare, {"perceptual": (0.3, d)}) for d in (0.1, 0.5))
    for record, mean in ((near, 0.2), (far, -0.2)):
        trial = meaning.strongest(record, "perceptual")
        assert trial is not None
        found = meaning.gain(record, trial, "perceptual")
        assert found is not None
        assert found.mean == pytest.approx(mean)
        assert found.low <= found.mean <= found.high
        assert found.beyond == (mean > 0)
    assert "0.20 nearer than without the activation (95 % 0.20 to 0.20)" in " ".join(meaning.sentences(near))
    assert "no nearer than without the activation" in " ".join(meaning.sentences(far))


def test_the_sentence_gives_floor_chance_and_ceiling(bare: Record) -> None:
    (said,) = meaning.sentences(judged(bare, {"semantic": (0.97, 0.93)}))
    assert said.startswith("The class is still named for 93 of 100 pictures from ")
    assert "the label alone gives 97, guessing 10, the untouched originals 98." in said
    assert said.endswith("That is no more than without the activation.")


def test_a_weak_judge_is_a_warning_and_concludes_nothing(bare: Record) -> None:
    record = judged(bare, {"semantic": (0.2, 0.2), "match": (0.2, 0.2)}, ceiling=0.3)
    found = [c for c in record.checks if c.name == "weak-judge"]
    assert [c.level for c in found] == ["warning", "warning"]
    assert "Of the 100 untouched originals, the class is still named for only 30" in found[0].message
    assert all("too weak for that to mean anything" in said for said in meaning.sentences(record))
    strong = judged(bare, {"semantic": (0.2, 0.2)})
    assert [c.level for c in strong.checks if c.name == "weak-judge"] == ["ok"]


def test_a_record_without_a_judge_says_nothing(bare: Record) -> None:
    assert meaning.sentences(bare) == []
    assert meaning.judgements(bare) == ()
    assert not [c for c in bare.checks if c.name == "weak-judge"]
    trial = bare.trials[0]
    assert meaning.gain(bare, trial, "semantic") is None


def test_ours_come_first_and_theirs_are_named(bare: Record) -> None:
    record = judged(bare, {"theirs": (0.2, 0.6), "perceptual": (0.3, 0.1), "semantic": (0.2, 0.9)})
    assert meaning.judgements(record) == ("semantic", "perceptual", "theirs")
    assert meaning.sentences(record)[2].startswith("Theirs of the pictures from ")


def test_the_times_of_a_judge_are_no_part_of_the_canonical_record(bare: Record) -> None:
    record = judged(bare, {"semantic": (0.2, 0.9)})
    assert record.judge is not None
    slow = record.model_copy(update={"judge": record.judge.model_copy(update={"seconds": 99.0})})
    assert store.canonical(slow) == store.canonical(record)
