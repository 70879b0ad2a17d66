"""What a record's candidate games say: who named the secret among the candidates most often. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from splitward.record import sentences
from splitward.record.schema import Estimate, Floor, Game, Record, Trial

JUDGES = {
    "nearest": "by the nearest picture",
    "likelihood": "by likelihood",
    "answer": "by the nearest answer",
}
"""How each judge decides, as words that follow a name."""


@dataclass(frozen=True)
class Player:
    """A floor or a trial, one game that it played, and the share of the secrets that it named."""

    part: Floor | Trial
    game: Game
    wins: Estimate


def players(parts: Iterable[Floor | Trial]) -> list[Player]:
    """Every game that was judged, the one with the most wins first; among equals the one with the better mean rank."""
    found = [Player(p, g, g.wins) for p in parts for g in p.games if g.wins is not None]
    return sorted(found, key=lambda p: (-p.wins.mean, p.game.rank.mean if p.game.rank else 0.0))


def share(value: float) -> str:
    """A share in per cent, with a decimal where it is small.

    >>> share(0.973), share(0.0033), share(0.0)
    ('97 %', '0.3 %', '0 %')
    """
    return f"{100 * value:.1f} %" if 0 < value < 0.0995 else f"{100 * value:.0f} %"


def sentence(record: Record) -> str:
    """Who named the secret among the candidates, without the activation and with it; empty where nobody played."""
    attacks, floors = players(record.trials), players(record.floors)
    if not attacks or not isinstance(attacks[0].part, Trial):
        return ""
    best, trial = attacks[0], attacks[0].part
    who = sentences.attacker(trial.threat_model, trial.adaptive, record.target.defence, trial.observations)
    between = f"95 % interval {100 * best.wins.low:.0f} to {share(best.wins.high)}"
    text = (
        f"{who} names the secret among {best.game.candidates:,} candidates in {share(best.wins.mean)} of the cases "
        f"({trial.attack}, {JUDGES[best.game.judge]}; {between})"
    )
    if floors and isinstance(floors[0].part, Floor):
        text += f"; {sentences.floor_source(floors[0].part)} names it in {share(floors[0].wins.mean)}"
    return f"{text}, and chance in {share(best.game.chance)}."


def brief(record: Record) -> str:
    """The same in a few words."""
    attacks, floors = players(record.trials), players(record.floors)
    if not attacks or not isinstance(attacks[0].part, Trial):
        return ""
    said = [f"{share(attacks[0].wins.mean)} by {attacks[0].part.attack}"]
    if floors and isinstance(floors[0].part, Floor):
        said.append(f"{share(floors[0].wins.mean)} by {sentences.floor_source(floors[0].part)}")
    game = attacks[0].game
    return f"named among {game.candidates:,}: {', '.join(said)}, {share(game.chance)} by chance"
