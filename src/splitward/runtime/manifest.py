"""What a bundle says of itself: ``manifest.json``, in the same bytes for the same content. Free of torch.

The cloud's manifest knows nothing of the edge: neither its cut, its layers and its defence, nor a verdict. Two edges
that differ in everything but the activation share one cloud bundle, byte by byte (but for the signature's key). The
edge's manifest names the cloud bundle that it belongs to by ``pairing``.
"""

from __future__ import annotations

import hashlib
import json
import math
from functools import cached_property
from typing import Annotated, Any, Literal, TypeVar

import msgspec
import numpy as np
from msgspec import Meta, Struct

from splitward.core.errors import BundleError

FORMAT_VERSION = 1

MANIFEST_LIMIT_BYTES = 1 << 19
"""JSON makes some 25 bytes of one: three (an empty object) take 72."""
FILE_LIMIT_BYTES = (1 << 31) - 1
"""Of one file: an ONNX model is one protobuf message."""

DType = Literal["float64", "float32", "float16", "int64", "int32", "int16", "int8", "uint8", "bool"]
Sha256 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
FileName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}(\.[a-z0-9]{1,8})?\Z")]
ModelName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}\Z")]
Version = Annotated[str, Meta(pattern=r"^[1-9][0-9]{0,8}\Z")]
Dimension = Annotated[int, Meta(ge=1, lt=1 << 31)]
Milliseconds = Annotated[float, Meta(ge=0)]
T = TypeVar("T")
Some = Annotated[tuple[T, ...], Meta(min_length=1)]


class Part(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, dict=True):
    """Base of every part: unknown fields are refused. Types are checked where bytes are read, not where one is made."""


class File(Part, frozen=True, kw_only=True):
    """What a file must be before it is parsed."""

    sha256: Sha256
    size: Annotated[int, Meta(ge=0, le=FILE_LIMIT_BYTES)]


class Tensor(Part, frozen=True, kw_only=True):
    """One tensor that crosses: ``shape`` is that of one sample, without the batch."""

    name: Annotated[str, Meta(pattern=r"^[a-z]+(_[0-9]+)?\Z")]
    dtype: DType
    shape: Annotated[tuple[Dimension, ...], Meta(max_length=16)]

    def __post_init__(self) -> None:
        if self.bytes_per_sample > FILE_LIMIT_BYTES:
            raise ValueError(f"one sample of {self.name} would have {self.bytes_per_sample} bytes")

    @cached_property
    def elements(self) -> int:
        """Numbers of one sample."""
        return math.prod(self.shape)

    @cached_property
    def bytes_per_sample(self) -> int:
        """Bytes of one sample on an uncompressed wire."""
        return self.elements * np.dtype(self.dtype).itemsize


class Normalisation(Part, frozen=True, kw_only=True):
    """(pixels - mean) / std, one number or one a channel, in float32."""

    mean: Some[float]
    std: Some[Annotated[float, Meta(gt=0)]]


class Parity(Part, frozen=True, kw_only=True):
    """How far the ONNX halves are from the PyTorch original, on ``samples`` images with dynamic batches.

    ``edge`` and ``cloud``: each half by itself; ``chain``: both. Largest absolute differences, as shares of the largest
    number (or of 1). ``same_argmax``: whether the first output is largest at the same place, for every sample.
    """

    samples: int
    edge: float
    cloud: float
    chain: float
    same_argmax: bool


class Verdict(Part, frozen=True, kw_only=True):
    """What the record found (``record.schema.Verdict``, where each number is described)."""

    attack: str
    threat_model: str
    adaptive: bool
    metric: str
    leakage: float
    floor: float
    excess: float | None
    upper: float | None
    worst_decile: float | None
    believable: bool
    effort: str
    suite: str
    sentence: str


class Audited(Part, frozen=True, kw_only=True):
    """The audit that a cut was exported from.

    ``observations``: how often attackers saw one input; the ledger allows no more releases of it. ``verdict`` None:
    there is none, for the reason in ``no_verdict``. Such a cut, or one whose verdict is not believable, is exported
    only where that was asked for.
    """

    record_sha256: Sha256
    weights_sha256: Sha256
    quantisation: str
    observations: Annotated[int, Meta(ge=1)]
    verdict: Verdict | None
    no_verdict: str = ""

    @property
    def believable(self) -> bool:
        """Whether the verdict may be relied on."""
        return self.verdict is not None and self.verdict.believable


class Planned(Part, frozen=True, kw_only=True):
    """The planner's costs of one sample, for switching between cuts: those that do not depend on the network."""

    edge_ms: Milliseconds
    cloud_ms: Milliseconds
    source: Literal["measured", "modelled"]


class CloudHalf(Part, frozen=True, kw_only=True):
    """The cloud bundle that a cut belongs to. ``pairing``: see ``pairing``."""

    name: ModelName
    version: Version
    pairing: Sha256


class EdgeCut(Part, frozen=True, kw_only=True):
    """One cut: the device's half, its defence, and what was found of the two.

    ``half``: an ONNX file from normalised values ``input`` (N, C, H, W) to the activation. ``defence``:
    ``kind:level[@input]`` joined by ``+``, or ``none``; those ``@input`` act on the normalised values. ``ranges``: the
    least and the largest value of each tensor as it is sent for public images, which int8 is spread over. ``offline``:
    the cloud's half too, for use without a cloud; None: not in this bundle.
    """

    cut: str
    half: FileName
    defence: str
    activation: Some[Tensor]
    outputs: Some[Tensor]
    cloud: CloudHalf
    parity: Parity
    audited: Audited | None
    planned: Planned | None = None
    ranges: tuple[tuple[float, float], ...] = ()
    offline: FileName | None = None


class EdgeManifest(Part, frozen=True, kw_only=True, tag_field="role", tag="edge"):
    """The device's bundle. ``input``: pixels in [0, 1]. ``cuts``: the first is the one to begin with."""

    format_version: Literal[1] = 1
    name: ModelName
    version: Version
    created: str
    versions: dict[str, str]
    opset: int
    input: Tensor
    normalise: Normalisation | None
    cuts: Annotated[tuple[EdgeCut, ...], Meta(min_length=1, max_length=32)]
    files: Annotated[dict[FileName, File], Meta(max_length=64)]

    def __post_init__(self) -> None:
        _same(self.files, {name for c in self.cuts for name in (c.half, c.offline) if name})
        channels = self.input.shape[0] if self.input.shape else 0
        for values in (self.normalise.mean, self.normalise.std) if self.normalise else ():
            if len(values) not in (1, channels):
                raise ValueError(f"the normalisation has {len(values)} numbers for {channels} channels")


class CloudManifest(Part, frozen=True, kw_only=True, tag_field="role", tag="cloud"):
    """The server's bundle. ``half``: an ONNX file from the activation to the outputs, each (N, *shape)."""

    format_version: Literal[1] = 1
    name: ModelName
    version: Version
    versions: dict[str, str]
    opset: int
    half: FileName
    activation: Some[Tensor]
    outputs: Some[Tensor]
    files: Annotated[dict[FileName, File], Meta(max_length=64)]

    def __post_init__(self) -> None:
        _same(self.files, {self.half})

    @property
    def pairing(self) -> str:
        """What an edge must have been exported for."""
        return pairing(self.files[self.half].sha256, self.activation, self.outputs)


Manifest = EdgeManifest | CloudManifest


def pairing(half_sha256: str, activation: tuple[Tensor, ...], outputs: tuple[Tensor, ...]) -> str:
    """SHA-256 over the cloud half's hash and what goes in and out: equal where two halves belong together."""
    tensors = [[msgspec.to_builtins(t) for t in group] for group in (activation, outputs)]
    return hashlib.sha256(_canonical([half_sha256, *tensors])).hexdigest()


def encode(manifest: Manifest) -> bytes:
    """The bytes that are signed: keys sorted, one per line."""
    return (json.dumps(msgspec.to_builtins(manifest), sort_keys=True, indent=1, allow_nan=False) + "\n").encode()


def decode(content: bytes, where: object = "manifest.json") -> Manifest:
    """A manifest from its bytes; strictly. Raises BundleError for anything else."""
    try:
        data = json.loads(content)
        if not isinstance(data, dict):
            raise BundleError(f"{where} holds no JSON object.")
        if data.get("format_version") != FORMAT_VERSION:
            raise BundleError(f"{where} is of no bundle format that this splitward reads ({FORMAT_VERSION}).")
        found: Manifest = msgspec.json.decode(content, type=Manifest)
        return found
    except msgspec.DecodeError as error:
        raise BundleError(f"{where} is no manifest of a bundle: {said(error)}.") from None
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{where} is not readable JSON: {type(error).__name__}.") from None


def said(error: Exception) -> str:
    """What is wrong, and where: printable ASCII, as both may hold whatever the file does."""
    return ascii(str(error)[:500])[1:-1].replace("\\\\", "\\")


def _canonical(data: Any) -> bytes:
    return json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def _same(files: dict[str, File], named: set[str]) -> None:
    if set(files) != named:
        raise ValueError(f"the files are {sorted(files)} and those that are used {sorted(named)}")
