"""Picture grids: originals first, then what is guessed without the activation, then what each attack recovers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from splitward.record.schema import Floor, Trial
from splitward.report import pictures, wording
from splitward.report.evidence import Evidence

COLUMNS = 10
"""Samples shown where there is room for them."""

CELLS = 1500
"""Pictures on one page at most: a sweep of many targets shows fewer samples of each."""

FEWEST = 4

BRIEFLY = 6
"""A sweep of more targets shows only the last of each target's key attackers, the one that knows its defence."""

WIDTH = 84
"""CSS pixels that a picture aims at; it is enlarged by a whole factor, so that every pixel stays square."""

THUMBNAIL = 56
"""The same, for the small pictures of the overview."""

THREAT_MODELS = ("white-box", "black-box", "query-free")


@dataclass(frozen=True)
class Cell:
    """One picture: its data URI, the caption under it, its alternative text and the text on hover."""

    uri: str
    caption: str
    alt: str
    hover: str


@dataclass(frozen=True)
class Row:
    """One row of pictures. ``chip``: naive, adaptive or nothing."""

    title: str
    chip: str
    note: str
    cells: list[Cell]


@dataclass(frozen=True)
class Group:
    """Rows under one heading."""

    title: str
    rows: list[Row]


@dataclass(frozen=True)
class Head:
    """A column: the rank of its sample (1: best recovered), its index among the secrets and its label."""

    rank: int
    sample: int
    label: str


@dataclass(frozen=True)
class Grid:
    """A grid of pictures, and in words how its samples were picked. ``width``, ``small``: CSS pixels of a picture."""

    heads: list[Head]
    groups: list[Group]
    picked: str
    width: int
    small: int


@dataclass(frozen=True)
class Thumbnails:
    """A few originals, and the same as each target's strongest attack recovered them."""

    originals: Row
    rows: list[Row]
    picked: str
    width: int


def columns_for(rows: int) -> int:
    """How many samples a page with ``rows`` rows of pictures can afford."""
    return max(FEWEST, min(COLUMNS, CELLS // max(rows, 1)))


def rows_of(evidence: Evidence) -> int:
    """Rows of pictures that a record's own grid has."""
    return 1 + sum(item.tensor in evidence.pictures for item in evidence.record.scored)


def target_grid(evidence: Evidence, columns: int) -> Grid | None:
    """Everything that one record recovered; None without pictures or without a score to rank them by."""
    if evidence.scores is None or "secrets" not in evidence.pictures:
        return None
    order = _order(evidence.scores, evidence)
    ranks = pictures.shown_ranks(len(order), columns)
    painter = _Painter(evidence, [int(order[r]) for r in ranks])
    groups = [
        Group("What the device saw", [painter.originals()]),
        Group("Guessed without the activation", [painter.row(f, *_floor_words(f)) for f in evidence.floors]),
    ]
    for threat in THREAT_MODELS:
        trials = [t for t in evidence.record.trials if t.threat_model == threat and not t.repetition]
        trials.sort(key=lambda t: (t.attack, t.observations, t.adaptive))
        groups.append(Group(f"Recovered: {threat}", [painter.row(t, *_trial_words(t, evidence)) for t in trials]))
    return _grid(painter.heads(ranks), groups, _picked(ranks, len(order), "the strongest attack"), evidence)


def glance(evidence: Evidence, columns: int = 4) -> Grid | None:
    """A few typical pictures for the top of the page: evenly spaced in the ranking, neither the best nor the worst."""
    if evidence.scores is None or "secrets" not in evidence.pictures:
        return None
    order = _order(evidence.scores, evidence)
    ranks = _typical(len(order), columns)
    painter = _Painter(evidence, [int(order[r]) for r in ranks])
    rows = [painter.originals(), *_key_rows(painter, evidence)]
    picked = f"Typical cases: the images ranked {_listed(ranks)} of {len(order)} by how well they came back."
    return _grid(painter.heads(ranks), [Group("", rows)], picked, evidence)


def sweep_grid(evidences: Sequence[Evidence], columns: int = COLUMNS) -> Grid | None:
    """The strongest attackers of every target side by side, on the same samples; None where the secrets differ."""
    first, order = evidences[0], _common_order(evidences)
    if order is None:
        return None
    ranks = pictures.shown_ranks(len(order), columns)
    samples = [int(order[r]) for r in ranks]
    top = _Painter(first, samples)
    groups = [Group("What the device saw", [top.originals()])]
    if first.floor is not None:
        groups.append(Group("Guessed without the activation", [top.row(first.floor, *_floor_words(first.floor))]))
    for evidence in evidences:
        target = evidence.record.target
        title = f"{wording.defence_title(target.defence)}, cut at {target.cut.name}"
        painter = _Painter(evidence, samples)
        rows = [painter.row(t, *_trial_words(t, evidence)) for t in evidence.key_trials]
        groups.append(Group(title[0].upper() + title[1:], rows[-1:] if len(evidences) > BRIEFLY else rows))
    return _grid(top.heads(ranks), groups, _picked(ranks, len(order), "the strongest attacks on all targets"), first)


def thumbnails(evidences: Sequence[Evidence], columns: int = 3) -> Thumbnails | None:
    """A few typical samples for the overview, recovered from each target; None where the secrets differ."""
    order = _common_order(evidences)
    if order is None:
        return None
    ranks = _typical(len(order), columns)
    samples = [int(order[r]) for r in ranks]
    painters = [_Painter(e, samples) for e in evidences]
    rows = [
        p.row(e.strongest, *_trial_words(e.strongest, e))
        for p, e in zip(painters, evidences, strict=True)
        if e.strongest
    ]
    side = pictures.shrink(evidences[0].pictures["secrets"][0]).shape[2]
    small = side * max(1, round(THUMBNAIL / side))
    return Thumbnails(painters[0].originals(), rows, f"Typical cases: ranks {_listed(ranks)} of {len(order)}.", small)


def _common_order(evidences: Sequence[Evidence]) -> NDArray[np.intp] | None:
    """The ranking of the secrets that all records share, by the mean score of their strongest attacks."""
    first, scored = evidences[0], [e.scores for e in evidences if e.scores is not None]
    secrets = first.pictures.get("secrets")
    if secrets is None or len(scored) < len(evidences) or len({e.metric for e in evidences}) > 1:
        return None
    if any(not np.array_equal(secrets, e.pictures.get("secrets", 0)) for e in evidences):
        return None
    return _order(np.mean(scored, axis=0), first)


def _typical(samples: int, columns: int) -> list[int]:
    """Ranks evenly spaced, neither the best nor the worst.

    >>> _typical(100, 4)
    [12, 37, 62, 87]
    """
    return sorted({int((i + 0.5) * samples / columns) for i in range(columns)})


def _key_rows(painter: _Painter, evidence: Evidence) -> list[Row]:
    """The stronger floor, then the strongest naive and the strongest adaptive attacker."""
    rows = [painter.row(evidence.floor, *_floor_words(evidence.floor))] if evidence.floor else []
    rows += [painter.row(t, *_trial_words(t, evidence)) for t in evidence.key_trials]
    return rows


@dataclass(frozen=True)
class _Painter:
    """Turns the chosen samples of one record into rows."""

    evidence: Evidence
    samples: list[int]

    def heads(self, ranks: Sequence[int]) -> list[Head]:
        labels = self.evidence.pictures.get("labels")
        return [
            Head(rank + 1, sample, "" if labels is None else str(int(labels[sample])))
            for rank, sample in zip(ranks, self.samples, strict=True)
        ]

    def originals(self) -> Row:
        secrets = self.evidence.pictures["secrets"]
        cells = [Cell(pictures.data_uri(secrets[s]), "", f"original {s}", f"secret {s}") for s in self.samples]
        return Row("Original", "", "never leaves the device", cells)

    def row(self, item: Floor | Trial, title: str, chip: str) -> Row:
        guesses = self.evidence.pictures.get(item.tensor or "")
        cells = [] if guesses is None else [self._cell(guesses[s], item, s) for s in self.samples]
        estimate = self.evidence.estimate(item)
        words = self.evidence.words()
        note = f"{words.title} {words.format(estimate.mean)}" if estimate else ""
        return Row(title, chip, note, cells)

    def _cell(self, guess: NDArray[np.floating], item: Floor | Trial, sample: int) -> Cell:
        parts = []
        for name in dict.fromkeys((self.evidence.metric, "ssim", "psnr")):
            scores = item.per_sample.get(name)
            if scores:
                words = self.evidence.words(name)
                parts.append((words, f"{words.format(scores[sample])} {words.unit}".strip()))
        caption = parts[0][1] if parts else ""
        hover = ", ".join([f"secret {sample}", *(f"{w.title} {text}" for w, text in parts)])
        return Cell(pictures.data_uri(guess), caption, f"{parts[0][0].title} {caption}" if parts else "guess", hover)


def _grid(heads: list[Head], groups: list[Group], picked: str, evidence: Evidence) -> Grid:
    kept = [Group(g.title, [r for r in g.rows if r.cells]) for g in groups]
    side = pictures.shrink(evidence.pictures["secrets"][0]).shape[2]
    factor = max(1, round(WIDTH / side))
    small = side * max(1, round(0.7 * factor))
    return Grid(heads, [g for g in kept if g.rows], picked, side * factor, min(small, side * factor))


def _order(scores: NDArray[np.floating], evidence: Evidence) -> NDArray[np.intp]:
    return pictures.ranked(scores, evidence.words().higher_is_closer)


def _picked(ranks: Sequence[int], samples: int, by: str) -> str:
    if len(ranks) == samples:
        return f"All {samples} images, ranked by how well {by} recovered them, the worst case first."
    worst = min(pictures.WORST_SHOWN, len(ranks))
    return (
        f"{len(ranks)} of {samples} images, ranked by how well {by} recovered them. The first {worst} are the worst "
        f"cases; the others are evenly spaced in the ranking, down to the one that came back least."
    )


def _listed(ranks: Sequence[int]) -> str:
    texts = [str(r + 1) for r in ranks]
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} and {texts[-1]}"


def _floor_words(floor: Floor) -> tuple[str, str]:
    title = wording.floor_title(floor.name, floor.released)
    return title[0].upper() + title[1:], ""


def _trial_words(trial: Trial, evidence: Evidence) -> tuple[str, str]:
    title = trial.attack + (f", {trial.observations} observations" if trial.observations > 1 else "")
    return title, wording.knowledge(trial, evidence.defended)
