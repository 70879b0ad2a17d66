"""A learned bottleneck at the cut: few bounded numbers cross, and the cloud makes an activation of them again."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from splitward.core.errors import DefenceError
from splitward.core.hardening import Inserted
from splitward.core.registry import register
from splitward.hardening._level import check_count

SIDE = 4
"""Of the maps that the device's fully connected layer looks at: larger ones are pooled first, which costs nothing."""
HIDDEN = 96
"""Numbers of the device's hidden layer: at LeNet-5's ReLU2 it costs a twelfth of the edge's operations."""
EXPANDED = 256
"""Numbers of the cloud's hidden layer."""


@register("hardening")
@dataclass(frozen=True)
class Bottleneck:
    """A vector: pooling, one hidden layer, tanh; the level is how many numbers are sent, each from -1 to 1.

    Raises DefenceError for a level that is not a whole number from 1 to 4096.
    """

    name: ClassVar[str] = "bottleneck"
    tries: ClassVar[tuple[str, ...]] = (
        "bottleneck:8+quantise:1", "bottleneck:16+quantise:1", "bottleneck:8+gaussian:0.5", "bottleneck:4+quantise:2",
    )  # fmt: skip
    level: float

    def __post_init__(self) -> None:
        check_count(self.name, self.level, "numbers that are sent")

    def insert(self, shape: tuple[int, ...]) -> Inserted:
        """Encoder to (N, level) and decoder back to (N, *shape)."""
        code = int(self.level)
        expand = nn.Sequential(
            nn.Linear(code, EXPANDED), nn.ReLU(), nn.Linear(EXPANDED, math.prod(shape)), nn.Unflatten(1, shape)
        )
        return Inserted(nn.Sequential(*_encoder(shape, code)), expand)


@register("hardening")
@dataclass(frozen=True)
class Signs:
    """A vector as of ``bottleneck``, of which the device keeps the signs; the level is how many there are.

    One layer makes an activation of them again, cheap enough for a device: with ``--trains edge`` the deployed cloud's
    half is sent what it has always taken, and that takes 2^level values at most. Whoever differentiates through it sees
    the identity. Raises DefenceError for a level that is not a whole number from 1 to 4096.
    """

    name: ClassVar[str] = "signs"
    tries: ClassVar[tuple[str, ...]] = ("signs:12+collapse:0.3",)
    level: float

    def __post_init__(self) -> None:
        check_count(self.name, self.level, "signs")

    def insert(self, shape: tuple[int, ...]) -> Inserted:
        """Encoder to (N, level), each -1 or 1, and decoder back to (N, *shape)."""
        code = int(self.level)
        expand = nn.Sequential(nn.Linear(code, math.prod(shape)), nn.Unflatten(1, shape))
        return Inserted(nn.Sequential(*_encoder(shape, code), Sign()), expand)


class Sign(nn.Module):
    """-1 or 1, exactly."""

    def forward(self, values: Tensor) -> Tensor:
        """(N, ...) to the same; its gradient is the identity's."""
        nothing = values - values.detach()
        return torch.where(values > 0, 1.0, -1.0) + nothing


def _encoder(shape: tuple[int, ...], code: int) -> list[nn.Module]:
    """From (N, *shape) to (N, code), each from -1 to 1."""
    layers: list[nn.Module] = []
    numbers = math.prod(shape)
    if len(shape) == 3:
        strides = [max(1, math.ceil(size / SIDE)) for size in shape[1:]]
        layers.append(nn.MaxPool2d((strides[0], strides[1]), ceil_mode=True))
        numbers = shape[0] * math.prod(math.ceil(size / s) for size, s in zip(shape[1:], strides, strict=True))
    return [*layers, nn.Flatten(), nn.Linear(numbers, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, code), nn.Tanh()]


@register("hardening")
@dataclass(frozen=True)
class Channels:
    """A map of few channels: a 1x1 convolution and tanh; the level is how many channels are sent, each from -1 to 1.

    It keeps the places of things, so it is for cuts that are followed by convolutions. Raises DefenceError for a level
    that is not a whole number from 1 to 4096, and where what crosses is no map (C, H, W).
    """

    name: ClassVar[str] = "channels"
    tries: ClassVar[tuple[str, ...]] = ("channels:2+quantise:1",)
    level: float

    def __post_init__(self) -> None:
        check_count(self.name, self.level, "channels that are sent")

    def insert(self, shape: tuple[int, ...]) -> Inserted:
        """Encoder to (N, level, H, W) and decoder back to (N, C, H, W)."""
        if len(shape) != 3:
            raise DefenceError(f"channels: what crosses has shape {shape}; it is for maps (C, H, W), use bottleneck.")
        count, wide = int(self.level), shape[0]
        encode = nn.Sequential(nn.Conv2d(wide, count, 1), nn.Tanh())
        expand = nn.Sequential(nn.Conv2d(count, wide, 1), nn.ReLU(), nn.Conv2d(wide, wide, 3, padding=1))
        return Inserted(encode, expand)
