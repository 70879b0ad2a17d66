"""Defences that describe themselves to the attacker: rightly, or in one of many wrong ways."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from splitward.core.defence import Position, point_mass_log_density
from splitward.core.registry import find


def made(kind: str, level: float, position: Position = "wire") -> Any:
    return find("defence", kind)(level, position)


@dataclass(frozen=True)
class Described:
    """Does what ``device`` does, and says that it does what ``told`` does."""

    name: ClassVar[str] = "described"
    device: Any
    told: Any
    level: float = 1.0
    position: Position = "wire"

    def sample(self, clean, generator):
        return self.device.sample(clean, generator)

    def log_density(self, sent, clean, tolerance):
        return self.device.log_density(sent, clean, tolerance)

    def description(self):
        return self.told


@dataclass(frozen=True)
class Source:
    """Something that is drawn for each entry, without a closed form."""

    name: ClassVar[str] = "source"
    kind: str
    level: float = 1.0
    position: Position = "wire"

    def sample(self, clean, generator):
        if not clean.is_floating_point():
            return clean
        uniform = torch.rand(clean.shape, generator=generator).clamp(1e-6, 1 - 1e-6)
        normal = torch.randn(clean.shape, generator=generator)
        shape = (len(clean), *[1] * (clean.ndim - 1))
        made = {
            "cauchy": lambda: clean + self.level * torch.tan(torch.pi * (uniform - 0.5)),
            "uniform": lambda: clean + self.level * 12**0.5 * (uniform - 0.5),  # standard deviation: the level
            "normal": lambda: clean + self.level * normal,
            "one for all": lambda: clean + self.level * torch.randn(shape, generator=generator),
            "skewed": lambda: clean - self.level * (uniform.log() + 1),
            "shifted": lambda: clean + self.level * (normal + 0.1),
            "louder where the value is large": lambda: clean + self.level * normal * (0.5 + clean.abs()),
            "amplified": lambda: 1.1 * clean + self.level * normal,
            "one entry is spared": lambda: self._spare(clean, clean + self.level * normal),
            "nan": lambda: torch.where(uniform < 0.1, clean * torch.nan, clean + self.level * normal),
            "one for the batch": lambda: clean + self.level * torch.randn(clean.shape[1:], generator=generator),
        }
        return made[self.kind]()

    @staticmethod
    def _spare(clean, sent):
        sent = sent.clone()
        sent.view(len(sent), -1)[:, 3] = clean.reshape(len(clean), -1)[:, 3]
        return sent

    def log_density(self, sent, clean, tolerance):
        return None


@dataclass(frozen=True)
class Rounding:
    """The nearest multiple of the level: no randomness."""

    name: ClassVar[str] = "rounding"
    level: float
    position: Position = "wire"

    def sample(self, clean, generator):
        return torch.round(clean / self.level) * self.level if clean.is_floating_point() else clean

    def log_density(self, sent, clean, tolerance):
        outside = ((sent - clean).abs() - self.level / 2).clamp_min(0)
        return -(outside**2 / (2 * tolerance**2)).flatten(1).sum(1)


@dataclass(frozen=True)
class Misweighed:
    """Draws as ``device`` does; the density is that of ``weight``."""

    name: ClassVar[str] = "misweighed"
    device: Any
    weight: Any
    level: float = 1.0
    position: Position = "wire"

    def sample(self, clean, generator):
        return self.device.sample(clean, generator)

    def log_density(self, sent, clean, tolerance):
        return self.weight.log_density(sent, clean, tolerance)


@dataclass(frozen=True)
class Densities:
    """No draws; densities that are wrong in a way of their own."""

    kind: str

    def log_density(self, sent, clean, tolerance):
        gap = sent - clean
        return {
            "flat": lambda: torch.zeros(len(sent)),
            "sign": lambda: (gap**2).flatten(1).sum(1) / 2,
            "impossible": lambda: torch.full((len(sent),), -torch.inf),
            "nan": lambda: torch.full((len(sent),), torch.nan),
            "identity": lambda: point_mass_log_density(sent, clean, tolerance).flatten(1).sum(1),
            "one entry": lambda: -(gap.flatten(1)[:, 0] ** 2) / 2,
        }[self.kind]()
