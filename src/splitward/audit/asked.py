"""What an edge computes for the images that attackers ask it about: each is computed once."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor

from splitward.core.edge import Edge
from splitward.core.knowledge import as_tuple

BYTES = 2**29
"""Of the activations that are kept, at most; what comes later is computed whenever it is asked for."""
ROW_BYTES = 512
"""What it takes to keep one image's part of an answer, beside its numbers."""


class Asked:
    """``edge(pixels)`` for an edge that nobody changes: (N, C, H, W) to tensors of (N, *shape).

    A training asks a defended device about the same images again and again, for fresh draws; and a panel of trainings
    asks several that differ in their defences only. The deeper the edge, the longer it takes, and the more of its small
    activations fit. On a GPU nothing is kept: to tell which image it is takes as long as to compute it. For one
    preparation of an attack: from then on nobody asks, and it is told to ``forget``.
    """

    def __init__(self, edge: Edge) -> None:
        self.edge = edge
        self._kept: dict[bytes, tuple[Tensor, ...]] = {}
        self._bytes = 0

    @torch.no_grad()
    def __call__(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """The activation before any defence; the caller may change it."""
        if pixels.device.type != "cpu" or not len(pixels):
            return as_tuple(self.edge(pixels))
        keys = [hashlib.blake2b(image.detach().numpy(), digest_size=16).digest() for image in pixels.contiguous()]
        new = {key: index for index, key in enumerate(keys) if key not in self._kept}
        fresh: dict[bytes, tuple[Tensor, ...]] = {}
        if new:
            parts = tuple(part.clone() for part in as_tuple(self.edge(pixels[list(new.values())])))  # no views of more
            fresh = dict(zip(new, zip(*parts, strict=True), strict=True))
            size = sum(part.numel() * part.element_size() + len(part) * ROW_BYTES for part in parts)
            if self._bytes + size <= BYTES:
                self._kept |= fresh
                self._bytes += size
        known = [fresh[key] if key in fresh else self._kept[key] for key in keys]
        return tuple(torch.stack(rows) for rows in zip(*known, strict=True))

    def forget(self) -> None:
        """Let go of all that was kept."""
        self._kept, self._bytes = {}, 0
