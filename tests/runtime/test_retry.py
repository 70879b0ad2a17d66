"""Back-off, the circuit breaker, and the choice of a cut for the link, without a network."""

import itertools

import numpy as np
import pytest

from runtime.clouds import toy
from splitward.plan.problem import Problem
from splitward.runtime.half import Half
from splitward.runtime.manifest import Planned
from splitward.runtime.retry import Breaker, Patience
from splitward.runtime.switching import FEWEST, Cost, Link
from splitward.runtime.wire import Packing


def test_pauses_grow_to_their_limit_and_are_random():
    patience = Patience(first_s=0.1, most_s=1.0)
    for failures, limit in enumerate([0.1, 0.2, 0.4, 0.8, 1.0, 1.0]):
        pauses = [patience.pause_s(failures) for _ in range(200)]
        assert 0 <= min(pauses) < 0.2 * limit
        assert 0.8 * limit < max(pauses) <= limit


def test_the_breaker_opens_tries_once_and_closes():
    now = [0.0]
    breaker = Breaker(threshold=3, cool_off_s=1.0, clock=lambda: now[0])
    for _ in range(2):
        breaker.fail()
    assert breaker.allow()
    breaker.succeed()
    for _ in range(3):
        assert breaker.allow()
        breaker.fail()
    assert breaker.is_open
    assert not breaker.allow()
    now[0] = 1.1
    assert not breaker.is_open
    assert breaker.allow()  # one
    assert not breaker.allow()
    breaker.fail()
    now[0] = 2.0
    assert not breaker.allow()
    now[0] = 2.2
    assert breaker.allow()
    breaker.succeed()
    assert all(breaker.allow() for _ in range(10))


EARLY = Cost(edge_ms=1.0, cloud_ms=1.0, up_bytes=100_000, down_bytes=40)
LATE = Cost(edge_ms=20.0, cloud_ms=0.5, up_bytes=1_000, down_bytes=40)


def test_latency_is_the_planners_own():
    link_ms, trip = 8e-3 / 5, 20.0
    nothing = (0.0, 0.0)
    problem = Problem(
        (1.0, 0.0), (0.0, 1.0), nothing, (), 0.0, 40, trip, link_ms, link_ms, exact_bytes={1: 100_000}
    )  # fmt: skip
    assert EARLY.latency_ms(link_ms, trip) == pytest.approx(problem.evaluate(1).latency_ms)


def drive(link, mbit, present, costs=(EARLY, LATE), times=20):
    draws = np.random.default_rng(0)
    for _ in range(times):
        cost = costs[present]
        ms = 10 + cost.cloud_ms + cost.up_bytes * 8e-3 / mbit * draws.uniform(0.9, 1.1)
        link.carried(cost.up_bytes, ms, cost.cloud_ms)
        present = link.best(costs, present)
    return present


def test_it_switches_with_the_bandwidth_and_does_not_flap():
    link = Link()
    link.pinged(10.0)
    assert link.best([EARLY, LATE], 0) == 0  # nothing is known
    present = drive(link, 200.0, 0)
    assert present == 0
    present = drive(link, 5.0, present)
    assert present == 1
    assert drive(link, 200.0, present) == 0
    border = next(m for m in itertools.count(20, 1) if EARLY.latency_ms(8e-3 / m, 10) < LATE.latency_ms(8e-3 / m, 10))
    for start in (0, 1):  # at the border neither saves enough
        link = Link()
        link.pinged(10.0)
        assert drive(link, border, start) == start


def test_few_measurements_decide_nothing():
    link = Link()
    for _ in range(FEWEST - 1):
        link.carried(100_000, 1e6, 0.0)
        assert link.best([EARLY, LATE], 0) == 0


def test_costs_come_from_the_plan_or_from_the_clock():
    bundle, _ = toy(planned=Planned(edge_ms=3.0, cloud_ms=4.0, source="modelled"))
    half = Half(bundle, bundle.manifest.cuts[0], None, Packing("fp16"))
    assert half.cost() == Cost(3.0, 4.0, 24, 20)
    bundle, _ = toy()
    cost = Half(bundle, bundle.manifest.cuts[0], None, Packing()).cost()
    assert 0 < cost.edge_ms < 100
    assert (cost.cloud_ms, cost.up_bytes) == (0.0, 48)
