"""What got better or worse between two records. Pure: records in, rows out.

*Worse* is what a gate stops: the second leaks more to its strongest attacker, beyond the bootstrap interval (paired
where both attack the same secrets), or a verdict that the first had is lost.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from splitward.core.errors import RecordError
from splitward.record import pairs
from splitward.record.schema import Accuracy, Record, Trial
from splitward.record.verdict import Answer, answers

Judgement = Literal["better", "worse", "same", "changed", ""]

VERDICT_ROWS = {
    "excess": "excess, mean",
    "upper": "excess, upper limit",
    "worst_decile": "excess, worst tenth",
    "recovered_strictly_share": "images recovered",
}
"""Field of the verdict -> name of the row."""


@dataclass(frozen=True)
class Row:
    """One line of the comparison; ``change`` is second minus first where both are numbers."""

    name: str
    before: float | str | None
    after: float | str | None
    change: float | None = None
    judgement: Judgement = ""


@dataclass(frozen=True)
class Comparison:
    """Two records compared. ``stale``: a verdict on the first's weights says nothing of the second's."""

    first: str
    second: str
    metric: str | None
    paired: bool
    rows: tuple[Row, ...]
    notes: tuple[str, ...]
    stale: bool
    worse: bool
    sentence: str


def compare(first: Record, second: Record) -> Comparison:
    """Everything that differs between two records, and whether the second is worse."""
    metric = pairs.shared_metric(first, second)
    gap = pairs.leakage_difference(first, second)
    lost = first.verdict is not None and second.verdict is None
    return Comparison(
        first=describe(first),
        second=describe(second),
        metric=metric,
        paired=pairs.same_secrets(first, second),
        rows=(
            *_leakage_rows(first, second, metric, gap),
            *_accuracy_rows(first.target.accuracy, second.target.accuracy),
            *_floor_rows(first, second, metric),
            *_attack_rows(first, second, metric),
            *_setting_rows(first, second),
        ),
        notes=tuple(_notes(first, second, gap)),
        stale=_weights(first) != _weights(second),
        worse=lost or (gap is not None and gap.leaks_more),
        sentence=_sentence(gap, lost, second),
    )


def match(first: Sequence[Record], second: Sequence[Record]) -> list[tuple[Record, Record]]:
    """The pairs to compare: one run with one run whatever they are, the runs of sweeps by model, data, cut and defence.

    Raises RecordError where the sweeps do not hold the same targets, or hold one twice.
    """
    if len(first) == len(second) == 1:
        return [(first[0], second[0])]
    left, right = ({describe(r): r for r in records} for records in (first, second))
    for side, records in ((left, first), (right, second)):
        if len(side) != len(records):
            raise RecordError("a sweep holds one target twice, so its runs cannot be told apart; compare single runs.")
    if missing := sorted(left.keys() ^ right.keys()):
        where = "second" if missing[0] in left else "first"
        raise RecordError(f"the {where} sweep has no run of {missing[0]}; compare sweeps of the same targets.")
    return [(left[name], right[name]) for name in left]


def describe(record: Record) -> str:
    """A target in a few words.

    For example "lenet5 on mnist at ReLU2, dropout:0.6".
    """
    target = record.target
    budget = "" if record.query_budget is None else f", {record.query_budget:,} queries"
    return f"{target.model.name} on {target.data.name} at {target.cut.name}, {target.defence}{budget}"


def _judged(gap: pairs.Difference) -> Judgement:
    return "worse" if gap.leaks_more else "better" if gap.leaks_less else "same"


def _leakage_rows(first: Record, second: Record, metric: str | None, gap: pairs.Difference | None) -> list[Row]:
    rows = [Row("verdict", _finding(first), _finding(second), None, _kept(first, second))]
    if metric is not None and gap is not None:
        x, y = pairs.strongest(first, metric), pairs.strongest(second, metric)
        if x is not None and y is not None:
            rows.append(Row("strongest attack", _attacker(x.trial), _attacker(y.trial)))
            rows.append(Row(f"leakage, {metric}", x.mean, y.mean, y.mean - x.mean, _judged(gap)))
    a, b = first.verdict, second.verdict
    for field, name in VERDICT_ROWS.items():
        before, after = getattr(a, field, None), getattr(b, field, None)
        if before is not None or after is not None:
            rows.append(Row(name, before, after, _minus(after, before)))
    return rows


def _accuracy_rows(first: Accuracy | None, second: Accuracy | None) -> list[Row]:
    if first is None or second is None:
        return []
    a, b = first.defended, second.defended
    error = math.sqrt(sum(p * (1 - p) / max(n, 1) for p, n in ((a, first.n), (b, second.n))))
    beyond = abs(b - a) > 1.96 * error  # a normal interval of the difference of two shares
    judgement: Judgement = "same" if not beyond else "better" if b > a else "worse"
    return [Row("accuracy, defended", a, b, b - a, judgement)]


def _floor_rows(first: Record, second: Record, metric: str | None) -> list[Row]:
    if metric is None:
        return []
    left, right = ({f.name: f.metrics[metric].mean for f in r.floors if metric in f.metrics} for r in (first, second))
    return [
        Row(f"floor {name}", left.get(name), right.get(name), _minus(right.get(name), left.get(name)))
        for name in dict.fromkeys([*left, *right])
    ]


def _attack_rows(first: Record, second: Record, metric: str | None) -> list[Row]:
    rows = []
    left, right = _by_attacker(first, metric), _by_attacker(second, metric)
    for name in dict.fromkeys([*left, *right]):
        (t, x), (u, y) = left.get(name, (None, None)), right.get(name, (None, None))
        if x is not None and y is not None:
            gap = pairs.difference((first, x), (second, y))
            rows.append(Row(name, x.mean, y.mean, y.mean - x.mean, _judged(gap)))
        else:
            rows.append(Row(name, x.mean if x else _status(t), y.mean if y else _status(u)))
        if t is not None and u is not None and t.believable != u.believable:
            told = ["yes" if trial.believable else "no" for trial in (t, u)]
            rows.append(Row(f"{name}: believable", told[0], told[1], None, "better" if u.believable else "worse"))
    return rows


def _by_attacker(record: Record, metric: str | None) -> dict[str, tuple[Trial | None, Answer | None]]:
    scored = {_attacker(a.trial): a for a in (answers(record, metric) if metric else [])}
    return {_attacker(t): (t, scored.get(_attacker(t))) for t in record.trials}


def _setting_rows(first: Record, second: Record) -> list[Row]:
    """What was audited and how, as far as it differs."""

    def settings(record: Record) -> dict[str, str]:
        target = record.target
        return {
            "model": target.model.name,
            "weights": target.model.weights_sha256[:12],
            "data": target.data.name,
            "cut": target.cut.name,
            "defence": target.defence,
            "quantisation": target.quantisation,
            "secrets": str(record.samples),
            "public images": str(target.data.public),
            "public images from": target.data.public_from,
            "query budget": "any" if record.query_budget is None else str(record.query_budget),
            "effort": record.effort,
            "seed": str(record.seed),
            "splitward": record.environment.splitward,
        }

    a, b = settings(first), settings(second)
    return [Row(name, a[name], b[name], None, "changed") for name in a if a[name] != b[name]]


def _notes(first: Record, second: Record, gap: pairs.Difference | None) -> list[str]:
    notes = []
    if _weights(first) != _weights(second):
        notes.append("The weights differ: the first verdict is stale for the second's model.")
    if gap is None:
        notes.append("The two have no measure of leakage in common, so their leakage is not compared.")
    elif not gap.paired:
        notes.append("The secrets differ, so the intervals are those of two independent samples, and wider.")
    missing = sorted({_attacker(t) for t in first.trials if t.status == "ok"} - {_attacker(t) for t in second.trials})
    if missing:
        notes.append(f"The second was not attacked by {', '.join(missing)}: less leakage may be a weaker suite.")
    if first.effort != second.effort:
        notes.append(f"The efforts differ ({first.effort}, {second.effort}): so may the leakage that is found.")
    return notes


def _sentence(gap: pairs.Difference | None, lost: bool, second: Record) -> str:
    text = "The leakage of the two cannot be compared."
    if gap is not None:
        size = f"{gap.mean:+.3f}, 95 % {gap.low:+.3f} to {gap.high:+.3f}"
        said = {"worse": "leaks more", "better": "leaks less", "same": "leaks the same within the interval"}
        text = f"The second {said[_judged(gap)]} ({size}, positive is closer to the secrets)."
    return f"{text} It has lost its verdict: {second.no_verdict}" if lost else text


def _finding(record: Record) -> str:
    return "none" if record.verdict is None else record.verdict.finding.replace("-", " ")


def _kept(first: Record, second: Record) -> Judgement:
    if (first.verdict is None) == (second.verdict is None):
        return ""
    return "worse" if second.verdict is None else "better"


def _attacker(trial: Trial) -> str:
    draws = f", {trial.observations} draws" if trial.observations > 1 else ""
    return f"{trial.attack}, {'adaptive' if trial.adaptive else 'naive'}{draws}"


def _status(trial: Trial | None) -> str | None:
    return None if trial is None else trial.status if trial.status != "ok" else "not scored"


def _minus(after: float | None, before: float | None) -> float | None:
    return None if after is None or before is None else after - before


def _weights(record: Record) -> tuple[str, str]:
    return record.target.model.weights_sha256, record.target.quantisation
