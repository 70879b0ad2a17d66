"""CIFAR-10 (A. Krizhevsky, 2009) in its python layout (pickles) and its binary layout. Free of torch.

A pickle can run code of its author. The unpickler here allows what the official files hold (dictionaries, lists,
numbers, strings, bytes, and one array of bytes) and refuses every other name before anything of it is called.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from splitward.core.errors import DataError

ROW = 3 * 32 * 32
LIMIT_BYTES = 256 << 20
"""An official batch has 31 MB."""


def _reconstruct(kind: type, shape: tuple[int, ...], code: bytes) -> npt.NDArray[Any]:
    """numpy's own reconstruction of a pickled array, for an empty ndarray only: the state follows."""
    if kind is not np.ndarray or shape not in ((0,), ()) or code not in (b"b", "b"):
        raise pickle.UnpicklingError("an array that is no plain ndarray")
    return np.ndarray((0,), np.int8)


def _frombuffer(content: bytes, dtype: Any, shape: tuple[int, ...], order: str) -> npt.NDArray[np.uint8]:
    """numpy's own form of protocol 5."""
    if dtype != np.uint8 or order != "C":
        raise pickle.UnpicklingError("an array that is not of unsigned bytes")
    return np.frombuffer(content, np.uint8).reshape(shape)


def _encode(text: str, encoding: str) -> bytes:
    """How Python 3 writes bytes in protocol 2."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"bytes in the encoding {encoding!r}")
    return text.encode("latin1")


def _dtype(code: Any, align: Any = False, copy: Any = True) -> Any:  # noqa: ARG001 - numpy's own signature
    """Bytes only, so that no array of objects is made."""
    if code not in ("u1", b"u1"):
        raise pickle.UnpicklingError(f"an array of {code!r}, not of unsigned bytes")
    return np.dtype("u1")


ALLOWED: dict[tuple[str, str], Callable[..., Any] | type] = {
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy.core.numeric", "_frombuffer"): _frombuffer,
    ("numpy._core.numeric", "_frombuffer"): _frombuffer,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): _dtype,
    ("_codecs", "encode"): _encode,
}
"""Every name that a CIFAR pickle may ask for, and what it gets."""


class RestrictedUnpickler(pickle.Unpickler):
    """Gives the names in ``ALLOWED``; any other raises UnpicklingError before it is imported."""

    def find_class(self, module: str, name: str) -> Any:
        """One of the allowed names."""
        if (module, name) not in ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no CIFAR file needs")
        return ALLOWED[module, name]


def read_pickle(path: Path) -> dict[bytes, Any]:
    """The dictionary in a file of the python layout, keys as bytes. Raises DataError, hostile files included."""
    try:
        if path.stat().st_size > LIMIT_BYTES:
            raise DataError(f"{path} has {path.stat().st_size:,} bytes; a CIFAR batch has 31,000,000.")
        found = RestrictedUnpickler(io.BytesIO(path.read_bytes()), encoding="bytes").load()
    except FileNotFoundError:
        raise DataError(f"there is no file {path}.") from None
    except DataError:
        raise
    except Exception as error:  # a broken pickle raises almost anything
        reason = str(error).strip().rstrip(".") or type(error).__name__
        raise DataError(f"{path} was refused, it is no CIFAR pickle: {reason}.") from None
    if not isinstance(found, dict):
        raise DataError(f"{path} is no CIFAR pickle: it holds a {type(found).__name__}, not a dictionary.")
    return {k.encode("latin1") if isinstance(k, str) else k: v for k, v in found.items()}


def read_python_batch(path: Path) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Images (N, 3, 32, 32) and labels (N,) of one file of the python layout."""
    content = read_pickle(path)
    data, labels = content.get(b"data"), content.get(b"labels")
    if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.ndim != 2 or data.shape[1] != ROW:
        raise DataError(f"{path} is no CIFAR batch: it holds no array of N x {ROW} bytes under 'data'.")
    if not isinstance(labels, list) or len(labels) != len(data) or not all(isinstance(v, int) for v in labels):
        raise DataError(f"{path} is no CIFAR batch: it does not hold {len(data):,} labels under 'labels'.")
    return np.ascontiguousarray(data).reshape(-1, 3, 32, 32), np.array(labels, dtype=np.int64)


def read_binary_batch(path: Path) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Images (N, 3, 32, 32) and labels (N,) of one file of the binary layout: rows of one label and 3,072 pixels."""
    try:
        content = np.fromfile(path, dtype=np.uint8)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from None
    if not len(content) or len(content) % (ROW + 1):
        raise DataError(f"{path} is truncated: {len(content):,} bytes are not whole rows of {ROW + 1:,}.")
    rows = content.reshape(-1, ROW + 1)
    return np.ascontiguousarray(rows[:, 1:]).reshape(-1, 3, 32, 32), rows[:, 0].astype(np.int64)
