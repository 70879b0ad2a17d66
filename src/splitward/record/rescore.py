"""Add a metric to a finished record from its stored images, without attacking again. The metric is handed in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from splitward.core.errors import RecordError
from splitward.record.schema import Floor, Record, Scale, Trial, Unlike
from splitward.record.statistics import estimate

Measure = Callable[[NDArray[np.float32], NDArray[np.float32]], NDArray[Any]]
"""(guess, truth), each (N, C, H, W) in [0, 1], to (N,)."""

S = TypeVar("S", Floor, Trial)


def rescore(record: Record, metric: str, measure: Measure, scale: Scale) -> Record:
    """A copy with ``metric`` for every floor and trial that has images; scores of the same name are replaced.

    Secrets unlike the public data are scored too. Verdict and checks stay as they are. Raises RecordError for a
    redacted record, or for a metric that does not give one finite value per sample.
    """
    if record.redacted:
        raise RecordError("the record is redacted: without its images no metric can be added; run the audit again.")
    tensors = record.tensors
    if "secrets" not in tensors:
        raise RecordError("the record holds no images, so no metric can be added; run the audit again.")

    def scored(part: S, truth: NDArray[np.float32]) -> S:
        if part.tensor is None:
            return part
        values = np.asarray(measure(tensors[part.tensor], truth), dtype=np.float64)
        if values.shape != (len(truth),) or not np.isfinite(values).all():
            raise RecordError(
                f"metric {metric!r} gave values of shape {values.shape}, not one finite value for each of "
                f"{len(truth)} samples."
            )
        metrics = {**part.metrics, metric: estimate(values, scale.higher_is_closer)}
        return part.model_copy(update={"metrics": metrics, "per_sample": {**part.per_sample, metric: values.tolist()}})

    def parts(group: Record | Unlike, key: str | None) -> dict[str, object]:
        if key is None:
            return {}
        floors = tuple(scored(f, tensors[key]) for f in group.floors)
        return {"floors": floors, "trials": tuple(scored(t, tensors[key]) for t in group.trials)}

    return record.model_copy(
        update={
            **parts(record, "secrets"),
            "unlike": tuple(u.model_copy(update=parts(u, u.tensor)) for u in record.unlike),
            "scales": record.scales if record.scale(metric) == scale else {**record.scales, metric: scale},
        }
    )
