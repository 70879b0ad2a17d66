"""What would change the choice: the bandwidth at which it flips, and constants that are a quarter off."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from dataclasses import dataclass

from splitward.plan.choice import Plan, Row
from splitward.plan.problem import Problem

SLACK = 1.25
"""Each constant is taken this much larger and smaller."""


@dataclass(frozen=True)
class Flip:
    """At ``mbit_per_s`` of uplink the choice changes: ``below`` it is the better one on slower links."""

    mbit_per_s: float
    below: str
    above: str


@dataclass(frozen=True)
class Shift:
    """``constant`` times ``factor``: what is then best, and by how much the present choice is then worse (a ratio)."""

    constant: str
    factor: float
    best: str
    regret: float


def flips(plan: Plan) -> list[Flip]:
    """Every bandwidth of the uplink at which the best row changes, rising; empty for a throughput.

    The objective is linear in 1 / bandwidth for every choice, so the best is the lower envelope of lines: exact. Rows
    compete that break no limit but those that depend on the bandwidth (latency and energy, which are left out here).
    """
    rows = _competing(plan)
    if plan.wanted.weights.get("throughput") or not rows:
        return []
    one, other = (plan.setting.with_uplink(mbit).problem() for mbit in (1.0, 0.5))
    lines: dict[str, tuple[float, float]] = {}
    for row in rows:
        at_1 = one.evaluate(_edge(row)).objective(plan.wanted.weights)
        at_2 = other.evaluate(_edge(row)).objective(plan.wanted.weights)
        line = (at_2 - at_1, 2 * at_1 - at_2)  # slope in 1 / (Mbit/s), and the value at infinite bandwidth
        if line not in lines.values():  # a view costs nothing: the cut before it is named
            lines[row.name] = line
    return _envelope(lines)


def _envelope(lines: dict[str, tuple[float, float]]) -> list[Flip]:
    """From x = 1 / bandwidth = 0 on, always the line that first crosses below the present one."""
    name = min(lines, key=lambda n: (lines[n][1], lines[n][0]))
    x = 0.0
    found: list[Flip] = []
    while True:
        slope, start = lines[name]
        crossings = [
            ((other_start - start) / (slope - other_slope), other_slope, other)
            for other, (other_slope, other_start) in lines.items()
            if other_slope < slope - 1e-12
        ]
        later = [c for c in crossings if c[0] >= x]
        if not later:
            return found[::-1]
        x, _, other = min(later)
        if x > 0:
            found.append(Flip(1 / x, other, name))
        name = other


def sensitivity(plan: Plan) -> list[Shift]:
    """The best row, and the regret of the present choice, with each constant a quarter larger and smaller."""
    if plan.best is None:
        return []
    base, found = plan.setting.problem(), []
    for constant in ("edge time", "cloud time", "bandwidth", "round trip"):
        for factor in (1 / SLACK, SLACK):
            if constant == "bandwidth":
                problem = plan.setting.with_uplink(plan.setting.uplink * factor).problem()
            else:
                problem = scaled(base, constant, factor)
            value = problem.evaluate(_edge(plan.best)).objective(plan.wanted.weights)
            best = min(_fitting(plan, problem), key=lambda pair: pair[0], default=(value, plan.best.name))
            regret = max(value / best[0] - 1, 0.0) if best[0] and math.isfinite(best[0]) else 0.0
            if math.isinf(value):  # the cloud falls behind
                regret = math.inf
            found.append(Shift(constant, factor, best[1], regret))
    return found


def scaled(problem: Problem, constant: str, factor: float) -> Problem:
    """The problem with one of its constants multiplied."""

    def times(values: Iterable[float]) -> tuple[float, ...]:
        return tuple(factor * v for v in values)

    if constant == "edge time":
        return dataclasses.replace(problem, edge_ms=times(problem.edge_ms), edge_mj=times(problem.edge_mj))
    if constant == "cloud time":
        return dataclasses.replace(problem, cloud_ms=times(problem.cloud_ms))
    return dataclasses.replace(problem, round_trip_ms=factor * problem.round_trip_ms)


def _fitting(plan: Plan, problem: Problem) -> list[tuple[float, str]]:
    found = []
    for row in _competing(plan):
        choice = problem.evaluate(_edge(row))
        if not plan.wanted.limits.excess(choice):
            found.append((choice.objective(plan.wanted.weights), row.name))
    return found


def _competing(plan: Plan) -> list[Row]:
    """Rows that break no limit, but for those on latency and energy."""
    apart = {"--latency", "--energy"}
    return [r for r in plan.rows if r.choice and math.isfinite(r.value) and not r.reasons.keys() - apart]


def _edge(row: Row) -> int:
    assert row.choice is not None
    return row.choice.edge
