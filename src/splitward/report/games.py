"""The candidate game and the secrets unlike the public data, as the page shows them. Pure functions."""

from __future__ import annotations

from dataclasses import dataclass

from splitward.record import games, unlike
from splitward.record.schema import Floor, Game, Trial, Unlike
from splitward.report import figures, grid, wording
from splitward.report.evidence import Evidence

SCALE = figures.Scale(0.0, 100.0, 20.0)
"""Per cent of the secrets that were named."""

TITLES = {"nearest": "nearest picture", "likelihood": "likelihood"}
"""What an attack is judged by: the columns."""


@dataclass(frozen=True)
class Cell:
    """The share of the secrets that were named: the number, its text and interval, and the mean rank."""

    value: float
    text: str
    between: str
    rank: str


@dataclass(frozen=True)
class Row:
    """One attack (its naive and adaptive forms) or one floor's game. ``cells``: by judge, then by form."""

    title: str
    note: str
    marks: list[figures.Mark]
    cells: list[tuple[str, Cell | None]]
    remarks: list[str]


@dataclass(frozen=True)
class GameView:
    """Who named the secret among the candidates. ``floor``: the best floor's share, per cent."""

    candidates: int
    served: int
    sentence: str
    judges: list[str]
    floors: list[Row]
    groups: list[tuple[str, list[Row]]]
    floor: float | None
    chance: str


def game_view(evidence: Evidence) -> GameView | None:
    """The games of one record; None where no attack played."""
    record = evidence.record
    played, best = games.players(record.trials), games.players(record.floors)
    if not played:
        return None
    judges = [judge for judge in TITLES if any(p.game.judge == judge for p in played)]
    groups = []
    for threat in grid.THREAT_MODELS:
        trials = [t for t in record.trials if t.threat_model == threat and t.games and not t.repetition]
        names = sorted(dict.fromkeys((t.attack, t.observations) for t in trials))
        rows = [_attack([t for t in trials if (t.attack, t.observations) == n], judges, evidence) for n in names]
        if rows:
            groups.append((threat, rows))
    return GameView(
        candidates=played[0].game.candidates,
        served=record.target.data.decoys_served,
        sentence=games.sentence(record),
        judges=[TITLES[j] for j in judges],
        floors=[_floor(f, g) for f in evidence.floors for g in f.games if g.wins],
        groups=groups,
        floor=round(100 * best[0].wins.mean, 2) if best else None,
        chance=games.share(played[0].game.chance),
    )


def _floor(floor: Floor, game: Game) -> Row:
    title = wording.floor_title(floor.name, floor.released)
    note = (
        "any candidate with the same answer" if floor.released == "label" else "the candidate with the nearest answer"
    )
    note = note if game.judge == "answer" else "the candidate nearest to its guess"
    cell, mark = _cell(game), _mark(game, "floor", title, False)
    return Row(title[0].upper() + title[1:], note, [mark] if mark else [], [("", cell)], [])


def _attack(trials: list[Trial], judges: list[str], evidence: Evidence) -> Row:
    trials = sorted(trials, key=lambda t: t.adaptive)
    marks, remarks = [], []
    for trial in trials:
        form = wording.knowledge(trial, evidence.defended)
        best = games.players([trial])
        label = f"{wording.trial_title(trial, evidence.defended)}, {games.JUDGES[best[0].game.judge]}" if best else ""
        mark = _mark(best[0].game, form or "only", label, not trial.believable) if best else None
        marks += [mark] if mark else []
        remarks += [f"{form}: {g.reason}" if form else g.reason for g in trial.games if g.reason]
    cells = []
    for judge in judges:
        for adaptive in (False, True) if evidence.defended else (False,):
            played = [g for t in trials if t.adaptive == adaptive for g in t.games if g.judge == judge]
            form = ("adaptive" if adaptive else "naive") if evidence.defended else ""
            name = ", ".join(part for part in (TITLES[judge], form) if part)
            cells.append((name, _cell(played[0]) if played else None))
    note = f"{trials[0].observations} observations" if trials[0].observations > 1 else ""
    return Row(trials[0].attack, note, marks, cells, remarks)


def _cell(game: Game | None) -> Cell | None:
    if game is None or game.wins is None:
        return None
    between = f"{100 * game.wins.low:.0f} to {games.share(game.wins.high)}"
    rank = f"mean rank {game.rank.mean:.1f}" if game.rank else ""
    return Cell(game.wins.mean, games.share(game.wins.mean), between, rank)


def _mark(game: Game, kind: str, label: str, doubtful: bool) -> figures.Mark | None:
    if game.wins is None:
        return None
    low, high, mean = (100 * v for v in (game.wins.low, game.wins.high, game.wins.mean))
    text = games.share(game.wins.mean)
    per_cent = game.wins.model_copy(update={"mean": mean, "low": low, "high": high})
    return figures.mark(SCALE, per_cent, kind, text, f"{label}: {text}", doubtful)


@dataclass(frozen=True)
class Stranger:
    """One kind of secrets unlike the public data: its title, what came back in words, and typical pictures."""

    title: str
    line: str
    evidence: Evidence
    pictures: grid.Grid | None


def strangers(evidence: Evidence) -> list[Stranger]:
    """Every kind that the record holds, with something scored."""
    found = [(kind, unlike.outcome(evidence.record, kind)) for kind in evidence.record.unlike]
    return [_stranger(evidence, kind, outcome) for kind, outcome in found if outcome]


def _stranger(evidence: Evidence, kind: Unlike, outcome: unlike.Outcome) -> Stranger:
    pictures = dict(evidence.pictures)
    pictures.pop("secrets", None)
    pictures.pop("labels", None)
    if kind.tensor in evidence.pictures:
        pictures["secrets"] = evidence.pictures[kind.tensor]
    other = Evidence(unlike.as_record(evidence.record, kind), pictures, evidence.folder)
    title = unlike.title(kind.name)
    return Stranger(title[0].upper() + title[1:], unlike.line(outcome), other, grid.glance(other))
