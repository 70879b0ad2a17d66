"""What is proved beside what was tried: the certificate as the page shows it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from splitward.record.certificate import Certificate, any_mse
from splitward.record.schema import Record
from splitward.record.statements import compared
from splitward.report.figures import Scale, Tick

DECADES, STEPS = 5, 40
"""Of the curve's axis, from one observation on, and its points."""


@dataclass(frozen=True)
class HiddenCurve:
    """How much of the dither stays hidden over the observations, in a box of 100 x 100 (y downwards)."""

    points: str
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    here: tuple[float, float]
    label: str


@dataclass(frozen=True)
class Certified:
    """``label``, ``brief``: beside the verdict. ``beside``: what the most exact attack reached, against the bounds."""

    bounded: bool
    label: str
    brief: str
    statements: tuple[str, ...]
    beside: str
    curve: HiddenCurve | None


def certified(record: Record) -> Certified | None:
    """The view of a record's certificate; None for records that are older than certificates."""
    made = record.certificate
    if made is None or not made.statements:
        return None
    label = "Proved" if made.candidates_mse_low else "Proved, of noise on the pixels only"
    labels = {"bounded": label, "counted": "Proved, of telling images apart"}
    return Certified(
        made.status in labels,
        labels.get(made.status, "Nothing is proved"),
        made.statements[0],
        made.statements,
        compared(record),
        hidden_curve(made) if made.status == "bounded" else None,
    )


def hidden_curve(made: Certificate) -> HiddenCurve:
    """The any-attacker bound over the number of observations with independent noise, as a share of the dither."""
    assert made.dither is not None
    x, y, whole = Scale(0.0, float(DECADES), 1.0), Scale(0.0, 100.0, 25.0), made.dither**2

    def at(k: int) -> tuple[float, float]:
        return x.at(math.log10(k)), round(100 - y.at(100 * any_mse(made, k) / whole), 2)

    counts = sorted({round(10 ** (DECADES * i / STEPS)) for i in range(STEPS + 1)})
    ticks = [Tick(tick.at, f"{10 ** round(float(tick.text)):,}") for tick in x.ticks]
    points = " ".join(f"{a},{b}" for a, b in map(at, counts))
    upwards = [Tick(100 - tick.at, tick.text) for tick in y.ticks]
    return HiddenCurve(points, ticks, upwards, at(made.observations), f"this record, k = {made.observations:,}")
