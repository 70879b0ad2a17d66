"""A plan on one page: latency and energy of every cut in their parts, the Pareto front, the table with reasons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from markupsafe import Markup

from splitward._version import __version__
from splitward.core.errors import RecordError
from splitward.report import html, pareto
from splitward.report.figures import Scale, round_scale

PARTS = {"latency_ms": ("edge", "transmission", "cloud"), "energy_mj": ("edge", "transmission")}
HEADINGS = {"latency_ms": ("Latency", "ms"), "energy_mj": ("Energy of the device", "mJ")}

SHOWN = 4.0
"""A bar longer than so many times the chosen one, and than the middle one, is cut off: the others can be told apart."""


@dataclass(frozen=True)
class Bar:
    """One row of a figure: its parts in per cent of the axis, its total, whether it runs off the axis."""

    name: str
    parts: tuple[tuple[str, float], ...]
    total: float
    beyond: bool
    chosen: bool
    feasible: bool


@dataclass(frozen=True)
class Figure:
    """Stacked bars, one a cut, in the form of Neurosurgeon's figures."""

    title: str
    unit: str
    scale: Scale
    bars: tuple[Bar, ...]
    parts: tuple[str, ...]


@dataclass(frozen=True)
class Point:
    """One row in the plane of latency and energy, in per cent from the left and the top."""

    x: float
    y: float
    label: str
    hover: str
    kind: str


@dataclass(frozen=True)
class Front:
    """Latency (x) against energy (y); the front's points are named."""

    x: Scale
    y: Scale
    points: tuple[Point, ...]


def write(document: Mapping[str, Any], output: Path) -> Path:
    """Write the page. Raises RecordError where that is not possible."""
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        html._write(output, page(document), private=False)
    except OSError as error:
        raise RecordError(f"the report cannot be written to {output}: {error.strerror or error}.") from error
    return output


def page(document: Mapping[str, Any]) -> str:
    """The page of a plan's document (``splitward plan --json``)."""
    made = [row for row in document["cuts"] if pareto.timed(row)]
    once = list({row["name"]: row for row in reversed(made)}.values())[::-1]
    context = {
        "plan": document,
        "figures": [
            figure(rows, name, document["choice"])
            for name in PARTS
            if (rows := [row for row in once if row[name] is not None])
        ],
        "front": _front(made, document) if made else None,
        "leakage": Markup(pareto.draw(pareto.marks(document))),
        "version": __version__,
    }
    return html._environment().get_template("plan.html.j2").render(context, **html._assets())


def figure(rows: Sequence[Mapping[str, Any]], name: str, choice: str | None) -> Figure:
    """Every cut's latency or energy in its parts."""
    totals = [sum(row[name].values()) for row in rows]
    chosen = next((t for t, row in zip(totals, rows, strict=True) if row["name"] == choice), max(totals))
    scale = round_scale(0.0, min(max(totals), max(SHOWN * chosen, median(totals))) or 1.0)
    bars = []
    for row, total in zip(rows, totals, strict=True):
        parts, start = [], 0.0
        for part in PARTS[name]:
            end = start + row[name][part]
            parts.append((part, round(scale.at(end) - scale.at(start), 2)))
            start = end
        bars.append(Bar(row["name"], tuple(parts), total, total > scale.high, row["name"] == choice, row["feasible"]))
    title, unit = HEADINGS[name]
    return Figure(title, unit, scale, tuple(bars), PARTS[name])


def _front(rows: Sequence[Mapping[str, Any]], document: Mapping[str, Any]) -> Front:
    """Latency against energy, one point a row."""
    known = [row for row in rows if row["energy_mj"] is not None]
    values = [sum(row["energy_mj"].values()) for row in known]
    times = [sum(row["latency_ms"].values()) for row in known]
    x, y = round_scale(0.0, max(times, default=1.0)), round_scale(0.0, max(values, default=1.0) or 1.0)
    named: set[tuple[float, float]] = set()
    points = []
    for row, time, value in zip(known, times, values, strict=True):
        chosen = row["name"] == document["choice"] and row["defence"] == document["choice_defence"]
        label = row["name"] if row["defence"] == "none" else f"{row['name']}, {row['defence']}"
        at = (x.at(time), round(100 - y.at(value), 2))
        shown = (row["front"] or chosen) and not any(abs(at[0] - a) < 12 and abs(at[1] - b) < 6 for a, b in named)
        if shown:
            named.add(at)
        kind = "chosen" if chosen else "front" if row["front"] else "other"
        points.append(Point(*at, label if shown else "", f"{label}: {time:.4g} ms, {value:.4g} mJ", kind))
    return Front(x, y, tuple(points))
