"""The search: halving, ranking, resuming; and that what it selects on is apart from everything else."""

import dataclasses
import json

import pytest
import torch

from splitward.core.defence import Chain
from splitward.core.edge import Edge
from splitward.core.errors import DataError, UsageError
from splitward.core.run import Run
from splitward.data.dataset import refuse_overlap
from splitward.hardening.harden import claim
from splitward.hardening.proxy import Proxy, measure
from splitward.hardening.search import Candidate, Ground, Search, candidates, parted
from splitward.hardening.settings import EFFORTS, HardenSettings, read_settings

DESCENT = 3  # of the proxy, in place of 120: what it finds does not matter here
METHODS = ("bottleneck:2+quantise:1", "bottleneck:9", "fisher:0.1+gaussian:0.5", "channels:40")


def settings_for(**given):
    return HardenSettings(
        model="small", data="tiny", at=("relu1",), effort="quick", methods=METHODS, steps=8, batch=16, **given
    )


@pytest.fixture(autouse=True)
def _short_descent(monkeypatch):
    monkeypatch.setattr("splitward.hardening.proxy.DESCENT", DESCENT)
    quick = EFFORTS["quick"]
    monkeypatch.setitem(EFFORTS, "quick", dataclasses.replace(quick, proxy_steps=10))


@pytest.fixture(scope="module")
def ground(victim, halves, tiny):
    learn, selection = parted(tiny.train, 0)
    base = {"relu1": Proxy(0.5, 0.9, 0.3)}
    return Ground(victim, {"relu1": halves}, learn, selection, 3, base)


def test_the_selection_set_is_apart(tiny):
    learn, selection = parted(tiny.train, 3)
    assert (len(learn), len(selection)) == (48, 12)
    refuse_overlap(learn=learn, selection=selection, public=tiny.public, secrets=tiny.held_out)
    with pytest.raises(DataError, match="a hardening needs 40"):
        parted(tiny.train[:30], 0)


def test_each_round_takes_the_best_further_and_a_second_search_only_reads(ground, tmp_path, monkeypatch):
    settings = settings_for()
    search = Search(settings, ground, tmp_path, Run(0))
    tried = list(search.rounds())
    assert [len([t for t in tried if t.rung == r]) for r in range(3)] == [4, 3, 1]
    first, last = [t for t in tried if t.rung == 0], tried[-1]
    assert {t.recipe for t in first} == set(METHODS)
    assert last.steps == sum(steps for steps, _ in settings.scale.rungs)
    entered = {t.recipe for t in tried if t.rung == 1}
    assert entered == {t.recipe for t in search.ranked(first)[:3]}
    stands = search.assembly(Candidate(last.recipe, last.at), 3)
    monkeypatch.setattr("splitward.hardening.search.fit", None)  # nothing is trained again
    again = Search(settings, ground, tmp_path, Run(0))
    assert list(again.rounds()) == tried
    other = again.assembly(Candidate(last.recipe, last.at), 3)
    assert all(torch.equal(a, b) for a, b in zip(stands.model.parameters(), other.model.parameters(), strict=True))


def test_what_breaks_a_limit_ranks_last(ground, tmp_path):
    search = Search(settings_for(max_bytes=3, max_accuracy_drop=2.0), ground, tmp_path, Run(0))
    good = search.tried(Candidate(METHODS[0], "relu1"), 0)
    heavy = good.cost.model_copy(update={"wire_bytes": 4})
    variants = {
        "accurate": good.model_copy(update={"excess": 0.2, "drop_points": 1.0}),
        "inaccurate": good.model_copy(update={"excess": 0.1, "drop_points": 6.0}),
        "large": good.model_copy(update={"excess": 0.0, "drop_points": 0.0, "cost": heavy}),
    }
    ranked = search.ranked(list(variants.values()))
    assert [next(k for k, v in variants.items() if v is t) for t in ranked] == ["accurate", "inaccurate", "large"]


def test_a_recipe_that_does_not_fit_the_cut_is_left_out_with_its_reason(victim, tiny, ground, tmp_path):
    from splitward.split import split

    flat = split(victim.model, tiny.public.images[:2], at="fc1")
    there = Ground(victim, {"fc1": flat}, ground.learn, ground.selection, 3, {"fc1": ground.base["relu1"]})
    tried = Search(settings_for(), there, tmp_path, Run(0)).tried(Candidate("channels:2", "fc1"), 0)
    assert "channels: what crosses has shape (3,)" in tried.failed


def test_the_proxy_tells_an_open_cut_from_a_closed_one(halves, tiny):
    whole = tiny.train
    open_cut = measure(halves.edge, halves.cloud, Chain(), whole, 3, k=1, steps=60, run=Run(0))
    closed = Edge(torch.nn.Identity(), _Blind())
    shut = measure(closed, lambda v: v.flatten(1)[:, :3], Chain(), whole, 3, k=1, steps=60, run=Run(0))
    assert open_cut.excess > shut.excess + 0.1
    assert shut.excess < 0.1


class _Blind(torch.nn.Module):
    def forward(self, values):
        return 0 * values


def test_candidates_are_those_of_the_plugins_at_every_cut():
    several = settings_for().model_copy(update={"methods": (), "at": ("relu1", "fc1")})
    found = candidates(several)
    assert {c.at for c in found} == {"relu1", "fc1"}
    assert len(found) == len(set(found)) >= 12


def test_a_folder_belongs_to_one_hardening(tmp_path):
    settings = settings_for(out=tmp_path / "run")
    claim(settings)
    claim(settings)
    with pytest.raises(UsageError, match="holds a hardening with another seed"):
        claim(settings.model_copy(update={"seed": 1}))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("mine")
    with pytest.raises(UsageError, match="is not an empty folder"):
        claim(settings.model_copy(update={"out": tmp_path / "other"}))
    (tmp_path / "run" / "harden.json").write_text("{")
    with pytest.raises(UsageError, match="cannot be read"):
        claim(settings)


def test_settings_that_make_no_sense_are_one_sentence():
    with pytest.raises(UsageError, match="effort = 'huge' is wrong"):
        read_settings({"model": "m", "data": "d", "at": ["x"], "effort": "huge"})
    with pytest.raises(UsageError, match="observations"):
        read_settings({"model": "m", "data": "d", "at": ["x"], "observations": "1,many"})
    assert json.loads(json.dumps(settings_for().numeric()))["steps"] == 8


def test_as_many_finalists_as_are_asked_for_get_through_every_round():
    given = {"model": "m", "data": "d", "at": ["x"], "effort": "quick"}
    assert [count for _, count in read_settings(given).scale.rungs] == [None, 3, 1]
    assert [count for _, count in read_settings(given | {"finalists": 2}).scale.rungs] == [None, 3, 2]
    assert [count for _, count in read_settings(given | {"finalists": 9}).scale.rungs] == [None, 9, 9]
