"""What can be proved of a target beside what was tried on it."""

from __future__ import annotations

from torch import Tensor

from splitward.audit.world import World
from splitward.bounds.certify import Settings, certify
from splitward.core.run import Run
from splitward.record import schema

SAMPLES = 8
"""Images at which the edge is differentiated, in an audit."""


def certificate_of(world: World, images: Tensor, run: Run) -> schema.Certificate:
    """The certificate of a world's device, for as many observations as its attackers have.

    ``images`` (N, C, H, W): of where the secrets come from. Randomness is the run's, the same for equal devices.
    """
    settings = Settings(observations=world.observations, samples=min(SAMPLES, max(2, len(images))))
    return certify(world.edge, world.chain, images, run.stream(f"certificate/{world.key}"), settings)
