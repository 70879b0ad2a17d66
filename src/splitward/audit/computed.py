"""What an edge computes for many images before any defence acts: kept for the next draw, and for the next defence."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from splitward.core.edge import Edge

BATCH = 256
"""Images that pass through the device at once; it changes no number that is drawn per image."""
BYTES = 2**29
"""Of the activations of one set of images, at most. The deeper an edge, the longer it takes and the less it sends."""
SETS = 3
"""Sets of images whose activations are kept for an edge: the public ones, the held-out ones, a line-up."""


@dataclass(frozen=True)
class _Known:
    images: Tensor
    state: tuple[int, ...]  # of the images and of the edge's tensors
    parts: list[tuple[Tensor, ...]]


_known: WeakKeyDictionary[Edge, deque[_Known]] = WeakKeyDictionary()


@torch.no_grad()
def computed(edge: Edge, images: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """``edge(images)``, (N, C, H, W) to tensors of (B, *shape), batch by batch; the caller may change them."""
    kept = _known.setdefault(edge, deque(maxlen=SETS))
    for known in kept:
        if known.state == _state(edge, known.images) and _equal(known.images, images):
            yield from (tuple(part.clone() for part in parts) for parts in known.parts)
            return
    fresh: list[tuple[Tensor, ...]] = []
    size = 0
    for batch in images.split(BATCH):
        activation = edge(batch)
        parts = (activation,) if isinstance(activation, Tensor) else tuple(activation)
        size += sum(part.numel() * part.element_size() for part in parts)
        if size <= BYTES:
            fresh.append(tuple(part.clone() for part in parts))
        elif fresh:
            fresh.clear()
        yield parts
    if 0 < size <= BYTES:
        kept.append(_Known(images, _state(edge, images), fresh))


def _state(edge: Edge, images: Tensor) -> tuple[int, ...]:
    """How often the images and each tensor of the edge have been written to, and where the tensors lie."""
    tensors = [*edge.parameters(), *edge.buffers()]
    return (images._version, *(n for tensor in tensors for n in (tensor._version, tensor.data_ptr())))


def _equal(one: Tensor, other: Tensor) -> bool:
    if one is other:
        return True
    return one.shape == other.shape and one.device == other.device and torch.equal(one, other)
