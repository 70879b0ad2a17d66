"""No public data at all: the cloud half, traffic, and pictures of nothing in the place of public ones."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from splitward.attacks._leaves import dead_leaves
from splitward.attacks.shadow_model import ShadowModel
from splitward.core.errors import NotApplicable
from splitward.core.knowledge import Activations, QueryFree, Samples
from splitward.core.protocols import Inverter
from splitward.core.registry import register
from splitward.core.run import Run

PICTURES = 4096
"""Invented pictures, at most ..."""
NUMBERS = 1 << 25
"""... and pixels of all of them."""
LOOKED_AT = 512
"""Answers for other users' activations from which brightness is set, at most."""
ENDS = 0.01
"""Share of the pixels beyond black and beyond white."""


@register("attack")
@dataclass(frozen=True)
class NoPublicData(ShadowModel):
    """The query-free attack of one who holds no picture: ``shadow-model`` on invented ones (dead leaves).

    Without labels nothing is asked of the cloud's task; the shadows suit the moments of the traffic alone, and those
    cannot tell a picture from its negative, or its brightness. So the answers for the traffic decide: they are made to
    span black to white, and to be skewed towards dark, as luminances in the world are (many dark places, few bright
    ones). Both are guesses that can be wrong, for drawings on white paper for example; what is then recovered is the
    negative.

    It is in no suite: name it. Settings are those of ``shadow-model``.
    """

    name: ClassVar[str] = "no-public-data"
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    suite: ClassVar[tuple[str, ...]] = ()
    asks_task: ClassVar[bool] = False

    def prepare(self, knowledge: QueryFree, run: Run) -> Inverter:
        """Raises NotApplicable without traffic."""
        if knowledge.traffic is None:
            raise NotApplicable(
                "without public data there is nothing to go by but other users' traffic, and there is none."
            )
        inverter = super().prepare(dataclasses.replace(knowledge, public=invented(knowledge, run)), run)
        return Developed(inverter, *levels(inverter(tuple(part[:LOOKED_AT] for part in knowledge.traffic))))


def invented(knowledge: QueryFree, run: Run) -> Samples:
    """Pictures of nothing, of the shape that the device takes."""
    colours, height, width = knowledge.input.shape
    count = max(256, min(PICTURES, NUMBERS // (colours * height * width)))
    images = dead_leaves(count, (colours, height, width), run.stream("leaves"))
    return Samples(images, None, "dead leaves")


def levels(answers: Tensor) -> tuple[float, float]:
    """What becomes black and what white, so that answers (N, C, H, W) span the range and are skewed towards dark."""
    values = answers.flatten()
    values = values[:: max(1, len(values) // 2**20)].double()
    low, high = (float(v) for v in values.quantile(torch.tensor([ENDS, 1 - ENDS]).to(values)))
    if high - low < 1e-3:
        return 0.0, 1.0
    skewed = (values - values.mean()).pow(3).mean()
    return (low, high) if skewed >= 0 else (high, low)


@dataclass(frozen=True)
class Developed:
    """An inverter whose answers are set to black and white; ``black`` above ``white`` makes the negative."""

    inverter: Inverter
    black: float
    white: float

    def __call__(self, activations: Activations) -> Tensor:
        """(N, k, *shape) each to (N, C, H, W)."""
        return ((self.inverter(activations) - self.black) / (self.white - self.black)).clamp(0, 1)
