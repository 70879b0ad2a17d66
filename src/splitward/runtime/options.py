"""How a device behaves, what it answers, and what its bundle allows of that."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from splitward.core.errors import UsageError
from splitward.runtime import draws
from splitward.runtime.ledger import Window
from splitward.runtime.manifest import EdgeCut, EdgeManifest
from splitward.runtime.wire import Packing, Precision

Array = NDArray[np.generic]
WithoutCloud = Literal["fail", "queue", "local"]

QUANTISATIONS: dict[Precision, str] = {
    "fp32": "float32", "fp16": "float16", "int8": "int8", "packed": "float32",
}  # fmt: skip
"""What a record calls the forms on the wire; what is packed arrives as it was."""


@dataclass(frozen=True)
class Options:
    """How a device behaves.

    ``keyed``: the same input always gets the same noise. ``releases``: of one input, at most; None: as many as the
    bundle's record was audited for. ``window``: of one source. ``without_cloud``: where the cloud cannot be reached,
    *fail*; *queue* the message, up to ``queue`` of them, in memory (it is lost when the process ends); or answer
    *local*-ly with the whole model, which the bundle must carry. ``record``: a file for what crosses.
    """

    keyed: bool = False
    wire: Precision = "fp32"
    zstd: bool = False
    releases: int | None = None
    window: Window | None = None
    without_cloud: WithoutCloud = "fail"
    queue: int = 64
    threads: int = 1
    record: Path | None = None


@dataclass(frozen=True)
class Answer:
    """What came of an input, or of a batch.

    ``outputs``: each (N, *shape); empty where it was queued. ``where``: "cloud", "local" or "queued". ``sent_bytes``:
    of the message, 0 where none was made. ``ms``: all in all; ``attempts``: how often the bytes were sent.
    ``releases``: of each input so far; empty where nothing was released.
    """

    id: str
    outputs: tuple[Array, ...]
    where: Literal["cloud", "local", "queued"]
    cut: str
    sent_bytes: int = 0
    ms: float = 0.0
    attempts: int = 0
    releases: tuple[int, ...] = ()


def own_ledger() -> Path:
    """The user's ledger: ``splitward/ledger.sqlite`` in XDG_STATE_HOME, else in ``~/.local/state``."""
    base = os.environ.get("XDG_STATE_HOME", "")
    return (Path(base) if base else Path.home() / ".local" / "state") / "splitward" / "ledger.sqlite"


def release_limit(manifest: EdgeManifest, asked: int | None) -> int:
    """Releases of one input over all cuts: what the least audited of them allows, or fewer."""
    audited = [cut.audited.observations for cut in manifest.cuts if cut.audited]
    if asked is not None and asked < 1:
        raise UsageError(f"releases is {asked}; it must be at least 1.")
    if len(audited) < len(manifest.cuts):
        if asked is None:
            raise UsageError(
                "the bundle has a cut that nobody audited, so nothing is known of any number of releases: audit it, or "
                "say how many of one input you allow (--releases)."
            )
        return asked
    if asked is not None and asked > min(audited):
        raise UsageError(f"{asked} releases of one input were asked for, and {min(audited)} audited: audit with more.")
    return min(audited) if asked is None else asked


def packing(options: Options, cut: EdgeCut) -> Packing:
    """How a cut's tensors leave. Raises UsageError where the bundle lacks what that needs, or audited another form.

    Rounding what was audited as float32 gives away no more; sending more digits than were audited may.
    """
    if options.wire == "int8" and not cut.ranges:
        raise UsageError("the bundle holds no range of values, which int8 needs: export it again, or use fp16.")
    audited = cut.audited.quantisation if cut.audited else "float32"
    if audited not in ("float32", QUANTISATIONS[options.wire]):
        raise UsageError(
            f"the bundle was audited with {audited} on the wire, and {options.wire} was asked for (--wire)."
        )
    return Packing(options.wire, options.zstd, cut.ranges, _bits(cut) if options.wire == "packed" else 0)


def _bits(cut: EdgeCut) -> int:
    """Of the numbers that the cut's defence leaves. Raises UsageError where it leaves any numbers."""
    last = [noise for noise in draws.parse(cut.defence) if noise.position == "wire"][-1:]
    if not last or last[0].kind != "quantise":
        raise UsageError(
            f"packed is for a defence that ends in quantise:BITS, and at {cut.cut} it is {cut.defence}: use fp32, "
            "fp16 or int8 (--wire)."
        )
    return int(last[0].level)
