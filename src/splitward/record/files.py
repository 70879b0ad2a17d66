"""JSON and safetensors on disk: written whole or not at all, in the same bytes for the same content; read with care."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as to_safetensors

from splitward.core.errors import RecordError

Array = NDArray[Any]

JSON_LIMIT_BYTES = 1 << 28
"""A record of 10,000 samples and a hundred trials is a third of it."""

DTYPES = ("F32", "F16", "I64")
"""Data types that a tensor file of ours may hold."""


def write_json(path: Path, data: Any) -> None:
    """Deterministic JSON: keys sorted, one line for a list without objects in it, floats in their shortest form."""
    _replace(path, (_encode(data, 0) + "\n").encode(), private=False)


def read_json(path: Path) -> Any:
    """The document of ``path``. Raises RecordError where it is too large, torn, too deep, or holds NaN or infinity."""
    try:
        if not path.is_file():
            raise RecordError(f"{path} does not exist, or is no file.")
        if path.stat().st_size > JSON_LIMIT_BYTES:
            raise RecordError(f"{path} is larger than any record ({path.stat().st_size >> 20} MiB).")
        return json.loads(path.read_bytes(), parse_constant=_refuse_constant)
    except OSError as error:
        raise RecordError(f"{path} cannot be read: {error.strerror or error}.") from error
    except (ValueError, RecursionError) as error:
        raise RecordError(f"{path} is not readable JSON: {str(error)[:200]}.") from error


def write_tensors(path: Path, arrays: Mapping[str, Array]) -> None:
    """A safetensors file that only its owner can read; the same arrays give the same bytes."""
    contiguous = {name: np.ascontiguousarray(arrays[name]) for name in sorted(arrays)}
    _replace(path, to_safetensors(contiguous), private=True)


def read_tensors(path: Path) -> dict[str, Array]:
    """Every array of a safetensors file. Raises RecordError for a damaged or hostile one."""
    try:
        with safe_open(path, framework="numpy") as file:
            names = sorted(file.keys())
            for name in names:
                dtype = file.get_slice(name).get_dtype()
                if dtype not in DTYPES:
                    raise RecordError(f"{path}: {name!r} has data type {dtype}; one of {', '.join(DTYPES)} is due.")
            return {name: np.array(file.get_tensor(name)) for name in names}
    except OSError as error:
        raise RecordError(f"{path} cannot be read: {error.strerror or error}.") from error
    except (SafetensorError, ValueError, TypeError, MemoryError) as error:
        raise RecordError(f"{path} is not a readable safetensors file: {str(error)[:200]}.") from error


def _replace(path: Path, content: bytes, private: bool) -> None:
    """Write beside ``path``, then rename: a reader, or the next run after a kill, sees the old file or the new one."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if not private:
            Path(name).chmod(0o666 & ~_umask())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _encode(value: Any, depth: int) -> str:
    pad, end = "  " * (depth + 1), "  " * depth
    if isinstance(value, dict) and value:
        rows = [f"{pad}{json.dumps(k)}: {_encode(value[k], depth + 1)}" for k in sorted(value)]
        return "{\n" + ",\n".join(rows) + f"\n{end}}}"
    if isinstance(value, list) and _holds_objects(value):
        return "[\n" + ",\n".join(pad + _encode(v, depth + 1) for v in value) + f"\n{end}]"
    return json.dumps(value, allow_nan=False)


def _holds_objects(value: Any) -> bool:
    return isinstance(value, dict) or (isinstance(value, list) and any(_holds_objects(v) for v in value))


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"it holds {name}, which is no number")
