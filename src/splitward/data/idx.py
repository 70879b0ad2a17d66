"""The IDX format of MNIST (Y. LeCun, C. Cortes, C. Burges, 1998), plain or gzipped. Free of torch."""

from __future__ import annotations

import gzip
import struct
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from splitward.core.errors import DataError

UNSIGNED_BYTE = 0x08
LIMIT_BYTES = 1 << 31
"""No IDX file of ours is larger unpacked; a gzip bomb is refused here."""


def read_idx(path: Path, dimensions: int) -> npt.NDArray[np.uint8]:
    """The array of unsigned bytes in ``path`` (gzipped or not), with ``dimensions`` axes.

    Raises DataError where the file is missing, truncated, longer than it says, of another type or dimension.
    """
    content = _content(path)
    if len(content) < 4:
        raise DataError(f"{path} is truncated: it has {len(content)} bytes, too few for an IDX header.")
    zeros, kind, axes = struct.unpack(">HBB", content[:4])
    if zeros != 0 or kind != UNSIGNED_BYTE:
        raise DataError(f"{path} is no IDX file of unsigned bytes: it starts with {content[:4].hex()}, not 000008.")
    if axes != dimensions:
        raise DataError(f"{path} holds an array of {axes} dimensions; {dimensions} were expected.")
    start = 4 + 4 * axes
    if len(content) < start:
        raise DataError(f"{path} is truncated: its header ends after {len(content)} bytes.")
    shape = struct.unpack(f">{axes}I", content[4:start])
    expected = start + int(np.prod(shape, dtype=object))
    if len(content) != expected:
        raise DataError(
            f"{path} is {'truncated' if len(content) < expected else 'too long'}: its header announces {expected:,} "
            f"bytes, it has {len(content):,}."
        )
    return np.frombuffer(content, dtype=np.uint8, offset=start).reshape(shape)


def _content(path: Path) -> bytes:
    """The bytes of a file, unpacked where it is gzipped."""
    try:
        with path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
        with gzip.open(path) if packed else path.open("rb") as stream:
            content = stream.read(LIMIT_BYTES)
    except FileNotFoundError:
        raise DataError(f"there is no file {path}.") from None
    except EOFError:
        raise DataError(f"{path} is truncated: its gzip stream ends too early; fetch it again.") from None
    except (OSError, zlib.error) as error:
        raise DataError(f"{path} cannot be read: {error}.") from None
    if len(content) >= LIMIT_BYTES:
        raise DataError(f"{path} unpacks to more than {LIMIT_BYTES:,} bytes, which no data set of the catalogue does.")
    return content
