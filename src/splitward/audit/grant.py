"""The only maker of knowledge: what each threat model hands to an attack, and nothing else."""

from __future__ import annotations

import copy
from typing import Any

from torch import nn

from splitward.audit.asked import Asked
from splitward.audit.oracle import DeviceOracle
from splitward.audit.world import World, observe
from splitward.core.knowledge import BlackBox, QueryFree, WhiteBox
from splitward.core.run import Run


def frozen(module: nn.Module) -> Any:
    """A copy that an attack may spoil as it likes, without gradients for its weights."""
    return copy.deepcopy(module).eval().requires_grad_(False)


def grant(
    kind: type[QueryFree], world: World, run: Run, budget: int | None = None, asked: Asked | None = None
) -> QueryFree:
    """Knowledge of ``kind`` about ``world``.

    An attacker in an undefended world is handed no defence (None, or the form on the wire alone), one in a defended
    world its description: what the device itself does shows in the oracle's answers and in the traffic alone.
    ``budget``: queries to the oracle, None for any. ``asked``: what this world's edge was asked before, to save work.
    """
    traffic = None
    if world.others is not None and len(world.others):
        traffic = observe(world, world.others.images, run.stream("traffic"))
    held: dict[str, Any] = {
        "input": world.input,
        "activation": world.activation,
        "cloud": frozen(world.cloud),
        "task": world.task,
        "public": world.public,
        "traffic": traffic,
        "defence": world.chain.description() or None,
    }
    if issubclass(kind, BlackBox):
        held["query"] = DeviceOracle(world.edge, world.chain, run.stream("oracle"), budget, asked)
    if issubclass(kind, WhiteBox):
        held["edge"] = frozen(world.edge)
    return kind(**held)
