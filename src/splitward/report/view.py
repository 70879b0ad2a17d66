"""One audited target as the page shows it: the verdict, its figures, the charts and the tables. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from splitward.record import nesting, sentences, unlike
from splitward.record.meaning import ORDER
from splitward.record.schema import Estimate, Floor, Record, Trial
from splitward.report import facts, figures, games, wording
from splitward.report.certified import Certified, certified
from splitward.report.evidence import Evidence
from splitward.report.headline import Headline, headline
from splitward.report.recognised import Recognised, recognised


@dataclass(frozen=True)
class Line:
    """One row of a chart on a common scale: a title, a small note, its marks and the number beside it."""

    title: str
    note: str
    chip: str
    marks: list[figures.Mark]
    value: str


@dataclass(frozen=True)
class Chart:
    """Rows on one scale. ``floor``: where the stronger floor lies, in per cent."""

    scale: figures.Scale
    words: wording.MetricWords
    floors: list[Line]
    attacks: list[Line]
    floor: float | None

    def gained(self, line: Line) -> tuple[float, float] | None:
        """From where to where (left, width) an attack went beyond the floor; None where it did not."""
        if self.floor is None:
            return None
        at = line.marks[0].at
        beyond = at - self.floor if self.words.higher_is_closer else self.floor - at
        return (round(min(at, self.floor), 2), round(beyond, 2)) if beyond > 0 else None


@dataclass(frozen=True)
class Tile:
    """A key figure: its name, the number, and a line under it. ``value`` is the record's own number."""

    title: str
    text: str
    of: str
    note: str
    value: float | None = None


@dataclass(frozen=True)
class Pair:
    """One attack at one number of observations: what its naive and its adaptive form reach (either may be missing)."""

    title: str
    note: str
    observations: int
    marks: list[figures.Mark]
    naive: Trial | None
    adaptive: Trial | None
    remarks: list[str]


@dataclass(frozen=True)
class Contest:
    """The attacks of one threat model. ``reach``: in words, what it reaches by the best attack that it may run."""

    threat_model: str
    pairs: list[Pair]
    reach: str


@dataclass(frozen=True)
class TargetView:
    """Everything that the section of one target shows."""

    anchor: str
    record: Record
    evidence: Evidence
    headline: Headline
    chart: Chart
    tiles: list[Tile]
    contests: list[Contest]
    scale: figures.Scale
    floors: list[figures.Mark]
    distribution: figures.Distribution | None
    traces: list[figures.Curve]
    metrics: list[str]
    game: games.GameView | None
    strangers: list[games.Stranger]
    meaning: str
    recognised: Recognised | None
    certified: Certified | None

    @property
    def where(self) -> str:
        """The cut, and what limits the attackers, where a sweep may differ in it."""
        return wording.where(self.record)

    @property
    def defence(self) -> str:
        """The defence in words."""
        return wording.defence_title(self.record.target.defence) + sentences.seen(self.record)


def target_view(evidence: Evidence, anchor: str) -> TargetView:
    """The view of one record."""
    record = evidence.record
    scale = scale_of([evidence])
    return TargetView(
        anchor=anchor,
        record=record,
        evidence=evidence,
        headline=headline(evidence),
        chart=_chart(evidence, scale),
        tiles=_tiles(evidence),
        contests=_contests(evidence, scale),
        scale=scale,
        floors=[mark_of(f, evidence, scale) for f in evidence.floors],
        distribution=_distribution(evidence),
        traces=_traces(evidence),
        metrics=_metrics(record),
        game=games.game_view(evidence),
        strangers=games.strangers(evidence),
        meaning=unlike.meaning(record),
        recognised=recognised(evidence),
        certified=certified(record),
    )


def scale_of(evidences: Sequence[Evidence]) -> figures.Scale:
    """The axis on which everything measured in the verdict's metric fits."""
    known = [e.estimate(item) for e in evidences for item in e.measured]
    values = [v for estimate in known if estimate for v in (estimate.low, estimate.high)]
    return figures.scale_for(values, all(e.words().bounded for e in evidences))


def kind_of(trial: Trial, evidence: Evidence) -> str:
    """How a trial is drawn: ``naive``, ``adaptive``, or ``only`` where there is no defence to know of."""
    return wording.knowledge(trial, evidence.defended) or "only"


def range_text(estimate: Estimate, words: wording.MetricWords) -> str:
    """``0.88 (0.86 to 0.90)``."""
    unit = f" {words.unit}" if words.unit else ""
    return f"{words.format(estimate.mean)}{unit} ({words.format(estimate.low)} to {words.format(estimate.high)})"


def mark_of(item: Trial | Floor, evidence: Evidence, scale: figures.Scale) -> figures.Mark:
    """A floor or a trial as a point on ``scale``; it must have been measured in the verdict's metric."""
    estimate = _known(item, evidence)
    if isinstance(item, Floor):
        kind, label, doubtful = "floor", wording.floor_title(item.name, item.released), False
    else:
        kind, label = kind_of(item, evidence), wording.trial_title(item, evidence.defended)
        doubtful = not item.believable
    text = evidence.words().format(estimate.mean)
    hover = f"{label}: {evidence.words().title} {range_text(estimate, evidence.words())}"
    return figures.mark(scale, estimate, kind, text, hover + (", not believable" if doubtful else ""), doubtful)


def _known(item: Trial | Floor, evidence: Evidence) -> Estimate:
    """The estimate of an item that is known to have one."""
    estimate = evidence.estimate(item)
    if estimate is None:
        raise KeyError(evidence.metric)
    return estimate


def _chart(evidence: Evidence, scale: figures.Scale) -> Chart:
    """The strongest attackers against the floors, on one scale."""
    floors = []
    for item in evidence.floors:
        mark = mark_of(item, evidence, scale)
        floors.append(Line(wording.floor_title(item.name, item.released), "", "", [mark], mark.text))
    attacks = []
    for trial in evidence.key_trials:
        mark = mark_of(trial, evidence, scale)
        chip = wording.knowledge(trial, evidence.defended)
        note = trial.threat_model + (f", {trial.observations} observations" if trial.observations > 1 else "")
        attacks.append(Line(trial.attack, note, chip, [mark], mark.text))
    floor = evidence.estimate(evidence.floor)
    return Chart(scale, evidence.words(), floors, attacks, scale.at(floor.mean) if floor else None)


def _tiles(evidence: Evidence) -> list[Tile]:
    tiles = _verdict_tiles(evidence)
    n = evidence.record.samples
    strongest, floor = evidence.strongest, evidence.floor
    recovered, loosely = evidence.recovered(strongest), evidence.recognisable(strongest)
    if recovered is not None:
        weakest = evidence.recognisable(floor)
        note = f"{wording.RECOVERED}; by the papers’ rule {loosely}" + (
            "" if weakest is None else f" (floor: {weakest})"
        )
        tiles.append(Tile("Recognisable", str(recovered), f"of {n}", note, recovered))
    told = evidence.told_apart(strongest)
    if told is not None:
        without = evidence.told_apart(floor)
        note = f"each from {n - 1} others; 1 by chance" + (
            f", {without} without the activation" if without is not None else ""
        )
        tiles.append(Tile("Told apart", str(told), f"of {n}", note, told))
    accuracy = evidence.record.target.accuracy
    if accuracy:
        note = f"{accuracy.undefended:.1%} without the defence; on {accuracy.n:,} images".replace("%", " %")
        if not evidence.defended:
            note = f"no defence; on {accuracy.n:,} images"
        tiles.append(Tile("Task accuracy", f"{100 * accuracy.defended:.1f}", "%", note, accuracy.defended))
    return tiles


def _verdict_tiles(evidence: Evidence) -> list[Tile]:
    """Leakage and excess. Without a verdict the leakage is a result of an attack that nobody should rely on."""
    words, verdict = evidence.words(), evidence.record.verdict
    tiles = []
    estimate = evidence.estimate(evidence.strongest)
    if estimate:
        title = "Leakage" if verdict else "Strongest"
        between = f"95 % interval {words.format(estimate.low)} to {words.format(estimate.high)}"
        value = verdict.leakage if verdict else estimate.mean
        tiles.append(Tile(f"{title}, {words.title}", words.format(value), words.unit, between, value))
    if verdict and verdict.excess is not None:
        limit = f"; at most {verdict.upper:.2f} (95 %)" if verdict.upper is not None else ""
        tiles.append(Tile("Excess leakage", f"{verdict.excess:.2f}", "", f"0 no leak, 1 exact{limit}", verdict.excess))
    if verdict and verdict.worst_decile is not None:
        whose = verdict.worst_decile_attack if verdict.worst_decile_attack != verdict.attack else ""
        note = "excess of the worst tenth at most (95 %)" + (f", by {whose}" if whose else "")
        note += f"; mean {words.title} there {words.format(estimate.worst)}" if estimate and not whose else ""
        tiles.append(Tile("Worst decile", f"{verdict.worst_decile:.2f}", "", note, verdict.worst_decile))
    return tiles


def _contests(evidence: Evidence, scale: figures.Scale) -> list[Contest]:
    contests = []
    reached = nesting.reach(evidence.record, evidence.metric)
    for threat in nesting.STRENGTH:
        trials = [t for t in evidence.record.trials if t.threat_model == threat]
        names = dict.fromkeys((t.attack, t.observations) for t in trials)
        pairs: list[Pair] = []
        for name in sorted(names):
            members = [t for t in trials if (t.attack, t.observations) == name]
            note = wording.attack_note(name[0])
            said = any(p.note == note for p in pairs)  # once is enough for all presets of an attack
            pairs.append(_pair(members, "" if said else note, evidence, scale))
        if pairs:
            contests.append(Contest(threat, pairs, _reach(reached.get(threat), evidence)))
    return contests


def _reach(found: nesting.Reach | None, evidence: Evidence) -> str:
    if found is None:
        return ""
    trial, words = found.answer.trial, evidence.words()
    text = f"{words.title} {words.format(found.answer.mean)} by {trial.attack}"
    return f"{text}, a {trial.threat_model} attack that it may run as well" if found.borrowed else text


def _pair(trials: list[Trial], note: str, evidence: Evidence, scale: figures.Scale) -> Pair:
    drawn = [t for t in trials if any(t is u for u in evidence.usable)]
    first = trials[0]
    remarks = []
    for trial in trials:
        prefix = wording.knowledge(trial, evidence.defended)
        prefix = f"{prefix}: " if prefix else ""
        if trial.status != "ok" and not trial.metrics:
            remarks.append(f"{prefix}{trial.status}: {trial.reason}")
        elif not trial.believable:
            remarks.append(f"{prefix}not believable: {facts.doubt(trial)}")
    return Pair(
        first.attack,
        note,
        first.observations,
        [mark_of(t, evidence, scale) for t in sorted(drawn, key=lambda t: t.adaptive)],
        next((t for t in drawn if not t.adaptive or not evidence.defended), None),
        next((t for t in drawn if t.adaptive and evidence.defended), None),
        remarks,
    )


def _distribution(evidence: Evidence) -> figures.Distribution | None:
    if evidence.scores is None:
        return None
    below = evidence.floor.per_sample.get(evidence.metric, []) if evidence.floor else []
    scores = evidence.scores.tolist()
    return figures.distribution(scores, below, figures.scale_for([*scores, *below], evidence.words().bounded))


def _traces(evidence: Evidence) -> list[figures.Curve]:
    curves = []
    for trial in evidence.record.trials:
        title = wording.trial_title(trial, evidence.defended)
        for phase, points in trial.trace.items():
            curves.append(figures.curve(title, phase, points))
    for floor in evidence.record.floors:
        for phase, points in floor.trace.items():
            curves.append(figures.curve(wording.floor_title(floor.name, floor.released), phase, points))
    return [c for c in curves if c]


def _metrics(record: Record) -> list[str]:
    """Every metric of the record, the familiar ones first."""
    names = dict.fromkeys(n for item in record.scored for n in item.metrics)
    order = ["ssim", "psnr", "ssim-paper", "mse", "identification", *ORDER]
    return sorted(names, key=lambda n: (order.index(n) if n in order else len(order), n))


@dataclass(frozen=True)
class OverviewRow:
    """One target in the overview of a sweep: its marks on the common scale, and its figures."""

    floors: list[figures.Mark]
    marks: list[figures.Mark]
    tiles: list[Tile]


def overview_row(view: TargetView, scale: figures.Scale) -> OverviewRow:
    """The row of one target on the scale of all of them."""
    evidence, found = view.evidence, view.record.verdict
    words, accuracy = view.evidence.words(), view.record.target.accuracy
    estimate = evidence.estimate(evidence.strongest)
    leakage = found.leakage if found else estimate.mean if estimate else None
    excess = found.excess if found else None
    recovered, told = evidence.recovered(evidence.strongest), evidence.told_apart(evidence.strongest)
    return OverviewRow(
        [mark_of(f, evidence, scale) for f in evidence.floors],
        [mark_of(t, evidence, scale) for t in evidence.key_trials],
        [
            Tile("Leakage", "" if leakage is None else words.format(leakage), "", "", leakage),
            Tile("Excess", "" if excess is None else f"{excess:.2f}", "", "", excess),
            Tile("Recognisable", str(recovered), "", "", recovered),
            Tile("Told apart", str(told), "", "", told),
            Tile(
                "Accuracy",
                f"{100 * accuracy.defended:.1f}" if accuracy else "",
                "%" if accuracy else "",
                "",
                accuracy.defended if accuracy else None,
            ),
        ],
    )
