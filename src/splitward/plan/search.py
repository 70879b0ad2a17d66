"""The exact optimum over all closed sets of operations: by a minimum cut, by enumeration, or by branch and bound."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator
from dataclasses import dataclass

from splitward.plan import forms
from splitward.plan.problem import Choice, Limits, Problem, Weights, mask, members

ENUMERATED = 20_000
"""So many closed sets are enumerated at most; a chain of n operations has n + 1."""

BRANCHES = 200
"""So many branches are bounded at most; then the best that was found is returned with what is proven of it."""


@dataclass(frozen=True)
class Solution:
    """The best choice that meets the limits (None: none does). ``bound``: no choice can be below it.

    ``proven``: the choice is the optimum. ``method``: minimum cut, enumeration, or branch and bound.
    """

    choice: Choice | None
    proven: bool
    bound: float
    method: str


def solve(problem: Problem, weights: Weights, limits: Limits, enumerated: int = ENUMERATED) -> Solution:
    """The choice that minimises the weighted objective under the limits, edge-only and cloud-only included."""
    special = [problem.evaluate(chosen) for chosen in (problem.everything, 0)]
    linear = not weights.get("throughput") and not problem.arrivals_per_ms
    if linear:
        found = forms.minimise(problem, forms.objective(problem, weights))
        named = [problem.evaluate(chosen) for chosen in problem.exact_bytes]
        cut = [problem.evaluate(found[0])] if found else []
        best = min(special + named + cut, key=lambda c: c.objective(weights))
        if not limits.excess(best):
            return Solution(best, True, best.objective(weights), "minimum cut")
    every = enumerate_choices(problem, enumerated)
    if every is not None:
        return _first_within(problem, every, weights, limits)
    return Branching(problem, weights, limits, special).run()


def _first_within(problem: Problem, every: list[Choice], weights: Weights, limits: Limits) -> Solution:
    """The best within the limits; memory, which takes longer to know, is looked at in the order of the objective."""
    quick = Limits(limits.latency_ms, limits.energy_mj, None, limits.wire_bytes)
    ranked = [(c.objective(weights), c.edge) for c in every if not quick.excess(c)]
    for value, chosen in sorted(ranked):
        full = problem.evaluate(chosen)
        if not limits.excess(full):
            return Solution(full, True, value, "enumeration")
    return Solution(None, True, math.inf, "enumeration")


def enumerate_choices(problem: Problem, most: int = ENUMERATED) -> list[Choice] | None:
    """Every closed set that may be chosen, without its memory; None where there are more than ``most``.

    Each set is reached once: by adding its operations in their order.
    """
    found = [problem.evaluate(0)] if problem.size else []
    for choice in _closed(problem):
        if len(found) >= most:
            return None
        found.append(choice)
    return found


def _closed(problem: Problem) -> Iterator[Choice]:
    made: list[list[int]] = [[] for _ in range(problem.size)]
    used: list[list[int]] = [[] for _ in range(problem.size)]
    after: list[set[int]] = [set() for _ in range(problem.size)]
    masks = [mask(c.consumers) for c in problem.crossings]
    for i, c in enumerate(problem.crossings):
        for v in c.consumers:
            used[v].append(i)
            if c.producer >= 0:
                after[c.producer].add(v)
        if c.producer >= 0:
            made[c.producer].append(i)
    raw = sum(c.forbidden for c in problem.crossings if c.producer < 0)
    ready = tuple(v for v in range(problem.size) if not problem.needs[v])
    stack = [(0, ready, 0.0, sum(problem.cloud_ms), 0.0, 0.0, raw)]
    while stack:
        held, ready, edge, cloud, energy, crossing, wrong = stack.pop()
        for at, v in enumerate(ready):
            chosen, sent, bad = held | 1 << v, crossing, wrong
            for i in made[v]:
                sent += problem.crossings[i].bytes
                bad += problem.crossings[i].forbidden
            for i in used[v]:
                c = problem.crossings[i]
                if not masks[i] & ~chosen and not (c.output and c.producer >= 0):
                    sent -= c.bytes if c.producer >= 0 else 0.0
                    bad -= c.forbidden
            sums = edge + problem.edge_ms[v], cloud - problem.cloud_ms[v], energy + problem.edge_mj[v]
            if not bad or chosen == problem.everything:
                yield problem.choice(chosen, sums[0], max(sums[1], 0.0), sums[2], sent)
            new = (w for w in after[v] if not problem.needs[w] & ~chosen)
            stack.append((chosen, tuple(sorted({*ready[at + 1 :], *new})), *sums, sent, bad))


class Branching:
    """Branch and bound. A branch fixes some operations on the edge and some on the cloud.

    It is bounded by a minimum cut of the objective with the limits in it (Lagrange multipliers), and by a weighted mean
    of the stages in place of their maximum.
    """

    def __init__(self, problem: Problem, weights: Weights, limits: Limits, known: list[Choice]) -> None:
        self.problem, self.weights, self.limits = problem, weights, limits
        self.linear = forms.objective(problem, weights)
        self.stages = forms.stages(problem)
        self.bounded = forms.limits(problem, limits)
        self.best: Choice | None = None
        self.value = math.inf
        for choice in [*known, *map(problem.evaluate, problem.exact_bytes)]:
            self._offer(choice)
        self.exact = bool(problem.exact_bytes)

    def run(self) -> Solution:
        """The optimum, or the best that was found in ``BRANCHES`` branches."""
        lowest = [forms.minimise(self.problem, form) for form in self.bounded]
        if any(found is None or found[1] > 1e-9 for found in lowest):
            return Solution(self.best, True, self.value, "branch and bound")  # only edge-only or cloud-only are left
        start = self._bound(0, 0, [1 / 3] * 3, [0.0] * len(self.bounded), 40)
        waiting = [(start[0], 0, 0, 0, start[1], start[2])] if start else []
        count = 0
        while waiting and self._worth(waiting[0][0]) and count < BRANCHES:
            _, _, inside, outside, shares, prices = heapq.heappop(waiting)
            free = self.problem.everything & ~inside & ~outside
            if not free:
                continue
            order = list(members(free))
            middle = 1 << order[len(order) // 2]
            for more_in, more_out in ((middle, 0), (0, middle)):
                fixed = forms.spread(self.problem, inside | more_in, outside | more_out)
                child = self._bound(*fixed, shares, prices, 8)
                count += 1
                if child and self._worth(child[0]):
                    heapq.heappush(waiting, (child[0], -count, *fixed, child[1], child[2]))
        open_bound = min((w[0] for w in waiting), default=math.inf)
        return Solution(self.best, not self._worth(open_bound), min(self.value, open_bound), "branch and bound")

    def _bound(
        self, inside: int, outside: int, shares: list[float], prices: list[float], steps: int
    ) -> tuple[float, list[float], list[float]] | None:
        """A lower bound of a branch and the multipliers that gave it; None where the branch is empty."""
        pace = self.weights.get("throughput", 0.0)
        best, kept = -math.inf, (shares, prices)
        scale = max(1e-9, abs(self.value) if math.isfinite(self.value) else 1.0)
        for step in range(steps):
            parts = [(1.0, self.linear), *((pace * s, f) for s, f in zip(shares, self.stages, strict=True))]
            parts += list(zip(prices, self.bounded, strict=True))
            found = forms.minimise(self.problem, forms.combine(parts), inside, outside)
            if found is None:
                return None
            chosen, value = found
            if value > best:
                best, kept = value, (shares, prices)
            self._offer(self.problem.evaluate(chosen))
            if not self._worth(best):
                break
            broken = [form.at(self.problem, chosen) for form in self.bounded]
            scale = scale if math.isfinite(self.value) else max(scale, abs(value))
            rate = scale / (step + 1)
            prices = [max(0.0, p + rate * b) for p, b in zip(prices, broken, strict=True)]
            if pace:
                times = [form.at(self.problem, chosen) for form in self.stages]
                shares = _towards(shares, times.index(max(times)), 1 / (step + 2))
            elif not any(b > 0 for b in broken) and not any(prices):
                break
        return best, kept[0], kept[1]

    def _worth(self, bound: float) -> bool:
        """Whether a branch with this bound can hold anything better."""
        return bound < self.value and (math.isinf(self.value) or bound < self.value - 1e-9 * abs(self.value))

    def _offer(self, choice: Choice) -> None:
        value = choice.objective(self.weights)
        if value < self.value and not self.limits.excess(choice) and not self.problem.refused(choice.edge):
            self.best, self.value = choice, value


def _towards(shares: list[float], slowest: int, step: float) -> list[float]:
    return [(1 - step) * s + (step if i == slowest else 0.0) for i, s in enumerate(shares)]
