"""What is still recognised: the judgements of the strongest attacks between guessing, the floor and the originals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from splitward.record import meaning
from splitward.record.schema import Judge, Record, Trial
from splitward.record.verdict import stronger_floor
from splitward.report import wording
from splitward.report.evidence import Evidence

HEADS = {
    "semantic": ("Class named", "by the judge, of the picture alone"),
    "match": ("Found again", "of all other originals the most alike has the same label"),
    "perceptual": ("Perceptual distance", "in the judge’s features; 0 is the same picture"),
}


@dataclass(frozen=True)
class Head:
    """A column: a judgement, what it asks, and whether its mean is a share of the images."""

    name: str
    title: str
    note: str


@dataclass(frozen=True)
class Cell:
    """A number with what is to be said of it; ``bar`` is its length in per cent of the column's scale."""

    value: float | None
    text: str
    note: str = ""
    bar: float = 0.0
    beyond: bool = False


@dataclass(frozen=True)
class Row:
    """One line: guessing, the floor, an attack or the untouched originals. ``kind``: how its bars are drawn."""

    kind: str
    title: str
    chip: str
    note: str
    cells: list[Cell]


@dataclass(frozen=True)
class Recognised:
    """The table, its sentences, who judged, and what was left out and why."""

    heads: list[Head]
    rows: list[Row]
    sentences: list[str]
    about: str
    left_out: list[str]


def recognised(evidence: Evidence) -> Recognised | None:
    """The section of one record; None where nothing was judged."""
    record = evidence.record
    names = meaning.judgements(record)
    if record.judge is None or not names:
        return None
    heads = [Head(n, *HEADS.get(n, (wording.metric(n, record.scale(n)).title, ""))) for n in names]
    rows = [
        Row("chance", "Guessing", "", "", [_chance(record, n) for n in names]),
        Row("floor", "Without the activation", "", "the best floor", [_floor(evidence, n) for n in names]),
        *(_attack(evidence, trial, names) for trial in _trials(evidence, names)),
        Row("ceiling", "Untouched originals", "", "what the judge can do", [_ceiling(record, n) for n in names]),
    ]
    left_out = [f"{HEADS.get(n, (n,))[0]}: {why}" for n, why in sorted(record.judge.left_out.items())]
    return Recognised(heads, rows, meaning.sentences(record), _about(record.judge), left_out)


def _trials(evidence: Evidence, names: tuple[str, ...]) -> list[Trial]:
    """The strongest attackers of the verdict, and those that come closest in a judgement, each once."""
    kept: list[Trial] = []
    for trial in (*evidence.key_trials, *(meaning.strongest(evidence.record, n) for n in names)):
        if trial is not None and not any(trial is other for other in kept):
            kept.append(trial)
    return sorted(kept, key=lambda t: t.adaptive)


def _attack(evidence: Evidence, trial: Trial, names: tuple[str, ...]) -> Row:
    record = evidence.record
    cells = []
    for name in names:
        estimate, found = evidence.estimate(trial, name), meaning.gain(record, trial, name)
        if estimate is None:
            cells.append(Cell(None, "–"))
            continue
        note = f"{found.words} than the floor" if found else ""
        if found and found.interval:
            note = f"{found.words} ({found.interval})"
        cells.append(_cell(record, name, estimate.mean, note, bool(found and found.beyond)))
    chip = wording.knowledge(trial, evidence.defended)
    return Row(chip or "only", trial.attack, chip, trial.threat_model, cells)


def _floor(evidence: Evidence, name: str) -> Cell:
    observations = evidence.strongest.observations if evidence.strongest else 1
    floor = stronger_floor(evidence.record, name, observations)
    if floor is None:
        return Cell(None, "–")
    note = wording.floor_title(floor.name, floor.released)
    return _cell(evidence.record, name, float(np.mean(floor.per_sample[name])), note)


def _chance(record: Record, name: str) -> Cell:
    chance = record.judge.judgements[name].chance if record.judge else None
    note = "another original" if name == "perceptual" else ""
    return Cell(None, "–") if chance is None else _cell(record, name, chance, note)


def _ceiling(record: Record, name: str) -> Cell:
    ceiling = record.judge.judgements[name].ceiling.mean if record.judge else 0.0
    return _cell(record, name, ceiling)


def _cell(record: Record, name: str, value: float, note: str = "", beyond: bool = False) -> Cell:
    if name in meaning.SHARES:
        return Cell(value, f"{100 * value:.0f} %", note, round(100 * value, 1), beyond)
    chance = record.judge.judgements[name].chance if record.judge else None
    bar = min(100.0, 100 * value / chance) if chance else 0.0
    return Cell(value, wording.metric(name, record.scale(name)).format(value), note, round(max(bar, 0.0), 1), beyond)


def _about(judge: Judge) -> str:
    """Who judged."""
    right = "" if judge.accuracy is None else f"; of {judge.tested_on:,} others it is right on {judge.accuracy:.0%}"
    taught = (
        f"to tell the {judge.told_apart:,} classes"
        if judge.task == "classes"
        else "to tell by which of four rotations a picture was turned, because they carry no labels"
    )
    return (
        f"The judge is a small network of the audit’s own ({judge.parameters:,} parameters), trained on "
        f"{judge.trained_on:,} public images {taught}{right}. It has nothing of the attacked model, and no attacker "
        "holds it."
    ).replace("%", " %")
