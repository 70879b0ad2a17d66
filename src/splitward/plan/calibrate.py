"""A device profile from timings taken on it: a regression for each kind of operation, as in Neurosurgeon.

Per kind either latency is linear in the features or its logarithm is in theirs, whichever predicts better what it was
not fitted to (Kang et al., ASPLOS 2017, section 5.1, choose between the same two).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Literal

import numpy as np
import yaml
from numpy.typing import NDArray

from splitward.core.errors import UsageError
from splitward.plan.costs import Costs, Operation
from splitward.plan.latency import features, predict
from splitward.plan.profiles import Device, Fit

Array = NDArray[np.float64]
Feature = Literal["flops", "input_bytes", "output_bytes", "weight_bytes"]

FEATURES: dict[str, tuple[Feature, ...]] = {
    "convolution": ("flops", "weight_bytes", "output_bytes"),
    "pointwise": ("flops", "weight_bytes", "output_bytes"),
    "depthwise": ("flops", "output_bytes"),
    "linear": ("weight_bytes", "flops"),
    "pooling": ("input_bytes", "output_bytes"),
    "normalisation": ("output_bytes",),
    "activation": ("output_bytes",),
    "other": ("output_bytes",),
}
"""What explains each kind: Neurosurgeon's variables in the units of the cost file."""

FOLDS = 5
FEWEST = 3
"""A kind with fewer distinct timings is described by the mean of its logarithms alone."""


def calibrate(measured: Sequence[Costs], title: str) -> Device:
    """The profile of the device on which these costs were measured. Raises UsageError where there are no timings."""
    samples: dict[str, list[tuple[dict[str, float], float]]] = defaultdict(list)
    for costs in measured:
        if not costs.measured:
            raise UsageError(
                f"the costs of {costs.model} hold no timings; write them on the device by `splitward profile`."
            )
        for operation in costs.operations:
            if operation.kind != "view" and operation.timing:
                samples[operation.kind].append((features(operation, costs), max(operation.timing.median_ms, 1e-6)))
    fits = {kind: fit(FEATURES[kind], *_columns(found)) for kind, found in sorted(samples.items())}
    return Device(
        title=title,
        note="Fitted by splitward calibrate to timings of " + ", ".join(sorted({c.model for c in measured})) + ".",
        role="device",
        fits=fits,
    )


def _columns(found: list[tuple[dict[str, float], float]]) -> tuple[list[dict[str, float]], list[float]]:
    return [f for f, _ in found], [ms for _, ms in found]


def fit(names: tuple[Feature, ...], found: Sequence[dict[str, float]], times: Sequence[float]) -> Fit:
    """The form with the smaller cross-validated error. ``times``: milliseconds, above 0."""
    names = names if len({tuple(f[n] for n in names) for f in found}) > FEWEST + len(names) else names[:1]
    if len({f[names[0]] for f in found}) < FEWEST:
        names = ()
    tried = [_fitted(form, names, found, times) for form in ("linear", "logarithmic")]
    return min(tried, key=lambda f: f.error)


def _fitted(
    form: Literal["linear", "logarithmic"],
    names: tuple[Feature, ...],
    found: Sequence[dict[str, float]],
    times: Sequence[float],
) -> Fit:
    """Fitted to everything, with the error on what each of ``FOLDS`` fits did not see."""
    matrix = np.array([[f[n] for n in names] for f in found], dtype=float).reshape(len(found), len(names))
    target = np.array(times)
    errors = []
    folds = min(FOLDS, len(times))
    for k in range(folds):
        out = np.arange(len(times)) % folds == k
        if out.all():
            continue
        held = Fit(form=form, features=names, coefficients=_solve(form, matrix[~out], target[~out]), error=0, samples=0)
        errors += [abs(predict(held, found[i]) / times[i] - 1) for i in map(int, np.flatnonzero(out))]
    error = float(np.mean(errors)) if errors else 0.0
    return Fit(form=form, features=names, coefficients=_solve(form, matrix, target), error=error, samples=len(times))


def _solve(form: str, matrix: Array, times: Array) -> tuple[float, ...]:
    """Least squares of relative errors (linear) or of logarithms; columns are scaled first."""
    if form == "logarithmic":
        design = np.column_stack([np.ones(len(times)), np.log1p(matrix)])
        found = np.linalg.lstsq(design, np.log(times), rcond=1e-9)[0]
        return tuple(float(v) for v in found)
    design = np.column_stack([np.ones(len(times)), matrix])
    scale = np.abs(design).max(axis=0)
    scale[scale == 0] = 1.0
    return tuple(float(v) for v in _non_negative(design / scale / times[:, None], np.ones(len(times))) / scale)


def _non_negative(design: Array, target: Array) -> Array:
    """Least squares without negative coefficients: a longer operation is never a faster one.

    Coefficients that come out negative are dropped, the most negative first, and the rest is solved again.
    """
    kept = list(range(design.shape[1]))
    while True:
        found = np.linalg.lstsq(design[:, kept], target, rcond=None)[0]
        if (found >= 0).all() or len(kept) == 1:
            whole = np.zeros(design.shape[1])
            whole[kept] = np.maximum(found, 0)
            return whole
        del kept[int(np.argmin(found))]


def errors(profile: Device, costs: Costs) -> dict[str, tuple[float, float]]:
    """Predicted and measured milliseconds of each kind's operations in ``costs``, summed."""
    sums: dict[str, tuple[float, float]] = {}
    for operation in costs.operations:
        if operation.timing and operation.kind in profile.fits:
            predicted, measured = sums.get(operation.kind, (0.0, 0.0))
            more = _predicted(profile, operation, costs)
            sums[operation.kind] = (predicted + more, measured + operation.timing.median_ms)
    return sums


def _predicted(profile: Device, operation: Operation, costs: Costs) -> float:
    value = predict(profile.fits[operation.kind], features(operation, costs))
    return value if math.isfinite(value) else 0.0


def as_yaml(profile: Device) -> str:
    """The profile as a file."""
    data = profile.model_dump(mode="json", exclude_defaults=True) | {"role": profile.role}
    text: str = yaml.safe_dump(data, sort_keys=False, width=118, allow_unicode=True)
    return text
