"""The outcome of a hardening on one page: excess leakage against accuracy and against edge cost, and the tables."""

from __future__ import annotations

import html as escaping
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from splitward._version import __version__
from splitward.core.errors import RecordError
from splitward.report import html
from splitward.report.figures import Scale, round_scale

WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT = 760, 420, 62, 48, 16, 16
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#7f7f7f", "#000000", "#b3a000")
"""Of the methods: M. Okabe and K. Ito's, which colour-blind readers tell apart; their yellow darker."""


@dataclass(frozen=True)
class Mark:
    """A point of a figure: the device without a defence, a defence of the papers, a hardening, or one of the search."""

    x: float
    y: float
    series: str
    kind: str
    hover: str
    low: float | None = None
    high: float | None = None


def write(document: Mapping[str, Any], folder: Path) -> Path:
    """Write ``front.svg``, ``cost.svg`` and ``report.html`` to ``folder``. Raises RecordError where that fails."""
    drawn = figures(document)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, figure in drawn.items():
            html._write(folder / f"{name}.svg", figure, private=False)
        html._write(folder / "report.html", page(document, drawn), private=False)
    except OSError as error:
        raise RecordError(f"the report cannot be written to {folder}: {error.strerror or error}.") from error
    return folder / "report.html"


def page(document: Mapping[str, Any], drawn: Mapping[str, str]) -> str:
    """The page of a hardening's document (``splitward harden --json``)."""
    context = {
        "document": document,
        "drawn": {name: Markup(figure) for name, figure in drawn.items()},
        "version": __version__,
    }
    return html._environment().get_template("front.html.j2").render(context, **html._assets())


def figures(document: Mapping[str, Any]) -> dict[str, str]:
    """``front``: excess against accuracy lost. ``cost``: excess against operations on the edge."""
    judged, tried = document["judged"], latest(document["tried"])
    front = [_judged(point, point["drop_points"]["mean"]) for point in judged]
    front += [_tried(t, t["drop_points"]) for t in tried]
    cost = [_judged(point, point["cost"]["edge_cost"]) for point in judged if point["kind"] != "plain"]
    cost += [_tried(t, t["cost"]["edge_cost"]) for t in tried]
    return {
        "front": draw([m for m in front if m is not None], "accuracy lost, points", "excess leakage (SSIM)"),
        "cost": draw([m for m in cost if m is not None], "operations on the edge, multiple", "excess leakage (SSIM)"),
    }


def latest(tried: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The last round of each candidate; those that failed are left out."""
    last = {(t["recipe"], t["at"]): t for t in tried}
    return [t for t in last.values() if not t["failed"]]


def _judged(point: Mapping[str, Any], x: float) -> Mark | None:
    known = [s for s in point["seen"] if s["upper"] is not None and s["excess"] is not None]
    if not known or len(known) < len(point["seen"]):
        return None
    worst = max(known, key=lambda s: s["upper"])
    series = point["method"] if point["kind"] != "none" else "no defence"
    hover = (
        f"{point['recipe']} at {point['at']}: excess {worst['excess']:.3f} (upper limit {worst['upper']:.3f}), "
        f"{worst['observations']} observation(s), {point['drop_points']['mean']:.2f} points lost, "
        f"{point['cost']['wire_bytes']:,} bytes, edge {point['cost']['edge_cost']:.2f}x"
    )
    return Mark(x, worst["excess"], series, point["kind"], hover, worst["excess"], worst["upper"])


def _tried(tried: Mapping[str, Any], x: float) -> Mark:
    hover = (
        f"search only: {tried['recipe']} at {tried['at']}, {tried['steps']} steps: proxy excess {tried['excess']:.3f}, "
        f"{tried['drop_points']:.2f} points lost on the selection set"
    )
    return Mark(x, tried["excess"], tried["method"], "tried", hover)


def draw(marks: Sequence[Mark], x_title: str, y_title: str) -> str:
    """A figure as SVG: filled where the whole suite judged, hollow where only the search's proxy looked."""
    xs, ys = [m.x for m in marks] or [0.0, 1.0], [v for m in marks for v in (m.y, m.high or m.y)] or [1.0]
    x, y = round_scale(min(0.0, *xs), max(*xs, 0.1)), round_scale(min(0.0, *ys), max(*ys, 0.1))
    series = list(dict.fromkeys(m.series for m in marks))
    colour = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(series)}
    legend = 22 * ((len(series) + 1) // 2) + 12
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT + legend}" role="img" '
        f'font-family="system-ui, sans-serif" font-size="13" fill="currentColor">',
        f"<title>{_safe(y_title)} against {_safe(x_title)}</title>",
        *_axes(x, y, x_title, y_title),
        *_curves(marks, x, y, colour),
        *(_symbol(m, x, y, colour[m.series]) for m in marks),
        *_legend(series, colour),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _at(x: Scale, y: Scale, across: float, up: float) -> tuple[float, float]:
    width, height = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
    return round(LEFT + width * x.at(across) / 100, 1), round(TOP + height * (1 - y.at(up) / 100), 1)


def _axes(x: Scale, y: Scale, x_title: str, y_title: str) -> Iterable[str]:
    left, bottom = _at(x, y, x.low, y.low)
    right, top = _at(x, y, x.high, y.high)
    yield f'<path d="M{left} {top}V{bottom}H{right}" fill="none" stroke="currentColor" stroke-opacity=".5"/>'
    for tick in x.ticks:
        at = round(left + (right - left) * tick.at / 100, 1)
        yield f'<text x="{at}" y="{bottom + 17}" text-anchor="middle">{tick.text}</text>'
    for tick in y.ticks:
        at = round(bottom - (bottom - top) * tick.at / 100, 1)
        yield f'<path d="M{left} {at}H{right}" stroke="currentColor" stroke-opacity=".12"/>'
        yield f'<text x="{left - 7}" y="{at + 4}" text-anchor="end">{tick.text}</text>'
    yield f'<text x="{(left + right) / 2}" y="{bottom + 38}" text-anchor="middle">{_safe(x_title)}</text>'
    middle = (top + bottom) / 2
    yield f'<text transform="translate(14 {middle}) rotate(-90)" text-anchor="middle">{_safe(y_title)}</text>'


def _curves(marks: Sequence[Mark], x: Scale, y: Scale, colour: Mapping[str, str]) -> Iterable[str]:
    """A line through the judged levels of each defence and of each hardening."""
    judged = [m for m in marks if m.kind in ("plain", "hardened")]
    for name in dict.fromkeys(m.series for m in judged):
        points = sorted((m.x, m.y) for m in judged if m.series == name)
        if len(points) < 2:
            continue
        line = " ".join(f"{a},{b}" for a, b in (_at(x, y, *p) for p in points))
        yield f'<polyline points="{line}" fill="none" stroke="{colour[name]}" stroke-width="1.5"/>'


def _symbol(mark: Mark, x: Scale, y: Scale, colour: str) -> str:
    a, b = _at(x, y, mark.x, mark.y)
    limit = ""
    if mark.high is not None:
        limit = f'<path d="M{a} {b}V{_at(x, y, mark.x, mark.high)[1]}" stroke="{colour}"/>'
    fill = f'fill="none" stroke="{colour}" stroke-opacity=".7"' if mark.kind == "tried" else f'fill="{colour}"'
    size = 6 if mark.kind == "hardened" else 4
    return f'<g>{limit}<circle cx="{a}" cy="{b}" r="{size}" {fill}/><title>{_safe(mark.hover)}</title></g>'


def _legend(series: Sequence[str], colour: Mapping[str, str]) -> Iterable[str]:
    for i, name in enumerate(series):
        a, b = LEFT + (i % 2) * (WIDTH - LEFT) // 2, HEIGHT + 14 + 22 * (i // 2)
        yield f'<circle cx="{a}" cy="{b - 4}" r="5" fill="{colour[name]}"/>'
        yield f'<text x="{a + 12}" y="{b}">{_safe(name)}</text>'


def _safe(text: str) -> str:
    return escaping.escape(text)
