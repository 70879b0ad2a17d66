"""The floors of a world: every floor plugin, on what the user declares as released."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import torch
from torch import Tensor

from splitward.audit.bench import sound
from splitward.audit.suite import EFFORTS, parameters_of
from splitward.audit.world import World, outputs
from splitward.core.errors import NotApplicable
from splitward.core.knowledge import Released, Samples
from splitward.core.registry import discover
from splitward.core.run import Run
from splitward.core.task import answer

DRAWS = 4
"""Defended draws of the answer for each public image: the floor trains on answers as noisy as it will see."""


@dataclasses.dataclass(frozen=True)
class FloorOutcome:
    """One floor: its guesses and what it took."""

    name: str
    kind: str
    released: str
    parameters: dict[str, Any]
    guess: Tensor
    trace: dict[str, list[tuple[int, float]]]
    seconds: float


def answers(world: World, images: Tensor, released: str, draws: int, run: Run, role: str) -> Tensor:
    """Released answers (N, draws, classes) for ``images``, from defended draws like those on the wire."""
    stream = run.stream(role)
    return torch.stack(
        [torch.cat([answer(o, released) for o in outputs(world, images, stream)]) for _ in range(draws)], 1
    )


def run_floors(world: World, secrets: Samples, released: str, effort: str, run: Run) -> list[FloorOutcome]:
    """Every floor against ``secrets``. None of them is handed an activation."""
    known: Tensor | None = None
    theirs: Tensor | None = None
    if released != "none":
        k = world.observations
        draws = max(k, DRAWS) if world.chain else k
        known = answers(world, world.public.images, released, draws, run, "answers/public")
        theirs = answers(world, secrets.images, released, k, run, "answers/secrets")
    results = []
    for name, plugin in discover("floor").items():
        fields = getattr(plugin, "efforts", {}).get(effort, {}) if effort in EFFORTS else {}
        if dataclasses.is_dataclass(plugin) and any(f.name == "observations" for f in dataclasses.fields(plugin)):
            fields = {**fields, "observations": world.observations}
        floor = plugin(**fields)
        own = run.child(f"floor/{name}")
        start = time.perf_counter()
        try:
            allowed = name.startswith("allowed")
            invert = floor.prepare(Released(world.input, world.public, known if allowed else None, released), own)
            guess = sound(invert(theirs if allowed else None, len(secrets)), name, secrets)
        except NotApplicable:
            continue
        results.append(
            FloorOutcome(
                name, "allowed" if allowed else "prior", released if allowed else "none",
                parameters_of(floor),
                guess, own.trace, time.perf_counter() - start,
            )
        )  # fmt: skip
    return results
