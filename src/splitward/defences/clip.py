"""Clipping to a ball: no noise of its own, but with noise after it one release has a finite sensitivity."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from torch import Generator, Tensor

from splitward.core.defence import Position, point_mass_log_density
from splitward.core.errors import DefenceError
from splitward.core.registry import register
from splitward.defences._level import LARGEST_SCALE, check_position


@register("defence")
@dataclass(frozen=True)
class Clip:
    """Scales what is longer than ``level`` (Euclidean norm of one tensor of one sample) down to that length.

    Without randomness. ``clip:C+gaussian:S`` is differentially private (``bounds.accounting``). Raises DefenceError for
    a level that is not a number above 0, up to 1e6.

    >>> import torch
    >>> Clip(5.0).sample(torch.tensor([[6.0, 8.0], [0.3, 0.4]]), torch.Generator())
    tensor([[3.0000, 4.0000],
            [0.3000, 0.4000]])
    """

    name: ClassVar[str] = "clip"
    level: float
    position: Position = "wire"
    expansion: ClassVar[float] = 1.0  # a projection onto a convex set
    draws: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_position(self.name, self.position)
        number = isinstance(self.level, int | float) and not isinstance(self.level, bool)
        if not number or not math.isfinite(self.level) or not 0 < self.level <= LARGEST_SCALE:
            raise DefenceError(
                f"clip: the level is the largest norm that is sent, a number above 0 and up to {LARGEST_SCALE:,.0f}, "
                f"not {self.level}."
            )

    @property
    def radius(self) -> float:
        """The Euclidean norm of what leaves, at most."""
        return float(self.level)

    def sample(self, clean: Tensor, generator: Generator) -> Tensor:  # noqa: ARG002 - nothing is random
        """What is sent for ``clean`` (N, *shape); integers and booleans pass unchanged."""
        return self._clipped(clean) if clean.is_floating_point() else clean

    def log_density(self, sent: Tensor, clean: Tensor, tolerance: float) -> Tensor:
        """A point mass at the clipped value, widened by ``tolerance``; (N,)."""
        return point_mass_log_density(sent, self._clipped(clean), tolerance).flatten(1).sum(1)

    def _clipped(self, clean: Tensor) -> Tensor:
        norm = clean.flatten(1).norm(dim=1).clamp_min(1e-30).reshape(-1, *[1] * (clean.ndim - 1))
        clipped: Tensor = clean * (self.level / norm).clamp_max(1)
        return clipped
