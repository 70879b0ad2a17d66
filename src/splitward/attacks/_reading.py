"""How a decoder reads what crossed the wire: every tensor as a feature map, a vector, or both, from its shape alone."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from splitward.core.errors import AttackError
from splitward.core.knowledge import Activations
from splitward.core.spec import TensorSpec

LOOKED_AT = 512
"""Pairs, at most, that tell whether a vector is a flattened map."""
LOCAL = 1.5
"""How much better the numbers of a position are correlated with what is there than with what is elsewhere, from which
on they are taken for a map. Right readings: 2.1 (CIFAR CNN, pool3), 2.8 (LeNet-5, pool2, with and without noise);
wrong ones, and fully connected layers: 0.8 to 1.3."""
VECTOR_GRID = 8
"""Positions per side, at most, of the coarse map that a vector is spread over."""


@dataclass(frozen=True)
class Reading:
    """One tensor of the activation as a map of ``channels`` x ``grid``, a vector of ``length`` numbers, or both.

    A sequence of tokens that fits the image's aspect is a map; class tokens before it are a vector beside the map.
    """

    spec: TensorSpec
    channels: int  # 0: no map
    grid: tuple[int, int]
    length: int  # 0: no vector
    layout: str  # "map" (C, H, W) | "map-last" (H, W, C) | "tokens" (L, D) | "vector"

    def map(self, values: Tensor) -> Tensor:
        """(B, *shape) to (B, channels, *grid)."""
        if self.layout == "map-last":
            return values.movedim(-1, 1)
        if self.layout == "tokens":
            values = values[:, values.shape[1] - math.prod(self.grid) :].transpose(1, 2)
        return values.reshape(len(values), self.channels, *self.grid)

    def vector(self, values: Tensor) -> Tensor:
        """(B, *shape) to (B, length)."""
        if self.layout == "tokens":
            values = values[:, : values.shape[1] - math.prod(self.grid)]
        return values.flatten(1) if values.ndim > 1 else values[:, None]


def read(spec: TensorSpec, image: TensorSpec) -> Reading:
    """How a tensor of ``spec`` is read, given the shape of the image (C, H, W)."""
    shape, (height, width) = spec.shape, image.shape[-2:]

    def fits(grid: tuple[int, ...]) -> bool:
        return min(grid) > 1 and grid[0] * width == grid[1] * height

    if len(shape) == 4:  # (C, T, H, W): a map of C * T channels
        shape = (shape[0] * shape[1], *shape[2:])
    if len(shape) == 3 and not fits(shape[1:]) and fits(shape[:2]):
        return Reading(spec, shape[2], (shape[0], shape[1]), 0, "map-last")
    if len(shape) == 3 and math.prod(shape[1:]) > 1:
        return Reading(spec, shape[0], (shape[1], shape[2]), 0, "map")
    if len(shape) == 2:
        for extra in (0, 1, 2):  # class and distillation tokens
            side = math.sqrt((shape[0] - extra) * height / width) if shape[0] > extra else 0.0
            rows = round(side)
            columns = (shape[0] - extra) // rows if rows else 0
            if rows * columns == shape[0] - extra and rows > 1 and fits((rows, columns)):
                return Reading(spec, shape[1], (rows, columns), extra * shape[1], "tokens")
    return Reading(spec, 0, (1, 1), spec.elements, "vector")


def stride_of(grid: tuple[int, int], image: TensorSpec) -> int:
    """Pixels per position of a map: the largest power of two that still covers the image with at least ``grid``.

    Convolutions without padding lose positions at the border, so the plain ratio of the sizes is too large:
    LeNet-5's ReLU2 has 8 positions for 28 pixels and a stride of 2.
    """
    ratio = min(image.shape[-2] / grid[0], image.shape[-1] / grid[1])
    return int(2 ** math.floor(math.log2(max(ratio, 1))))


def canvas(readings: list[Reading], image: TensorSpec) -> tuple[int, tuple[int, int]]:
    """Stride and size of the grid at which a decoder works: the finest map's, or a coarse one for vectors alone."""
    strides = [stride_of(r.grid, image) for r in readings if r.channels]
    side = max(image.shape[-2:])
    stride = min(strides) if strides else 2 ** max(0, math.ceil(math.log2(side / VECTOR_GRID)))
    return stride, (math.ceil(image.shape[-2] / stride), math.ceil(image.shape[-1] / stride))


def grids_of(spec: TensorSpec, image: TensorSpec) -> list[tuple[int, int]]:
    """Of a vector: the sizes, in the image's aspect, of the maps that may have been flattened into it."""
    if read(spec, image).layout != "vector":
        return []
    height, width = image.shape[-2:]
    grids = [(h, h * width // height) for h in range(2, height + 1) if h * width % height == 0]
    return [(h, w) for h, w in grids if w > 1 and spec.elements % (h * w) == 0]


def locality(values: Tensor, pixels: Tensor, grid: tuple[int, int]) -> float:
    """How much better numbers (N, L), read as a map of ``grid``, are correlated with the brightness of the pixels below
    their own position than with that below the others: the ratio of the mean squared correlations."""
    seen = F.adaptive_avg_pool2d(pixels.mean(1, keepdim=True), grid).flatten(1)
    values, seen = (x - x.mean(0) for x in (values, seen))
    values, seen = (x / x.square().mean(0).sqrt().clamp_min(1e-6) for x in (values, seen))
    places = seen.shape[1]
    related = (values.T @ seen / len(seen)).square().view(-1, places, places).mean(0)
    own = related.diagonal().sum()
    elsewhere = (related.sum() - own) / (places - 1)
    return float(own / elsewhere.clamp_min(1e-12))


def unflattened(
    specs: tuple[TensorSpec, ...], image: TensorSpec, activations: Activations, pixels: Tensor
) -> tuple[TensorSpec, ...]:
    """``specs``, with the shape of a map for each vector whose numbers turn out to be one, flattened.

    A flattened map tells no less than the map. ``activations``, each (N, k, *shape), are those of ``pixels``.
    """
    found = []
    for spec, part in zip(specs, activations, strict=True):
        grids = grids_of(spec, image)
        if not grids or len(pixels) < 2:
            found.append(spec)
            continue
        values = part.mean(1).flatten(1).float()
        best = max(grids, key=lambda grid: locality(values, pixels, grid))
        local = locality(values, pixels, best) >= LOCAL
        found.append(TensorSpec((spec.elements // (best[0] * best[1]), *best)) if local else spec)
    return tuple(found)


class Standardise(nn.Module):
    """Each tensor in the shape of its reading, to mean 0 and variance 1: per channel of a map, per number of a vector.

    The statistics are those of public (defended) activations; entries that hardly vary are not blown up.
    """

    def __init__(self, readings: list[Reading]) -> None:
        super().__init__()
        self.axes, self.shapes = [], [reading.spec.shape for reading in readings]
        for i, reading in enumerate(readings):
            shape = reading.spec.shape
            over = {"map": (-1, -2), "map-last": (-2, -3), "tokens": (-2,), "vector": ()}[reading.layout]
            kept = [1 if axis - len(shape) in over else n for axis, n in enumerate(shape)]
            self.axes.append(over)
            self.register_buffer(f"mean{i}", torch.zeros(kept))
            self.register_buffer(f"scale{i}", torch.ones(kept))

    def fit(self, activations: Activations) -> None:
        """Take the statistics from ``activations``, each (N, k, *shape)."""
        for i, part in enumerate(self._shaped(activations)):
            axes = (0, 1, *(part.ndim + axis for axis in self.axes[i]))
            mean = part.mean(axes, keepdim=True)[0, 0]
            std = (part - mean).square().mean(axes, keepdim=True)[0, 0].sqrt()
            floor = 1e-2 * std.max() + 1e-12
            setattr(self, f"mean{i}", mean)
            setattr(
                self, f"scale{i}", torch.where(std > floor, 1 / std.clamp_min(floor), 1 / std.max().clamp_min(1e-12))
            )

    def forward(self, activations: Activations) -> Activations:
        """(N, k, *shape) each, standardised."""
        shaped = self._shaped(activations)
        return tuple((part - getattr(self, f"mean{i}")) * getattr(self, f"scale{i}") for i, part in enumerate(shaped))

    def _shaped(self, activations: Activations) -> Activations:
        return tuple(part.reshape(*part.shape[:2], *s) for part, s in zip(activations, self.shapes, strict=True))


def refuse_not_finite(activations: Activations) -> None:
    """Raises AttackError where what crossed holds NaN or infinity: nothing can be inverted then."""
    if not all(bool(torch.isfinite(part).all()) for part in activations):
        raise AttackError("the activations hold numbers that are not finite; audit a model that has none.")
