"""An attacker's means: several query budgets as a sweep, and where its images come from."""

import json

import pytest

import splitward as sw
from splitward.attacks.inverse_network import InverseNetwork
from splitward.attacks.prior_guided import PriorGuided
from splitward.audit.settings import AuditSettings, read_settings
from splitward.audit.suite import Entry
from splitward.audit.sweep import run_settings
from splitward.core.errors import OverlapError, UsageError
from splitward.core.knowledge import BlackBox, WhiteBox
from splitward.record.compare import match
from splitward.record.monotone import queries
from splitward.record.verdict import answers

LITTLE = {"steps": 12, "batch": 8, "width": 8}
SMALL = Entry("inverse-network", InverseNetwork(**LITTLE), BlackBox)
GUIDED = Entry("prior-guided", PriorGuided(**LITTLE, descent_steps=4), WhiteBox)
GIVEN = {"model": "lenet5", "data": "digits", "at": ("ReLU2",)}


def settings(**more):
    return AuditSettings(
        **GIVEN,
        attacks=("inverse-network:scripts",),
        effort="quick",
        samples=8,
        judge=False,
        **{"released": "none"} | more,
    )


@pytest.mark.parametrize(
    ("given", "due"),
    [("all", (None,)), ("100", (100,)), ("100, 1000,all", (100, 1000, None)), (7, (7,)), ([5, "all"], (5, None)),
     ([5, 5], (5,)), (None, (None,))],
)  # fmt: skip
def test_budgets_are_written_as_numbers_or_all(given, due):
    assert AuditSettings(**GIVEN, query_budget=given).query_budget == due


@pytest.mark.parametrize("wrong", ["-1", "many", "1,,2", [], "1e3"])
def test_what_is_no_budget_is_refused(wrong):
    with pytest.raises(UsageError, match="query_budget"):
        read_settings(None, {**GIVEN, "query_budget": wrong})


def test_a_folder_that_was_begun_before_there_were_several_can_be_gone_on_with():
    old = settings(query_budget=50).numeric()
    assert old["query_budget"] == 50
    assert settings().numeric()["query_budget"] is None
    assert "public" not in old
    assert settings(public="noise").numeric()["public"] == "noise"


def test_several_budgets_are_a_sweep(tmp_path):
    sweep = settings(query_budget="20,60", public_samples=80, out=tmp_path)
    found = list(run_settings(sweep))
    assert [folder.name for folder, _ in found] == ["ReLU2-none-20-queries", "ReLU2-none-60-queries"]
    few, many = (record for _, record in found)
    assert (few.query_budget, many.query_budget) == (20, 60)
    assert few.trials[0].queries <= 20 < many.trials[0].queries <= 60
    assert few.trials[0].key != many.trials[0].key
    assert [f.seconds for f in few.floors] == [f.seconds for f in many.floors]  # made once: a floor asks nobody
    assert [o.rule for o in queries([many, few])] == ["queries"]
    assert match([few, many], [many, few])[0][1].query_budget == 20
    assert json.loads((tmp_path / "audit.json").read_text())["query_budget"] == [20, 60]


def test_the_record_says_where_public_images_come_from(tmp_path):
    ((_, record),) = run_settings(settings(public="noise", public_samples=40, query_budget=40, out=tmp_path))
    assert (record.target.data.public_from, record.target.data.public) == ("noise", 40)


def test_images_of_the_secrets_own_set_are_no_other_set(tmp_path):
    with pytest.raises(OverlapError, match="share"):
        next(run_settings(settings(public="digits", public_samples=1797, out=tmp_path)))


def test_attack_seeds_repeat_each_attack_with_other_draws(halves, pool, public):
    """The intervals are then over samples and attack seeds; what an attack builds on is of its own repetition."""
    means = {"secrets": pool, "public": public, "samples": 6, "effort": "quick", "released": "none", "judge": False}
    record = sw.audit(sw.Target(halves["relu1"]), [SMALL, GUIDED], attack_seeds=2, **means)
    assert [(t.attack, t.repetition) for t in record.trials] == [
        (a, r) for a in (SMALL.name, GUIDED.name) for r in (0, 1)
    ]
    first, second = (t for t in record.trials if t.attack == "inverse-network")
    assert first.key != second.key
    assert first.per_sample["mse"] != second.per_sample["mse"]
    assert first.trace.keys() == second.trace.keys()
    assert record.asked == ("inverse-network", "prior-guided")
    once = sw.audit(sw.Target(halves["relu1"]), [SMALL], **means)
    assert once.trials[0].per_sample == first.per_sample
    (answer,) = [a for a in answers(record, "ssim") if a.trial.attack == "inverse-network"]
    assert answer.values.shape == (6, 2)
    assert answer.mean == pytest.approx((first.metrics["ssim"].mean + second.metrics["ssim"].mean) / 2)
    corrected = [t for t in record.trials if t.attack == "prior-guided"]
    for own, other in zip((first, second), corrected, strict=True):
        assert [p for phase, p in other.trace.items() if phase.startswith("inverse-network/")] == list(
            own.trace.values()
        )


def test_no_attack_seed_is_refused():
    with pytest.raises(UsageError, match="attack_seeds"):
        read_settings(None, {**GIVEN, "attack_seeds": 0})
    assert "attack_seeds" not in settings().numeric()
    assert settings(attack_seeds=3).numeric()["attack_seeds"] == 3
