"""Noise whose strength is learnt for each number by itself (after Shredder: F. Mireshghallah et al., ASPLOS 2020)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from splitward.core.hardening import Batch, Inserted, Setting
from splitward.core.registry import register
from splitward.core.run import Run
from splitward.hardening._level import check_weight

LOUDEST = 6.0
"""Of the natural logarithm of a learnt scale: noise 400 times the unit."""


class Shrink(nn.Module):
    """Divides each number by its own learnt scale, so that noise of deviation 1 becomes noise of that scale."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.zeros(shape))

    def forward(self, values: Tensor) -> Tensor:
        """(N, *shape) to the same."""
        return values * torch.exp(-self.log_scale.clamp(-LOUDEST, LOUDEST))


@register("hardening")
@dataclass(frozen=True)
class LearnedNoise:
    """A learnt scale for each number under ``gaussian:1``; the level is the reward of loud noise in the loss.

    Shredder learns noise tensors and adds one of them at random. Here the device divides each number by a learnt scale
    and ``gaussian:1`` of the recipe follows: to any attacker that is Gaussian noise of that scale, whose density is
    known. The reward is the mean logarithm of the scales, Shredder's reward of its noise's variance. Raises
    DefenceError for a level that is not above 0.
    """

    name: ClassVar[str] = "learned-noise"
    tries: ClassVar[tuple[str, ...]] = ("learned-noise:0.1+gaussian:1", "learned-noise:0.5+gaussian:1")
    level: float

    def __post_init__(self) -> None:
        check_weight(self.name, self.level)

    def insert(self, shape: tuple[int, ...]) -> Inserted:
        """The division; the cloud half learns to live with it."""
        return Inserted(Shrink(shape), nn.Identity())

    def companion(self, setting: Setting, run: Run) -> _Reward:  # noqa: ARG002 - nothing is drawn
        """The reward."""
        assert isinstance(setting.inserted, Shrink)
        return _Reward(self.level, setting.inserted)


class _Reward:
    differentiates_pixels: ClassVar[bool] = False

    def __init__(self, weight: float, shrink: Shrink) -> None:
        self.weight, self.shrink = weight, shrink

    def adapt(self, batch: Batch) -> None:
        """Nothing learns beside the model."""

    def loss(self, batch: Batch) -> Tensor:  # noqa: ARG002 - the scales alone
        """Minus the mean logarithm of the scales, weighted."""
        return -self.weight * self.shrink.log_scale.clamp(-LOUDEST, LOUDEST).mean()
