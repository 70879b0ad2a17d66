"""Few bits a number: a defence without randomness, so that a repeated observation says nothing new."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Generator, Tensor

from splitward.core.defence import Position
from splitward.core.errors import DefenceError
from splitward.core.registry import register
from splitward.defences._level import check_position

MOST_BITS = 16
EDGE = 6.0
"""Tolerances that the likelihood of another cell is off at the common edge: it is no likelihood of that edge."""


@register("defence")
@dataclass(frozen=True)
class Quantise:
    """Sends each entry as the nearest of 2^level values that lie evenly from -1 to 1; the level is the bits a number.

    What lies outside of [-1, 1] is sent as the end: it is made for a bounded code (``bottleneck``). Raises DefenceError
    for a level that is not a whole number from 1 to 16.

    >>> Quantise(1).sample(torch.tensor([[-0.2, 0.1, 7.0]]), torch.Generator())
    tensor([[-1.,  1.,  1.]])
    """

    name: ClassVar[str] = "quantise"
    level: float
    position: Position = "wire"
    draws: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_position(self.name, self.position)
        if isinstance(self.level, bool) or self.level not in range(1, MOST_BITS + 1):
            raise DefenceError(
                f"quantise: the level is the bits a number, a whole number from 1 to {MOST_BITS}, not {self.level}."
            )

    @property
    def bits(self) -> int:
        """That a sent number takes on the wire."""
        return int(self.level)

    @property
    def step(self) -> float:
        """From one value to the next."""
        return 2 / ((1 << self.bits) - 1)

    def sample(self, clean: Tensor, generator: Generator) -> Tensor:  # noqa: ARG002 - nothing is drawn
        """What is sent for ``clean`` (N, *shape); integers and booleans pass unchanged.

        Whoever differentiates through it sees the identity.
        """
        if not clean.is_floating_point():
            return clean
        return self._nearest(clean.detach()) + (clean - clean.detach())

    def _nearest(self, clean: Tensor) -> Tensor:
        return torch.round((clean.clamp(-1, 1) + 1) / self.step) * self.step - 1

    def log_density(self, sent: Tensor, clean: Tensor, tolerance: float) -> Tensor:
        """0 inside the cell that ``sent`` names, falling off as a normal of ``tolerance`` outside of it; (N,).

        The two cells at the ends have no outer edge. An edge between two cells belongs to the one that is sent for it:
        the likelihood of the other falls off from 6 tolerances.
        """
        low = (sent - self.step / 2).masked_fill(sent <= -1 + self.step / 4, -math.inf)
        high = (sent + self.step / 2).masked_fill(sent >= 1 - self.step / 4, math.inf)
        outside = (low - clean).clamp_min(0) + (clean - high).clamp_min(0)
        other = (self._nearest(clean.detach()) - sent).abs() > self.step / 2
        outside = torch.where(other, outside + EDGE * tolerance, torch.zeros_like(outside))
        return -(outside**2 / (2 * tolerance**2)).reshape(len(sent), -1).sum(1)
