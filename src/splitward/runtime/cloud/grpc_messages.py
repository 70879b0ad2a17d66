"""ModelInferRequest to a call, and arrays to a ModelInferResponse. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tritonclient.grpc import service_pb2 as pb

from splitward.runtime.cloud import tensors
from splitward.runtime.cloud.call import Array, Call, asked, check_id, check_pairing, one_count
from splitward.runtime.cloud.refusal import invalid, shown
from splitward.runtime.encoding import PAIRING, PARAMETER
from splitward.runtime.manifest import CloudManifest

_UNSUPPORTED = ("shared_memory_region", "shared_memory_offset", "shared_memory_byte_size", "classification")


def decode(request: pb.ModelInferRequest, manifest: CloudManifest, most: int) -> Call:
    """A call on the model of ``manifest``, of at most ``most`` samples. Raises Refusal."""
    tensors.check_names([t.name for t in request.inputs], manifest.activation, "inputs")
    raw = request.raw_input_contents
    if raw and len(raw) != len(request.inputs):
        raise invalid(f"{len(raw)} raw contents are sent for {len(request.inputs)} inputs; one for each is due.")
    pairing = request.parameters[PAIRING].string_param if PAIRING in request.parameters else None
    check_pairing(pairing, manifest)
    sent = {t.name: (t, raw[k] if raw else None) for k, t in enumerate(request.inputs)}
    claims = [sent[due.name][0] for due in manifest.activation]
    counts = [
        tensors.check_claim(due, t.datatype, t.shape, most) for due, t in zip(manifest.activation, claims, strict=True)
    ]
    count = one_count(counts)
    outputs = [o.name for o in request.outputs]
    for held in (*request.inputs, *request.outputs):
        _refuse_unsupported(held)
    return Call(
        check_id(request.id),
        tuple(_array(due, *sent[due.name], count) for due in manifest.activation),
        count,
        asked(outputs, manifest.outputs),
        _timeout(request),
    )


def _array(due: Any, sent: Any, content: bytes | None, count: int) -> Array:
    form = sent.parameters[PARAMETER].string_param if PARAMETER in sent.parameters else ""
    if content is None:
        if form:
            raise invalid(f"{due.name} is sent in typed contents, which have no encoding {shown(form)}.")
        return tensors.from_typed(due, count, sent.contents)
    if sent.HasField("contents"):
        raise invalid(f"{due.name} is sent twice, raw and typed.")
    return tensors.from_raw(due, count, content, form)


def _refuse_unsupported(held: Any) -> None:
    if held.parameters:
        for name in _UNSUPPORTED:
            if name in held.parameters:
                raise invalid(f"the parameter {name} of {shown(held.name)} is not supported here.")


def _timeout(request: pb.ModelInferRequest) -> float | None:
    """The protocol's parameter, in microseconds."""
    if "timeout" not in request.parameters:
        return None
    told = request.parameters["timeout"]
    value = told.int64_param or told.uint64_param
    if value < 0:
        raise invalid(f"the timeout is {value} microseconds; it must not be negative.")
    return value / 1e6 if value else None


def encode(
    request: pb.ModelInferRequest, manifest: CloudManifest, outputs: Sequence[int], arrays: Sequence[Array]
) -> pb.ModelInferResponse:
    """The answer: raw contents, or typed ones where the request's were."""
    response = pb.ModelInferResponse(model_name=manifest.name, model_version=manifest.version, id=request.id)
    typed = not request.raw_input_contents and all(manifest.outputs[k].dtype != "float16" for k in outputs)
    for k in outputs:
        told, array = manifest.outputs[k], arrays[k]
        made = response.outputs.add(name=told.name, datatype=tensors.DATATYPES[told.dtype], shape=array.shape)
        if typed:
            tensors.to_typed(array, told.dtype, made.contents)
        else:
            response.raw_output_contents.append(tensors.to_raw(array))
    return response
