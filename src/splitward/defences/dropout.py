"""Random zeros, as in the papers (IoTJ20 section IV-B): an element-wise mask, a fresh draw for every forward pass."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Generator, Tensor

from splitward.core.defence import Position, point_mass_log_density
from splitward.core.registry import register
from splitward.defences._level import check_rate


@register("defence")
@dataclass(frozen=True)
class Dropout:
    """Sets each entry to zero with probability ``level``, and leaves the others as they are (no 1/(1-r) rescaling).

    At ``input`` it writes a normalised 0, which is a mean grey. Raises DefenceError for a level that is not a number
    from 0 to below 1.

    >>> sent = Dropout(0.5).sample(torch.ones(1, 8), torch.Generator().manual_seed(0))
    >>> sorted(set(sent.flatten().tolist()))
    [0.0, 1.0]
    """

    name: ClassVar[str] = "dropout"
    level: float
    position: Position = "wire"

    def __post_init__(self) -> None:
        check_rate(self.name, self.level, self.position)

    @property
    def gain(self) -> float:
        """The factor of the entries that survive."""
        return 1.0

    @property
    def expansion(self) -> float:
        """Of each draw: a mask, times the gain."""
        return self.gain

    def sample(self, clean: Tensor, generator: Generator) -> Tensor:
        """A fresh draw of what is sent for ``clean`` (N, *shape); integers and booleans pass unchanged."""
        if not clean.is_floating_point() or self.level == 0:
            return clean
        uniform = torch.rand(clean.shape, generator=generator, device=clean.device)
        return torch.where(uniform >= self.level, self.gain * clean, torch.zeros_like(clean))

    def log_density(self, sent: Tensor, clean: Tensor, tolerance: float) -> Tensor:
        """The mixture r [sent = 0] + (1 - r) [sent = clean], both point masses widened by ``tolerance``; (N,).

        A value that is not exactly zero has survived, and says what clean is. A zero was dropped (r), or was zero:
        log(r + (1 - r) exp(-clean^2 / (2 tolerance^2))), which can never cost more than log r.
        """
        survived = point_mass_log_density(sent, self.gain * clean, tolerance)
        kept, dropped = math.log1p(-self.level), math.log(self.level) if self.level else -math.inf
        zero = torch.logaddexp(survived + kept, torch.full_like(survived, dropped))
        entries = torch.where(sent != 0, survived + kept, zero)
        return entries.reshape(len(entries), -1).sum(1)


@register("defence")
@dataclass(frozen=True)
class DropoutRescaled(Dropout):
    """Dropout whose surviving entries are divided by 1 - level, so that the expectation is the clean value.

    Raises DefenceError for a level that is not a number from 0 to below 1.

    >>> sent = DropoutRescaled(0.75).sample(torch.ones(1, 8), torch.Generator().manual_seed(0))
    >>> sorted(set(sent.flatten().tolist()))
    [0.0, 4.0]
    """

    name: ClassVar[str] = "dropout-rescaled"

    @property
    def gain(self) -> float:
        """The factor of the entries that survive: 1 / (1 - level)."""
        return 1 / (1 - self.level)
