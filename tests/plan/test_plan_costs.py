"""Costs of real graphs: what crosses, memory as the allocator sees it, the optimum on every model of the cut tests."""

import math
import random

import pytest
import torch

from plan.test_plan_alexnet import COSTS
from split.test_every_cut import CASES
from splitward.audit.world import weights_hash
from splitward.cli.profile import costs_of
from splitward.models.zoo import load_model
from splitward.plan import costs as files
from splitward.plan.latency import all_ms
from splitward.plan.problem import Limits, mask
from splitward.plan.profiles import device, network
from splitward.plan.search import solve
from splitward.plan.setting import Setting
from splitward.split.costs import costs
from splitward.split.cuts import Positions
from splitward.split.halves import export
from splitward.split.measure import peak_bytes, timed

QUICK = {"LeNet5", "ResNet", "InputSkip", "Nested"}
EACH = [pytest.param(c, id=str(c), marks=() if str(c) in QUICK else pytest.mark.slow) for c in CASES]


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def captured(case):
    torch.manual_seed(0)
    positions = Positions.of(case.make().eval(), case.batch(2))
    return positions, costs(positions, str(case))


def closed_sets(problem, most):
    """Every closed set, by adding whatever is ready to sets that are known; None where there are more than ``most``."""
    found, waiting = {0}, [0]
    while waiting:
        chosen = waiting.pop()
        for v in range(problem.size):
            more = chosen | 1 << v
            if more not in found and not problem.needs[v] & ~chosen:
                found.add(more)
                waiting.append(more)
                if len(found) > most:
                    return None
    return found


@pytest.mark.parametrize("case", EACH)
def test_the_optimum_on_every_model_of_the_cut_tests_is_that_of_brute_force(case):
    _, found = captured(case)
    problem = Setting(found, device("tk1-gpu"), device("server-k40"), network("wifi")).problem()
    draws = random.Random(0)
    edge = tuple(draws.uniform(0, 10) for _ in range(problem.size))
    cloud = tuple(draws.uniform(0, 2) for _ in range(problem.size))
    problem = type(problem)(**{**vars_of(problem), "edge_ms": edge, "cloud_ms": cloud, "edge_mj": edge})
    sets = closed_sets(problem, 4000)
    if sets is None:
        pytest.skip("too many closed sets for brute force")
    allowed = [problem.evaluate(s) for s in sets if not problem.refused(s)]
    for weights in ({"latency": 1.0}, {"throughput": 1.0}):
        middle = sorted(c.wire_bytes for c in allowed)[len(allowed) // 2]
        for limits in (Limits(), Limits(wire_bytes=middle)):
            values = [c.objective(weights) for c in allowed if not limits.excess(c)]
            for enumerated in (20_000, 0):
                result = solve(problem, weights, limits, enumerated)
                value = result.choice.objective(weights) if result.choice else math.inf
                assert value == pytest.approx(min(values, default=math.inf))


def vars_of(problem):
    return {name: getattr(problem, name) for name in problem.__dataclass_fields__}


@pytest.mark.parametrize("case", EACH)
def test_what_crosses_in_the_graph_of_values_is_what_the_cut_sends(case):
    positions, found = captured(case)
    problem = Setting(found, device("mobile"), device("server-k40"), network("wifi")).problem()
    for cut in positions.cuts:
        last = found.cuts[cut.index].last
        if cut.refused or last + 1 == len(found.operations):
            continue
        chosen = mask(range(last + 1))
        sent = sum(c.bytes for c in problem.sent(chosen))
        assert not problem.refused(chosen)
        assert problem.evaluate(chosen).wire_bytes == sum(s.elements for s in cut.activation) * 4
        assert sent >= problem.evaluate(chosen).wire_bytes  # what the cloud can recompute is not sent
    for cut in positions.cuts:
        if cut.leaks_input:
            assert problem.refused(mask(range(found.cuts[cut.index].last + 1)))


def test_flops_and_weights_are_those_of_the_cuts(lenet5_digits):
    example = torch.rand(1, *lenet5_digits.input.shape)
    positions = Positions.of(lenet5_digits.model, example)
    found = costs(positions, "lenet5")
    problem = Setting(found, device("mobile"), device("server-k40"), network("wifi")).problem()
    for cut in positions.cuts:
        last = found.cuts[cut.index].last
        assert sum(o.flops for o in found.operations[: last + 1]) == cut.edge_flops
        assert problem.weights_of(mask(range(last + 1))) == 4 * cut.edge_parameters


@pytest.mark.parametrize("name", ["lenet5", pytest.param("cifar-cnn", marks=pytest.mark.slow)])
def test_peak_memory_of_both_halves_is_what_the_allocator_saw(name):
    """Within 10 %, at every cut. The allocator does not count what was there before: weights and what was handed in."""
    victim = load_model(name)
    pixels = torch.rand(1, *victim.input.shape)
    exported = export(victim.model, pixels)
    found = timed(costs(exported._positions, name), exported._positions, pixels, repetitions=3)
    problem = Setting(found, None, None, network("wifi")).problem()
    for cut in found.cuts[:-1]:
        halves, chosen = exported.split(cut.name), mask(range(cut.last + 1))
        sent = halves.edge(pixels).detach()
        weights = [sum(p.numel() * 4 for p in half.parameters()) for half in (halves.edge, halves.cloud)]
        seen_edge = peak_bytes(halves.edge, pixels) + weights[0] + 4 * pixels.numel()
        seen_cloud = peak_bytes(halves.cloud, sent) + weights[1] + 4 * sent.numel()
        assert problem.memory(chosen) == pytest.approx(seen_edge, rel=0.1), cut.name
        assert problem.cloud_memory(chosen) == pytest.approx(seen_cloud, rel=0.1), cut.name


def test_measured_timings_are_complete_and_ordered(lenet5_digits):
    pixels = torch.rand(1, *lenet5_digits.input.shape)
    positions = Positions.of(lenet5_digits.model, pixels)
    found = timed(costs(positions, "lenet5"), positions, pixels, repetitions=5)
    assert found.measured
    assert found.threads == 1
    assert found.engine.startswith("torch")
    for operation in found.operations:
        assert 0 < operation.timing.low_ms <= operation.timing.median_ms <= operation.timing.high_ms
    assert sum(all_ms(found, None)) > 0


@pytest.mark.slow
def test_the_costs_of_alexnet_on_file_are_those_of_the_model():
    victim = load_model("alexnet")
    positions = Positions.of(victim.model, torch.rand(1, *victim.input.shape))
    assert costs(positions, "alexnet") == files.load(COSTS)


def test_a_plan_is_of_the_weights_that_the_data_names(lenet5_digits):
    trained = costs_of("lenet5", None, None, False, "digits")[0].weights_sha256
    assert trained == weights_hash(lenet5_digits.model)
    assert trained != costs_of("lenet5", None, None, False)[0].weights_sha256
