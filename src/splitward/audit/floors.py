"""The floors of a world: every floor plugin, on what the user declares as released."""

from __future__ import annotations

import dataclasses
import functools
import math
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from splitward.audit.bench import sound
from splitward.audit.suite import parameters_of
from splitward.audit.world import World, outputs
from splitward.core.errors import NotApplicable
from splitward.core.knowledge import Released, Samples
from splitward.core.registry import discover
from splitward.core.run import Run
from splitward.core.task import answer

DRAWS = 4
"""Defended draws of the answer for each public image: the floor trains on answers as noisy as it will see ..."""
ANSWERS = 8192
"""... fewer where the public images are so many that these are reached with fewer."""


@dataclasses.dataclass(frozen=True)
class FloorOutcome:
    """One floor: its guesses and what it took."""

    name: str
    kind: str
    released: str
    parameters: dict[str, Any]
    guess: Tensor
    invert: Callable[[Tensor | None, int], Tensor]  # from other secrets' released answers, and their number
    trace: dict[str, list[tuple[int, float]]]
    seconds: float


def answers(world: World, images: Tensor, released: str, draws: int, run: Run, role: str) -> Tensor:
    """Released answers (N, draws, classes) for ``images``, from defended draws like those on the wire."""
    given = outputs(world, images, run.stream(role), draws)
    return torch.cat([torch.stack([answer(output, released) for output in drawn], 1) for drawn in given])


def floors(effort: str, observations: int) -> list[tuple[str, Any]]:
    """Every floor plugin by name, configured for the effort and for k observations."""
    configured = []
    for name, plugin in discover("floor").items():
        fields = dict(getattr(plugin, "efforts", {}).get(effort, {}))
        if dataclasses.is_dataclass(plugin) and any(f.name == "observations" for f in dataclasses.fields(plugin)):
            fields["observations"] = observations
        configured.append((name, plugin(**fields)))
    return configured


@dataclasses.dataclass
class Release:
    """The released answers for public images and for the secrets, drawn on first use. It holds no activation.

    ``name``: of the secrets, so that no two kinds of secrets meet the same draws.
    """

    world: World
    secrets: Samples
    kind: str
    run: Run
    name: str = "secrets"

    @functools.cached_property
    def known(self) -> Tensor | None:
        """For the public images, (M, draws, classes)."""
        if self.kind == "none":
            return None
        k = self.world.observations
        images = self.world.public.images
        draws = max(k, min(DRAWS, math.ceil(ANSWERS / len(images)))) if self.world.chain else k
        return answers(self.world, images, self.kind, draws, self.run, "answers/public")

    @functools.cached_property
    def theirs(self) -> Tensor | None:
        """For the secrets, (N, k, classes)."""
        if self.kind == "none":
            return None
        k = self.world.observations
        return answers(self.world, self.secrets.images, self.kind, k, self.run, f"answers/{self.name}")

    def candidates(self, images: Tensor, role: str) -> Tensor:
        """For images of which each might be a secret, (N, draws, classes): several draws where answers are random."""
        draws = max(self.world.observations, DRAWS) if self.world.chain else 1
        return answers(self.world, images, self.kind, draws, self.run, f"answers/line-up/{role}")


def run_floor(name: str, floor: Any, release: Release) -> FloorOutcome | None:
    """One floor against the secrets; None where it has nothing to say. It is handed no activation."""
    world, allowed = release.world, name.startswith("allowed")
    kind, released = ("allowed", release.kind) if allowed else ("prior", "none")
    own = release.run.child(f"floor/{name}")
    start = time.perf_counter()
    try:
        known, theirs = (release.known, release.theirs) if allowed else (None, None)
        invert = floor.prepare(Released(world.input, world.public, known, released), own)
        guess = sound(invert(theirs, len(release.secrets)), name, release.secrets)
    except NotApplicable:
        return None
    seconds = time.perf_counter() - start
    return FloorOutcome(name, kind, released, parameters_of(floor), guess, invert, own.trace, seconds)
