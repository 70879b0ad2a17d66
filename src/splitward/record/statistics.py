"""Estimates over samples, excess leakage over a floor, and the bootstrap limits that gates use. Pure and free of torch.

Every interval is a percentile bootstrap over samples with a fixed seed (B. Efron and R. J. Tibshirani, *An
Introduction to the Bootstrap*, 1993, chapter 13). Values are sorted first, so the order of the samples changes nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from splitward.core.errors import RecordError
from splitward.record.schema import Estimate

Floats = NDArray[np.float64]

RESAMPLES = 2000
"""Bootstrap resamples: enough that the 2.5 % quantile rests on 50 of them."""

TAIL = 0.025
"""What is cut off on either side: a *limit* is always an end of the two-sided 95 % interval that is shown."""

RECOGNISABLE_SSIM, RECOGNISABLE_PSNR_DB = 0.3, 10.0
"""He, Zhang, Lee (IoTJ 2020, section III): an image is recognisable above either."""

_CHUNK = 1 << 21  # numbers resampled at once: 16 MiB


def estimate(values: ArrayLike, higher_is_closer: bool, seed: int = 0) -> Estimate:
    """Mean of ``values`` (n,), its bootstrap 95 % interval over samples, and the mean of the worst decile.

    Worst is where the guess is closest to the truth. Raises RecordError without samples or for values that are not
    finite.

    >>> e = estimate([0.1, 0.2, 0.9], higher_is_closer=True)
    >>> round(e.mean, 3), e.worst, e.n
    (0.4, 0.9, 3)
    """
    table = _sorted_table(values)
    if table.shape[1] != 1:
        raise RecordError(f"an estimate wants one value per sample, not a table of shape {table.shape}.")
    low, high = interval(table, seed)
    mean = float(table.mean())
    worst = float(worst_decile(table[:, 0], higher_is_closer))
    return Estimate(mean=mean, low=min(low, mean), high=max(high, mean), worst=worst, n=table.shape[0])


def worst_decile(values: ArrayLike, higher_is_closer: bool = True) -> Floats:
    """Mean over the tenth of the samples (rounded up) where the guess is closest: (..., n) to (...).

    >>> float(worst_decile([5.0, 1.0, 3.0]))
    5.0
    """
    array = np.asarray(values, dtype=np.float64)
    n = array.shape[-1]
    k = -(-n // 10)
    part = np.partition(array, n - k if higher_is_closer else k - 1, axis=-1)
    chosen = part[..., n - k :] if higher_is_closer else part[..., :k]
    result: Floats = np.sort(chosen, axis=-1).mean(axis=-1)
    return result


def excess_ssim(attack: ArrayLike, floor: ArrayLike) -> Floats:
    """Per sample: max(0, (attack - floor) / (1 - floor)), in [0, 1]; 0 where the floor is already exact.

    Clamped per sample, so that an image on which the attack fails does not make up for one that it recovers; the mean
    of a worthless attack is therefore a little above 0.

    >>> excess_ssim([0.9, 0.1], [0.8, 0.3]).round(3).tolist()
    [0.5, 0.0]
    """
    a, f = _pair(attack, floor)
    room = 1.0 - f
    gained = np.divide(a - f, room, out=np.zeros_like(a), where=room > 0)
    return np.clip(gained, 0.0, 1.0)


def excess_mse(attack: ArrayLike, floor: ArrayLike) -> Floats:
    """Per sample: max(0, 1 - MSE / MSE of the floor), in [0, 1]; 0 where the floor is already exact.

    >>> excess_mse([0.01, 0.05], [0.04, 0.04]).tolist()
    [0.75, 0.0]
    """
    a, f = _pair(attack, floor)
    ratio = np.divide(a, f, out=np.ones_like(a), where=f > 0)
    return np.clip(1.0 - ratio, 0.0, 1.0)


def interval(values: ArrayLike, seed: int = 0) -> tuple[float, float]:
    """Bootstrap 95 % interval of the mean of ``values``: (n,) samples, or (n, s) samples and attack seeds.

    With several attack seeds both samples and seeds are drawn anew, independently (a crossed design).
    """
    means = _bootstrap(_sorted_table(values), lambda drawn: drawn.mean(axis=1), seed)
    low, high = np.quantile(means, (TAIL, 1 - TAIL))
    return float(low), float(high)


def upper_mean(values: ArrayLike, seed: int = 0) -> float:
    """Upper end of the 95 % interval of the mean of ``values``, (n,) or (n, s); paired when the values are differences.

    ``values`` are per sample already (an excess over the same sample's floor), hence drawing samples keeps the pairs.
    """
    table = _sorted_table(values)
    return max(interval(table, seed)[1], float(table.mean()))


def upper_worst_decile(values: ArrayLike, seed: int = 0) -> float:
    """Upper end of the 95 % interval of the worst decile's mean, (n,) or (n, s); higher is worse.

    With few samples the decile is one of them and the limit their maximum: no bootstrap sees beyond its samples.
    """
    table = _sorted_table(values)
    drawn = _bootstrap(table, worst_decile, seed)
    return max(float(np.quantile(drawn, 1 - TAIL)), float(worst_decile(table.mean(axis=1))))


def paired_difference(first: ArrayLike, second: ArrayLike, seed: int = 0) -> tuple[float, float, float]:
    """Mean of ``second - first`` over the same samples, and its bootstrap 95 % interval: (mean, low, high).

    >>> paired_difference([0.1, 0.2, 0.3], [0.2, 0.3, 0.4])[0].__round__(3)
    0.1
    """
    a, b = _pair(first, second)
    difference = b - a
    return float(np.sort(difference).mean()), *interval(difference, seed)


def unpaired_difference(first: ArrayLike, second: ArrayLike, seed: int = 0) -> tuple[float, float, float]:
    """As paired_difference, over two independent sets of samples, which may differ in number."""
    a, b = _sorted_table(first), _sorted_table(second)
    means = [_bootstrap(t, lambda d: d.mean(axis=1), seed, role) for t, role in ((a, "first"), (b, "second"))]
    low, high = np.quantile(means[1] - means[0], (TAIL, 1 - TAIL))
    return float(b.mean() - a.mean()), float(low), float(high)


def recognisable(per_sample: Mapping[str, Sequence[float]]) -> NDArray[np.bool_]:
    """Per sample: above the paper's threshold, SSIM > 0.3 *or* PSNR > 10 dB. Raises RecordError without either metric.

    By this rule even the mean image of MNIST counts (11.5 dB), so it is never shown without ``recovered``.
    """
    result: NDArray[np.bool_] = np.logical_or.reduce([mark for mark, _ in _thresholds(per_sample)])
    return result


def recovered(
    per_sample: Mapping[str, Sequence[float]], floor: Mapping[str, Sequence[float]] | None = None
) -> NDArray[np.bool_]:
    """Per sample, the stricter count: above *both* thresholds, and closer than the floor's guess in both metrics.

    A metric that is missing (SSIM below 11 pixels) is not asked for; RecordError where both are.
    """
    result: NDArray[np.bool_] = np.logical_and.reduce([mark for mark, _ in _thresholds(per_sample)])
    for _, name in _thresholds(per_sample):
        if floor is not None and name in floor:
            a, f = _pair(per_sample[name], floor[name])
            result = result & (a > f)
    return result


def _thresholds(per_sample: Mapping[str, Sequence[float]]) -> list[tuple[NDArray[np.bool_], str]]:
    limits = {"ssim": RECOGNISABLE_SSIM, "psnr": RECOGNISABLE_PSNR_DB}
    marks = [(np.asarray(per_sample[m], dtype=np.float64) > x, m) for m, x in limits.items() if m in per_sample]
    if not marks:
        raise RecordError("what is recognisable is told by SSIM or PSNR, and neither was measured; score one of them.")
    return marks


def _pair(first: ArrayLike, second: ArrayLike) -> tuple[Floats, Floats]:
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if b.ndim == 1 and a.ndim == 2:
        b = b[:, None]
    if a.shape[:1] != b.shape[:1]:
        raise RecordError(
            f"samples are compared pair by pair, but there are {a.shape[0]} of the one and {b.shape[0]} of the other."
        )
    return a, np.broadcast_to(b, a.shape)


def _sorted_table(values: ArrayLike) -> Floats:
    """(n,) or (n, s) to (n, s) in an order that depends on the values alone. RecordError for anything not finite."""
    table = np.asarray(values, dtype=np.float64)
    table = table[:, None] if table.ndim == 1 else table
    if table.ndim != 2 or not table.size:
        raise RecordError(f"statistics need at least one sample, not values of shape {np.shape(values)}.")
    if not np.isfinite(table).all():
        raise RecordError(f"statistics need finite values, and {int((~np.isfinite(table)).sum())} are not.")
    if table.shape[1] > 1:
        table = table[:, np.lexsort(np.sort(table, axis=0)[::-1])]
    ordered: Floats = table[np.lexsort(table.T[::-1])]
    return ordered


def _bootstrap(table: Floats, statistic: Callable[[Floats], Floats], seed: int, role: str = "bootstrap") -> Floats:
    """``statistic`` (b, n) -> (b,) of RESAMPLES draws of samples (and seeds) with replacement from (n, s)."""
    n, s = table.shape
    rng = _generator(seed, role)
    chunk = max(1, _CHUNK // (n * s))
    parts = []
    for start in range(0, RESAMPLES, chunk):
        b = min(chunk, RESAMPLES - start)
        rows = rng.integers(n, size=(b, n))
        if s == 1:
            drawn = table[rows, 0]
        else:
            columns = rng.integers(s, size=(b, s))
            drawn = table[rows[:, :, None], columns[:, None, :]].mean(axis=2)
        parts.append(statistic(drawn))
    return np.concatenate(parts)


def _generator(seed: int, role: str) -> np.random.Generator:
    """As core.run.derive_seed, without torch: no role can compute another's draws."""
    digest = hashlib.sha256(f"{seed}/record/{role}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "big"))
