"""What crossed, kept for an audit: the very bytes of each request, with times and sizes.

A file of frames: a line that says what it is, then for each frame the length of its header (4 bytes, little-endian),
the header (JSON) and ``size`` bytes. The first frame describes the cuts of the bundle; each of the others holds one
``ModelInferRequest`` as it was sent. Nothing in it is executed, and reading is bounded by what the headers may say.

Each message names its pictures by a hash of their 8-bit pixels, so that an audit finds the truth among its own images.
Who holds the file can test a guess of a picture: record what may be shown.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, BinaryIO, TypeVar

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from splitward.core.errors import RecordError, WireError
from splitward.runtime import encoding, parsing
from splitward.runtime.manifest import MANIFEST_LIMIT_BYTES, EdgeCut, Part, Sha256, Some, said

Array = NDArray[np.generic]

MAGIC = b"splitward wire recording 1\n"
HEADER_LIMIT_BYTES, MESSAGE_LIMIT_BYTES = MANIFEST_LIMIT_BYTES, 1 << 28
TENSORS_LIMIT_BYTES = 1 << 32
"""Of all tensors of a recording, unpacked: they are held together, and little on a disk can claim much of it."""


class About(Part, frozen=True, kw_only=True):
    """The first frame: of which bundle, and how its noise was drawn."""

    bundle_sha256: Sha256
    keyed: bool
    cuts: Some[EdgeCut]
    size: Annotated[int, Meta(ge=0, le=0)] = 0


class Sent(Part, frozen=True, kw_only=True):
    """One message. ``at_s``: since the recording began; ``ms``: until the answer; ``answer_bytes`` 0: there was none.

    ``pictures``: ``picture_key`` of each input; ``size``: bytes of the message, without framing and TLS.
    """

    cut: str
    pictures: Some[Sha256]
    at_s: float
    ms: float
    attempts: Annotated[int, Meta(ge=0)]
    answer_bytes: Annotated[int, Meta(ge=0)]
    size: Annotated[int, Meta(ge=1, le=MESSAGE_LIMIT_BYTES)]


class Recorder:
    """Writes a recording; threads may share it. Raises RecordError where the file exists or cannot be written."""

    def __init__(self, path: Path, about: About) -> None:
        self._path, self._lock, self._begun = path, threading.Lock(), time.monotonic()
        try:
            self._file: BinaryIO = path.open("xb")
            self._file.write(MAGIC)
        except OSError as error:
            raise RecordError(f"the recording {path} cannot be begun: {error.strerror or error}.") from None
        self._write(about, b"")

    def pictures(self, pixels: NDArray[Any]) -> tuple[str, ...]:
        """What the pictures (N, C, H, W) are known by."""
        return tuple(picture_key(one) for one in pixels)

    def keep(
        self, message: bytes, cut: str, pictures: tuple[str, ...], ms: float, attempts: int, answer_bytes: int
    ) -> None:
        """One more message; see ``Sent``."""
        sent = Sent(
            cut=cut, pictures=pictures, at_s=time.monotonic() - self._begun, ms=ms, attempts=attempts,
            answer_bytes=answer_bytes, size=len(message),
        )  # fmt: skip
        self._write(sent, message)

    def _write(self, header: About | Sent, payload: bytes) -> None:
        text = msgspec.json.encode(header)
        with self._lock:
            try:
                self._file.write(len(text).to_bytes(4, "little") + text + payload)
                self._file.flush()
            except OSError as error:
                raise RecordError(f"the recording {self._path} cannot be kept: {error.strerror or error}.") from None

    def close(self) -> None:
        """Close the file."""
        self._file.close()


@dataclass(frozen=True)
class Message:
    """A message and the tensors that a cloud reads from it, each (N, *shape). ``encoding``: of the first tensor."""

    sent: Sent
    tensors: tuple[Array, ...]
    encoding: str


@dataclass(frozen=True)
class Recording:
    """What was read from a file."""

    about: About
    messages: tuple[Message, ...]

    def cut(self, name: str) -> EdgeCut:
        """The cut ``name``. Raises RecordError where nothing of it was recorded."""
        for cut in self.about.cuts:
            if cut.cut == name:
                return cut
        known = ", ".join(cut.cut for cut in self.about.cuts)
        raise RecordError(f"the recording has nothing of a cut at {name}; it is of {known}.")


def read(path: Path, limit: int = TENSORS_LIMIT_BYTES) -> Recording:
    """A recording, every message decoded, of at most ``limit`` bytes in all. Raises RecordError for anything else."""
    try:
        with path.open("rb") as file:
            if file.read(len(MAGIC)) != MAGIC:
                raise RecordError(f"{path} is no recording; `splitward edge --record` makes one.")
            about = _header(file, About, path)
            messages = tuple(_messages(file, about, path, limit))
    except OSError as error:
        raise RecordError(f"the recording {path} cannot be read: {error.strerror or error}.") from None
    if not messages:
        raise RecordError(f"the recording {path} holds no message.")
    return Recording(about, messages)


H = TypeVar("H", About, Sent)


def _header(file: BinaryIO, kind: type[H], path: Path) -> H:
    length = int.from_bytes(_exactly(file, 4, path), "little")
    if length > HEADER_LIMIT_BYTES:
        raise RecordError(f"{path} is damaged: a header would have {length} bytes.")
    try:
        return msgspec.json.decode(_exactly(file, length, path), type=kind)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise RecordError(f"{path} is damaged: {said(error)}.") from None


def _exactly(file: BinaryIO, count: int, path: Path) -> bytes:
    left = os.fstat(file.fileno()).st_size - file.tell()
    if left < count:  # before a byte of memory is asked for
        raise RecordError(f"{path} ends within a message: it was cut off.")
    return file.read(count)


def _messages(file: BinaryIO, about: About, path: Path, limit: int) -> Iterator[Message]:
    cuts, total = {cut.cut: cut for cut in about.cuts}, 0
    while file.peek(1):  # type: ignore[attr-defined]
        sent = _header(file, Sent, path)
        if sent.cut not in cuts:
            raise RecordError(f"{path} is damaged: a message is of a cut {sent.cut[:40]!r} that the bundle has not.")
        cut = cuts[sent.cut]
        total += len(sent.pictures) * sum(tensor.bytes_per_sample for tensor in cut.activation)
        if total > limit:
            raise RecordError(f"{path} holds tensors of more than {limit} bytes: record fewer inputs in one file.")
        yield _decoded(sent, _exactly(file, sent.size, path), cut, path)


def _decoded(sent: Sent, payload: bytes, cut: EdgeCut, path: Path) -> Message:
    try:
        request = parsing.infer_request(payload)
    except WireError as error:
        raise RecordError(f"{path} holds a message that is none of the protocol: {error}") from None
    count = len(sent.pictures)
    due = [(t.name, [count, *t.shape]) for t in cut.activation]
    found = [(entry.name, list(entry.shape)) for entry in request.inputs]
    if found != due or len(request.raw_input_contents) != len(due):
        raise RecordError(f"{path} holds a message of {found}; {due} crosses at {cut.cut}.")
    stated = [entry.parameters[encoding.PARAMETER].string_param for entry in request.inputs]
    try:
        tensors = tuple(
            encoding.decode(data, how, tensor.dtype, (count, *tensor.shape))
            for data, how, tensor in zip(request.raw_input_contents, stated, cut.activation, strict=True)
        )
    except WireError as error:
        raise RecordError(f"{path} holds a message that no cloud can read: {error}") from None
    return Message(sent, tensors, stated[0])


def picture_key(pixels: NDArray[Any]) -> str:
    """SHA-256 of one picture (C, H, W) in [0, 1], as 8-bit pixels: what tells one image of a data set from another."""
    eight = np.rint(np.clip(pixels, 0, 1) * np.float32(255)).astype(np.uint8)
    return hashlib.sha256(str(eight.shape).encode() + eight.tobytes()).hexdigest()
