"""Requests and answers of the Open Inference Protocol (KServe v2).

A request is made into bytes once; what is sent again are those bytes. An answer is held to what the bundle says comes
back, name by name and byte by byte, and is refused otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splitward.core.errors import CloudError
from splitward.runtime import encoding
from splitward.runtime import protocol as pb
from splitward.runtime.manifest import EdgeCut, Tensor
from splitward.runtime.wire import Packing

Array = NDArray[np.generic]

_NAMES = {
    "bool": "BOOL", "uint8": "UINT8", "int8": "INT8", "int16": "INT16", "int32": "INT32", "int64": "INT64",
    "float16": "FP16", "float32": "FP32", "float64": "FP64",
}  # fmt: skip
_FIELDS = {
    "bool": "bool_contents", "int8": "int_contents", "int16": "int_contents", "int32": "int_contents",
    "uint8": "uint_contents", "int64": "int64_contents", "float32": "fp32_contents", "float64": "fp64_contents",
}  # fmt: skip
"""Where an answer that holds no raw bytes keeps its numbers."""


@dataclass(frozen=True)
class Request:
    """One message, as it crosses: a ``ModelInferRequest``. ``samples``: how many inputs it is of."""

    id: str
    message: bytes
    samples: int


def make(identifier: str, cut: EdgeCut, packing: Packing, tensors: Sequence[Array], extended: bool) -> Request:
    """The request for a defended activation, each tensor (N, *shape).

    ``extended``: the server reads ``splitward_encoding``; one that does not is sent plain tensors alone. Raises
    WireError.
    """
    count = len(tensors[0])
    request = pb.ModelInferRequest(model_name=cut.cloud.name, model_version=cut.cloud.version, id=identifier)
    if extended:
        request.parameters[encoding.PAIRING].string_param = cut.cloud.pairing
    for tensor in cut.activation:
        entry = request.inputs.add(name=tensor.name, datatype=_NAMES[tensor.dtype], shape=[count, *tensor.shape])
        if stated := packing.encoding(tensor.dtype):
            entry.parameters[encoding.PARAMETER].string_param = stated
    request.raw_input_contents.extend(packing.pack(tensors))
    return Request(identifier, request.SerializeToString(deterministic=True), count)


def answer(response: pb.ModelInferResponse, request: Request, cut: EdgeCut) -> list[Array]:
    """The outputs, each (N, *shape), in the order of the bundle. Raises CloudError for anything but those."""
    if response.id != request.id:
        raise CloudError(f"the cloud answered {response.id[:40]!r} where {request.id!r} was asked.")
    if response.model_name != cut.cloud.name:
        raise CloudError(f"the cloud answered for {response.model_name[:40]!r} where {cut.cloud.name!r} was asked.")
    found = {entry.name: index for index, entry in enumerate(response.outputs)}
    raw = len(response.raw_output_contents)
    if len(found) != len(response.outputs) or raw not in (0, len(found)):
        raise CloudError("the cloud's answer names an output twice, or holds bytes for some outputs only.")
    return [_output(response, found.get(tensor.name), tensor, request.samples) for tensor in cut.outputs]


def _output(response: pb.ModelInferResponse, index: int | None, tensor: Tensor, count: int) -> Array:
    if index is None:
        raise CloudError(f"the cloud's answer lacks the output {tensor.name!r}.")
    entry, shape = response.outputs[index], (count, *tensor.shape)
    if entry.datatype != _NAMES[tensor.dtype] or tuple(entry.shape) != shape:
        raise CloudError(
            f"the cloud's output {tensor.name!r} is {entry.datatype[:10]} of shape {list(entry.shape)[:8]}; "
            f"{_NAMES[tensor.dtype]} of shape {list(shape)} is due."
        )
    if response.raw_output_contents:
        data = response.raw_output_contents[index]
        if len(data) != count * tensor.bytes_per_sample:
            raise CloudError(f"the cloud's output {tensor.name!r} has {len(data)} bytes, which is not its shape's.")
        return np.frombuffer(data, np.dtype(tensor.dtype).newbyteorder("<")).reshape(shape)
    numbers: Any = getattr(entry.contents, _FIELDS.get(tensor.dtype, "bytes_contents"))
    if len(numbers) != count * tensor.elements:
        raise CloudError(f"the cloud's output {tensor.name!r} has {len(numbers)} numbers, which is not its shape's.")
    return np.array(numbers, tensor.dtype).reshape(shape)
