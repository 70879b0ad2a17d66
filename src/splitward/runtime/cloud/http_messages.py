"""The body of an HTTP inference request to a call, and arrays to the answer's body. Pure functions.

JSON, or JSON followed by binary tensors (the binary data extension), whose sizes it names.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from splitward.runtime.cloud import tensors
from splitward.runtime.cloud.call import Array, Call, asked, check_id, check_pairing, one_count
from splitward.runtime.cloud.refusal import Kind, Refusal, invalid, shown
from splitward.runtime.encoding import PAIRING, PARAMETER
from splitward.runtime.manifest import CloudManifest, Tensor

TEXT_LIMIT_BYTES = 1 << 23
"""Of JSON, of which three bytes (an empty list) become 76. Binary tensors behind it have the server's limit alone."""

_UNSUPPORTED = ("shared_memory_region", "shared_memory_offset", "shared_memory_byte_size", "classification")


@dataclass(frozen=True)
class HttpCall:
    """A call, and which of its outputs (indices) are to be sent as binary data."""

    call: Call
    binary: frozenset[int]


def decode(body: bytes, header_length: str | None, manifest: CloudManifest, most: int) -> HttpCall:
    """A call on the model of ``manifest``. ``header_length``: what Inference-Header-Content-Length says. Refusal."""
    text, binary = _parted(body, header_length)
    document = _json(text)
    inputs = _objects(document.get("inputs"), "inputs")
    names = [_text(t, "name") for t in inputs]
    tensors.check_names(names, manifest.activation, "inputs")
    parameters = _parameters(document)
    check_pairing(parameters.get(PAIRING), manifest)
    sent, start = {}, 0
    for name, claim in zip(names, inputs, strict=True):
        start, sent[name] = _content(claim, binary, start)
    if start != len(binary):
        raise invalid(f"the binary tensors name {start} bytes and {len(binary)} are sent.")
    claims = dict(zip(names, inputs, strict=True))
    counts = [
        tensors.check_claim(due, _text(claims[due.name], "datatype"), _shape(claims[due.name]), most)
        for due in manifest.activation
    ]
    count = one_count(counts)
    outputs = _objects(document.get("outputs", []), "outputs")
    chosen = asked([_text(o, "name") for o in outputs], manifest.outputs)
    arrays = tuple(_array(due, claims[due.name], sent[due.name], count) for due in manifest.activation)
    call = Call(check_id(_id(document)), arrays, count, chosen, _timeout(parameters))
    return HttpCall(call, _binary(parameters, outputs, chosen))


def encode(call: HttpCall, manifest: CloudManifest, arrays: Sequence[Array]) -> tuple[bytes, int | None]:
    """The answer's body, and the length of its JSON part where binary tensors follow."""
    told: list[dict[str, Any]] = []
    blobs = []
    for k in call.call.outputs:
        due, array = manifest.outputs[k], arrays[k]
        entry: dict[str, Any] = {"name": due.name, "datatype": tensors.DATATYPES[due.dtype], "shape": list(array.shape)}
        if k in call.binary:
            blobs.append(tensors.to_raw(array))
            entry["parameters"] = {"binary_data_size": len(blobs[-1])}
        else:
            entry["data"] = tensors.finite(due, array).ravel().tolist()
        told.append(entry)
    document: dict[str, Any] = {"model_name": manifest.name, "model_version": manifest.version, "outputs": told}
    if call.call.id:
        document["id"] = call.call.id
    text = json.dumps(document, allow_nan=False).encode()
    return b"".join((text, *blobs)), len(text) if blobs else None


def _parted(body: bytes, header_length: str | None) -> tuple[bytes, memoryview]:
    if header_length is None:
        return body, memoryview(b"")
    if not (header_length.isascii() and header_length.isdigit() and len(header_length) < 11):
        raise invalid("Inference-Header-Content-Length is no whole number.")
    length = int(header_length)
    if length > len(body):
        raise invalid(f"Inference-Header-Content-Length is {length} and the body has {len(body)} bytes.")
    return body[:length], memoryview(body)[length:]


def _json(text: bytes) -> dict[str, Any]:
    if len(text) > TEXT_LIMIT_BYTES:
        raise Refusal(
            Kind.TOO_LARGE,
            f"the JSON has {len(text)} bytes; {TEXT_LIMIT_BYTES} are the most: send tensors as binary data.",
        )
    try:
        document = json.loads(text, parse_constant=_refuse_constant)
    except Refusal:
        raise
    except (ValueError, RecursionError):
        raise invalid("the body is not readable JSON.") from None
    if not isinstance(document, dict):
        raise invalid("the body is no JSON object.")
    return document


def _refuse_constant(name: str) -> NoReturn:
    raise invalid(f"the body holds {name}; only finite numbers are taken.")


def _objects(value: Any, what: str) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise invalid(f"{what} is no list of objects.")
    for one in value:
        for name in _UNSUPPORTED:
            if name in _parameters(one):
                raise invalid(f"the parameter {name} of {shown(str(one.get('name')))} is not supported here.")
    return value


def _parameters(held: dict[str, Any]) -> dict[str, Any]:
    found = held.get("parameters", {})
    if not isinstance(found, dict):
        raise invalid("parameters is no object.")
    return found


def _text(held: dict[str, Any], field: str) -> str:
    value = held.get(field)
    if not isinstance(value, str):
        raise invalid(f"an input or output has no {field} that is a text.")
    return value


def _id(document: dict[str, Any]) -> str:
    value = document.get("id", "")
    if not isinstance(value, str):
        raise invalid("the id is no text.")
    return value


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _shape(claim: dict[str, Any]) -> list[int]:
    shape = claim.get("shape")
    if not isinstance(shape, list) or not all(map(_whole, shape)):
        raise invalid(f"the shape of {shown(str(claim.get('name')))} is no list of whole numbers.")
    if any(abs(size) >= 1 << 63 for size in shape):
        raise invalid(f"the shape of {shown(str(claim.get('name')))} holds a number beyond 64 bits.")
    return shape


def _content(claim: dict[str, Any], binary: memoryview, start: int) -> tuple[int, memoryview | None]:
    """Where the next binary tensor begins, and this one; None: its data is in the JSON."""
    size = _parameters(claim).get("binary_data_size")
    name = shown(str(claim.get("name")))
    if size is None:
        if "data" not in claim:
            raise invalid(f"{name} has neither data nor a binary_data_size.")
        return start, None
    if "data" in claim:
        raise invalid(f"{name} is sent twice, as data and as binary data.")
    if not _whole(size) or not 0 <= size <= len(binary) - start:
        raise invalid(f"{name} names a binary_data_size that the body does not hold.")
    return start + size, binary[start : start + size]


def _array(due: Tensor, claim: dict[str, Any], content: memoryview | None, count: int) -> Array:
    form = _parameters(claim).get(PARAMETER, "")
    if not isinstance(form, str) or (form and content is None):
        raise invalid(f"{due.name}: {PARAMETER} is a text, and for binary data only.")
    if content is None:
        return tensors.from_json(due, count, claim["data"])
    return tensors.from_raw(due, count, content, form)


def _timeout(parameters: dict[str, Any]) -> float | None:
    value = parameters.get("timeout")
    if value is None or value == 0:
        return None
    if not _whole(value) or not 0 < value < 1 << 63:
        raise invalid("the timeout is no whole number of microseconds.")
    return float(value) / 1e6


def _binary(parameters: dict[str, Any], outputs: list[dict[str, Any]], chosen: tuple[int, ...]) -> frozenset[int]:
    """Which outputs are binary: as each says, else as the request says for all."""
    default = parameters.get("binary_data_output", False)
    told = [_parameters(o).get("binary_data", default) for o in outputs] or [default] * len(chosen)
    if not all(isinstance(one, bool) for one in told):
        raise invalid("binary_data and binary_data_output are true or false.")
    return frozenset(k for k, wanted in zip(chosen, told, strict=True) if wanted)
