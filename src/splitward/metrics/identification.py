"""Identification: is the reconstruction nearest to its own original?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from splitward.core.registry import register
from splitward.metrics._images import check_pair

TIE = 1e-12
"""Mean squared errors that differ by less count as equal: above the rounding of float64, below one 8-bit step in one
pixel of a 1000x1000 image."""

BLOCK = 2**24
"""Distances held at a time: 128 MiB."""


@register("metric")
@dataclass(frozen=True)
class Identification:
    """1 where the reconstruction is nearest, in mean squared error, to its own original among all secrets.

    Where m originals are equally near and its own is among them, it scores its share, 1/m: a guess that is the same for
    every secret therefore scores exactly chance, 1/N, on average. The mean over samples is how often an attacker who
    holds the originals names the right one. Raises MetricError on shapes that do not fit and on pixels outside [0, 1].

    >>> import torch
    >>> truth = torch.eye(3).view(3, 1, 1, 3)
    >>> guess = truth[[0, 2, 2]]
    >>> Identification()(guess, truth)
    tensor([1., 0., 1.])
    >>> Identification()(torch.zeros(3, 1, 1, 3), truth)  # equally near to all three
    tensor([0.3333, 0.3333, 0.3333])
    """

    name: ClassVar[str] = "identification"
    unit: ClassVar[str] = ""
    higher_is_closer: ClassVar[bool] = True

    def __call__(self, guess: Tensor, truth: Tensor) -> Tensor:
        """(N, C, H, W) twice, in [0, 1], to (N,) in [0, 1]."""
        guess, truth = (images.flatten(1) for images in check_pair(self.name, guess, truth))
        pixels = truth.shape[1]
        own = (guess - truth).square().mean(1)
        scores = torch.zeros_like(own)
        energy = truth.square().mean(1)
        rows = max(1, BLOCK // max(1, len(truth)))
        for start in range(0, len(guess), rows):
            part = slice(start, start + rows)
            distances = guess[part].square().mean(1, keepdim=True) + energy - 2 / pixels * guess[part] @ truth.T
            index = torch.arange(start, start + len(distances), device=truth.device)
            distances.scatter_(1, index[:, None], own[part, None])
            tied = (distances <= own[part, None] + TIE).sum(1)
            nearest = own[part] <= distances.amin(1) + TIE
            scores[part] = nearest.double() / tied
        return scores.float()
