"""The candidate game and the secrets unlike the public data, on the page."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

from record.beyond import with_games, with_unlike
from record.factory import make_record
from report.page import Page
from splitward.record import games, store, unlike
from splitward.record.schema import Game, Record
from splitward.report import render

EVIL = "<script>alert(1)</script>"


def rich(samples: int = 40, **fields: Any) -> Record:
    made = with_unlike(make_record(samples, **fields), {"rotated": 0.95, "shuffled": 0.1})
    record = with_games(made[0])
    record.attach(made[1])
    return record


def page(record: Record | list[Record], folder: Path) -> Page:
    return Page(render(record, folder / "report.html").read_text(encoding="utf-8"))


@pytest.mark.parametrize("defence", ["dropout:0.6", "none"])
def test_the_page_says_what_the_games_say(tmp_path: Path, defence: str) -> None:
    record = rich(defence=defence)
    found = page(record, tmp_path)
    assert "Which one was it?" in found.text
    assert games.sentence(record) in found.text
    shown = set(found.numbers)
    for part in record.scored:
        for game in part.games:
            drawn = isinstance(part, type(record.floors[0])) or defence != "none" or not part.adaptive
            if drawn and game.wins:
                assert (str(game.wins.mean), games.share(game.wins.mean)) in shown
    assert "By chance: 0.3 %." in found.text
    assert "40 of the 299 decoys were also other users’ traffic" in found.text


def test_the_page_shows_what_came_back_of_unlike_secrets(tmp_path: Path) -> None:
    record = rich()
    found = page(record, tmp_path)
    assert unlike.meaning(record) in found.text
    for kind in record.unlike:
        outcome = unlike.outcome(record, kind)
        assert outcome is not None
        assert unlike.line(outcome) in found.text
    plain = page(record.model_copy(update={"unlike": ()}), tmp_path)
    assert "Secrets unlike the public data" not in plain.text
    rows = 1 + 1 + 2  # originals, the stronger floor, naive and adaptive
    assert len(found.all("img")) - len(plain.all("img")) == 2 * rows * 4


def test_a_redacted_record_keeps_the_words(tmp_path: Path) -> None:
    record = store.redact(rich())
    found = page(record, tmp_path)
    assert not found.all("img")
    outcome = unlike.outcome(record, record.unlike[0])
    assert outcome is not None
    assert unlike.line(outcome) in found.text


def test_a_record_without_them_has_no_such_section(tmp_path: Path) -> None:
    record, tensors = make_record(12)
    record.attach(tensors)
    found = page(record, tmp_path)
    assert "Which one was it?" not in found.text
    assert not {link["href"] for link in found.all("a")} & {"#game", "#unlike"}


def test_links_and_headings_hold_in_one_target_and_in_a_sweep(tmp_path: Path) -> None:
    for runs in (rich(12), [rich(12), rich(12, defence="none")]):
        found = page(runs, tmp_path)
        anchors = [attributes["id"] for _, attributes in found.tags if "id" in attributes]
        assert len(anchors) == len(set(anchors))
        assert {link["href"][1:] for link in found.all("a")} <= set(anchors)
        assert all(cell.get("scope") in {"col", "row", "rowgroup"} for cell in found.all("th"))
        levels = [int(h[1]) for h in found.headings]
        assert all(b - a <= 1 for a, b in itertools.pairwise(levels))
        assert "Which one was it?" in found.text


def test_what_a_judge_says_cannot_become_markup(tmp_path: Path) -> None:
    record = rich(12)
    bad = Game(judge="likelihood", candidates=300, chance=1 / 300, reason=EVIL)
    trials = tuple(t.model_copy(update={"games": (*t.games[:1], bad)}) for t in record.trials)
    kinds = tuple(u.model_copy(update={"name": EVIL}) for u in record.unlike[:1])
    found = page(record.model_copy(update={"trials": trials, "unlike": kinds}), tmp_path)
    assert len(found.all("script")) == 1
    assert EVIL in found.text
