"""A small decoder, from what crosses to pixels: the adversary of the training, and the measure of the search."""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor, nn

SIDE = 32
"""Pixels of the longer side, at most, at which pictures are recovered."""
WIDTH = 256


def shrunk(images: Tensor) -> Tensor:
    """(N, C, H, W) with block means of at most 32 pixels a side."""
    side = max(images.shape[2:])
    if side <= SIDE:
        return images
    return F.adaptive_avg_pool2d(
        images, (max(1, images.shape[2] * SIDE // side), max(1, images.shape[3] * SIDE // side))
    )


class Decoder(nn.Module):
    """(N, D) to pixels (N, C, h, w) in [0, 1], shrunk as ``shrunk`` does: two hidden layers."""

    def __init__(self, numbers: int, image: tuple[int, int, int], width: int = WIDTH) -> None:
        super().__init__()
        side = max(image[1:])
        sizes = [size if side <= SIDE else max(1, size * SIDE // side) for size in image[1:]]
        self.shape = (image[0], *sizes)
        self.layers = nn.Sequential(
            nn.LayerNorm(numbers) if numbers > WIDTH else nn.Identity(),
            nn.Linear(numbers, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(),
            nn.Linear(width, math.prod(self.shape)), nn.Sigmoid(),
        )  # fmt: skip

    def forward(self, sent: Tensor) -> Tensor:
        """A guess at the pictures."""
        pixels: Tensor = self.layers(sent)
        return pixels.view(-1, *self.shape)
