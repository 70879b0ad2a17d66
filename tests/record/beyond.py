"""Candidate games and secrets unlike the public data, for the made-up records."""

from __future__ import annotations

from typing import Any

import numpy as np

from record.factory import Plan, make_record
from splitward.record.schema import Floor, Game, Record, Trial, Unlike
from splitward.record.statistics import estimate


def game(judge: Any, wins: list[float], candidates: int = 300) -> Game:
    """A game with these wins; a secret that was not named has rank 5."""
    ranks = [1 / w if w else 5.0 for w in wins]
    return Game(
        judge=judge, candidates=candidates, chance=1 / candidates, per_sample={"wins": wins, "rank": ranks},
        wins=estimate(wins, True), rank=estimate(ranks, False),
    )  # fmt: skip


def share(value: float, samples: int) -> list[float]:
    """So many wins of so many secrets."""
    return [1.0] * round(value * samples) + [0.0] * (samples - round(value * samples))


def with_games(record: Record) -> Record:
    """Every trial played by its picture, rMLE by likelihood too; the released answer alone names every tenth."""
    n = record.samples

    def trial(t: Trial) -> Trial:
        if t.status != "ok":
            return t
        told = 0.9 * t.metrics["identification"].mean
        played = [game("nearest", share(told, n))]
        if t.attack == "rmle":
            played.append(game("likelihood", share(1.0 if t.adaptive else 0.5, n)))
        return t.model_copy(update={"games": tuple(played)})

    def floor(f: Floor) -> Floor:
        played = [game("nearest", share(0.0, n))]
        if f.kind == "allowed":
            played.append(game("answer", [0.1] * n))
        return f.model_copy(update={"games": tuple(played)})

    data = record.target.data.model_copy(update={"decoys": 299, "decoys_served": 40})
    return record.model_copy(
        update={
            "trials": tuple(trial(t) for t in record.trials),
            "floors": tuple(floor(f) for f in record.floors),
            "target": record.target.model_copy(update={"data": data}),
        }
    )


def with_unlike(made: tuple[Record, dict[str, Any]], qualities: dict[str, float]) -> tuple[Record, dict[str, Any]]:
    """For each kind other made-up secrets, turned, and trials of this quality on them."""
    record, tensors = made[0], dict(made[1])
    kinds = []
    for i, (name, quality) in enumerate(qualities.items()):
        plans = tuple(Plan("rmle", "white-box", adaptive, quality) for adaptive in (False, True))
        other, pictures = make_record(12, plans=plans, secrets_seed=20 + i)
        prefix = f"unlike/{name}/"
        tensors |= {prefix + k: np.ascontiguousarray(np.rot90(v, 1, (2, 3))) for k, v in pictures.items() if v.ndim > 1}
        kinds.append(
            Unlike(
                name=name, samples=12, tensor=prefix + "secrets",
                floors=tuple(f.model_copy(update={"tensor": f"{prefix}{f.tensor}"}) for f in other.floors),
                trials=tuple(t.model_copy(update={"tensor": f"{prefix}{t.tensor}"}) for t in other.trials),
            )
        )  # fmt: skip
    record = record.model_copy(update={"unlike": tuple(kinds)})
    record.attach(tensors)
    return record, tensors
