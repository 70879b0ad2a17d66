"""What pictures still tell, by the judgements of a record, beyond what is known without the activation. Pure functions.

That a classifier names a reconstruction is no leak where the released label alone does as much. So each judgement is
held against the floor that does best in it, image by image.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from splitward.record.schema import Floor, Record, Trial, Yardstick
from splitward.record.sentences import floor_source
from splitward.record.statistics import paired_difference
from splitward.record.verdict import answers, stronger_floor

ORDER = ("semantic", "match", "perceptual")
"""Our own judgements as they are shown; those of others follow."""

SHARES = {
    "semantic": "the class is still named for",
    "match": "another picture of the same class is found for",
}
"""Judgements of which the mean is a share of the secrets, in words that a count follows."""


@dataclass(frozen=True)
class Gain:
    """How much closer an attack comes than the floor, in one judgement; positive is closer, whatever its direction.

    ``low``, ``high``: paired bootstrap 95 % interval over the secrets (repetitions under other seeds are averaged).
    """

    judgement: str
    floor: Floor
    mean: float
    low: float
    high: float

    @property
    def beyond(self) -> bool:
        """Whether the attack tells more than the floor, beyond the interval."""
        return self.low > 0

    @property
    def words(self) -> str:
        """How much more it is: ``12 points more``, ``0.23 nearer``, ``no more``."""
        if not self.beyond:
            return "no more" if self.judgement in SHARES else "no nearer"
        return f"{100 * self.mean:.0f} points more" if self.judgement in SHARES else f"{self.mean:.2f} nearer"

    @property
    def interval(self) -> str:
        """``4 to 20``, in the unit of ``words``; empty where there is nothing beyond the floor."""
        if not self.beyond:
            return ""
        if self.judgement in SHARES:
            return f"{100 * self.low:.0f} to {100 * self.high:.0f}"
        return f"{self.low:.2f} to {self.high:.2f}"


def judgements(record: Record) -> tuple[str, ...]:
    """Those that were made, our own first."""
    made = record.judge.judgements if record.judge else {}
    return tuple(sorted(made, key=lambda n: (ORDER.index(n) if n in ORDER else len(ORDER), n)))


def gain(record: Record, trial: Trial, judgement: str) -> Gain | None:
    """What ``trial`` tells beyond the stronger floor; None where one of them was not judged."""
    same = trial.attack, trial.threat_model, trial.adaptive, trial.observations
    floor = stronger_floor(record, judgement, trial.observations)
    for answer in answers(record, judgement) if floor else []:
        other = answer.trial
        if floor and (other.attack, other.threat_model, other.adaptive, other.observations) == same:
            mean, low, high = paired_difference(floor.per_sample[judgement], answer.values.mean(axis=1))
            if record.scale(judgement).higher_is_closer:
                return Gain(judgement, floor, mean, low, high)
            return Gain(judgement, floor, -mean, -high, -low)
    return None


def strongest(record: Record, judgement: str) -> Trial | None:
    """The attack that comes closest in a judgement, believable or not: it need not be the one that does so in SSIM."""
    return next((a.trial for a in answers(record, judgement)), None)


def recognises(record: Record, judgement: str) -> bool | None:
    """Whether the judge recognises the untouched originals: more than halfway from chance to always; None for others.

    Asked of shares (``semantic``, ``match``) only: the distance of an original to itself is 0 for every judge.
    """
    yardstick = record.judge.judgements.get(judgement) if record.judge else None
    if yardstick is None or yardstick.chance is None or judgement not in SHARES:
        return None
    return bool(yardstick.ceiling.mean > (1 + yardstick.chance) / 2)


def weak(record: Record, judgement: str) -> str:
    """What to say of a judge that does not recognise the untouched originals."""
    yardstick = _yardstick(record, judgement)
    originals, guessing = _count(yardstick.ceiling.mean, record), _count(yardstick.chance or 0.0, record)
    return (
        f"Of the {record.samples} untouched originals, {SHARES[judgement]} only {originals} (guessing gives "
        f"{guessing}): that it is not of a reconstruction proves nothing."
    )


def sentences(record: Record) -> list[str]:
    """Each judgement in plain words, for the attack that comes closest in it."""
    said = []
    for name in judgements(record):
        trial = strongest(record, name)
        found = gain(record, trial, name) if trial else None
        if trial and found:
            said.append(_sentence(record, trial, found))
    return said


def _sentence(record: Record, trial: Trial, found: Gain) -> str:
    name, source = found.judgement, floor_source(found.floor)
    yardstick, whose = _yardstick(record, name), f"{trial.attack} ({trial.threat_model})"
    mean, floor = (float(np.mean(part.per_sample[name])) for part in (trial, found.floor))
    if name in SHARES:
        guessing, originals = _count(yardstick.chance or 0.0, record), _count(yardstick.ceiling.mean, record)
        text = (
            f"{SHARES[name]} {_count(mean, record)} of {record.samples} pictures from {whose}; {source} gives "
            f"{_count(floor, record)}, guessing {guessing}, the untouched originals {originals}"
        )
    else:
        named = "the perceptual distance" if name == "perceptual" else name
        other = "" if yardstick.chance is None else f", another original {yardstick.chance:.2f}"
        text = f"{named} of the pictures from {whose} to the originals is {mean:.2f}; {source} gives {floor:.2f}{other}"
    interval = f" (95 % {found.interval})" if found.interval else ""
    means = f"That is {found.words} than without the activation{interval}."
    if recognises(record, name) is False and not found.beyond:
        means = "The judge is too weak for that to mean anything."
    return f"{text[:1].upper()}{text[1:]}. {means}"


def _yardstick(record: Record, judgement: str) -> Yardstick:
    assert record.judge is not None
    return record.judge.judgements[judgement]


def _count(share: float, record: Record) -> int:
    return round(share * record.samples)
