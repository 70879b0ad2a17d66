"""Gates: limits that a record keeps or breaks. Pure functions; without a verdict nothing about leakage is kept."""

from __future__ import annotations

from dataclasses import dataclass

from splitward.record.schema import Record
from splitward.record.sentences import listing
from splitward.record.statistics import upper_mean
from splitward.record.verdict import answers


@dataclass(frozen=True)
class GateResult:
    """One limit, the value that was held against it (None: there is none, and the gate is broken), and why."""

    name: str
    limit: float
    value: float | None
    kept: bool
    sentence: str


def gate(
    record: Record,
    max_ssim: float | None = None,
    max_excess: float | None = None,
    min_accuracy: float | None = None,
) -> list[GateResult]:
    """The gates that were set (not None), in this order, each kept or broken.

    ``max_ssim`` holds against the highest upper 95 % limit of any attack's mean SSIM, ``max_excess`` against the larger
    of the upper limits of the mean excess and of the worst decile's, ``min_accuracy`` against the measured accuracy of
    the defended model. A leakage gate is broken without a verdict, where the excess is undefined, and where, on a
    defended target, a threat model has no believable attack that knows of the defence.
    """
    results = []
    if max_ssim is not None:
        results.append(_leakage("max-ssim", max_ssim, _upper_ssim(record), record, "the upper limit of the mean SSIM"))
    if max_excess is not None:
        results.append(_leakage("max-excess", max_excess, _upper_excess(record), record, "the excess leakage"))
    if min_accuracy is not None:
        results.append(_accuracy(min_accuracy, record))
    return results


def _leakage(name: str, limit: float, value: float | None, record: Record, what: str) -> GateResult:
    if record.verdict is None:
        return GateResult(name, limit, value, False, f"--{name} is not kept: there is no verdict.")
    if value is None:
        why = "the floor is too close to the secrets" if name == "max-excess" else "SSIM was not measured"
        return GateResult(name, limit, None, False, f"--{name} is not kept: {what} is undefined, because {why}.")
    if record.verdict.naive_only:
        lacking = listing(record.verdict.naive_only)
        text = f"--{name} is not kept: no believable {lacking} attack knew of the defence."
        return GateResult(name, limit, value, False, text)
    kept = value <= limit
    text = f"{what} is {value:.3f}, {'within' if kept else 'above'} the limit of {limit:g}"
    return GateResult(name, limit, value, kept, f"--{name} is {'kept' if kept else 'broken'}: {text}.")


def _accuracy(limit: float, record: Record) -> GateResult:
    measured = record.target.accuracy
    if measured is None:
        text = "--min-accuracy is not kept: the task's accuracy was not measured."
        return GateResult("min-accuracy", limit, None, False, text)
    kept = measured.defended >= limit
    text = f"the accuracy is {measured.defended:.4f}, {'at or above' if kept else 'below'} the limit of {limit:g}"
    state = "kept" if kept else "broken"
    return GateResult("min-accuracy", limit, measured.defended, kept, f"--min-accuracy is {state}: {text}.")


def _upper_ssim(record: Record) -> float | None:
    return max((upper_mean(a.values) for a in answers(record, "ssim")), default=None)


def _upper_excess(record: Record) -> float | None:
    found = record.verdict
    if found is None or found.upper is None or found.worst_decile is None:
        return None
    return max(found.upper, found.worst_decile)
