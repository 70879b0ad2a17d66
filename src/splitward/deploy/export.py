"""Two bundles from what was audited: the device's, and one for the cloud at each cut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version as installed
from pathlib import Path

import msgspec
import torch
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from torch import Tensor, nn

from splitward._version import __version__
from splitward.core.edge import Normalise
from splitward.core.errors import BundleError, CutError
from splitward.deploy.halves import OPSET, Flat, OnnxHalf, to_onnx
from splitward.deploy.parity import parity
from splitward.deploy.ranges import ranges
from splitward.runtime import draws
from splitward.runtime import manifest as m
from splitward.runtime.bundle import describe, write_bundle
from splitward.split.halves import Halves

EXAMPLES = 3
"""Samples that a half is traced with."""


@dataclass(frozen=True)
class Source:
    """One cut to deploy. ``original``: the whole model, from pixels. ``audited`` None: nothing is known of it."""

    original: nn.Module
    halves: Halves
    defence: str = "none"
    audited: m.Audited | None = None
    planned: m.Planned | None = None


@dataclass(frozen=True)
class Exported:
    """What was written."""

    edge: Path
    clouds: tuple[Path, ...]
    manifest: m.EdgeManifest


@dataclass(frozen=True)
class _Made:
    """One cut's share of the bundles."""

    cut: m.EdgeCut
    edge_files: dict[str, bytes]
    cloud: m.CloudManifest
    cloud_files: dict[str, bytes]


def export_bundles(
    sources: Sequence[Source], images: Tensor, out: Path, key: Ed25519PrivateKey, *, name: str, version: str = "1",
    offline: bool = False,
) -> Exported:  # fmt: skip
    """Write ``out/edge``, and ``out/cloud`` or, of several cuts, ``out/cloud-1`` and so on, named ``name-1`` ....

    ``images``: (N, C, H, W) in [0, 1], on which the ONNX halves are compared with the model. ``offline``: the edge
    bundle carries the first cut's cloud half as well. Raises BundleError where ``out`` holds bundles already, where the
    halves differ, or for sources that are not of one model's input; CutError for what has no ONNX form; DefenceError
    for a defence that a device cannot draw.
    """
    several = len(sources) > 1
    folders = [out / (f"cloud-{k}" if several else "cloud") for k in range(1, len(sources) + 1)]
    for folder in (out / "edge", *folders):
        if folder.exists():
            raise BundleError(f"{folder} exists already: name another --out, or remove it.")
    made = []
    for source in sources:
        draws.parse(source.defence)  # before any work: what the device cannot draw
    for number, source in enumerate(sources, start=1):
        if source.halves.input != sources[0].halves.input or _scale(source.halves) != _scale(sources[0].halves):
            raise BundleError("the cuts are not of one model: their inputs or their normalisations differ.")
        served = m.CloudHalf(name=f"{name}-{number}" if several else name, version=version, pairing="0" * 64)
        made.append(_make(source, images, number, served, offline and number == 1))
    files = {file: content for one in made for file, content in one.edge_files.items()}
    about = m.EdgeManifest(
        name=name, version=version, created=datetime.now(UTC).isoformat(timespec="seconds"), versions=_versions(),
        opset=OPSET, input=m.Tensor(name="pixels", dtype="float32", shape=sources[0].halves.input.shape),
        normalise=_scale(sources[0].halves), cuts=tuple(one.cut for one in made), files=describe(files),
    )  # fmt: skip
    for folder, one in zip(folders, made, strict=True):
        write_bundle(folder, one.cloud, one.cloud_files, key)
    write_bundle(out / "edge", about, files, key)
    return Exported(out / "edge", tuple(folders), about)


def _make(source: Source, images: Tensor, number: int, served: m.CloudHalf, offline: bool) -> _Made:
    halves, scale = source.halves, _scale(source.halves)
    edge, cloud = onnx_halves(halves, images)
    measured = parity(source.original, halves, edge, cloud, scale, images)
    cloud_files = {"cloud.onnx": cloud.model}
    about = m.CloudManifest(
        name=served.name, version=served.version, versions=_versions(), opset=OPSET, half="cloud.onnx",
        activation=cloud.inputs, outputs=cloud.outputs, files=describe(cloud_files),
    )  # fmt: skip
    half, whole = f"edge-{number}.onnx", f"cloud-{number}.onnx" if offline else None
    cut = m.EdgeCut(
        cut=halves.cut.name, half=half, defence=source.defence, activation=cloud.inputs, outputs=cloud.outputs,
        cloud=msgspec.structs.replace(served, pairing=about.pairing), parity=measured, audited=source.audited,
        planned=source.planned, offline=whole, ranges=ranges(halves, source.defence, images),
    )  # fmt: skip
    return _Made(cut, {half: edge.model} | ({whole: cloud.model} if whole else {}), about, cloud_files)


@torch.no_grad()
def onnx_halves(halves: Halves, images: Tensor) -> tuple[OnnxHalf, OnnxHalf]:
    """The edge's half (from normalised values) and the cloud's as ONNX. Raises CutError."""
    example = images[torch.arange(EXAMPLES) % len(images)]
    values = halves.edge.normalise(example)
    edge = to_onnx(halves.edge.body, [values], "values", "activation")
    return edge, to_onnx(halves.cloud, Flat(halves.edge)(example), "activation", "output")


def _scale(halves: Halves) -> m.Normalisation | None:
    module = halves.edge.normalise
    if isinstance(module, nn.Identity):
        return None
    if type(module) is not Normalise:
        raise CutError(f"a normalisation by {type(module).__name__} cannot be exported; use Normalise(mean, std).")
    return m.Normalisation(mean=tuple(module.mean.flatten().tolist()), std=tuple(module.std.flatten().tolist()))


def _versions() -> dict[str, str]:
    return {"splitward": __version__} | {name: installed(name) for name in ("torch", "onnx", "onnxscript")}
