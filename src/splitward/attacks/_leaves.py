"""Pictures of nothing: dead leaves, for attackers who hold no pictures.

Ellipses of all sizes that hide one another have what pictures of the world have in common whatever they show: edges,
even places between them, and no preferred scale (Lee, Mumford and Huang, IJCV 41, 2001). Networks that never saw
anything else learn much of what photographs teach (Baradad et al., NeurIPS 2021).
"""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor

LEAVES = 48
"""In one picture."""
SMALLEST, LARGEST = 0.04, 0.5
"""Of a leaf's half axes, as shares of the picture's side; their density falls with the cube of the size."""
SLIMMEST = 0.25
"""Of the ratio of the two axes, at least."""
TINT = 0.2
"""How far the colours of a leaf lie from its grey, at most: in pictures brightness differs far more than hue."""
CHUNK = 1 << 24
"""Numbers that are drawn at once."""


def dead_leaves(count: int, shape: tuple[int, int, int], generator: Generator) -> Tensor:
    """``count`` pictures (count, C, H, W) in [0, 1]; every leaf has one colour, near an evenly distributed grey."""
    size = max(1, CHUNK // math.prod(shape))
    return torch.cat([_leaves(min(size, count - done), shape, generator) for done in range(0, count, size)])


def _leaves(count: int, shape: tuple[int, int, int], generator: Generator) -> Tensor:
    colours, height, width = shape
    device = generator.device

    def uniform(*sizes: int) -> Tensor:
        return torch.rand(*sizes, generator=generator, device=device)

    def paint() -> Tensor:
        grey = uniform(count, 1, 1, 1)
        return grey if colours == 1 else (grey + TINT * (2 * uniform(count, colours, 1, 1) - 1)).clamp(0, 1)

    side = max(height, width)
    rows = (torch.arange(height, device=device) + 0.5)[:, None] / side
    columns = (torch.arange(width, device=device) + 0.5)[None] / side
    pictures = paint().expand(-1, -1, height, width).clone()
    for _ in range(LEAVES):
        share = uniform(count, 1, 1)
        long = (SMALLEST**-2 - share * (SMALLEST**-2 - LARGEST**-2)) ** -0.5
        short = long * (SLIMMEST + (1 - SLIMMEST) * uniform(count, 1, 1))
        turn = math.pi * uniform(count, 1, 1)
        down, across = (rows - uniform(count, 1, 1) * height / side), (columns - uniform(count, 1, 1) * width / side)
        along, aside = down * turn.cos() + across * turn.sin(), across * turn.cos() - down * turn.sin()
        covered = ((along / long).square() + (aside / short).square() < 1)[:, None]
        pictures = torch.where(covered, paint(), pictures)
    return pictures
