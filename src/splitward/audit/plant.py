"""A planted leak: the activation with a low-resolution copy of the input hidden in it by a random rotation.

It is the positive control where the cut itself leaks too little to tell a weak attack from an honest cut. The shape of
the activation stays; some of its channels are replaced by the copy, then all channels are rotated. The cloud half turns
back, so that it runs as before, and reads the copy out as a second output: its task needs it, which is what a
query-free attacker has to go by.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from splitward.audit.computed import BATCH
from splitward.audit.world import World
from splitward.core.edge import Edge
from splitward.core.knowledge import Samples, Task, as_tuple
from splitward.core.run import Run
from splitward.core.spec import TensorSpec

SIDE = 8
"""Pixels of the longer side of the hidden copy, at most."""
ROTATED = 512
"""Channels that are mixed, at most."""


class PlantedOutput(NamedTuple):
    """What the planted cloud half returns: the model's output, and the hidden copy (N, C, s, s)."""

    output: Any
    copy: Tensor


def copy_side(input: TensorSpec, activation: TensorSpec) -> int:
    """Side of the square copy that fits: at most 8, and at most nine tenths of the numbers of the activation."""
    if len(activation.shape) == 3:
        return min(*activation.shape[1:], SIDE)
    return max(1, min(SIDE, math.isqrt(int(0.9 * activation.elements / input.shape[0]))))


class Plant(nn.Module):
    """Hides a copy (N, C, s, s) in an activation of ``spec`` and reads it out again."""

    rotation: Tensor

    def __init__(self, input: TensorSpec, spec: TensorSpec, scale: float, generator: torch.Generator) -> None:
        super().__init__()
        self.spec, self.side, self.colours = spec, copy_side(input, spec), input.shape[0]
        self.scale = scale
        self.map = len(spec.shape) == 3
        self.channels = spec.shape[0] if self.map else spec.shape[-1]
        self.positions = spec.elements // self.channels
        if self.map:
            self.used = min(self.colours, self.channels)
        else:
            self.used = min(math.ceil(self.colours * self.side**2 / self.positions), self.channels)
        mixed = min(self.channels, ROTATED)
        random = torch.randn(mixed, mixed, generator=generator, device=generator.device)
        self.register_buffer("rotation", torch.linalg.qr(random)[0])

    def _rows(self, activation: Tensor) -> Tensor:  # (N, positions, channels)
        if self.map:
            return activation.flatten(2).transpose(1, 2)
        return activation.reshape(len(activation), -1, self.channels)

    def _turn(self, rows: Tensor, matrix: Tensor) -> Tensor:
        mixed = matrix.shape[0]
        return torch.cat([rows[..., :mixed] @ matrix, rows[..., mixed:]], -1)

    def _shape(self, rows: Tensor) -> Tensor:
        turned = rows.transpose(1, 2) if self.map else rows
        return turned.reshape(len(rows), *self.spec.shape)

    def _seats(self, size: int) -> Tensor:  # one pixel of a nearest-neighbour enlargement for each pixel of the copy
        return torch.tensor([math.ceil(j * size / self.side) for j in range(self.side)])

    def hide(self, activation: Tensor, copy: Tensor) -> Tensor:
        """The activation of the same shape with the copy in it."""
        rows = self._rows(activation)
        if self.map:
            hidden = F.interpolate(copy, size=self.spec.shape[1:])[:, : self.used].flatten(2).transpose(1, 2)
        else:
            flat, room = copy.flatten(1), self.positions * self.used  # a negative pad crops
            hidden = F.pad(flat, (0, room - flat.shape[1])).reshape(len(copy), self.positions, self.used)
        return self._shape(self._turn(torch.cat([self.scale * hidden, rows[..., self.used :]], -1), self.rotation))

    def read(self, planted: Tensor) -> tuple[Tensor, Tensor]:
        """The activation, zero where the copy was, and the copy."""
        rows = self._turn(self._rows(planted), self.rotation.T)
        hidden, rest = rows[..., : self.used] / self.scale, rows[..., self.used :]
        count = self.colours * self.side**2
        if self.map:
            maps = hidden.transpose(1, 2).reshape(len(rows), self.used, *self.spec.shape[1:])
            copy = maps[:, :, self._seats(maps.shape[2])][:, :, :, self._seats(maps.shape[3])]
        else:
            flat = F.pad(hidden.flatten(1), (0, count - self.positions * self.used))
            copy = flat.reshape(len(rows), self.colours, self.side, self.side)
        return self._shape(torch.cat([torch.zeros_like(rows[..., : self.used]), rest], -1)), copy

    def shrink(self, values: Tensor) -> Tensor:
        """The copy of (N, C, H, W) that is hidden: block means, (N, C, s, s)."""
        return F.adaptive_avg_pool2d(values, self.side)


class _PlantedBody(nn.Module):
    def __init__(self, body: nn.Module, plant: Plant, index: int) -> None:
        super().__init__()
        self.body, self.plant, self.index = body, plant, index

    def forward(self, values: Tensor) -> Tensor | tuple[Tensor, ...]:
        parts = list(as_tuple(self.body(values)))
        parts[self.index] = self.plant.hide(parts[self.index], self.plant.shrink(values))
        return parts[0] if len(parts) == 1 else tuple(parts)


class _PlantedCloud(nn.Module):
    def __init__(self, cloud: nn.Module, plant: Plant, index: int) -> None:
        super().__init__()
        self.cloud, self.plant, self.index = cloud, plant, index

    def forward(self, activation: Tensor | tuple[Tensor, ...]) -> PlantedOutput:
        parts = list(as_tuple(activation))
        parts[self.index], copy = self.plant.read(parts[self.index])
        return PlantedOutput(self.cloud(parts[0] if len(parts) == 1 else tuple(parts)), copy)


@dataclass(frozen=True)
class _PlantedTask:
    """The task of the planted cloud half: its own, and reading the copy."""

    task: Task
    normalise: nn.Module
    side: int
    name: str = "planted"

    def loss(self, output: PlantedOutput, batch: Samples) -> Tensor:
        copy = F.adaptive_avg_pool2d(self.normalise(batch.images), self.side)[:, : output.copy.shape[1]]
        return self.task.loss(output.output, batch) + 10 * F.mse_loss(output.copy, copy)

    def correct(self, output: PlantedOutput, batch: Samples) -> Tensor:
        return self.task.correct(output.output, batch)


@torch.no_grad()
def planted(world: World, run: Run) -> tuple[World, Plant]:
    """The undefended world with a planted leak in its largest activation, and the plant itself."""
    index = max(range(len(world.activation)), key=lambda i: world.activation[i].elements)
    sample = as_tuple(world.edge(world.public.images[:BATCH]))[index]
    values = world.edge.normalise(world.public.images[:BATCH])
    scale = float(sample.std() / values.std().clamp_min(1e-6)) or 1.0
    plant = Plant(world.input, world.activation[index], scale, run.stream("rotation")).to(run.device)
    result = dataclasses.replace(
        world.undefended(),
        edge=Edge(world.edge.normalise, _PlantedBody(world.edge.body, plant, index)),
        cloud=_PlantedCloud(world.cloud, plant, index),
        task=_PlantedTask(world.task, world.edge.normalise, plant.side),
        fingerprint=f"{world.fingerprint}/planted",
        whole="",
    )
    return result, plant
