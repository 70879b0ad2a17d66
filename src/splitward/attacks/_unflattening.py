"""A flattened map is found in other users' activations, without the pictures that they belong to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from splitward.attacks._reading import grids_of, locality
from splitward.attacks._shadows import classes
from splitward.core.defence import Chain, Channel, Position
from splitward.core.knowledge import QueryFree
from splitward.core.spec import TensorSpec

ARRANGED, CHANCE = 0.03, 4.0
"""Correlation, over all pairs of L numbers, of how they vary together with how the pixels below them do, from which on
a vector is taken for a map: ARRANGED + CHANCE / L. Flattened maps: 0.064 to 0.17 (L = 256, 2,048; LeNet-5, CIFAR CNN;
without a defence, under noise, under dropout); fully connected layers: 0.018 at most (L = 84 to 512), but by chance the
more the shorter they are."""
MOST = 2048
"""Numbers, at most, that are compared with each other: those of the first channels."""
SHOWN = 4096
"""Public images, at most, whose brightness is looked at."""


def arranged(values: Tensor, pixels: Tensor, grid: tuple[int, int]) -> float:
    """How well numbers (N, L), read as a map of ``grid``, vary together as the brightness of pixels (M, C, H, W) does.

    The correlation of squared correlations; the values and the pixels are of different pictures.
    """
    seen = F.adaptive_avg_pool2d(pixels.mean(1, keepdim=True), grid).flatten(1)
    channels = values.shape[1] // seen.shape[1]
    found, due = _squared(values), _squared(seen).repeat(channels, channels)
    others = ~torch.eye(len(found), dtype=torch.bool, device=found.device)
    return float(torch.corrcoef(torch.stack([found[others], due[others]]))[0, 1].nan_to_num())


def _squared(values: Tensor) -> Tensor:
    centred = values - values.mean(0)
    scaled = centred / centred.square().mean(0).sqrt().clamp_min(1e-6)
    return (scaled.T @ scaled / len(scaled)).square()


@torch.no_grad()
def map_of(knowledge: QueryFree) -> TensorSpec | None:
    """The shape of the map that the traffic's one vector is, flattened; None where it is none, or nothing tells.

    Means by class, which the cloud half gives the traffic and labels give the public images, are pairs of a kind: they
    tell the size of the map, and how numbers vary together whether it is one. A map of one channel is left a vector:
    that may be a plain picture, of which every covariance is worth knowing.
    """
    spec, traffic, labels = knowledge.activation[0], knowledge.traffic, knowledge.public.labels
    grids = grids_of(spec, knowledge.input)
    if len(knowledge.activation) > 1 or len(spec.shape) > 1 or not grids or traffic is None or len(traffic[0]) < 2:
        return None
    named = classes(knowledge) if labels is not None else None
    if named is None or labels is None:
        return None
    values, images = traffic[0].float().mean(1), knowledge.public.images
    common = [c for c in named.unique() if bool((labels == c).any())]
    if len(common) < 2:
        return None
    mean = torch.stack([values[named == c].mean(0) for c in common])
    shown = torch.stack([images[labels == c].mean(0) for c in common])
    best = max(grids, key=lambda grid: locality(mean, shown, grid))
    places = best[0] * best[1]
    first = values[:, : max(1, MOST // places) * places]
    related = arranged(first, images[:: -(-len(images) // SHOWN)], best)
    if spec.elements == places or related < ARRANGED + CHANCE / spec.elements:
        return None
    return TensorSpec((spec.elements // places, *best), spec.dtype)


@dataclass(frozen=True)
class Unflattened:
    """A defence of a vector, for the map that was flattened into it. What it may say of itself beside, it says."""

    name: ClassVar[str] = "unflattened"
    channel: Channel

    @property
    def level(self) -> float:
        """The vector's."""
        return self.channel.level

    @property
    def position(self) -> Position:
        """The vector's."""
        return self.channel.position

    def sample(self, clean: Tensor, generator: Generator) -> Tensor:
        """As the channel does, in the shape of ``clean``."""
        return self.channel.sample(clean.flatten(1), generator).view_as(clean)

    def log_density(self, sent: Tensor, clean: Tensor, tolerance: float) -> Tensor | None:
        """As the channel has it, (N,)."""
        return self.channel.log_density(sent.flatten(1), clean.flatten(1), tolerance)

    def __getattr__(self, name: str) -> Any:
        if name == "channel":  # not there yet, while it is being copied
            raise AttributeError(name)
        found = getattr(self.channel, name)
        return (lambda sent: found(sent.flatten(1))) if name == "width" else found


def unflatten(knowledge: QueryFree, spec: TensorSpec) -> QueryFree:
    """The same knowledge, as of an edge that sends the map of ``spec`` to a cloud half that flattens it."""
    traffic, defence = knowledge.traffic, knowledge.defence
    assert traffic is not None
    if defence is not None:
        wrapped = (Unflattened(c) if c.position == "wire" else c for c in defence.channels)
        defence = Chain(tuple(wrapped))
    cloud, seen = nn.Sequential(nn.Flatten(), knowledge.cloud), (traffic[0].unflatten(2, spec.shape),)
    return QueryFree(knowledge.input, (spec,), cloud, knowledge.task, knowledge.public, seen, defence)
