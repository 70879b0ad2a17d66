"""What questions to the device are worth: leakage by query budget, for targets that differ in it alone. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from splitward.record import nesting, sentences
from splitward.record.schema import Record, ThreatModel
from splitward.report import figures, wording
from splitward.report.evidence import Evidence
from splitward.report.view import kind_of, range_text, scale_of


@dataclass(frozen=True)
class Cell:
    """What one threat model reaches at one budget."""

    value: float
    text: str
    between: str


@dataclass(frozen=True)
class Row:
    """One budget. ``floor``: where the stronger floor lies, in per cent."""

    title: str
    note: str
    floor: float | None
    marks: list[figures.Mark]
    cells: list[Cell | None]


@dataclass(frozen=True)
class Curve:
    """One target at several budgets, the smallest first."""

    title: str
    defended: bool
    samples: int
    threat_models: list[ThreatModel]
    scale: figures.Scale
    words: wording.MetricWords
    rows: list[Row]


def budget(record: Record) -> float:
    """How often an attacker may ask; infinity for any number."""
    return math.inf if record.query_budget is None else record.query_budget


def curves(evidences: Sequence[Evidence]) -> list[Curve]:
    """A curve for each target that was attacked with several budgets."""
    groups: dict[tuple[str, ...], list[Evidence]] = {}
    for evidence in evidences:
        target = evidence.record.target
        key = (
            target.model.weights_sha256, target.data.name, target.data.public_from, target.cut.name, target.defence,
            evidence.metric, str(sentences.observations(evidence.record)),
        )  # fmt: skip
        groups.setdefault(key, []).append(evidence)
    ordered = [sorted(g, key=lambda e: budget(e.record)) for g in groups.values()]
    return [_curve(g) for g in ordered if len({e.record.query_budget for e in g}) > 1]


def _curve(group: Sequence[Evidence]) -> Curve:
    first, scale = group[0], scale_of(group)
    target = first.record.target
    models = [m for m in nesting.STRENGTH if any(m in nesting.reach(e.record, e.metric) for e in group)]
    defence = wording.defence_title(target.defence) + sentences.seen(first.record)
    return Curve(
        f"{target.model.name} at {target.cut.name}, {defence}",
        first.defended, first.record.samples, models, scale, first.words(), [_row(e, models, scale) for e in group],
    )  # fmt: skip


def _row(evidence: Evidence, models: Sequence[ThreatModel], scale: figures.Scale) -> Row:
    record, words = evidence.record, evidence.words()
    reached = nesting.reach(record, evidence.metric)
    marks: list[figures.Mark] = []
    cells: list[Cell | None] = []
    for model in models:
        trial = reached[model].answer.trial if model in reached else None
        estimate = evidence.estimate(trial)
        if trial is None or estimate is None:
            cells.append(None)
            continue
        text = words.format(estimate.mean)
        hover = f"{model}, {trial.attack}: {words.title} {range_text(estimate, words)}"
        marks.append(figures.mark(scale, estimate, kind_of(trial, evidence), text, hover, not trial.believable))
        cells.append(Cell(estimate.mean, text, f"{words.format(estimate.low)} to {words.format(estimate.high)}"))
    used = max((r.own.trial.queries for r in reached.values() if r.own is not None), default=0)
    floor = evidence.estimate(evidence.floor)
    return Row(
        wording.budget_title(record.query_budget), f"{used:,} used", scale.at(floor.mean) if floor else None, marks,
        cells,
    )  # fmt: skip
