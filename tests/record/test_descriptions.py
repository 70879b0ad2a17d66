"""Descriptions that do not fit: found from the numbers, said in one sentence, and fatal to adaptive attacks alone."""

import pytest

from record.factory import make_record
from splitward.record import checks, verdict
from splitward.record.descriptions import FALSE_ALARM, MISLED, disbelieve, misfits, sentence
from splitward.record.schema import Description, Fit


def fit(p, quantity="the share of entries that are sent as zero"):
    return Fit(p=p, quantity=quantity, device=0.6, described=0.4)


def described(*descriptions, defence="dropout:0.6"):
    record, _ = make_record(40, defence=defence)
    return record.model_copy(update={"descriptions": descriptions})


def judged(record):
    record = verdict.decide(disbelieve(record))
    return record, [c for c in checks.check(record) if c.name == "wrong-description"]


def right(p=0.3, density=None):
    return Description(defence="dropout:0.6", told="dropout:0.6", sampler=fit(p), density=density)


def test_a_right_description_is_ok():
    before = described(right(density=fit(1.0, "a density")))
    record, found = judged(before)
    assert [c.level for c in found] == ["ok"]
    assert record.trials == before.trials
    assert record.verdict is not None


def test_a_record_without_descriptions_says_nothing_of_them():
    record, found = judged(described())
    assert found == []
    assert record.verdict is not None


@pytest.mark.parametrize("test", ["sampler", "density"])
def test_a_wrong_one_leaves_no_verdict(test):
    before = described(right().model_copy(update={test: fit(1e-9)}))
    record, found = judged(before)
    assert [c.level for c in found] == ["failure"]
    assert record.verdict is None
    assert record.no_verdict.startswith(found[0].message)
    assert "No attacker who knows the defence can be believed with it, so there is no verdict." in record.no_verdict
    assert "all the same" in record.no_verdict
    for old, new in zip(before.trials, record.trials, strict=True):
        if old.adaptive and old.status == "ok":
            assert (new.believable, new.reason) == (False, MISLED)
        else:
            assert new == old
    assert any(t.believable for t in record.trials)
    assert judged(record)[0] == record


def test_the_threshold_is_shared_by_all_tests_of_a_record():
    p = FALSE_ALARM / 3
    assert misfits(described(right(p)))
    assert not misfits(described(right(p), right(density=fit(1.0)), right()))


def test_the_sentence_names_what_was_told_and_the_clearer_test():
    one = Description(
        defence="chip:1", told="gaussian:1", sampler=fit(1e-8, "the size"), density=fit(1e-6, "the ratio")
    )
    ((found, clearest),) = misfits(described(right(), one))
    assert found is one
    assert sentence(found, clearest) == (
        "The description of chip:1 that the attackers were handed (gaussian:1) does not fit what the device sends: "
        "the size is 0.6 on the device and 0.4 as described."
    )
    assert "(" not in sentence(right(), fit(0.0))


def test_no_gate_is_kept():
    from splitward.record.gates import gate

    record, _ = judged(described(right(0.0)))
    assert [g.kept for g in gate(record, max_ssim=1.0, max_excess=1.0)] == [False, False]
