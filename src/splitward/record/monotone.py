"""What must not fall where an attacker is given more, as comparisons of attacks. Pure functions from records.

*Knowledge*: white-box is never weaker than black-box, black-box never weaker than query-free. *Adaptive*: an attack is
never weaker for knowing the defence. *Observations*: more draws of a secret never leak less. *Queries*: nor do more
questions to the device. *Depth*: an undefended cut never leaks less than a deeper one, which its cloud half computes
from it (data processing inequality).

Knowledge and adaptive compare attacks with attacks, each threat model's own: a violation is an attack to be
strengthened. Observations, queries and depth compare what threat models reach (``record.nesting``).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from splitward.record import pairs
from splitward.record.nesting import STRENGTH, reach
from splitward.record.schema import Record, ThreatModel, Trial
from splitward.record.verdict import Answer, answers, metric_of

Rule = Literal["knowledge", "adaptive", "observations", "queries", "depth"]


@dataclass(frozen=True)
class Side:
    """One attacker of a comparison: its record, its answers, and as whose they count."""

    record: Record
    answer: Answer
    threat_model: ThreatModel


@dataclass(frozen=True)
class Ordering:
    """Two attackers of whom the second is given more, and how much closer it came to the secrets."""

    rule: Rule
    weaker: Side
    stronger: Side
    gap: pairs.Difference

    @property
    def holds(self) -> bool:
        """Not violated beyond the interval."""
        return not self.gap.leaks_less


def orderings(records: Iterable[Record]) -> list[Ordering]:
    """Every comparison that the records allow: within each, then between records of one model and data set."""
    known = [r for r in records if metric_of(r) is not None]
    within = itertools.chain.from_iterable((*knowledge(r), *adaptive(r)) for r in known)
    return [*within, *observations(known), *queries(known), *depth(known)]


def knowledge(record: Record) -> Iterator[Ordering]:
    """The best attack of each threat model against the best of each weaker one."""
    found = _answers(record)
    best = {m: next((a for a in found if a.trial.threat_model == m), None) for m in STRENGTH}
    for strong, weak in itertools.combinations(STRENGTH, 2):
        s, w = best[strong], best[weak]
        if s is not None and w is not None:
            yield _compared("knowledge", Side(record, w, weak), Side(record, s, strong))


def adaptive(record: Record) -> Iterator[Ordering]:
    """Each attack that knows the defence against itself without that knowledge."""
    found = _answers(record)
    naive = {_attack(a.trial): a for a in found if not a.trial.adaptive}
    for answer in found:
        unaware = naive.get(_attack(answer.trial))
        if answer.trial.adaptive and unaware is not None:
            model = answer.trial.threat_model
            yield _compared("adaptive", Side(record, unaware, model), Side(record, answer, model))


def observations(records: Sequence[Record]) -> Iterator[Ordering]:
    """What each threat model reaches with more draws of each secret against fewer, on one target."""
    for group in _grouped(records, lambda r: (*_target(r), str(r.query_budget))):
        draws = sorted(((k, r) for r in group for k in _counts(r)), key=lambda pair: pair[0])
        for (few, first), (many, second) in itertools.combinations(draws, 2):
            if few < many:
                yield from _reaches("observations", (first, few), (second, many))


def queries(records: Sequence[Record]) -> Iterator[Ordering]:
    """What each threat model that may ask reaches with a larger query budget against a smaller one, on one target."""
    for group in _grouped(records, _target):
        ordered = sorted(group, key=_budget)
        for fewer, more in itertools.combinations(ordered, 2):
            for k in _counts(fewer) & _counts(more) if _budget(fewer) < _budget(more) else ():
                found = _reaches("queries", (fewer, k), (more, k))
                yield from (o for o in found if o.stronger.threat_model != "query-free")


def depth(records: Sequence[Record]) -> Iterator[Ordering]:
    """What each threat model reaches at a shallower cut against every deeper one, without a defence."""
    bare = [r for r in records if r.target.defence == "none"]
    for group in _grouped(bare, lambda r: (*_identity(r), str(r.query_budget))):
        ordered = sorted(group, key=lambda r: r.target.cut.index)
        for shallow, deep in itertools.combinations(ordered, 2):
            for k in _counts(shallow) & _counts(deep) if shallow.target.cut != deep.target.cut else ():
                yield from _reaches("depth", (deep, k), (shallow, k))


def _reaches(rule: Rule, weaker: tuple[Record, int], stronger: tuple[Record, int]) -> Iterator[Ordering]:
    metric = pairs.shared_metric(weaker[0], stronger[0])
    if metric is None:
        return
    (a, few), (b, many) = weaker, stronger
    less, more = reach(a, metric, few), reach(b, metric, many)
    for model in STRENGTH:
        if model in less and model in more:
            yield _compared(rule, Side(a, less[model].answer, model), Side(b, more[model].answer, model))


def _compared(rule: Rule, weaker: Side, stronger: Side) -> Ordering:
    gap = pairs.difference((weaker.record, weaker.answer), (stronger.record, stronger.answer))
    return Ordering(rule, weaker, stronger, gap)


def _answers(record: Record) -> list[Answer]:
    metric = metric_of(record)
    return answers(record, metric) if metric else []


def _attack(trial: Trial) -> tuple[str, ThreatModel, int]:
    return trial.attack, trial.threat_model, trial.observations


def _counts(record: Record) -> set[int]:
    return {a.trial.observations for a in _answers(record)}


def _identity(record: Record) -> tuple[str, ...]:
    target, held = record.target, record.target.data
    return (
        target.model.weights_sha256, held.name, str(held.public), held.public_from, target.quantisation, record.effort,
    )  # fmt: skip


def _target(record: Record) -> tuple[str, ...]:
    return *_identity(record), record.target.cut.name, record.target.defence


def _budget(record: Record) -> float:
    return math.inf if record.query_budget is None else record.query_budget


def _grouped(records: Sequence[Record], key: Callable[[Record], tuple[str, ...]]) -> list[list[Record]]:
    groups: dict[tuple[str, ...], list[Record]] = {}
    for record in records:
        groups.setdefault(key(record), []).append(record)
    return list(groups.values())
