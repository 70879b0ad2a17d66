"""What a real device sent, in the place of draws: the recording, and its form on the wire as part of the device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Generator, Tensor

from splitward.audit.world import World
from splitward.core.defence import Channel
from splitward.core.edge import release
from splitward.core.errors import UsageError
from splitward.core.knowledge import Activations, Samples, as_tuple
from splitward.record.wire import Wire

if TYPE_CHECKING:
    from splitward.audit.target import Target


@dataclass(frozen=True)
class Crossed:
    """A recording, as far as it is of the secrets.

    ``sent``: each tensor (N, k, *shape), in the order of the secrets. ``form``: None for plain float32.
    """

    sent: Activations
    form: Channel | None
    wire: Wire

    @property
    def quantisation(self) -> str:
        """As a record names it."""
        return {"fp16": "float16", "int8": "int8"}[self.form.name] if self.form else "float32"


ENOUGH = 0.8
"""Share of the correlation of draws with undefended values that a recording must have, to be of the same device."""


def recorded(target: Target) -> tuple[str, ...]:
    """What tells a recording from others; nothing for a target without one."""
    return () if target.crossed is None else (target.crossed.wire.recording_sha256,)


@torch.no_grad()
def crossing(target: Target, secrets: Samples, world: World) -> dict[str, Activations]:
    """By the key of ``world``, what was recorded for its secrets; nothing for a target without a recording.

    Raises UsageError where it cannot be of this model and defence: attackers who expect another device would find
    nothing, and that would mean nothing.
    """
    if target.crossed is None:
        return {}
    images = secrets.images
    clean = as_tuple(world.edge(images))
    drawn = release(world.edge, world.chain, images, Generator(images.device).manual_seed(0))
    sent = tuple(part.to(images.device) for part in target.crossed.sent)
    for index, (value, draw, part) in enumerate(zip(clean, drawn, sent, strict=True)):
        if part.shape != (len(images), world.observations, *value.shape[1:]):
            raise UsageError(
                f"the recording holds {tuple(part.shape)} at tensor {index}; {tuple(value.shape)} crosses."
            )
        due, found = _alike(draw, value), _alike(part[:, 0], value)
        if found < ENOUGH * due - 4 / value.numel() ** 0.5:
            raise UsageError(
                "the recording is not of this model, data and defence: what crossed correlates with what the edge "
                f"computes by {found:.2f}, and {due:.2f} is due; name the --model and --data of the bundle."
            )
    return {world.key: sent}


def _alike(sent: Tensor, clean: Tensor) -> float:
    """The correlation of all numbers."""
    pair = torch.stack([sent.flatten().double(), clean.flatten().double()])
    return float(torch.corrcoef(pair)[0, 1].nan_to_num(1.0))
