"""ModelInferRequest to a call, and arrays to a ModelInferResponse. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from splitward.runtime import protocol as pb
from splitward.runtime.cloud import tensors
from splitward.runtime.cloud.call import Array, Call, asked, check_id, check_pairing, one_count
from splitward.runtime.cloud.refusal import invalid, shown
from splitward.runtime.encoding import PAIRING, PARAMETER
from splitward.runtime.manifest import CloudManifest

_UNSUPPORTED = ("shared_memory_region", "shared_memory_offset", "shared_memory_byte_size", "classification")


def decode(request: pb.ModelInferRequest, manifest: CloudManifest, most: int) -> Call:
    """A call on the model of ``manifest``, of at most ``most`` samples. Raises Refusal."""
    inputs, raw, parameters = list(request.inputs), list(request.raw_input_contents), request.parameters
    names = [t.name for t in inputs]
    tensors.check_names(names, manifest.activation, "inputs")
    if raw and len(raw) != len(inputs):
        raise invalid(f"{len(raw)} raw contents are sent for {len(inputs)} inputs; one for each is due.")
    if PAIRING in parameters:
        check_pairing(parameters[PAIRING].string_param, manifest)
    places = [names.index(due.name) for due in manifest.activation]
    counts = [
        tensors.check_claim(due, inputs[k].datatype, inputs[k].shape, most)
        for due, k in zip(manifest.activation, places, strict=True)
    ]
    count = one_count(counts)
    arrays = tuple(
        _array(due, inputs[k], raw[k] if raw else None, count)
        for due, k in zip(manifest.activation, places, strict=True)
    )
    outputs = list(request.outputs)
    for output in outputs:
        _refuse_unsupported(output)
    return Call(
        check_id(request.id), arrays, count, asked([o.name for o in outputs], manifest.outputs), _timeout(parameters)
    )


def _array(due: Any, sent: Any, content: bytes | None, count: int) -> Array:
    form = ""
    if sent.parameters:
        _refuse_unsupported(sent)
        form = sent.parameters[PARAMETER].string_param if PARAMETER in sent.parameters else ""
    if content is None:
        if form:
            raise invalid(f"{due.name} is sent in typed contents, which have no encoding {shown(form)}.")
        return tensors.from_typed(due, count, sent.contents)
    if sent.HasField("contents"):
        raise invalid(f"{due.name} is sent twice, raw and typed.")
    return tensors.from_raw(due, count, content, form)


def _refuse_unsupported(held: Any) -> None:
    for name in _UNSUPPORTED:
        if name in held.parameters:
            raise invalid(f"the parameter {name} of {shown(held.name)} is not supported here.")


def _timeout(parameters: Any) -> float | None:
    """The protocol's parameter, in microseconds."""
    if "timeout" not in parameters:
        return None
    told = parameters["timeout"]
    value = told.int64_param or told.uint64_param
    if value < 0:
        raise invalid(f"the timeout is {value} microseconds; it must not be negative.")
    return value / 1e6 if value else None


def encode(call: Call, manifest: CloudManifest, arrays: Sequence[Array], typed: bool) -> pb.ModelInferResponse:
    """The answer: raw contents, or ``typed`` ones where no output is of half precision, which has none."""
    response = pb.ModelInferResponse(model_name=manifest.name, model_version=manifest.version, id=call.id)
    typed = typed and all(manifest.outputs[k].dtype != "float16" for k in call.outputs)
    for k in call.outputs:
        told, array = manifest.outputs[k], arrays[k]
        made = response.outputs.add(name=told.name, datatype=tensors.DATATYPES[told.dtype], shape=array.shape)
        if typed:
            tensors.to_typed(array, told.dtype, made.contents)
        else:
            response.raw_output_contents.append(tensors.to_raw(array))
    return response
