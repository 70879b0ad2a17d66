"""What figures 9 and 10 have in common: claims on accuracy against image quality."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from splitward.reproduce import draw, plans, views
from splitward.reproduce.claims import FAILS, Curve, Decision, against, defended, gaps, mean
from splitward.reproduce.rows import Row, Rows, Undecided
from splitward.reproduce.target import Found

Source = Callable[[Rows, str, str, str, str], list[Row]]
CLOSE = 0.05
"""Accuracy: curves that are no further apart on average show no significant difference."""
HIDDEN = 0.25
"""SSIM below which the input is said to be fully protected."""


def panels(found: Found, data: str) -> list[draw.Panel]:
    """A row of panels for each kind of defence."""
    return [
        panel
        for kind in views.KINDS
        for panel in views.tradeoff(found, data, plans.DEFENDED[data], kind, ("activation", "input"), kind.capitalize())
    ]


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

    Logs that contradict it decide by themselves; else it is decided by every data set that was run.
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
    if all(logs) and not naive:
        raise Undecided(missing)
    return Decision(against(all(logs) and all(naive), all(adaptive)), tuple(evidence))


def hidden(rows: Rows, data: str, lost: float | None, least: float | None) -> Decision:
    """Whether some dropout of the activation has SSIM < 0.25 at that accuracy, against whom."""
    at = plans.DEFENDED[data]
    known = views.published_curve(data, at, "dropout", "activation")
    bare = known[0]["accuracy"]

    def useful(accuracy: float, undefended: float) -> bool:
        return accuracy > least if least is not None else undefended - accuracy < (lost or 0.0)

    logs = [row for row in known if row["ssim"] < HIDDEN and useful(row["accuracy"], bare)]
    near = min(known, key=lambda row: abs(row["ssim"] - HIDDEN))
    evidence = [
        f"the papers' own logs at {at}: {len(logs)} of {len(known)} rates do that; nearest to it, rate "
        f"{near['level']:g} "
        f"has SSIM {near['ssim']:.3f} at {100 * near['accuracy']:.2f} % ({100 * (bare - near['accuracy']):.2f} "
        f"points lost)"
    ]
    found: list[bool] = []
    for who, source in (("papers' attack", views.naive_rows), ("who knows the defence", views.adaptive_rows)):
        here = [r for r in source(rows, data, at, "dropout", "activation") if r["defence"] != "none"]
        if not here and logs:
            raise Undecided(f"no dropout was run on {data}")
        if not here:
            continue
        good = [r for r in here if r["ssim_paper"] < HIDDEN and useful(r["accuracy"], r["undefended_accuracy"])]
        found.append(bool(good))
        low = min(here, key=lambda r: r["ssim_paper"])
        evidence.append(
            f"ours, {who}: {len(good)} of {len(here)} rates; the lowest SSIM is {low['ssim_paper']:.3f} at "
            f"{defended(low)}, "
            f"accuracy {100 * low['accuracy']:.1f} % (n = {low['accuracy_images']})"
        )
    return Decision(against(*found) if logs else FAILS, tuple(evidence))
