"""How likely what crossed the wire is, given what the device computed: from the description of the defence alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from splitward.core.defence import Chain
from splitward.core.knowledge import Activations

MOMENT_DRAWS = 8
"""Draws of a defence without a closed form, from which its mean and variance are estimated at each step."""

Body = Callable[[Tensor], tuple[Tensor, ...]]
"""From images (N, C, H, W) to what the device computes, one tensor per value, each (N, *shape)."""


def moment_log_density(chain: Chain, sent: Tensor, clean: Tensor, tolerance: float, generator: Generator) -> Tensor:
    """A normal law with the mean and the variance of fresh draws for ``clean``, where there is no closed form; (N,).

    The gradient flows through the mean (every defence's draw is differentiable), and through the variance.
    """
    draws = torch.stack([chain.sample(clean, generator) for _ in range(MOMENT_DRAWS)])
    mean, variance = draws.mean(0), draws.var(0) + tolerance**2
    density = -((sent - mean) ** 2) / (2 * variance) - variance.log() / 2
    return density.reshape(len(density), -1).sum(1)


def log_density(chain: Chain, sent: Tensor, clean: Tensor, tolerance: float, generator: Generator) -> Tensor:
    """log p(sent | clean) of k observations: ``sent`` (N, k, *shape), ``clean`` (N, *shape) to (N,)."""
    count, k = sent.shape[:2]
    repeated = clean if k == 1 else clean.repeat_interleave(k, 0)
    flat = sent.flatten(0, 1)
    value = chain.log_density(flat, repeated, tolerance)
    if value is None:
        value = moment_log_density(chain, flat, repeated, tolerance, generator)
    return value.view(count, k).sum(1)


@dataclass(frozen=True)
class Likelihood:
    """log p(sent | images) of everything that crossed.

    ``scales``: the root mean square of each tensor on public images. Point masses are widened by ``tolerance`` times
    the scale, so that each of several tensors counts by its own size.
    """

    body: Body
    chain: Chain
    scales: tuple[float, ...]
    generator: Generator

    def __call__(self, images: Tensor, sent: Activations, tolerance: float) -> Tensor:
        """(N, C, H, W) and activations, each (N, k, *shape), to (N,), summed over tensors and observations."""
        return self.of(self.body(images), sent, tolerance)

    def of(self, computed: tuple[Tensor, ...], sent: Activations, tolerance: float) -> Tensor:
        """The same from what the device computed."""
        total = torch.zeros(len(sent[0]), device=sent[0].device)
        for clean, part, scale in zip(computed, sent, self.scales, strict=True):
            total = total + log_density(self.chain, part, clean, tolerance * scale, self.generator)
        return total


def root_mean_square(computed: tuple[Tensor, ...]) -> tuple[float, ...]:
    """The size of each tensor; 1 for one that is zero everywhere."""
    return tuple(part.square().mean().sqrt().item() or 1.0 for part in computed)
