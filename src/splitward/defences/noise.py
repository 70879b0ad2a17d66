"""Additive noise, as in the papers (IoTJ20 section IV-A): absolute scales, a fresh draw for every forward pass."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Generator, Tensor

from splitward.core.defence import Position, point_mass_log_density
from splitward.core.registry import register
from splitward.defences._level import check_scale


def per_sample(entries: Tensor) -> Tensor:
    """Sum over all entries of each sample: (N, *shape) to (N,)."""
    return entries.reshape(len(entries), -1).sum(1)


def information(scale: float) -> float:
    """Of a location by one draw: of a normal of that standard deviation, and of a Laplace variable of that scale."""
    return 1 / scale**2 if scale**2 > 0 else math.inf


@register("defence")
@dataclass(frozen=True)
class Gaussian:
    """Adds independent normal noise; the level is its standard deviation.

    At ``wire`` in the unit of the activation, at ``input`` in that of the normalised input. Raises DefenceError for a
    level that is not a number from 0 to 1e6.

    >>> Gaussian(1.0).log_density(torch.tensor([[0.0, 2.0]]), torch.zeros(1, 2), tolerance=0.1)
    tensor([-2.])
    """

    name: ClassVar[str] = "gaussian"
    level: float
    position: Position = "wire"

    def __post_init__(self) -> None:
        check_scale(self.name, self.level, self.position, "the standard deviation of the noise")

    @property
    def information(self) -> float:
        """Fisher's information about an entry that the noise is added to: 1 / level^2; infinite without noise."""
        return information(self.level)

    def sample(self, clean: Tensor, generator: Generator) -> Tensor:
        """A fresh draw of what is sent for ``clean`` (N, *shape); integers and booleans pass unchanged."""
        if not clean.is_floating_point() or self.level == 0:
            return clean
        noise = torch.randn(clean.shape, generator=generator, device=clean.device, dtype=clean.dtype)
        return clean + self.level * noise

    def log_density(self, sent: Tensor, clean: Tensor, tolerance: float) -> Tensor:
        """-(sent - clean)^2 / (2 level^2), summed over entries, (N,); a point mass of ``tolerance`` at level 0."""
        return per_sample(point_mass_log_density(sent, clean, self.level or tolerance))


@register("defence")
@dataclass(frozen=True)
class Laplace:
    """Adds independent Laplace noise; the level is its scale b, not its standard deviation (which is b times sqrt 2).

    At ``wire`` in the unit of the activation, at ``input`` in that of the normalised input. The papers call b a
    standard deviation; their scripts use it as the scale. Raises DefenceError for a level that is not a number from 0
    to 1e6.

    >>> Laplace(0.5).log_density(torch.tensor([[0.0, 2.0]]), torch.zeros(1, 2), tolerance=0.1)
    tensor([-4.])
    """

    name: ClassVar[str] = "laplace"
    level: float
    position: Position = "wire"

    def __post_init__(self) -> None:
        check_scale(self.name, self.level, self.position, "the scale b of the noise")

    @property
    def information(self) -> float:
        """Fisher's information about an entry that the noise is added to: 1 / level^2; infinite without noise."""
        return information(self.level)

    def sample(self, clean: Tensor, generator: Generator) -> Tensor:
        """A fresh draw of what is sent for ``clean`` (N, *shape); integers and booleans pass unchanged.

        The difference of two exponential variables is a Laplace variable.
        """
        if not clean.is_floating_point() or self.level == 0:
            return clean
        rise, fall = (torch.empty_like(clean).exponential_(generator=generator) for _ in range(2))
        return clean + self.level * (rise - fall)

    def log_density(self, sent: Tensor, clean: Tensor, tolerance: float) -> Tensor:
        """-|sent - clean| / level, summed over entries, (N,); a point mass of ``tolerance`` at level 0."""
        if self.level == 0:
            return per_sample(point_mass_log_density(sent, clean, tolerance))
        return per_sample(-(sent - clean).abs() / self.level)
