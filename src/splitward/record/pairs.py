"""Two records side by side: do they attack the same secrets, and does the second leak more?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from splitward.record.schema import Floor, Record
from splitward.record.statistics import paired_difference, unpaired_difference
from splitward.record.verdict import Answer, answers, metric_of


@dataclass(frozen=True)
class Difference:
    """Second minus first, turned so that positive means *closer to the secrets*, with its bootstrap 95 % interval."""

    mean: float
    low: float
    high: float
    paired: bool

    @property
    def leaks_more(self) -> bool:
        """Beyond the interval."""
        return self.low > 0

    @property
    def leaks_less(self) -> bool:
        """Beyond the interval."""
        return self.high < 0


def same_secrets(first: Record, second: Record) -> bool:
    """Whether the two records attack the same images in the same order; works for redacted records too.

    A prior floor sees neither the model nor the activation: its scores, sample by sample, are a fingerprint of the
    secrets (and of the public images).
    """
    if first.samples != second.samples or first.target.input != second.target.input:
        return False
    prints = [
        (f.per_sample[metric], g.per_sample[metric])
        for f in first.floors
        for g in second.floors
        if _prior(f) and _prior(g) and f.name == g.name
        for metric in ("mse", "psnr", "ssim")
        if metric in f.per_sample and metric in g.per_sample
    ]
    return bool(prints) and all(len(a) == len(b) and np.allclose(a, b, rtol=0, atol=1e-4) for a, b in prints)


def shared_metric(first: Record, second: Record) -> str | None:
    """The metric in which both records measure leakage; None where there is none."""
    metrics = {metric_of(first), metric_of(second)}
    return metrics.pop() if len(metrics) == 1 else None


def strongest(record: Record, metric: str) -> Answer | None:
    """The strongest attacker that gave an answer, believable or not."""
    return next(iter(answers(record, metric)), None)


def difference(first: tuple[Record, Answer], second: tuple[Record, Answer]) -> Difference:
    """How much closer the second answer comes to the secrets than the first: paired over the same secrets."""
    (a, x), (b, y) = first, second
    paired = same_secrets(a, b)
    compare = paired_difference if paired else unpaired_difference
    mean, low, high = compare(x.values.mean(axis=1), y.values.mean(axis=1))
    if a.scale(x.metric).higher_is_closer:
        return Difference(mean, low, high, paired)
    return Difference(-mean, -high, -low, paired)


def leakage_difference(first: Record, second: Record) -> Difference | None:
    """How much more the second record leaks to its strongest attacker; None where the two cannot be compared."""
    metric = shared_metric(first, second)
    if metric is None:
        return None
    x, y = strongest(first, metric), strongest(second, metric)
    return None if x is None or y is None else difference((first, x), (second, y))


def _prior(floor: Floor) -> bool:
    return floor.kind == "prior"
