"""What pictures still tell, by the judgements of a record, beyond what is known without the activation. Pure functions.

That a classifier names a reconstruction is no leak where the released label alone does as much. So each judgement is
held against the floor that does best in it, image by image.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from splitward.record.schema import Estimate, Floor, Record, Trial
from splitward.record.statistics import paired_difference
from splitward.record.verdict import answers, stronger_floor

ORDER = ("semantic", "match", "perceptual")
"""Our own judgements as they are shown; those of others follow."""


@dataclass(frozen=True)
class Gain:
    """How much closer an attack comes than the floor, in one judgement; positive is closer, whatever its direction.

    ``low``, ``high``: paired bootstrap 95 % interval over the secrets (repetitions under other seeds are averaged).
    """

    floor: Floor
    mean: float
    low: float
    high: float

    @property
    def beyond(self) -> bool:
        """Whether the attack tells more than the floor, beyond the interval."""
        return self.low > 0


def judgements(record: Record) -> tuple[str, ...]:
    """Those that were made, our own first."""
    made = record.judge.judgements if record.judge else {}
    return tuple(sorted(made, key=lambda n: (ORDER.index(n) if n in ORDER else len(ORDER), n)))


def gain(record: Record, trial: Trial, judgement: str) -> Gain | None:
    """What ``trial`` tells beyond the stronger floor; None where one of them was not judged."""
    same = trial.attack, trial.threat_model, trial.adaptive, trial.observations
    for answer in answers(record, judgement):
        other = answer.trial
        if (other.attack, other.threat_model, other.adaptive, other.observations) == same:
            floor = stronger_floor(record, judgement, trial.observations)
            if floor is None:
                return None
            mean, low, high = paired_difference(floor.per_sample[judgement], answer.values.mean(axis=1))
            if record.scale(judgement).higher_is_closer:
                return Gain(floor, mean, low, high)
            return Gain(floor, -mean, -high, -low)
    return None


def recognises(record: Record, judgement: str) -> bool | None:
    """Whether the judge recognises the untouched originals: more than halfway from chance to always; None for others.

    Asked of shares (``semantic``, ``match``) only: the distance of an original to itself is 0 for every judge.
    """
    yardstick = record.judge.judgements.get(judgement) if record.judge else None
    if yardstick is None or yardstick.chance is None or judgement not in ("semantic", "match"):
        return None
    return bool(yardstick.ceiling.mean > (1 + yardstick.chance) / 2)


def share(estimate: Estimate) -> int:
    """A mean of zeros and ones as a count of the samples."""
    return round(estimate.mean * estimate.n)


def mean_of(values: list[float]) -> float:
    """Of the scores of single samples."""
    return float(np.mean(values))
