"""A plan as a table for the terminal."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from rich.box import SIMPLE
from rich.console import Group
from rich.table import Table
from rich.text import Text

from splitward.plan import explain, uncertainty, units

if TYPE_CHECKING:
    from rich.console import RenderableType

    from splitward.plan.choice import Plan, Row


def render(plan: Plan) -> RenderableType:
    """The rows, the choice in words, the rejected rows with their reasons, and what would change the choice."""
    parts: list[RenderableType] = [_table(plan), *(Text(text) for text in explain.sentences(plan))]
    turns = uncertainty.flips(plan)
    for flip in turns:
        parts.append(Text(f"Below {flip.mbit_per_s:.3g} Mbit/s up {flip.below} is better, above it {flip.above}."))
    shifted = [s for s in uncertainty.sensitivity(plan) if plan.best and s.best != plan.best.name]
    for s in shifted:
        by = f" by {s.regret:.1%}" if math.isfinite(s.regret) else ", as the cloud falls behind"
        parts.append(Text(f"With {s.factor:g} x {s.constant}, {s.best} would be better{by}."))
    refused = explain.rejected(plan.rows)
    if refused and plan.best is not None:
        parts += [Text(), Text("Not allowed:", style="bold"), *(Text(f"  {line}") for line in refused)]
    marks = [q.mark for q in plan.setting.quantities().values()]
    if marks:
        said = ", ".join(f"{marks.count(m)} {m}" for m in ("verified", "fitted", "assumed") if m in marks)
        parts.append(Text(f"\nConstants of the profiles: {said} (--json lists each with its source)."))
    return Group(*parts)


def _table(plan: Plan) -> Table:
    setting = plan.setting
    where = f"{setting.device.title if setting.device else 'measured here'}; {setting.network.title} at "
    where += f"{setting.uplink:.3g} Mbit/s up; {setting.cloud.title if setting.cloud else 'measured here'}"
    kind = "modelled" if setting.device else "measured"
    table = Table(title=f"{setting.costs.model}: {where} ({kind})", title_justify="left", box=SIMPLE, pad_edge=False)
    shown = _columns(plan)
    for heading in shown:
        left = heading in ("cut after", "defence")
        table.add_column(heading, justify="left" if left else "right", no_wrap=heading != "edge/link/cloud")
    for row in plan.rows:
        if row.choice is not None:
            cells = _cells(plan, row)
            table.add_row(*(cells[heading] for heading in shown), style=_style(plan, row))
    table.caption = "* chosen, P on the Pareto front, † the paper's advice; edge/link/cloud in ms"
    table.caption_justify = "left"
    return table


def _columns(plan: Plan) -> list[str]:
    """Columns in which something is known."""
    shown = ["cut after", "latency", "edge/link/cloud", "energy", "sent", "memory", ""]
    if any(row.defence != "none" for row in plan.rows):
        shown.insert(1, "defence")
    if any(row.audited or row.accuracy is not None for row in plan.rows):
        shown[-1:-1] = ["accuracy", "excess"]
    return shown


def _cells(plan: Plan, row: Row) -> dict[str, str]:
    choice = row.choice
    assert choice is not None
    return {
        "cut after": row.name,
        "defence": row.defence,
        "latency": units.time(choice.latency_ms),
        "edge/link/cloud": "/".join(f"{v:.3g}" for v in (choice.edge_ms, choice.transmission_ms, choice.cloud_ms)),
        "energy": units.energy(choice.energy_mj),
        "sent": units.size(choice.wire_bytes),
        "memory": units.size(choice.edge_memory_bytes),
        "accuracy": "–" if row.accuracy is None else f"{row.accuracy:.3f}",
        "excess": _excess(row),
        "": ("*" if row is plan.best else "") + ("P" if row.front else "") + ("†" if row.advice else ""),
    }


def _excess(row: Row) -> str:
    if row.at_least is not None:
        return f"≥ {row.at_least:.2f}"
    return "–" if row.excess is None else f"{row.excess:.2f}"


def _style(plan: Plan, row: Row) -> str:
    if row is plan.best:
        return "bold green"
    return "" if row.feasible else "dim"
