"""A plan in words: the choice, why nothing fits, what the paper's advice costs."""

from __future__ import annotations

import math
from collections.abc import Sequence

from splitward.plan import units
from splitward.plan.choice import NOT_AUDITED, Plan, Row, next_to_audit
from splitward.plan.problem import Weights
from splitward.plan.setting import CLOUD_ONLY, EDGE_ONLY

_UNITS = {"latency": "ms", "energy": "mJ", "throughput": "ms a stage", "money": "$ a million"}


def title(row: Row) -> str:
    """``pool5 with dropout:0.6``."""
    return row.name if row.defence == "none" else f"{row.name} with {row.defence}"


def objective_text(weights: Weights) -> str:
    """``latency``, or ``1 x latency (ms) + 0.5 x energy (mJ)``."""
    if len(weights) == 1:
        return next(iter(weights))
    return " + ".join(f"{factor:g} x {name} ({_UNITS[name]})" for name, factor in weights.items())


def brief(row: Row) -> str:
    """``528 ms, 290 mJ, 36.9 kB sent, 9.9 MB on the edge``."""
    choice = row.choice
    if choice is None:
        return "cannot be made"
    parts = [units.time(choice.latency_ms), units.energy(choice.energy_mj)]
    parts += [f"{units.size(choice.wire_bytes)} sent", f"{units.size(choice.edge_memory_bytes)} on the edge"]
    if row.accuracy is not None:
        parts.append(f"accuracy {row.accuracy:.4f}")
    if row.audited and row.excess is not None:
        parts.append(f"excess leakage at most {row.excess:.3f}")
    return ", ".join(parts)


def sentences(plan: Plan) -> list[str]:
    """The choice and what stands behind it, one sentence each."""
    if plan.best is None:
        return [infeasible(plan)]
    best = plan.best
    found = [f"Best for {objective_text(plan.wanted.weights)}: {title(best)} ({brief(best)})."]
    if not plan.solution.proven:
        found.append(f"It is the best that was found; no choice is below {plan.solution.bound:.6g}.")
    found.append(_behind(plan, best))
    if (cheaper := next_to_audit(plan)) is not None:
        found.append(
            f"That is not certain to be the best: {title(cheaper)} is cheaper ({brief(cheaper)}) and was not audited "
            "(--audit needed)."
        )
    found += [text for text in (_against(plan, EDGE_ONLY), _against(plan, CLOUD_ONLY), advice(plan)) if text]
    return found


def _behind(plan: Plan, best: Row) -> str:
    if best.name == EDGE_ONLY:
        return "Nothing crosses, so nothing leaks to the cloud."
    if best.name == CLOUD_ONLY:
        return "The cloud receives the input itself: there is no privacy to measure."
    if best.audited:
        limit = plan.wanted.max_excess
        kept = f", within the limit of {limit:g}" if limit is not None else ""
        basis = f" ({best.basis})" if best.basis else ""
        return f"A believable audit stands behind it{basis}: excess leakage at most {best.excess:.3f}{kept}."
    return (
        f"No believable verdict stands behind it: what crosses at {title(best)} may give the input away; audit it "
        "(--audit needed, or --runs FOLDER)."
    )


def _against(plan: Plan, name: str) -> str:
    other = next((r for r in plan.rows if r.name == name), None)
    best = plan.best
    if other is None or best is None or other.name == best.name or other.choice is None or best.choice is None:
        return ""
    why = "" if other.feasible else f"; not allowed, because {reasons(other)}"
    return f"{name}: {brief(other)}{why}."


def advice(plan: Plan) -> str:
    """What the paper's advice costs beside the choice; empty where it is the choice, or the model has no such layer."""
    rows = [r for r in plan.rows if r.advice and r.choice]
    best = plan.best
    if not rows or best is None or best.choice is None or best.advice:
        return ""
    row = min(rows, key=lambda r: r.value)
    assert row.choice is not None
    more = row.choice.latency_ms - best.choice.latency_ms, row.choice.energy_mj - best.choice.energy_mj
    costs = f"{_signed(more[0], units.time)} and {_signed(more[1], units.energy)} beside the choice"
    why = "" if row.feasible else f"; not allowed, because {reasons(row)}"
    return f"The paper's advice, one fully connected layer on the edge ({row.name}), costs {costs}{why}."


def _signed(value: float, show: object) -> str:
    assert callable(show)
    return f"{'+' if value >= 0 else '-'}{show(abs(value))}"


def reasons(row: Row) -> str:
    """The row's reasons, joined."""
    return " and ".join(dict.fromkeys(row.reasons.values()))


def infeasible(plan: Plan) -> str:
    """Why no row is left, with what would have to be relaxed."""
    rows = [r for r in plan.rows if r.choice is not None]
    if unknown := [r for r in rows if set(r.reasons.values()) == {NOT_AUDITED}]:
        return (
            f"no cut is known to keep the limits: {title(min(unknown, key=lambda r: r.value))} would be the cheapest "
            f"of {len(unknown)} that were not audited; audit with --audit needed, or name records with --runs."
        )
    options = dict.fromkeys(option for r in rows for option in r.reasons)
    ways = []
    for option in options:
        alone = [r for r in rows if set(r.reasons) == {option}]
        if alone:
            row = min(alone, key=lambda r: r.value)
            ways.append(f"without {option}, {title(row)}: {row.reasons[option]}")
    if ways:
        return f"infeasible, because every cut breaks a limit; relax one of these: {'; '.join(ways)}."
    row = min(rows, key=lambda r: (len(r.reasons), r.value if math.isfinite(r.value) else math.inf))
    return (
        f"infeasible, because every cut breaks several limits, {title(row)} the fewest: {reasons(row)}; relax "
        f"{' and '.join(row.reasons)}."
    )


def rejected(rows: Sequence[Row]) -> list[str]:
    """One line for every row that may not be chosen."""
    return [f"{title(r)}: {reasons(r)}." for r in rows if not r.feasible]
