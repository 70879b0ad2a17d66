"""The planner's optimum is that of brute force, on random graphs and under random limits."""

import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from splitward.plan.problem import Crossing, Limits, Problem, mask, members
from splitward.plan.search import enumerate_choices, solve

COST = st.integers(0, 20).map(float)
OBJECTIVES = st.sampled_from([
    {"latency": 1.0}, {"energy": 1.0}, {"throughput": 1.0}, {"money": 1.0}, {"latency": 1.0, "energy": 0.5},
    {"throughput": 2.0, "energy": 1.0},
])  # fmt: skip


@st.composite
def problems(draw):
    """A random graph of up to six operations; several consumers, several outputs, tensors that may not cross."""
    size = draw(st.integers(1, 6))
    consumers = {i: set() for i in range(-1, size)}
    for v in range(size):
        sources = draw(st.sets(st.integers(-1, v - 1), min_size=1, max_size=3))
        for source in sources:
            consumers[source].add(v)
    crossings = [
        Crossing(
            i,
            tuple(sorted(users)),
            draw(COST),
            output=i >= 0 and (not users or draw(st.integers(0, 5)) == 0),
            forbidden=i < 0 or draw(st.integers(0, 8)) == 0,
            memory=draw(st.integers(0, 30)),
            storage=i + 1,
        )
        for i, users in consumers.items()
    ]
    costs = [tuple(draw(st.lists(COST, min_size=size, max_size=size))) for _ in range(3)]
    return Problem(
        *costs,
        tuple(crossings),
        input_bytes=draw(COST),
        result_bytes=draw(COST),
        round_trip_ms=draw(COST),
        up_ms_per_byte=draw(COST) / 4,
        down_ms_per_byte=0.25,
        up_mj_per_byte=draw(COST) / 4,
        message_mj=draw(COST),
        usd_per_cloud_ms=draw(COST) * 1e-6,
        usd_per_byte=draw(COST) * 1e-6,
        arrivals_per_ms=draw(st.sampled_from([0.0, 0.0, 0.01])),
        weights=tuple(tuple(draw(st.sets(st.integers(0, 3), max_size=2))) for _ in range(size)),
        weight_bytes=(5, 10, 20, 40),
        scratch_bytes=(3,) * size,
    )


def brute_force(problem, weights, limits):
    """The best over every subset of the operations, closed and allowed ones picked by their definition."""
    best = math.inf
    for chosen in range(1 << problem.size):
        held = set(members(chosen))
        arcs = [(c, v) for c in problem.crossings for v in c.consumers]
        if any(v in held and c.producer >= 0 and c.producer not in held for c, v in arcs):
            continue
        crosses = {
            c.producer
            for c in problem.crossings
            if chosen != problem.everything
            and (c.producer < 0 or c.producer in held)
            and ((c.output and c.producer >= 0) or any(v not in held for v in c.consumers))
        }
        if chosen and any(c.forbidden for c in problem.crossings if c.producer in crosses):
            continue
        choice = problem.evaluate(chosen)
        value = choice.objective(weights)
        best = value if value < best and not limits.excess(choice) else best
    return best


def check(problem, weights, limits, enumerated):
    found = solve(problem, weights, limits, enumerated)
    expected = brute_force(problem, weights, limits)
    value = found.choice.objective(weights) if found.choice else math.inf
    assert found.proven
    assert value == pytest.approx(expected, rel=1e-6, abs=1e-6), found
    assert found.choice is None or not problem.refused(found.choice.edge)


SETTINGS = settings(max_examples=500, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


@SETTINGS
@given(problems(), OBJECTIVES)
def test_the_optimum_without_limits_is_that_of_brute_force(problem, weights):
    check(problem, weights, Limits(), 0)  # no enumeration: minimum cuts, and branches where they are not enough


@SETTINGS
@given(problems(), OBJECTIVES, *[st.none() | st.integers(0, 120).map(float)] * 4, st.booleans())
def test_the_optimum_within_limits_is_that_of_brute_force(problem, weights, latency, energy, memory, sent, listed):
    check(problem, weights, Limits(latency, energy, memory, sent), 20_000 if listed else 0)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(problems())
def test_enumeration_reaches_every_set_once_with_its_costs(problem):
    found = enumerate_choices(problem)
    allowed = [s for s in range(1 << problem.size) if problem.closed(s) and (not problem.refused(s))]
    assert sorted(c.edge for c in found) == sorted(allowed)
    for choice in found:
        full = problem.evaluate(choice.edge)
        assert choice.latency_ms == pytest.approx(full.latency_ms)
        assert choice.energy_mj == pytest.approx(full.energy_mj)
        assert choice.wire_bytes == pytest.approx(full.wire_bytes)


def test_peak_memory_of_a_chain_with_a_skip_by_hand():
    """a(10) -> b(20) -> c(5), and a is needed by c: at b all of a and b is alive, at c all three."""
    crossings = (
        Crossing(-1, (0,), 7, forbidden=True, memory=7, storage=0),
        Crossing(0, (1, 2), 10, memory=10, storage=1),
        Crossing(1, (2,), 20, memory=20, storage=2),
        Crossing(2, (), 5, output=True, memory=5, storage=3),
    )
    problem = Problem((1.0,) * 3, (1.0,) * 3, (1.0,) * 3, crossings, 7, held_bytes=7, scratch_bytes=(0, 9, 0))
    assert problem.memory(0b111) == 7 + 39
    assert problem.memory(0b011) == 7 + 39  # scratch of b counts while a and b are alive
    assert problem.memory(0b001) == 7 + 10
    assert problem.cloud_memory(0b011) == 30 + 5
    assert mask([0, 1]) == 0b011
