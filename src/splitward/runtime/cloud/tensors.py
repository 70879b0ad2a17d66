"""From what a client claims and sends to arrays that are exactly what the model takes. Everything else is refused.

Numbers must be finite: NaN and infinity are refused. Nothing is allocated by a claim: shapes are compared with the
manifest's before any content is looked at.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splitward.core.errors import WireError
from splitward.runtime import encoding
from splitward.runtime.cloud.refusal import invalid, shown
from splitward.runtime.manifest import Tensor

Array = NDArray[np.generic]

DATATYPES = {
    "float64": "FP64", "float32": "FP32", "float16": "FP16", "int64": "INT64", "int32": "INT32", "int16": "INT16",
    "int8": "INT8", "uint8": "UINT8", "bool": "BOOL",
}  # fmt: skip
"""numpy's names to the protocol's."""

_LITTLE = {name: np.dtype(name).newbyteorder("<") for name in DATATYPES}

_TYPED = {
    "float64": "fp64_contents", "float32": "fp32_contents", "int64": "int64_contents", "int32": "int_contents",
    "int16": "int_contents", "int8": "int_contents", "uint8": "uint_contents", "bool": "bool_contents",
}  # fmt: skip
"""The field of a tensor's typed contents; half precision has none."""

_JSON: dict[str, tuple[set[type], str]] = {"f": ({int, float}, "float64"), "b": ({bool}, "bool")}
"""What a list of JSON may hold, by the first letter of the data type; whole numbers for all others."""


def check_names(found: Sequence[str], due: Sequence[Tensor], what: str) -> None:
    """Each of ``due`` once, in any order."""
    if len(found) == len(due) == 1 and found[0] == due[0].name:
        return
    if sorted(found) != sorted(t.name for t in due):
        told = ", ".join(shown(name) for name in found[:4]) + (", ..." if len(found) > 4 else "")
        raise invalid(f"the {what} are {told or 'none'}; {', '.join(t.name for t in due)} are due, each once.")


def check_claim(tensor: Tensor, datatype: str, shape: Sequence[int], most: int) -> int:
    """The number of samples; the rest of the claim must be the manifest's."""
    due = DATATYPES[tensor.dtype]
    if datatype != due:
        raise invalid(f"{tensor.name} is sent as {shown(datatype)}; {due} is due.")
    if len(shape) != len(tensor.shape) + 1 or tuple(shape[1:]) != tensor.shape:
        told = "[" + ", ".join(map(str, itertools.islice(shape, 8))) + (", ...]" if len(shape) > 8 else "]")
        raise invalid(f"{tensor.name} is sent with shape {told}; [N, {', '.join(map(str, tensor.shape))}] is due.")
    if not 1 <= shape[0] <= most:
        raise invalid(f"{tensor.name} holds {shape[0]} samples; 1 to {most} are taken at once.")
    return int(shape[0])


def from_raw(tensor: Tensor, count: int, content: bytes | memoryview, form: str) -> Array:
    """Bytes, little-endian, row by row; ``form``: see ``runtime.encoding``."""
    if not form and len(content) == count * tensor.bytes_per_sample:
        array: Array = np.frombuffer(content, _LITTLE[tensor.dtype]).reshape(count, *tensor.shape)
    else:
        try:
            array = encoding.decode(content, form, tensor.dtype, (count, *tensor.shape))
        except WireError as error:
            raise invalid(f"{tensor.name}: {error}") from None
    if tensor.dtype == "bool" and not bool((array.view(np.uint8) <= 1).all()):
        raise invalid(f"{tensor.name} holds bytes that are neither 0 nor 1, and BOOL is due.")
    return finite(tensor, array)


def from_typed(tensor: Tensor, count: int, contents: Any) -> Array:
    """The typed contents of a gRPC message: all in the field of this data type."""
    field = _TYPED.get(tensor.dtype)
    used = [one.name for one, _ in contents.ListFields()]
    if field is None:
        raise invalid(f"{tensor.name} is FP16, which has no typed contents: send raw_input_contents.")
    if used not in ([field], []):
        raise invalid(f"{tensor.name} is sent in {', '.join(used)}; {field} is due.")
    values = getattr(contents, field)
    due = count * tensor.elements
    if len(values) != due:
        raise invalid(f"{tensor.name} holds {len(values)} numbers; {due} are due.")
    return _narrowed(tensor, np.array(values), count)


def from_json(tensor: Tensor, count: int, data: Any) -> Array:
    """A list of numbers, flat or nested as the shape says."""
    shape = (count, *tensor.shape)
    flat = data if isinstance(data, list) and not any(isinstance(x, list) for x in data) else _flattened(data, shape)
    due = count * tensor.elements
    if flat is None or len(flat) != due:
        raise invalid(f"{tensor.name}: its data is not a list of {due} numbers, or one nested as {list(shape)}.")
    kinds, wider = _JSON.get(tensor.dtype[0], ({int}, "int64"))
    if not set(map(type, flat)) <= kinds:
        raise invalid(f"{tensor.name}: its data holds something else than {DATATYPES[tensor.dtype]}.")
    try:
        wide = np.array(flat, wider)
    except OverflowError:
        raise invalid(f"{tensor.name}: its data holds a number beyond {DATATYPES[tensor.dtype]}.") from None
    return _narrowed(tensor, wide, count)


def _flattened(data: Any, shape: tuple[int, ...]) -> list[Any] | None:
    """Level by level; None where a list has another length than its place in the shape says."""
    level = [data]
    for size in shape:
        if not all(isinstance(part, list) and len(part) == size for part in level):
            return None
        level = [item for part in level for item in part]
    return level


def _narrowed(tensor: Tensor, wide: Array, count: int) -> Array:
    with np.errstate(over="ignore", invalid="ignore"):
        array = wide.astype(tensor.dtype).reshape(count, *tensor.shape)
    if tensor.dtype.startswith(("int", "uint")) and not np.array_equal(array.ravel(), wide):
        raise invalid(f"{tensor.name} holds a number beyond {DATATYPES[tensor.dtype]}.")
    return finite(tensor, array)


def finite(tensor: Tensor, array: Array) -> Array:
    """The array, where no number in it is NaN or infinite."""
    if tensor.dtype.startswith("f") and not np.isfinite(array).all():
        raise invalid(f"{tensor.name} holds NaN or infinity; only finite numbers are taken.")
    return array


def to_typed(array: Array, dtype: str, contents: Any) -> bool:
    """Fill a gRPC message's typed contents; False for half precision, which has none."""
    field = _TYPED.get(dtype)
    if field is None:
        return False
    getattr(contents, field).extend(array.ravel().tolist())
    return True


def to_raw(array: Array) -> bytes:
    """Little-endian bytes, row by row."""
    return np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()
