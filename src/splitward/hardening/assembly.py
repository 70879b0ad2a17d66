"""Halves with something inserted at their cut, as one model that can be trained, cut and saved."""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from splitward.core.edge import Normalised
from splitward.core.errors import UsageError
from splitward.core.hardening import Inserted
from splitward.hardening.recipe import Recipe
from splitward.models.joined import CUT, PROVENANCE, Joined
from splitward.split.halves import Halves, export

Trained = Literal["both", "edge", "cloud"]
"""Which half learns; with ``edge`` the cloud's half stays as it is deployed, and what undoes a bottleneck is on the
device too."""


@dataclasses.dataclass(frozen=True, eq=False)
class Assembly:
    """A model under hardening. ``model``: normalised values to the output, as ``edge`` and ``cloud``.

    ``inserted``: what each hardening of the recipe has at the cut, None for those that have nothing.
    """

    recipe: Recipe
    normalise: nn.Module
    model: Joined
    inserted: tuple[Inserted | None, ...]
    trains: Trained
    numbers: int  # that are sent for one sample

    def halves(self) -> Halves:
        """The two halves as they are now: graphs of their own, cut at ``edge``."""
        model = copy.deepcopy(self.model).eval().requires_grad_(True)
        shape = model.input
        assert shape is not None
        captured = export(Normalised(self.normalise, model), torch.full((2, *shape), 0.5))
        last = [cut.name for cut in captured.cuts() if cut.name.split(".")[0] == CUT][-1]
        made = captured.split(last)
        return dataclasses.replace(made, cut=dataclasses.replace(made.cut, name=CUT))


def assemble(halves: Halves, recipe: Recipe, trains: Trained, run: Any) -> Assembly:
    """A copy of ``halves`` with what the recipe inserts between them, drawn from ``run``.

    Raises UsageError where several tensors cross, DefenceError where a hardening does not fit what crosses.
    """
    refuse_several(halves)
    with run.constructing("inserted"):
        inserted = recipe.inserted(halves.activation[0].shape)
    present = [pair for pair in inserted if pair is not None]
    before: list[nn.Module] = [copy.deepcopy(halves.edge.body), *(pair.edge for pair in present)]
    after: list[nn.Module] = [*(pair.cloud for pair in reversed(present)), copy.deepcopy(halves.cloud)]
    if trains == "edge":
        before, after = [*before, *after[:-1]], after[-1:]
    shape = halves.input.shape
    edge, cloud = (_chained(modules).requires_grad_(True) for modules in (before, after))
    model = Joined(edge, cloud, (shape[0], shape[1], shape[2])).eval()
    with torch.no_grad():
        sent = edge(copy.deepcopy(halves.edge.normalise)(torch.full((1, *shape), 0.5)))
    return Assembly(recipe, copy.deepcopy(halves.edge.normalise), model, tuple(inserted), trains, sent.numel())


def refuse_several(halves: Halves) -> None:
    """Raise UsageError unless a single tensor crosses."""
    if len(halves.activation) != 1 or halves.activation[0].dtype != "float32":
        crossing = ", ".join(map(str, halves.activation))
        raise UsageError(
            f"at {halves.cut.name!r} {crossing} cross; harden where one float32 tensor crosses (see `splitward cuts`)."
        )


def _chained(modules: list[nn.Module]) -> nn.Sequential:
    return nn.Sequential(*modules)  # also around one: a graph of its own leaves no path in an export


def bytes_sent(halves: Halves, recipe: Recipe) -> int:
    """Bytes that one sample takes on the wire, packed where the recipe ends in few bits a number (``edge --wire``)."""
    bits = next((int(getattr(c, "bits", 32)) for c in recipe.chain.at("wire").channels[::-1]), 32)
    return sum(-(-spec.elements * bits // 8) for spec in halves.activation)


def write(halves: Halves, provenance: Mapping[str, Any], folder: Path) -> None:
    """The halves as a folder that ``--model`` takes: graphs as JSON, weights as safetensors, and what was trained."""
    halves.save(folder)
    (folder / PROVENANCE).write_text(json.dumps(dict(provenance), indent=1, allow_nan=False), encoding="utf-8")


def state_of(model: nn.Module) -> dict[str, Tensor]:
    """A copy of the weights."""
    return {key: value.detach().cpu().clone().contiguous() for key, value in model.state_dict().items()}
