"""What figures 9 and 10 have in common: claims on accuracy against image quality."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from splitward.reproduce import draw, plans, views
from splitward.reproduce.claims import FAILS, Curve, Decision, accuracy_at, against, gaps, mean
from splitward.reproduce.rows import Row, Rows, Undecided
from splitward.reproduce.target import Found

Source = Callable[[Rows, str, str, str, str], list[Row]]
CLOSE = 0.05
"""Accuracy: curves that are no further apart on average show no significant difference."""
HIDDEN = 0.25
"""SSIM below which the input is said to be fully protected."""


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
    points = [(row["ssim_paper"], row["accuracy"]) for row in found if row["accuracy"] is not None]
    if len(points) < 2:
        raise Undecided(f"no levels of {kind} on the {place} were run on {data}")
    return points


def told(data: str, kind: str, place: str) -> Curve:
    """The same of the papers' logs."""
    known = views.published_curve(data, plans.DEFENDED[data], kind, place)
    return [(row["ssim"], row["accuracy"]) for row in known]


def compare(
    rows: Rows, data: Sequence[str], pairs: Sequence[tuple[tuple[str, str], tuple[str, str]]],
    decide: Callable[[float], bool],
) -> Decision:  # fmt: skip
    """A claim on the gap in accuracy at equal SSIM, first curve minus second: in the papers' own logs, and in ours.

    Logs that contradict it decide by themselves; else it needs our curves of every pair and data set.
    """
    logs, naive, adaptive, evidence, missing = [], [], [], [], ""
    for name in data:
        for first, second in pairs:
            published = mean(gaps(told(name, *first), told(name, *second)))
            logs.append(decide(published))
            pair = f"{name}, {first[0]} on the {first[1]} minus {second[0]} on the {second[1]}, accuracy at equal SSIM"
            text = f"{pair}: {100 * published:+.1f} points in the papers' own logs"
            try:
                ours, knowing = (
                    mean(gaps(curve(rows, source, name, *first), curve(rows, source, name, *second)))
                    for source in (views.naive_rows, views.adaptive_rows)
                )
                naive.append(decide(ours))
                adaptive.append(decide(knowing))
                text += f", {100 * ours:+.1f} in ours, {100 * knowing:+.1f} against attackers who know the defence"
            except Undecided as reason:
                missing = str(reason)
            evidence.append(text)
    if not all(logs):
        return Decision(FAILS, tuple(evidence))
    if missing:
        raise Undecided(missing)
    return Decision(against(naive, adaptive), tuple(evidence))


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

    def judge(points: Curve, undefended: float, source: str) -> bool:
        """Whether a curve does it; says how."""
        at_limit = accuracy_at(points, HIDDEN)
        met = [accuracy for ssim, accuracy in points if ssim < HIDDEN and useful(accuracy, undefended)]
        near = min(points, key=lambda point: abs(point[0] - HIDDEN))
        between = "" if at_limit is None else f"; at SSIM {HIDDEN:g}, interpolated, {100 * at_limit:.1f} %"
        evidence.append(
            f"{source}: {len(met)} of {len(points)} levels do that; the nearest to it has SSIM {near[0]:.3f} at "
            f"{100 * near[1]:.2f} % ({100 * (undefended - near[1]):.2f} points lost){between}"
        )
        return bool(met) or (at_limit is not None and useful(at_limit, undefended))

    if not judge(told(data, "dropout", "activation"), bare, f"the papers' own logs at {at}, with and without dropout"):
        return Decision(FAILS, tuple(evidence))
    results = []
    for who, source in (("papers' attack", views.naive_rows), ("who knows the defence", views.adaptive_rows)):
        points = curve(rows, source, data, "dropout", "activation")
        undefended = source(rows, data, at, "dropout", "activation")[0]["undefended_accuracy"]
        results.append([judge(points, undefended, f"ours, {who}, with and without dropout")])
    return Decision(against(*results), tuple(evidence))
