"""How a tensor is written on the wire, beside the plain form that every server of the protocol takes.

A request's input keeps the data type and the shape of the model; its parameter ``splitward_encoding`` says how its
bytes were made: ``fp16``, ``int8`` or ``quantise-BITS``, then ``zstd``, joined by ``+``. A server that can read them
names the extension ``splitward_encoding`` in its metadata.

- ``fp16``: of a float32 or float64 tensor, each number in half precision, little-endian.
- ``int8``: the same, (N, 2) float32 of (low, step) per sample, then a byte q per number: low + step * q.
- ``quantise-1`` to ``quantise-16``: of a float32 or float64 tensor, numbers of so many bits: ``codes``.
- ``zstd``: one frame that states its size.

Reading is bounded: what a frame claims is compared with the size that the shape demands before a byte is unpacked.
"""

from __future__ import annotations

import math
import sys

import numpy as np
from numpy.typing import NDArray

from splitward.core.errors import WireError
from splitward.runtime import codes

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

PARAMETER = "splitward_encoding"
PAIRING = "splitward_pairing"
"""A request's parameter: the pairing that the edge was exported for; a server with another one refuses."""

CODES = {f"quantise-{bits}": bits for bits in range(1, codes.MOST_BITS + 1)}
"""Bits a number."""
PRECISIONS = ("fp16", "int8", *CODES)
ENCODINGS = (*PRECISIONS, "zstd", *(f"{precision}+zstd" for precision in PRECISIONS))

Array = NDArray[np.generic]

_WINDOW_LOG = 23
"""Of a frame's window, 8 MiB, as RFC 8878 recommends decoders to support; a larger one where the tensor is larger."""


def encode(tensor: Array, encoding: str, level: int = 3, scale: tuple[float, float] | None = None) -> bytes:
    """The bytes of ``tensor`` (N, *shape) under ``encoding``; "" is the plain form. Raises WireError.

    ``scale``: (low, step) of int8 for every sample; None takes each sample's own, which tells its extremes.
    """
    precision, packed = _parts(encoding, tensor.dtype)
    if precision == "fp16":
        data = _halve(tensor)
    elif precision == "int8":
        data = _quantise(tensor, scale)
    elif precision:
        data = codes.pack(tensor, CODES[precision])
    else:
        data = np.ascontiguousarray(tensor, tensor.dtype.newbyteorder("<")).tobytes()
    return zstd.compress(data, level) if packed else data  # a frame made at once states its size


def decode(data: bytes | memoryview, encoding: str, dtype: str, shape: tuple[int, ...]) -> Array:
    """The tensor (N, *shape) that ``encode`` wrote, as ``dtype``, read-only. Raises WireError for anything else."""
    precision, packed = _parts(encoding, np.dtype(dtype))
    size = encoded_bytes(precision, dtype, shape)
    if packed:
        data = _unpack(data, size)
    if len(data) != size:
        raise WireError(f"a tensor {dtype} of shape {list(shape)} has {len(data)} bytes; {size} are due.")
    if precision == "fp16":
        return np.frombuffer(data, "<f2").astype(dtype).reshape(shape)
    if precision == "int8":
        return _restore(data, dtype, shape)
    if precision:
        return codes.unpack(data, CODES[precision], dtype, shape)
    return np.frombuffer(data, np.dtype(dtype).newbyteorder("<")).reshape(shape)


def encoded_bytes(precision: str, dtype: str, shape: tuple[int, ...]) -> int:
    """Bytes of a tensor (N, *shape) before compression; ``precision``: "", or one of ``PRECISIONS``."""
    if precision in CODES:
        return codes.packed_bytes(CODES[precision], shape)
    numbers = math.prod(shape)
    if precision == "fp16":
        return 2 * numbers
    return numbers + 8 * shape[0] if precision == "int8" else numbers * np.dtype(dtype).itemsize


def _parts(encoding: str, dtype: np.dtype[np.generic]) -> tuple[str, bool]:
    if encoding and encoding not in ENCODINGS:
        raise WireError(
            f"the encoding {encoding[:40]!r} is not known; fp16, int8 or quantise-1 to quantise-16 is due, or zstd, or "
            "one of these with +zstd."
        )
    precision = encoding.removesuffix("zstd").removesuffix("+")
    if precision and dtype.name not in ("float32", "float64"):
        raise WireError(f"the encoding {precision!r} is for float32 and float64 tensors, not for {dtype.name}.")
    return precision, encoding.endswith("zstd")


def _halve(tensor: Array) -> bytes:
    with np.errstate(over="ignore"):
        half = tensor.astype("<f2")
    if not bool(np.isfinite(half).all()):
        raise WireError("the tensor holds numbers that are not finite in half precision: send it as float32.")
    return bytes(half.tobytes())


def _quantise(tensor: Array, scale: tuple[float, float] | None) -> bytes:
    if not bool(np.isfinite(tensor).all()):
        raise WireError("the tensor holds numbers that are not finite, which int8 cannot carry.")
    rows = np.asarray(tensor, np.float32).reshape(len(tensor), -1)
    if scale is None:
        low = rows.min(axis=1, keepdims=True)
        step = ((rows.max(axis=1, keepdims=True).astype(np.float64) - low) / 255).astype(np.float32)
    else:
        low, step = (np.full((len(rows), 1), value, np.float32) for value in scale)
    scaled = (rows - low) / np.where(step > 0, step, np.float32(1))
    numbers = np.rint(np.clip(scaled, 0, 255)).astype(np.uint8)
    return bytes(np.concatenate([low, step], axis=1).astype("<f4").tobytes() + numbers.tobytes())


def _restore(data: bytes | memoryview, dtype: str, shape: tuple[int, ...]) -> Array:
    count = shape[0]
    scales = np.frombuffer(data, "<f4", 2 * count).reshape(count, 2)
    if not bool(np.isfinite(scales).all()):
        raise WireError("the scale of an int8 tensor is not finite.")
    numbers = np.frombuffer(data, np.uint8, offset=8 * count).reshape(count, -1)
    with np.errstate(over="ignore"):
        restored = scales[:, :1] + scales[:, 1:] * numbers.astype(np.float32)
    result: Array = restored.astype(dtype).reshape(shape)
    return result


def _unpack(data: bytes | memoryview, size: int) -> bytes:
    try:
        claimed = zstd.get_frame_info(data).decompressed_size
        if claimed != size:
            raise WireError(f"a compressed tensor claims {claimed} bytes; {size} are due.")
        window = max(_WINDOW_LOG, (size - 1).bit_length())
        reader = zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: min(window, 30)})
        unpacked = reader.decompress(data, max_length=size)
    except zstd.ZstdError as error:
        raise WireError(f"a compressed tensor cannot be read: {' '.join(str(error).split())[:100]}.") from None
    if not reader.eof or reader.unused_data:
        raise WireError("a compressed tensor is torn, or something follows it.")
    return unpacked
