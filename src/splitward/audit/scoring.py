"""Guesses against the truth: every registered metric."""

from __future__ import annotations

from torch import Tensor

from splitward.core.registry import discover
from splitward.record import schema
from splitward.record.statistics import estimate


def measure(guess: Tensor, truth: Tensor) -> tuple[dict[str, schema.Estimate], dict[str, list[float]]]:
    """Every metric of a guess: estimates over samples, and the values per sample."""
    estimates, values = {}, {}
    for name, metric in discover("metric").items():
        scores = metric()(guess, truth).double().cpu().numpy()
        estimates[name] = estimate(scores, metric.higher_is_closer)
        values[name] = [float(v) for v in scores]
    return estimates, values


def foreign_scales() -> dict[str, schema.Scale]:
    """How to read the metrics that the record does not know by itself: other people's plugins."""
    foreign = {name: m for name, m in discover("metric").items() if name not in schema.SCALES}
    return {n: schema.Scale(unit=m.unit, higher_is_closer=m.higher_is_closer) for n, m in foreign.items()}
