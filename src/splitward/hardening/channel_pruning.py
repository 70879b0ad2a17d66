"""Channels that are dropped picture by picture, by a gate that is learnt (after DISCO: A. Singh et al., CVPR 2021)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from splitward.core.errors import DefenceError
from splitward.core.hardening import Inserted
from splitward.core.registry import register


class Gate(nn.Module):
    """Keeps the ``kept`` channels that a linear layer on the channels' means ranks highest; the others become zero."""

    def __init__(self, channels: int, kept: int) -> None:
        super().__init__()
        self.rank = nn.Linear(channels, channels)
        self.kept = kept

    def forward(self, values: Tensor) -> Tensor:
        """(N, C, ...) to the same; the gate's gradient is that of a sigmoid."""
        scores = self.rank(values.flatten(2).mean(2) if values.ndim > 2 else values)
        least = torch.topk(scores, self.kept, 1)[0][:, -1:]
        soft = torch.sigmoid(scores)
        mask = (scores >= least).to(values.dtype) - soft.detach() + soft
        gated: Tensor = values * mask.reshape(mask.shape[0], mask.shape[1], *[1] * (values.ndim - 2))
        return gated


@register("hardening")
@dataclass(frozen=True)
class ChannelPruning:
    """Drops channels by a learnt gate, other ones for each picture (DISCO); the level is the share that is dropped.

    The gate learns what the task needs; with ``adversary`` in the recipe it also learns what to hide. Raises
    DefenceError for a level that is not above 0 and below 1.
    """

    name: ClassVar[str] = "channel-pruning"
    tries: ClassVar[tuple[str, ...]] = ("channel-pruning:0.6+adversary:1", "channel-pruning:0.9+adversary:1")
    level: float

    def __post_init__(self) -> None:
        if isinstance(self.level, bool) or not 0 < self.level < 1:
            raise DefenceError(
                f"channel-pruning: the level is the share of channels that are dropped, above 0 and below 1, "
                f"not {self.level}."
            )

    def insert(self, shape: tuple[int, ...]) -> Inserted:
        """The gate; zeros need no undoing."""
        kept = max(1, math.floor((1 - self.level) * shape[0]))
        return Inserted(Gate(shape[0], kept), nn.Identity())
