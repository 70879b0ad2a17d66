"""The forms of a tensor on the wire, as the last thing that a device does: by the very code of the device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from splitward.core.defence import Position
from splitward.runtime import encoding
from splitward.runtime.wire import Packing, Range, Scale

Array = NDArray[Any]


class Form:
    """fp16 or int8 on the wire, as a channel behind the defence: it hides nothing and rounds.

    Gradients pass as if nothing were rounded. It has no ``log_density`` of its own: see ``width``.
    """

    name: ClassVar[str]
    position: ClassVar[Position] = "wire"
    draws: ClassVar[bool] = False

    def read(self, values: Array) -> Array:
        """What a cloud reads of values (N, *shape), by the very code of the device."""
        raise NotImplementedError

    def sample(self, clean: Tensor, generator: Generator) -> Tensor:  # noqa: ARG002 - nothing is drawn
        """What a cloud reads of ``clean`` (N, *shape); what is no float passes unchanged."""
        if clean.dtype not in (torch.float32, torch.float64):
            return clean
        read = torch.from_numpy(self.read(clean.detach().cpu().numpy()).copy())
        return clean + (read.to(clean.device) - clean).detach()

    def log_density(self, sent: Tensor, clean: Tensor, tolerance: float) -> Tensor | None:  # noqa: ARG002
        """None."""
        return None


@dataclass(frozen=True)
class HalfPrecision(Form):
    """fp16."""

    name: ClassVar[str] = "fp16"
    level: float = 2.0**-11  # relative

    def read(self, values: Array) -> Array:
        """Rounded to half precision."""
        return encoding.decode(encoding.encode(values, "fp16"), "fp16", values.dtype.name, values.shape)

    def width(self, sent: Tensor) -> float:  # noqa: ARG002
        """Beneath notice."""
        return 0.0


@dataclass(frozen=True)
class EightBits(Form):
    """int8. ``ranges``: of each tensor, told apart by its shape."""

    name: ClassVar[str] = "int8"
    ranges: tuple[tuple[tuple[int, ...], Range], ...]

    @property
    def level(self) -> float:
        """The step of the first tensor."""
        return float(Scale.of(*self.ranges[0][1]).step)

    def read(self, values: Array) -> Array:
        """Rounded to the nearest of 256 values."""
        packed = Packing("int8", ranges=(self._range(values.shape[1:]),)).pack([values])[0]
        return encoding.decode(packed, "int8", values.dtype.name, values.shape)

    def width(self, sent: Tensor) -> float:
        """The standard deviation of the error of (N, *shape): step / sqrt 12."""
        return float(Scale.of(*self._range(tuple(sent.shape[1:]))).step) / 12**0.5

    def _range(self, shape: tuple[int, ...]) -> Range:
        return dict(self.ranges)[shape]
