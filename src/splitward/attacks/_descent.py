"""Gradient descent on many images at once, each with its own loss: projected Adam, annealed, best iterate kept."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from splitward.attacks._kernels import fast_pixel_gradients
from splitward.core.run import Run

CHECKS = 25
"""How often in a descent every image's own loss is looked at."""
PATIENCE = 3
"""An image stops after this many checks in a row, past the annealing, without getting better."""
BETTER = 1e-4
"""Share of its loss that an image must win between two checks to count as getting better."""


class Objective(Protocol):
    """A loss for each of N images."""

    def __call__(self, values: Tensor, tolerance: float) -> Tensor:
        """(N, C, H, W) to (N,)."""

    def select(self, rows: Tensor) -> Objective:
        """The objective of these images only."""


@dataclass(frozen=True)
class Descent:
    """How to descend.

    ``box``: whether the values are pixels, projected to [0, 1] after each step. ``tolerance``: from, to; it falls
    geometrically over the ``annealed`` share of the steps. ``cosine``: whether the rate falls to 2 % along a cosine.
    """

    steps: int
    rate: float
    box: bool
    tolerance: tuple[float, float] = (1.0, 1.0)
    annealed: float = 0.7
    cosine: bool = True
    betas: tuple[float, float] = (0.9, 0.99)
    epsilon: float = 1e-8
    amsgrad: bool = False

    def tolerance_at(self, step: int) -> float:
        """The tolerance of a step."""
        first, last = self.tolerance
        return first * math.pow(last / first, min(1.0, step / max(1.0, self.annealed * self.steps)))

    def rate_at(self, step: int) -> float:
        """The learning rate of a step."""
        if not self.cosine:
            return self.rate
        return self.rate * (0.02 + 0.49 * (1 + math.cos(math.pi * step / self.steps)))


class Adam:
    """Adam (Kingma and Ba 2015; AMSGrad by Reddi et al. 2018), entry by entry, so that a batch of images is optimised
    exactly as each one alone would be; rows can be taken out."""

    def __init__(self, settings: Descent, like: Tensor) -> None:
        self.settings = settings
        self.first = torch.zeros_like(like)
        self.second = torch.zeros_like(like)
        self.largest = torch.zeros_like(like)
        self.step = 0

    def move(self, values: Tensor, gradient: Tensor, rate: float) -> None:
        """One step, in place."""
        one, two = self.settings.betas
        self.step += 1
        self.first.lerp_(gradient, 1 - one)
        self.second.mul_(two).addcmul_(gradient, gradient, value=1 - two)
        second = self.second
        if self.settings.amsgrad:
            second = torch.maximum(self.largest, self.second, out=self.largest)
        spread = second.sqrt().div_(math.sqrt(1 - two**self.step)).add_(self.settings.epsilon)
        values.addcdiv_(self.first, spread, value=-rate / (1 - one**self.step))

    def select(self, rows: Tensor) -> None:
        """Keep only these rows."""
        self.first, self.second, self.largest = (t[rows] for t in (self.first, self.second, self.largest))


def gradient_of(objective: Objective, values: Tensor, tolerance: float) -> Tensor:
    """The gradient of every image's own loss; the weights get none."""
    with torch.enable_grad():
        leaf = values.detach().requires_grad_(True)
        loss = objective(leaf, tolerance).sum()
    with fast_pixel_gradients(values.device):
        (gradient,) = torch.autograd.grad(loss, leaf)
    return gradient


@torch.no_grad()
def descend(objective: Objective, start: Tensor, settings: Descent, run: Run, phase: str) -> tuple[Tensor, Tensor]:
    """Minimise ``objective`` from ``start`` (N, C, H, W): the best iterate of each image, and its loss, (N,).

    Each image is judged by its own loss at the last tolerance. The trace records the mean of where the descent is, not
    of the best that it has seen: one that climbs must show it. An image that stopped getting better leaves the batch.
    """
    last = settings.tolerance[1]
    values, rows = start.clone(), torch.arange(len(start), device=start.device)
    best, best_loss = start.clone(), objective(start, last)
    run.record_loss(phase, 0, best_loss.mean().item())
    adam, idle = Adam(settings, values), torch.zeros(len(start), dtype=torch.long, device=start.device)
    interval = max(1, settings.steps // CHECKS)
    for step in range(settings.steps):
        adam.move(values, gradient_of(objective, values, settings.tolerance_at(step)), settings.rate_at(step))
        if settings.box:
            values.clamp_(0, 1)
        if (step + 1) % interval and step + 1 < settings.steps:
            continue
        loss, before = objective(values, last), best_loss[rows]
        improved = loss < before
        best[rows[improved]], best_loss[rows[improved]] = values[improved], loss[improved]
        here = best_loss.clone()
        here[rows] = loss
        run.record_loss(phase, step + 1, here.mean().item())
        run.progress.advance(interval)
        idle = torch.where(loss < before - BETTER * before.abs(), 0, idle + 1)
        going = (idle < PATIENCE) | (step < settings.annealed * settings.steps)
        if not going.any():
            break
        if going.sum() < 0.75 * len(going):
            kept = going.nonzero()[:, 0]
            values, rows, idle, objective = values[kept], rows[kept], idle[kept], objective.select(kept)
            adam.select(kept)
    return best, best_loss
