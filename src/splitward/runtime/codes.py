"""Numbers of few bits, packed: what ``quantise:BITS`` sends, without a loss.

Number j of 2^bits, from 0, stands for -1 + 2 j / (2^bits - 1), computed as the device computes it, so that a cloud gets
the very same floating-point numbers. Per sample: its numbers one after the other, the highest bit first, filled up with
zeros to a whole byte.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from splitward.core.errors import WireError

MOST_BITS = 16

Array = NDArray[np.generic]


def packed_bytes(bits: int, shape: tuple[int, ...]) -> int:
    """Bytes of a tensor (N, *shape)."""
    return shape[0] * -(-math.prod(shape[1:]) * bits // 8)


def nearest(values: Array, bits: int) -> Array:
    """The number j that is sent for each value."""
    step, one = _step(values.dtype, bits)
    number: Array = np.rint((np.clip(values, -one, one) + one) / step)  # type: ignore[operator]
    return number


def restore(numbers: Array, bits: int) -> Array:
    """The value that each number j stands for; numbers and values have the same floating-point type."""
    step, one = _step(numbers.dtype, bits)
    values: Array = numbers * step - one  # type: ignore[operator]
    return values


def pack(tensor: Array, bits: int) -> bytes:
    """The bytes of ``tensor`` (N, *shape). Raises WireError where it holds what ``quantise:bits`` does not send."""
    numbers = nearest(tensor, bits)
    if not bool((restore(numbers, bits) == tensor).all()):
        raise WireError(f"the tensor holds numbers that quantise:{bits} does not send, so that they cannot be packed.")
    rows = numbers.astype(np.uint16).reshape(len(tensor), -1)
    ones = (rows[:, :, None] >> np.arange(bits - 1, -1, -1, dtype=np.uint16)) & 1
    return np.packbits(ones.astype(np.uint8).reshape(len(tensor), -1), axis=1).tobytes()


def unpack(data: bytes | memoryview, bits: int, dtype: str, shape: tuple[int, ...]) -> Array:
    """The tensor (N, *shape) that ``pack`` wrote; ``data`` has ``packed_bytes``."""
    count, each = shape[0], math.prod(shape[1:])
    rows = np.frombuffer(data, np.uint8).reshape(count, -1)
    ones = np.unpackbits(rows, axis=1, count=each * bits).reshape(count, each, bits)
    numbers = np.zeros((count, each), np.dtype(dtype))
    for place in range(bits):
        numbers = numbers * 2 + ones[:, :, place]
    return restore(numbers, bits).reshape(shape)


def _step(dtype: np.dtype[np.generic], bits: int) -> tuple[np.generic, np.generic]:
    return dtype.type(2 / ((1 << bits) - 1)), dtype.type(1)
