"""A request in neither protocol's form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from splitward.runtime.cloud.refusal import Kind, Refusal, invalid, shown
from splitward.runtime.manifest import CloudManifest, Tensor

Array = NDArray[np.generic]

ID_LIMIT = 1024


@dataclass(frozen=True)
class Call:
    """``arrays``: each (count, *shape), in the manifest's order. ``outputs``: indices of those asked for.

    ``timeout_s``: how long it may wait for its turn, where the client said so.
    """

    id: str
    arrays: tuple[Array, ...]
    count: int
    outputs: tuple[int, ...]
    timeout_s: float | None = None


def one_count(counts: Sequence[int]) -> int:
    """All tensors must hold as many samples."""
    if len(set(counts)) != 1:
        raise invalid(f"the inputs hold {', '.join(map(str, counts))} samples; as many in each are due.")
    return counts[0]


def asked(names: Sequence[str], outputs: Sequence[Tensor]) -> tuple[int, ...]:
    """Indices of the outputs of these names; none named: all."""
    if not names:
        return tuple(range(len(outputs)))
    known = {t.name: k for k, t in enumerate(outputs)}
    if len(set(names)) != len(names) or not set(names) <= known.keys():
        told = ", ".join(shown(name) for name in names[:4])
        raise invalid(f"the outputs asked for are {told}; they are some of {', '.join(known)}, each once.")
    return tuple(known[name] for name in names)


def check_id(text: str) -> str:
    """A request's id is sent back: it must be short."""
    if len(text) > ID_LIMIT:
        raise invalid(f"the id has {len(text)} characters; {ID_LIMIT} are the most.")
    return text


def check_pairing(wanted: object, manifest: CloudManifest) -> None:
    """Where an edge says which half it was exported for, this must be it."""
    if wanted is not None and wanted != manifest.pairing:
        raise Refusal(
            Kind.PAIRING,
            f"{manifest.name} version {manifest.version} is not the half that this edge was exported for: deploy "
            "both bundles of one export.",
        )
