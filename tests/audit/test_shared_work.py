"""What the audits of a sweep share, and what an estimate says of trainings that are gone through again."""

from collections import Counter

import pytest
import torch

import splitward as sw
from audit.doubles import Gradient, entry
from splitward.audit import estimate, loop
from splitward.audit.bench import Bench
from splitward.audit.suite import configure
from splitward.core.run import Run

CPU = torch.device("cpu")


def audited(halves, pool, public, at, bench, defence="none"):
    return sw.audit(
        sw.Target(halves[at], sw.defence(defence)), [entry(Gradient(steps=2))], secrets=pool, public=public,
        samples=12, effort="quick", run=bench.run, bench=bench, judge=False,
    )  # fmt: skip


def test_what_knows_nothing_of_the_cut_is_made_once_for_all_cuts(halves, pool, public, monkeypatch):
    made = Counter()

    def counted(name, *rest):
        made[name] += 1
        return run_floor(name, *rest)

    run_floor = loop.run_floor
    monkeypatch.setattr(loop, "run_floor", counted)
    bench = Bench(Run(0, CPU), loop.cast(pool, public, loop.Settings(12), CPU).secrets)
    together = [audited(halves, pool, public, at, bench) for at in ("relu1", "fc1")]
    assert made == {"prior/mean": 1, "prior/best": 1, "allowed": 1}  # labels of an undefended model
    audited(halves, pool, public, "fc1", bench, "gaussian:1")
    audited(halves, pool, public, "relu1", bench, "gaussian:1")
    assert made == {"prior/mean": 1, "prior/best": 1, "allowed": 3}
    assert len(bench.accuracies) == 1
    alone = audited(halves, pool, public, "fc1", Bench(Run(0, CPU), bench.secrets))
    for shared, own in zip(together[1].floors, alone.floors, strict=True):
        assert (shared.name, shared.metrics) == (own.name, own.metrics)


@pytest.mark.parametrize(("effort", "most"), [("quick", 3), ("standard", 2)])
def test_an_estimate_reaches_from_one_lap_to_all(halves, pool, public, monkeypatch, effort, most):
    target = sw.Target(halves["relu1"])
    roles = loop.cast(pool, public, loop.Settings(12), CPU)
    world = loop.world_of(target, roles, loop.Settings(12), CPU)
    monkeypatch.setattr(estimate, "probe", lambda *_: 10.0)
    found = estimate.estimate([configure("inverse-network", effort, 1), entry(Gradient())], world, 12)
    assert found.low_s == 20
    assert found.high_s == 2 * 10 * most + 2 * 10
