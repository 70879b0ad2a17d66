"""The protocol's messages from their bytes, at a bounded cost.

Protobuf makes an object of two bytes that say "an empty tensor": one mebibyte of those takes more than a hundred. So a
long message is walked over before it is parsed, field by field and without a copy: it may hold few fields, and few
bytes that are no raw contents. What is parsed then takes a fixed amount beyond its own length at most.
"""

from __future__ import annotations

from typing import Any

from splitward.core.errors import WireError
from splitward.runtime import protocol as pb

SHORT_BYTES = 1 << 16
"""Up to here a message is parsed as it is, whatever it holds."""
FIELDS = 1024
DESCRIBED_BYTES = 1 << 23
"""Of all that is no raw contents: names, shapes, parameters, typed contents. One of them takes 16 bytes at most."""

_RAW_INPUT_CONTENTS, _RAW_OUTPUT_CONTENTS, _INFER_RESPONSE = 7, 6, 2
_VARINT, _COUNTED = 0, 2
_FIXED = {1: 8, 5: 4}
"""The forms of a field: a number of its own end, so many bytes, or always as many."""


def infer_request(data: bytes) -> pb.ModelInferRequest:
    """Raises WireError for what is none, or would take too much memory."""
    return _parsed(pb.ModelInferRequest, data, _RAW_INPUT_CONTENTS)


def infer_response(data: bytes) -> pb.ModelInferResponse:
    """Raises WireError for what is none, or would take too much memory."""
    return _parsed(pb.ModelInferResponse, data, _RAW_OUTPUT_CONTENTS)


def stream_response(data: bytes) -> pb.ModelStreamInferResponse:
    """Raises WireError for what is none, or would take too much memory."""
    return _parsed(pb.ModelStreamInferResponse, data, _RAW_OUTPUT_CONTENTS, _INFER_RESPONSE)


def server_metadata(data: bytes) -> pb.ServerMetadataResponse:
    """Raises WireError for what is none, or would take too much memory."""
    return _parsed(pb.ServerMetadataResponse, data)


def _parsed(kind: Any, data: bytes, raw: int | None = None, wrapper: int | None = None) -> Any:
    if len(data) > SHORT_BYTES:
        _Walk(data, raw).over(0, len(data), wrapper)
    try:
        return kind.FromString(data)
    except Exception:  # protobuf's own
        raise WireError(f"the message is no {kind.__name__}.") from None


class _Walk:
    """Counts the fields of a message, and the bytes of those that are not of the number ``raw``."""

    def __init__(self, data: bytes, raw: int | None) -> None:
        self._data, self._raw = data, raw
        self._fields = self._described = 0

    def over(self, at: int, end: int, wrapper: int | None = None) -> None:
        """The fields from ``at`` to ``end``; into the one of the number ``wrapper`` too. Raises WireError."""
        while at < end:
            tag, start = self._varint(at)
            number, form = tag >> 3, tag & 7
            if form == _COUNTED:
                counted, start = self._varint(start)
                at = start + counted
            elif form == _VARINT:
                at = self._varint(start)[1]
            elif form in _FIXED:
                at = start + _FIXED[form]
            else:
                raise WireError("the message holds a field of no known form.")
            if at > end:
                raise WireError("the message is torn: a field goes on beyond its end.")
            self._fields += 1
            if number == wrapper and form == _COUNTED:
                self.over(start, at)
            elif number != self._raw or form != _COUNTED:
                self._described += at - start
            if self._fields > FIELDS or self._described > DESCRIBED_BYTES:
                raise WireError(
                    f"the message holds more than {FIELDS} fields, or {DESCRIBED_BYTES} bytes beside its raw contents: "
                    "send tensors as raw contents."
                )

    def _varint(self, at: int) -> tuple[int, int]:
        """The number that begins at ``at``, and where the next field's byte is."""
        value = 0
        for shift in range(0, 70, 7):
            if at >= len(self._data):
                break
            byte = self._data[at]
            value |= (byte & 0x7F) << shift
            at += 1
            if byte < 0x80:
                return value, at
        raise WireError("the message is torn: a number in it has no end.")
