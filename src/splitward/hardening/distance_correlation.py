"""Distance correlation between input and activation as a term of the loss (NoPeek: P. Vepakomma et al., 2020)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from splitward.core.hardening import Batch, Setting
from splitward.core.registry import register
from splitward.core.run import Run
from splitward.hardening._decoder import shrunk
from splitward.hardening._level import check_weight


def distance_correlation(first: Tensor, second: Tensor) -> Tensor:
    """The squared distance correlation of (N, D) and (N, E), from 0 to 1 (G. Szekely et al., 2007).

    >>> rows = torch.arange(4.0).view(4, 1)
    >>> round(float(distance_correlation(rows, 3 * rows)), 4)
    1.0
    """
    a, b = _centred(first), _centred(second)
    norm = (a * a).mean() * (b * b).mean()
    return (a * b).mean() / norm.clamp_min(1e-12).sqrt()


def _centred(rows: Tensor) -> Tensor:
    flat = rows.flatten(1)
    square = (flat[:, None] - flat[None]).square().sum(2) if flat.shape[1] <= 64 else _gram(flat)
    distances = (square + 1e-8).sqrt()
    return distances - distances.mean(0, keepdim=True) - distances.mean(1, keepdim=True) + distances.mean()


def _gram(flat: Tensor) -> Tensor:
    norms = flat.square().sum(1)
    return (norms[:, None] + norms[None] - 2 * flat @ flat.T).clamp_min(0)


@register("hardening")
@dataclass(frozen=True)
class DistanceCorrelation:
    """Punishes the distance correlation of input and activation (NoPeek); the level is its weight in the loss.

    Raises DefenceError for a level that is not above 0.
    """

    name: ClassVar[str] = "distance-correlation"
    tries: ClassVar[tuple[str, ...]] = ("distance-correlation:3", "bottleneck:8+distance-correlation:1+quantise:1")
    level: float

    def __post_init__(self) -> None:
        check_weight(self.name, self.level)

    def companion(self, setting: Setting, run: Run) -> _Term:  # noqa: ARG002 - it needs neither
        """The term."""
        return _Term(self.level)


class _Term:
    differentiates_pixels: ClassVar[bool] = False

    def __init__(self, weight: float) -> None:
        self.weight = weight

    def adapt(self, batch: Batch) -> None:
        """Nothing learns beside the model."""

    def loss(self, batch: Batch) -> Tensor:
        """The weighted root of the squared distance correlation of the pictures with what the device computes."""
        squared = distance_correlation(shrunk(batch.pixels.detach()), batch.clean)
        return self.weight * torch.sqrt(squared.clamp_min(1e-8))
