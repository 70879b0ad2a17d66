"""What figures 9 and 10 have in common: claims on accuracy against image quality."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from splitward.reproduce import draw, plans, views
from splitward.reproduce.claims import FAILS, Curve, Decision, accuracy_at, against, gaps, mean, points
from splitward.reproduce.need import DATA_NAMES
from splitward.reproduce.rows import KINDS, Row, Rows, Undecided
from splitward.reproduce.target import Found
from splitward.reproduce.targets._evidence import HIDDEN

Source = Callable[[Rows, str, str, str, str], list[Row]]
CLOSE = 0.05
"""Accuracy: curves that are no further apart on average show no significant difference."""


def panels(found: Found, data: str) -> list[draw.Panel]:
    """A row of panels for each kind of defence."""
    return draw.shared(
        [
            panel
            for kind in views.KINDS
            for panel in views.tradeoff(
                found, data, plans.DEFENDED[data], kind, ("activation", "input"), kind.capitalize()
            )
        ]
    )


def curve(rows: Rows, source: Source, data: str, kind: str, place: str) -> Curve:
    """(SSIM in the papers' variant, accuracy) of our runs; raises Undecided where fewer than two were run."""
    found = source(rows, data, plans.DEFENDED[data], kind, place)
    known = [(row["ssim_paper"], row["accuracy"]) for row in found if row["accuracy"] is not None]
    if len(known) < 2:
        raise Undecided(f"no levels of {kind} on the {place} were run on {DATA_NAMES[data]}")
    return known


def told(data: str, kind: str, place: str) -> Curve:
    """The same of the papers' logs."""
    known = views.published_curve(data, plans.DEFENDED[data], kind, place)
    return [(row["ssim"], row["accuracy"]) for row in known]


def compare(
    rows: Rows, data: Sequence[str], pairs: Sequence[tuple[tuple[str, str], tuple[str, str]]],
    decide: Callable[[float], bool], asked: str,
) -> Decision:  # fmt: skip
    """A claim on the gap in accuracy at equal SSIM, first curve minus second: in the papers' own logs, and in ours.

    Logs that contradict it decide by themselves; else it needs our curves of every pair and data set. Of ours, a pair
    counts where both curves move along the SSIM: an attack that recovers nothing anyway tells nothing of a defence.
    """
    logs: list[bool] = []
    naive: list[bool] = []
    adaptive: list[bool] = []
    evidence, missing = [], ""
    sources = (
        ("ours", views.naive_rows, naive), ("against attackers who know the defence", views.adaptive_rows, adaptive),
    )  # fmt: skip
    for name in data:
        for first, second in pairs:
            published = mean(gaps(told(name, *first), told(name, *second)))
            logs.append(decide(published))
            parts = [f"{points(published)} points in the papers' own logs"]
            for who, source, results in sources:
                try:
                    one, other = (curve(rows, source, name, *which) for which in (first, second))
                    if (moved := min(width(one), width(other))) < LEAST:
                        parts.append(f"{who}: not compared, SSIM moves by {moved:.2f} over all levels")
                        continue
                    gap = mean(gaps(one, other))
                except Undecided as reason:
                    missing = str(reason)
                    continue
                results.append(decide(gap))
                parts.append(f"{points(gap)} {who}")
            named = (f"{KINDS[kind]} on the {place}" for kind, place in (first, second))
            evidence.append(f"{DATA_NAMES[name]}, accuracy at equal SSIM, {' minus '.join(named)}: {'; '.join(parts)}")
    evidence.append(f"the claim asks for {asked}")
    if not all(logs):
        return Decision(FAILS, tuple(evidence))
    if missing:
        raise Undecided(missing, evidence)
    return Decision(against(naive, adaptive, evidence), tuple(evidence))


LEAST = 0.1
"""SSIM that a curve spans at least, where it says something of a defence."""


def width(points: Curve) -> float:
    """How far a curve moves along the SSIM."""
    return max(ssim for ssim, _ in points) - min(ssim for ssim, _ in points)


def hidden(rows: Rows, data: str, lost: float | None, least: float | None) -> Decision:
    """Whether some dropout of the activation has SSIM < 0.25 at that accuracy, against whom.

    Between the levels of a grid the accuracy at SSIM 0.25 is interpolated. Logs that contradict it decide by
    themselves.
    """
    at = plans.DEFENDED[data]
    known = views.published_curve(data, at, "dropout", "activation")
    bare = known[0]["accuracy"]
    evidence: list[str] = []

    def useful(accuracy: float, undefended: float) -> bool:
        return accuracy > least if least is not None else undefended - accuracy < (lost or 0.0)

    def judge(levels: Curve, undefended: float, source: str) -> bool:
        """Whether a curve does it; says how."""
        at_limit = accuracy_at(levels, HIDDEN)
        met = [accuracy for ssim, accuracy in levels if ssim < HIDDEN and useful(accuracy, undefended)]
        near = min(levels, key=lambda point: abs(point[0] - HIDDEN))
        between = "" if at_limit is None else f"; at SSIM {HIDDEN:g}, interpolated, {100 * at_limit:.1f} %"
        evidence.append(
            f"{source}: {len(met)} of {len(levels)} levels do that; the nearest to it has SSIM {near[0]:.3f} at "
            f"{100 * near[1]:.2f} % ({100 * (undefended - near[1]):.2f} points lost){between}"
        )
        return bool(met) or (at_limit is not None and useful(at_limit, undefended))

    logs = judge(told(data, "dropout", "activation"), bare, f"the papers' own logs at {at}, with and without dropout")
    results = []
    try:
        for who, source in (("papers' attack", views.naive_rows), ("who knows the defence", views.adaptive_rows)):
            ours = curve(rows, source, data, "dropout", "activation")
            undefended = source(rows, data, at, "dropout", "activation")[0]["undefended_accuracy"]
            more = f", which without dropout has SSIM {ours[0][0]:.2f}" if ours[0][0] < HIDDEN else ""
            results.append([judge(ours, undefended, f"ours, {who}, with and without dropout{more}")])
    except Undecided as missing:
        if logs:
            raise Undecided(str(missing), evidence) from missing
    return Decision(against(results[0], results[1], evidence) if logs else FAILS, tuple(evidence))
