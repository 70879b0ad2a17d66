"""Several targets on one page: the overview of all of them, and usability against privacy. Pure functions."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from splitward.record import sentences
from splitward.record.schema import Trial
from splitward.report import figures, queries, wording
from splitward.report.evidence import Evidence
from splitward.report.view import TargetView, mark_of, scale_of

LABEL_GAP, LETTER = 5.5, 2.4
"""Per cent of a panel's height that a label needs, and of its width that a letter needs (on a phone)."""


@dataclass(frozen=True)
class Point:
    """One target in a panel, in per cent from the left and from the top.

    ``label``: empty where there is no room. ``label_y``: where it found room.
    """

    anchor: str
    label: str
    hover: str
    x: float
    naive: float | None
    adaptive: float | None
    kind: str
    label_y: float = 0.0

    @property
    def y(self) -> float:
        """Where the label belongs."""
        return self.adaptive if self.adaptive is not None else self.naive or 0.0

    @property
    def right(self) -> bool:
        """Whether the label stands to the right of the point: near the left edge."""
        return self.x < 35


@dataclass(frozen=True)
class Segment:
    """A line between two levels of one kind of defence."""

    x1: float
    y1: float
    x2: float
    y2: float
    kind: str


@dataclass(frozen=True)
class Band:
    """A floor across a panel: one line, or the range over the targets. No label: it stands with the line above."""

    label: str
    top: float
    height: float


@dataclass(frozen=True)
class Panel:
    """Accuracy (x, per cent) against leakage (y) for one model and cut."""

    title: str
    x: figures.Scale
    y: figures.Scale
    words: wording.MetricWords
    points: list[Point]
    segments: list[Segment]
    bands: list[Band]


def ordered(evidences: Sequence[Evidence]) -> list[Evidence]:
    """By model, data and depth of the cut; no defence first, then by kind and level."""

    def key(evidence: Evidence) -> tuple[str, str, int, bool, str, list[float], float, int, str]:
        target = evidence.record.target
        defence = target.defence
        return (
            target.model.name, target.data.name, target.cut.index,
            wording.defended(evidence.record), family(defence), _levels(defence), queries.budget(evidence.record),
            sentences.observations(evidence.record), evidence.folder,
        )  # fmt: skip

    return sorted(evidences, key=key)


def family(defence: str) -> str:
    """A defence without its levels.

    >>> family("dropout:0.6+gaussian:0.5@input")
    'dropout+gaussian@input'
    """
    return re.sub(r":[^@+]*", "", defence)


def _levels(defence: str) -> list[float]:
    return [float(text) for text in re.findall(r":([0-9.eE+-]*[0-9])(?=[@+]|$)", defence)]


def panels(views: Sequence[TargetView]) -> list[Panel]:
    """One panel for each model, data set, cut and kind of defence, where two targets at least can be compared.

    Kinds of which a single level was run share one. The undefended target stands in every panel, and all the panels of
    one cut have the same axes.
    """
    groups: dict[tuple[str, str, str, str], list[TargetView]] = {}
    for view in views:
        target = view.record.target
        if target.accuracy and view.evidence.usable:
            where = f"{view.where}{sentences.seen(view.record)}"
            key = (target.model.name, target.data.name, where, view.evidence.metric)
            groups.setdefault(key, []).append(view)
    found = []
    for (model, data, where, _), group in groups.items():
        axes = _axes(group)
        bare = [v for v in group if not v.evidence.defended]
        for kind, members in _families(group).items():
            shown = bare + members
            if len({v.record.target.defence for v in shown}) > 1:
                title = f"{model} on {data}, {where}"
                found.append(
                    _panel(f"{kind[0].upper()}{kind[1:]}: {title}" if kind else title, shown, axes, bool(kind))
                )
    return found


def _families(views: Sequence[TargetView]) -> dict[str, list[TargetView]]:
    """Defended targets by the kind of their defence; those that are the only one of their kind together, under ""."""
    kinds: dict[str, list[TargetView]] = {}
    for view in views:
        if view.evidence.defended:
            kinds.setdefault(family(view.record.target.defence), []).append(view)
    alone = [members[0] for members in kinds.values() if len(members) == 1]
    several = {kind: members for kind, members in kinds.items() if len(members) > 1}
    return several | ({"": alone} if alone else {})


def _axes(views: Sequence[TargetView]) -> tuple[figures.Scale, figures.Scale]:
    accuracies = [100 * v.record.target.accuracy.defended for v in views if v.record.target.accuracy]
    margin = max(0.08 * (max(accuracies) - min(accuracies)), 0.3)
    x = figures.round_scale(max(min(accuracies) - margin, 0.0), min(max(accuracies) + margin, 100.0))
    return x, scale_of([v.evidence for v in views])


def _panel(title: str, views: Sequence[TargetView], axes: tuple[figures.Scale, figures.Scale], levels: bool) -> Panel:
    evidences = [view.evidence for view in views]
    x, y = axes
    bands = _bands(evidences, y)
    points = _with_room([_point(view, x, y, levels) for view in views], bands)
    return Panel(title, x, y, evidences[0].words(), points, _segments(points) if levels else [], bands)


def _point(view: TargetView, x: figures.Scale, y: figures.Scale, levels: bool) -> Point:
    """A target. In a panel of one kind of defence its label is its level alone.

    Who knows the defence may ignore it, so the adaptive mark is that of the strongest attacker of all.
    """
    evidence, target = view.evidence, view.record.target
    numbers = _levels(target.defence)
    label = ", ".join(f"{n:g}" for n in numbers) if levels and numbers else target.defence
    return Point(
        view.anchor, label, _hover(view), x.at(100 * target.accuracy.defended) if target.accuracy else 0.0,
        _height(evidence, evidence.naive, y), _height(evidence, evidence.strongest, y),
        "adaptive" if evidence.defended else "only",
    )  # fmt: skip


def _height(evidence: Evidence, trial: Trial | None, y: figures.Scale) -> float | None:
    estimate = evidence.estimate(trial)
    return None if estimate is None else round(100 - y.at(estimate.mean), 2)


def _with_room(points: Sequence[Point], bands: Sequence[Band]) -> list[Point]:
    """Move labels down, by two lines at most, where they would cover another; else drop them.

    A dropped name stays in the text on hover and in the overview.
    """
    taken = [(0.0, len(b.label) * LETTER, b.top - LABEL_GAP / 2) for b in bands if b.label]
    placed = []
    for point in points:
        width = (len(point.label) + 1) * LETTER
        left, right = (point.x, point.x + width) if point.right else (point.x - width, point.x)
        for y in (point.y, point.y + LABEL_GAP, point.y + 2 * LABEL_GAP):
            if all(right < a or left > b or abs(y - other) >= LABEL_GAP for a, b, other in taken):
                taken.append((left, right, y))
                placed.append(replace(point, label_y=round(y, 2)))
                break
        else:
            placed.append(replace(point, label=""))
    return placed


def _hover(view: TargetView) -> str:
    parts = [wording.defence_title(view.record.target.defence)]
    if view.record.target.accuracy:
        parts.append(f"accuracy {100 * view.record.target.accuracy.defended:.1f} %")
    parts += [mark_of(t, view.evidence, view.scale).label for t in view.evidence.key_trials]
    return "; ".join(parts)


def _segments(points: Sequence[Point]) -> list[Segment]:
    """Join the levels of one kind of defence, from no defence on."""
    segments = []
    for kind in ("naive", "adaptive"):
        line = [(p.x, p.adaptive if p.kind == "only" else getattr(p, kind)) for p in points]
        known = [(x, y) for x, y in line if y is not None]
        segments += [Segment(*a, *b, kind) for a, b in pairwise(known)]
    return segments


def _bands(evidences: Sequence[Evidence], y: figures.Scale) -> list[Band]:
    reached: dict[str, list[float]] = {}
    for evidence in evidences:
        for floor in evidence.floors:
            estimate = evidence.estimate(floor)
            if estimate:
                name = wording.floor_title(floor.name, floor.released)
                reached.setdefault(name, []).append(100 - y.at(estimate.mean))
    bands = [Band(name, round(min(tops), 2), round(max(tops) - min(tops), 2)) for name, tops in reached.items()]
    return _merged_names(sorted(bands, key=lambda band: band.top))


def _merged_names(bands: Sequence[Band]) -> list[Band]:
    """Where lines lie too close for two labels, the upper one is labelled with both names."""
    merged: list[Band] = []
    for band in bands:
        owner = next((i for i, other in enumerate(merged) if other.label and band.top - other.top < LABEL_GAP), None)
        if owner is not None:
            merged[owner] = replace(merged[owner], label=f"{merged[owner].label}, {band.label}")
        merged.append(band if owner is None else replace(band, label=""))
    return merged
