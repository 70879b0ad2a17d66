"""From a defended activation to the bytes that leave the device; ``encoding`` says how a server reads them.

fp16 rounds. packed sends what ``quantise:BITS`` leaves in as many bits, without a loss. int8 is affine, one scale a
tensor, and the scale is of the *bundle*: the range of values that was found at export. A scale that were taken from
each sample would tell the sample's smallest and largest value, which is a release of its own and undefended. Values
beyond the range are clipped; zero stays exactly zero, so dropped entries do. zstd changes no number, but makes the size
of a message depend on what is in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from splitward.core.errors import WireError
from splitward.runtime import encoding

Array = NDArray[np.generic]
Precision = Literal["fp32", "fp16", "int8", "packed"]
Range = tuple[float, float]

STEPS = 255


@dataclass(frozen=True)
class Scale:
    """value = low + step * q, q from 0 to 255, float32; ``low`` is a whole number of steps, so that 0 is a value."""

    low: np.float32
    step: np.float32

    @classmethod
    def of(cls, least: float, largest: float) -> Scale:
        """The scale that covers ``least`` to ``largest`` and 0, but for a half step at one end."""
        least, largest = min(least, 0.0), max(largest, 0.0)
        if not (np.isfinite(least) and np.isfinite(largest) and least < largest <= 1e30 and least >= -1e30):
            raise WireError(f"int8 needs a range of values, not {least:g} to {largest:g}.")
        step = np.float32((largest - least) / STEPS)
        return cls(-(step * np.float32(round(-least / float(step)))), step)


@dataclass(frozen=True)
class Packing:
    """How every tensor of an activation leaves.

    ``ranges``: least and largest value of each, for int8; ``bits``: of a number, for packed. ``fp32`` is the plain form
    of the protocol, whatever the type of the tensor. Tensors that are no floats stay plain.
    """

    precision: Precision = "fp32"
    zstd: bool = False
    ranges: tuple[Range, ...] = ()
    bits: int = 0

    def encoding(self, dtype: str) -> str:
        """What a request states of a tensor of this type: one of ``encoding.ENCODINGS``, or nothing."""
        form = f"quantise-{self.bits}" if self.precision == "packed" else self.precision
        precise = form if form != "fp32" and dtype in ("float32", "float64") else ""
        return "+".join(part for part in (precise, "zstd" if self.zstd else "") if part)

    def pack(self, tensors: Sequence[Array]) -> list[bytes]:
        """The bytes of each (N, *shape). Raises WireError where a value is not finite or int8 has no range."""
        if self.precision == "int8" and len(self.ranges) != len(tensors):
            raise WireError("int8 needs the range of every tensor, which this bundle does not hold: export it again.")
        return [self._pack(tensor, index) for index, tensor in enumerate(tensors)]

    def _pack(self, tensor: Array, index: int) -> bytes:
        if not bool(np.isfinite(tensor).all()):
            raise WireError("the device computed a value that is not finite; it was not sent.")
        stated = self.encoding(tensor.dtype.name)
        if not stated.startswith("int8"):
            return encoding.encode(tensor, stated)
        scale = Scale.of(*self.ranges[index])
        return encoding.encode(tensor, stated, scale=(float(scale.low), float(scale.step)))
