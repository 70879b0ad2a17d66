"""A half on disk: its graph as JSON (``half.json``) and its weights as safetensors. Nothing in it is executable.

A file that is read is not trusted: an operator must be one of ATen's plain functional ones (see ``operators``), every
name a plain name, every reference one to an earlier node. Anything else is refused with one sentence.
"""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import safetensors
import safetensors.torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor, fx, nn

from splitward.core.edge import Edge, Normalise
from splitward.core.errors import CutError
from splitward.core.spec import TensorSpec
from splitward.split.blocks import Cloud
from splitward.split.cuts import Cut
from splitward.split.decode import decode_graph, decode_structure
from splitward.split.encode import encode_graph

if TYPE_CHECKING:
    from splitward.split.halves import Halves

FORMAT = "splitward-half"
VERSION = 1


def save_half(half: nn.Module, folder: Path | str) -> None:
    """Write an edge or a cloud half (as ``split`` or ``load_half`` made it) to a folder.

    Raises CutError for a half that holds operators beyond ATen, or a normalisation that is neither none nor
    ``core.edge.Normalise``.
    """
    folder = Path(folder)
    document: dict[str, Any] = {"format": FORMAT, "version": VERSION}
    if isinstance(half, Edge):
        document |= {"kind": "edge", "normalise": _encode_normalise(half.normalise)}
    elif isinstance(half, Cloud):
        document |= {"kind": "cloud", "structure": half.structure, "tensors": half.tensors}
    else:
        raise CutError(f"a {type(half).__name__} is no half that `split` made, and cannot be saved.")
    body = half.body
    if not isinstance(body, fx.GraphModule):
        raise CutError(f"the body of this half is a {type(body).__name__}, not a graph, and cannot be saved.")
    document["graph"] = encode_graph(body)
    tensors = {str(n.target): _weight(body, str(n.target)) for n in body.graph.find_nodes(op="get_attr")}
    document["parameters"] = {k: t.requires_grad for k, t in tensors.items() if isinstance(t, nn.Parameter)}
    folder.mkdir(parents=True, exist_ok=True)
    safetensors.torch.save_file(
        {name: tensor.detach().contiguous().clone() for name, tensor in tensors.items()}, folder / "weights.safetensors"
    )
    (folder / "half.json").write_text(json.dumps(document, allow_nan=False), encoding="utf-8")


def load_half(folder: Path | str) -> Edge | Cloud:
    """Read what ``save_half`` wrote. Raises CutError for anything else."""
    folder = Path(folder)
    document = _read_json(folder / "half.json")
    if document.get("format") != FORMAT or document.get("version") != VERSION:
        raise CutError(f"{folder / 'half.json'} is no half of a model of version {VERSION}.")
    try:
        weights = safetensors.torch.load_file(folder / "weights.safetensors")
    except (OSError, safetensors.SafetensorError) as error:
        raise CutError(f"{folder / 'weights.safetensors'} cannot be read: {error}.") from error
    trainable = document.get("parameters")
    if not isinstance(trainable, dict) or any(
        k not in weights or not isinstance(v, bool) for k, v in trainable.items()
    ):
        raise CutError(f"{folder / 'half.json'} names parameters that are not in weights.safetensors.")
    tensors: dict[str, Tensor] = {
        # cloned: kernels choose by alignment, and a half is to give the same bytes before and after
        name: nn.Parameter(t.clone(), trainable[name]) if name in trainable else t.clone()
        for name, t in weights.items()
    }
    body, leaves = decode_graph(document.get("graph"), tensors)
    if document.get("kind") == "edge":
        return Edge(_decode_normalise(document.get("normalise")), body).eval()
    count = document.get("tensors")
    if document.get("kind") != "cloud" or count != len(body.graph.find_nodes(op="placeholder")):
        raise CutError(f"{folder / 'half.json'} is neither an edge nor a cloud half.")
    return Cloud(body, decode_structure(document.get("structure"), leaves), int(count)).eval()


def save_halves(halves: Halves, folder: Path) -> None:
    """Both halves (``edge``, ``cloud``) and what they are (``halves.json``)."""
    save_half(halves.edge, folder / "edge")
    save_half(halves.cloud, folder / "cloud")
    about = {"cut": dataclasses.asdict(halves.cut), "input": dataclasses.asdict(halves.input)}
    (folder / "halves.json").write_text(json.dumps(about, indent=1), encoding="utf-8")


def load_halves(folder: Path | str) -> Halves:
    """Read what ``Halves.save`` wrote. Raises CutError for anything else."""
    from splitward.split.halves import Halves

    folder = Path(folder)
    about = _read_json(folder / "halves.json")
    try:
        cut = TypeAdapter(Cut).validate_python(about.get("cut"))
        spec = TypeAdapter(TensorSpec).validate_python(about.get("input"))
    except ValidationError as error:
        raise CutError(f"{folder / 'halves.json'} does not describe a cut: {error.errors()[0]['msg']}.") from error
    edge, cloud = load_half(folder / "edge"), load_half(folder / "cloud")
    if not isinstance(edge, Edge) or not isinstance(cloud, Cloud):
        raise CutError(f"{folder} holds no edge and cloud half.")
    return Halves(edge, cloud, cut, spec, cut.activation)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CutError(f"{path} cannot be read: {str(error) or type(error).__name__}.") from error
    if not isinstance(document, dict):
        raise CutError(f"{path} holds no JSON object.")
    return document


def _weight(body: fx.GraphModule, name: str) -> Tensor:
    held: Any = body
    for part in name.split("."):
        held = getattr(held, part)
    assert isinstance(held, Tensor)
    return held


def _encode_normalise(module: nn.Module) -> dict[str, list[float]] | None:
    if isinstance(module, nn.Identity):
        return None
    if type(module) is not Normalise:
        raise CutError(f"a normalisation by {type(module).__name__} cannot be saved; use Normalise(mean, std).")
    return {"mean": module.mean.flatten().tolist(), "std": module.std.flatten().tolist()}


def _decode_normalise(document: Any) -> nn.Module:
    if document is None:
        return nn.Identity()
    values: list[Any] = [document.get(k) for k in ("mean", "std")] if isinstance(document, dict) else []
    if not all(isinstance(v, list) and v and all(_is_finite(x) for x in v) for v in values) or len(values) != 2:
        raise CutError("the edge half's normalisation is not two lists of numbers, mean and std.")
    mean, std = values
    return Normalise(tuple(mean), tuple(std))


def _is_finite(x: Any) -> bool:
    return isinstance(x, (int, float)) and not isinstance(x, bool) and math.isfinite(x)


__all__ = ["load_half", "load_halves", "save_half", "save_halves"]
