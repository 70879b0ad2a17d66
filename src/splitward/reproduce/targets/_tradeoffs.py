"""What figures 9 and 10 have in common: claims on accuracy against image quality."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from splitward.reproduce import draw, plans, views
from splitward.reproduce.claims import Curve, Decision, Verdict, against, defended, gaps, mean, verdict
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


def both(rows: Rows, data: str, first: tuple[str, str], second: tuple[str, str]) -> tuple[float, float, float]:
    """Mean gap in accuracy at equal SSIM, first minus second: in the papers' logs, naive, adaptive."""
    return (
        mean(gaps(told(data, *first), told(data, *second))),
        mean(gaps(curve(rows, views.naive_rows, data, *first), curve(rows, views.naive_rows, data, *second))),
        mean(gaps(curve(rows, views.adaptive_rows, data, *first), curve(rows, views.adaptive_rows, data, *second))),
    )


def compare(
    rows: Rows, data: Sequence[str], pairs: Sequence[tuple[tuple[str, str], tuple[str, str]]],
    decide: Callable[[float], bool],
) -> Decision:  # fmt: skip
    """A claim on the order of two curves, in every data set that was run."""
    naive, adaptive, evidence, missing = [], [], [], ""
    for name in data:
        for first, second in pairs:
            try:
                published, ours, knowing = both(rows, name, first, second)
            except Undecided as reason:
                missing = str(reason)
                continue
            naive.append(decide(ours) and decide(published))
            adaptive.append(decide(knowing))
            evidence.append(
                f"{name}, {first[0]} on the {first[1]} minus {second[0]} on the {second[1]}, accuracy at equal SSIM: "
                f"{100 * published:+.1f} points in the papers' own logs, {100 * ours:+.1f} in ours, "
                f"{100 * knowing:+.1f} "
                "against attackers who know the defence"
            )
    if not evidence:
        raise Undecided(missing)
    return Decision(against(all(naive), all(adaptive)), tuple(evidence))


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
        if not here:
            raise Undecided(f"no dropout was run on {data}")
        good = [r for r in here if r["ssim_paper"] < HIDDEN and useful(r["accuracy"], r["undefended_accuracy"])]
        found.append(bool(good))
        low = min(here, key=lambda r: r["ssim_paper"])
        evidence.append(
            f"ours, {who}: {len(good)} of {len(here)} rates; the lowest SSIM is {low['ssim_paper']:.3f} at "
            f"{defended(low)}, "
            f"accuracy {100 * low['accuracy']:.1f} % (n = {low['accuracy_images']})"
        )
    result: Verdict = against(found[0], found[1]) if logs else verdict(False)
    return Decision(result, tuple(evidence))
