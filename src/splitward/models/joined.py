"""Two saved halves as one model again: ``--model FOLDER``, as ``splitward harden`` and ``Halves.save`` leave it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from torch import nn

from splitward.core.edge import Normalised
from splitward.core.errors import CutError, ModelError

CUT = "edge"
"""The name of the cut between the two halves."""
PROVENANCE = "hardened.json"
"""In the folder: what was trained, on what, for how long, from which weights."""
LARGEST = 1 << 20
"""Bytes of that file, at most."""


class Joined(nn.Module):
    """An edge and a cloud in a row. ``input``: (C, H, W) of what it takes."""

    def __init__(self, edge: nn.Sequential, cloud: nn.Module, input: tuple[int, int, int] | None) -> None:
        super().__init__()
        self.edge = edge
        self.cloud = cloud
        self.input = input

    def forward(self, values: Any) -> Any:
        """Normalised values to the model's output."""
        return self.cloud(self.edge(values))


def is_saved(spec: str) -> bool:
    """Whether ``spec`` is a folder that holds two halves."""
    return (Path(spec) / "halves.json").is_file()


def joined_module(folder: Path) -> Normalised:
    """The model of a folder of halves. Raises ModelError for anything that ``Halves.save`` did not write."""
    from splitward.split.files import load_halves

    try:
        halves = load_halves(folder)
    except CutError as error:
        raise ModelError(f"{folder} is no folder of two halves: {error}") from error
    shape = halves.input.shape
    declared = (shape[0], shape[1], shape[2]) if len(shape) == 3 else None
    edge = nn.Sequential(halves.edge.body)  # a graph of its own leaves no path in an export, a module around it does
    return Normalised(halves.edge.normalise, Joined(edge, halves.cloud, declared))


def read_trained(folder: Path) -> dict[str, Any]:
    """What ``hardened.json`` says of the training; empty where there is none. Raises ModelError where it is broken."""
    path = folder / PROVENANCE
    if not path.is_file():
        return {}
    try:
        if path.stat().st_size > LARGEST:
            raise ValueError(f"it is larger than {LARGEST:,} bytes")
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path} cannot be read: {error}.") from error
    if not isinstance(found, dict):
        raise ModelError(f"{path} holds no JSON object.")
    return found
