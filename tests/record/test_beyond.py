"""Candidate games and unlike secrets in a record: what is said of them, and that they are kept with the rest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from record.beyond import game, share, with_games, with_unlike
from record.factory import make_record
from splitward.cli.tables import beyond
from splitward.core.errors import RecordError
from splitward.record import games, store, unlike
from splitward.record.rescore import rescore
from splitward.record.schema import Game, Record, Scale
from splitward.record.verdict import finding

QUALITIES = {"rotated": 0.95, "shuffled": 0.0}


@pytest.fixture(scope="module")
def rich() -> tuple[Record, dict[str, Any]]:
    record, tensors = with_unlike(make_record(40), QUALITIES)
    record = with_games(record)
    record.attach(tensors)
    return record, tensors


def test_the_player_with_the_most_wins_comes_first(rich: tuple[Record, Any]) -> None:
    found = games.players(rich[0].trials)
    assert [p.wins.mean for p in found] == sorted((p.wins.mean for p in found), reverse=True)
    assert found[0].wins.mean == 1.0
    bad = Game(judge="likelihood", candidates=5, chance=0.2, reason="it failed")
    trial = rich[0].trials[0].model_copy(update={"games": (bad, game("nearest", share(0.5, 40), 5))})
    assert [p.game.judge for p in games.players([trial])] == ["nearest"]


def test_among_equals_the_better_rank_counts(rich: tuple[Record, Any]) -> None:
    first, second = rich[0].trials[0], rich[0].trials[1]
    near = game("nearest", [0.5, 0.5])  # two ties: rank 2 each
    far = game("likelihood", [1.0, 0.0])  # ranks 1 and 5
    players = games.players([first.model_copy(update={"games": (far,)}), second.model_copy(update={"games": (near,)})])
    assert [p.game.judge for p in players] == ["nearest", "likelihood"]


def test_the_game_in_words(rich: tuple[Record, Any]) -> None:
    assert games.sentence(rich[0]) == (
        "A white-box attacker who knows the defence names the secret among 300 candidates in 100 % of the cases "
        "(rmle, by likelihood; 95 % interval 100 to 100 %); the label alone names it in 10 %, and chance in 0.3 %."
    )
    assert games.sentence(make_record(5)[0]) == ""


def test_unlike_secrets_in_words(rich: tuple[Record, Any]) -> None:
    record = rich[0]
    rotated, shuffled = record.unlike
    assert finding(unlike.as_record(record, rotated)) == "recovered"
    assert finding(unlike.as_record(record, shuffled)) == "none-found"
    best = max(t.metrics["ssim"].mean for t in rotated.trials)
    outcome = unlike.outcome(record, rotated)
    assert outcome is not None
    assert unlike.line(outcome).startswith(f"SSIM {best:.2f} (rmle, white-box), where ")
    assert unlike.line(outcome).endswith(f"; {outcome.recovered} of 12 come back recognisable.")
    said = unlike.meaning(record)
    assert "Where they do come back (rotated), it is the activation that leaks" in said
    assert "No attack beats a floor (shuffled)" in said
    assert unlike.meaning(make_record(5)[0]) == ""
    failed = tuple(t.model_copy(update={"status": "failed", "metrics": {}, "per_sample": {}}) for t in rotated.trials)
    assert unlike.outcome(record, rotated.model_copy(update={"trials": failed})) is None
    quiet = with_unlike(make_record(20, strength=0.0), {"inverted": 0.0})[0]
    assert unlike.meaning(quiet) == "No attack beats a floor there either (inverted)."


def test_the_command_line_has_one_line_for_the_game_and_one_for_each_kind(rich: tuple[Record, Any]) -> None:
    lines = beyond(rich[0])
    assert len(lines) == 3
    assert lines[0] == "named among 300: 100 % by rmle, 10 % by the label alone, 0.3 % by chance"
    assert lines[1].startswith("unlike the public data, rotated: SSIM 0.")
    assert max(map(len, lines)) < 79  # a line each
    assert beyond(make_record(5)[0]) == []


def test_what_was_saved_is_loaded(rich: tuple[Record, dict[str, Any]], tmp_path: Path) -> None:
    record, tensors = rich
    loaded = store.load(record.save(tmp_path / "run"))
    assert loaded == record
    assert loaded.tensors.keys() == tensors.keys()
    assert any(name.startswith("unlike/rotated/") for name in tensors)


def test_redacting_drops_their_pixels_and_keeps_their_numbers(rich: tuple[Record, Any], tmp_path: Path) -> None:
    record = rich[0]
    folder = record.save(tmp_path / "run")
    for bare in (store.redact(record), store.redact(folder), store.load(folder)):
        assert {u.tensor for u in bare.unlike} | {p.tensor for u in bare.unlike for p in u.scored} == {None}
        assert [p.metrics for u in bare.unlike for p in u.scored] == [
            p.metrics for u in record.unlike for p in u.scored
        ]
        assert [t.games for t in bare.trials] == [t.games for t in record.trials]


def test_a_metric_is_added_to_them_too(rich: tuple[Record, dict[str, Any]]) -> None:
    record, tensors = rich

    def brightness(guess: Any, truth: Any) -> Any:
        return np.abs(guess.mean((1, 2, 3)) - truth.mean((1, 2, 3)))

    scored = rescore(record, "brightness", brightness, Scale(higher_is_closer=False))
    for kind in scored.unlike:
        assert len(kind.scored) == 5
        for part in kind.scored:
            due = brightness(tensors[part.tensor or ""], tensors[kind.tensor or ""])
            assert part.per_sample["brightness"] == pytest.approx(due.tolist())
    assert store.redact(record).unlike  # nothing to score there, and nothing lost


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d["unlike"][0]["trials"][0]["per_sample"]["ssim"].pop(), ["11 values of ssim", "12"]),
        (lambda d: d["trials"][0]["games"][0]["per_sample"]["rank"].pop(), ["39 values of the game by nearest, rank"]),
        (lambda d: d["unlike"][0].update(tensor="trial/0"), ["same tensor"]),
        (lambda d: d["trials"][0]["games"][0].update(judge="the truth"), ["games.0.judge"]),
    ],
)
def test_numbers_that_do_not_fit_are_refused(rich: tuple[Record, Any], tmp_path: Path, change: Any, words: Any) -> None:
    folder = rich[0].save(tmp_path / "run")
    data = json.loads((folder / "record.json").read_text())
    change(data)
    (folder / "record.json").write_text(json.dumps(data))
    with pytest.raises(RecordError) as caught:
        store.load(folder)
    assert all(word in str(caught.value) for word in words)


def test_pictures_that_do_not_fit_are_refused(rich: tuple[Record, dict[str, Any]], tmp_path: Path) -> None:
    record, tensors = rich
    for change, said in (
        ({"unlike/rotated/secrets": tensors["unlike/rotated/secrets"][:5]}, r"float32 of \(12, 1, 28, 28\) is due"),
        ({"unlike/rotated/more": tensors["secrets"]}, "does not name"),
    ):
        with pytest.raises(RecordError, match=said):
            store.save(record, tmp_path / "run", tensors | change)
    with pytest.raises(RecordError, match="lacks the tensor 'unlike/"):
        store.save(record, tmp_path / "run", {k: v for k, v in tensors.items() if k != "unlike/rotated/secrets"})


def test_a_record_from_before_is_still_read(tmp_path: Path) -> None:
    record, tensors = make_record(5)
    folder = store.save(record, tmp_path / "run", tensors)
    data = json.loads((folder / "record.json").read_text())
    del data["unlike"], data["target"]["data"]["decoys"], data["target"]["data"]["decoys_served"]
    for part in (*data["floors"], *data["trials"]):
        del part["games"]
    (folder / "record.json").write_text(json.dumps(data))
    assert store.load(folder) == record
