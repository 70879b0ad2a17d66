"""Sums over a choice that are linear in it, and the choice that minimises one: a minimum cut, as in DADS.

Operations are nodes, the source is the edge, the sink the cloud. An operation's cost on the cloud is its arc from the
source, its cost on the edge its arc to the sink. A tensor's transfer is an arc from its producer to its consumer; one
with several consumers gets a node of its own, so that it is paid once. An unbounded arc from a consumer back to the
producer forbids that the edge needs what the cloud computes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from splitward.plan.mincut import Graph
from splitward.plan.problem import Limits, Problem, Weights, flags, mask, members


@dataclass(frozen=True)
class Form:
    """constant + the edge's sum + the cloud's sum + ``per_byte`` for what crosses."""

    edge: tuple[float, ...]
    cloud: tuple[float, ...]
    per_byte: float = 0.0
    constant: float = 0.0

    def at(self, problem: Problem, chosen: int) -> float:
        """Its value."""
        held = flags(chosen, problem.size)
        inside = sum(e if on else c for e, c, on in zip(self.edge, self.cloud, held, strict=True))
        return self.constant + inside + self.per_byte * sum(c.bytes for c in problem.sent(chosen))


def combine(parts: list[tuple[float, Form]]) -> Form:
    """The weighted sum."""
    size = len(parts[0][1].edge)
    return Form(
        tuple(sum(f * form.edge[v] for f, form in parts) for v in range(size)),
        tuple(sum(f * form.cloud[v] for f, form in parts) for v in range(size)),
        sum(f * form.per_byte for f, form in parts),
        sum(f * form.constant for f, form in parts),
    )


def stages(problem: Problem) -> list[Form]:
    """Milliseconds of edge, link and cloud where something crosses."""
    none = (0.0,) * problem.size
    down = problem.result_bytes * problem.down_ms_per_byte
    return [
        Form(problem.edge_ms, none),
        Form(none, none, problem.up_ms_per_byte, down),
        Form(none, problem.cloud_ms),
    ]


def named(problem: Problem) -> dict[str, Form]:
    """Latency without the wait for the cloud, energy, and dollars a million inferences, where something crosses."""
    none = (0.0,) * problem.size
    waited = Form(none, none, 0.0, problem.round_trip_ms)
    down_mj = problem.result_bytes * problem.down_mj_per_byte + problem.message_mj
    rent = tuple(1e6 * problem.usd_per_cloud_ms * ms for ms in problem.cloud_ms)
    usd = 1e6 * problem.usd_per_byte
    return {
        "latency": combine([(1.0, form) for form in (*stages(problem), waited)]),
        "energy": Form(problem.edge_mj, none, problem.up_mj_per_byte, down_mj),
        "money": Form(none, rent, usd, usd * problem.result_bytes),
    }


def objective(problem: Problem, weights: Weights) -> Form:
    """The part of an objective that is linear: all but the throughput."""
    none = (0.0,) * problem.size
    forms = named(problem)
    return combine([(0.0, Form(none, none)), *((w, forms[n]) for n, w in weights.items() if n != "throughput")])


def limits(problem: Problem, asked: Limits) -> list[Form]:
    """Forms that must be at most 0: the limits, or what is never more than they bound."""
    none = (0.0,) * problem.size
    forms = named(problem)
    found: list[tuple[Form, float]] = []
    if asked.latency_ms is not None:
        found.append((forms["latency"], asked.latency_ms))
    if asked.energy_mj is not None:
        found.append((forms["energy"], asked.energy_mj))
    if asked.wire_bytes is not None:
        found.append((Form(none, none, 1.0), asked.wire_bytes))
    if asked.edge_memory_bytes is not None:
        found.append((Form(_first_weights(problem), none, 0.0, problem.held_bytes), asked.edge_memory_bytes))
    if problem.arrivals_per_ms:
        found.append((Form(none, problem.cloud_ms), 1 / problem.arrivals_per_ms))
    return [
        combine([(1 / max(limit, 1.0), form), (-limit / max(limit, 1.0), Form(none, none, 0.0, 1.0))])
        for form, limit in found
    ]


def _first_weights(problem: Problem) -> tuple[float, ...]:
    """Bytes of the weights of each operation that no earlier one has: their sum is at most what a set needs."""
    seen: set[int] = set()
    found = []
    for weights in problem.weights or ((),) * problem.size:
        found.append(float(sum(problem.weight_bytes[w] for w in weights if w not in seen)))
        seen.update(weights)
    return tuple(found)


def minimise(problem: Problem, form: Form, inside: int = 0, outside: int = 0) -> tuple[int, float] | None:
    """The closed set with the smallest value, of those that hold ``inside`` and nothing of ``outside``, and the value.

    The raw input may not cross, so cloud-only is none of them. None where there is none.
    """
    graph = Graph(problem.size + 2)
    source, sink = problem.size, problem.size + 1
    on_edge, on_cloud = list(form.edge), list(form.cloud)
    must, may_not = inside, outside
    for c in problem.crossings:
        if c.producer < 0:
            must |= mask(c.consumers)
            continue
        price = math.inf if c.forbidden else form.per_byte * c.bytes
        if c.output and not c.forbidden:
            on_edge[c.producer] += price
            price = 0.0
        elif c.output:
            may_not |= 1 << c.producer
        _transfer(graph, c.producer, c.consumers, price)
    if inside or may_not or any(c.forbidden and c.producer >= 0 for c in problem.crossings):
        must, may_not = spread(problem, must, may_not)
        if must & may_not:
            return None
    forced, barred = flags(must, problem.size), flags(may_not, problem.size)
    for v in range(problem.size):
        net = on_edge[v] - on_cloud[v]
        if forced[v]:
            graph.arc(source, v, math.inf)
        elif barred[v]:
            graph.arc(v, sink, math.inf)
        elif net > 0:
            graph.arc(v, sink, net)
        elif net < 0:
            graph.arc(source, v, -net)
    side = graph.source_side(source, sink)
    chosen = mask(v for v in range(problem.size) if side[v])
    return chosen, form.at(problem, chosen)


def _transfer(graph: Graph, producer: int, consumers: tuple[int, ...], price: float) -> None:
    if len(consumers) == 1:
        graph.arc(producer, consumers[0], price, math.inf)
        return
    middle = graph.node() if price else producer
    if price:
        graph.arc(producer, middle, price)
    for v in consumers:
        if price:
            graph.arc(middle, v, math.inf)
        graph.arc(v, producer, math.inf)


def spread(problem: Problem, must: int, may_not: int) -> tuple[int, int]:
    """With what an operation on the edge needs, and what needs one on the cloud; forbidden transfers included."""
    before = None
    while before != (must, may_not):
        before = must, may_not
        for v in reversed(members(must)):
            must |= problem.needs[v]
        for v in range(problem.size):
            if problem.needs[v] & may_not:
                may_not |= 1 << v
        for c in problem.crossings:
            if c.forbidden and c.producer >= 0:
                users = mask(c.consumers)
                must |= users if must >> c.producer & 1 else 0
                may_not |= 1 << c.producer if users & may_not else 0
    return must, may_not
