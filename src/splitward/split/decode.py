"""From JSON to the graph of a half. The JSON may be hostile: what is not expected is refused."""

from __future__ import annotations

import re
from typing import Any, NoReturn

import torch
from torch import Tensor, fx, nn

from splitward.core.errors import CutError
from splitward.split import operators
from splitward.split.blocks import Branch, Guard, Loop, Select, Structure

_WEIGHT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z0-9_]+)*", re.ASCII)
_DEVICE = re.compile(r"(cpu|cuda|mps)(:[0-9]{1,3})?", re.ASCII)
_NUMBERS = {"inf": float("inf"), "-inf": float("-inf"), "nan": float("nan")}
_LONGEST_TEXT = 200
_DEEPEST = 32  # nested blocks or lists; ours reach about 20


def decode_graph(document: Any, tensors: dict[str, Tensor], depth: int = 0) -> tuple[fx.GraphModule, int]:
    """The runnable graph, and how many values it returns. ``tensors``: the weights by name.

    Raises CutError for a damaged or hostile document.
    """
    document = _object(document, "graph")
    nodes, output = document.get("nodes"), document.get("output")
    if not isinstance(nodes, list) or not isinstance(output, list) or not output or depth > _DEEPEST:
        _refuse("its graph is no list of nodes with an output")
    reader = _Reader(tensors, depth)
    for entry in nodes:
        reader.add(_object(entry, "node"))
    values = tuple(reader.value(v) for v in output)
    reader.graph.output(values[0] if document.get("single") is True and len(values) == 1 else values)
    try:
        module = fx.GraphModule({**reader.used, **reader.blocks}, reader.graph)
        reader.graph.lint()
    except Exception as error:  # torch.fx refuses in many ways; nothing of the graph has run
        raise CutError(f"the file of this half is damaged: {str(error).splitlines()[0]}.") from error
    return module, len(values)


def decode_structure(document: Any, leaves: int, depth: int = 0) -> Structure:
    """How the model's output is built from its ``leaves``. Raises CutError where the document does not say it."""
    if isinstance(document, int) and not isinstance(document, bool) and 0 <= document < leaves:
        return document
    if not isinstance(document, list) or len(document) != 2 or not isinstance(document[1], list) or depth > _DEEPEST:
        _refuse("it does not say how the model's output is built")
    kind, parts = document
    if kind in ("tuple", "list"):
        return [kind, [decode_structure(part, leaves, depth + 1) for part in parts]]
    pairs = all(isinstance(p, list) and len(p) == 2 and isinstance(p[0], (str, int)) for p in parts)
    if kind != "dict" or not pairs:
        _refuse("it does not say how the model's output is built")
    return [kind, [[key, decode_structure(part, leaves, depth + 1)] for key, part in parts]]


class _Reader:
    """Adds nodes one by one; names are ours, never the file's."""

    def __init__(self, tensors: dict[str, Tensor], depth: int) -> None:
        self.graph = fx.Graph()
        self.tensors = tensors
        self.depth = depth
        self.nodes: list[fx.Node] = []
        self.used: dict[str, Tensor] = {}
        self.blocks: dict[str, nn.Module] = {}
        self.inputs = 0

    def add(self, entry: dict[str, Any]) -> None:
        kind = entry.get("op")
        if kind == "input":
            self.nodes.append(self.graph.placeholder(f"value_{self.inputs}"))
            self.inputs += 1
        elif kind == "weight":
            self.nodes.append(self.weight(entry.get("name")))
        elif kind == "block":
            name = f"block_{len(self.blocks)}"
            self.blocks[name] = self.block(_object(entry.get("block"), "block"))
            self.nodes.append(self.graph.call_module(name, self.arguments(entry)))
        elif kind == "call":
            self.nodes.append(self.call(entry))
        else:
            _refuse(f"its graph holds a node of kind {_short(kind)}")

    def weight(self, name: Any) -> fx.Node:
        if not isinstance(name, str) or name not in self.tensors or not _WEIGHT.fullmatch(name):
            _refuse(f"its graph uses a weight {_short(name)} that is not among its weights")
        self.used[name] = self.tensors[name]
        return self.graph.create_node("get_attr", name)

    def call(self, entry: dict[str, Any]) -> fx.Node:
        target = operators.find(entry.get("target"))
        if target is None:
            _refuse(f"its graph calls {_short(entry.get('target'))}, which is no operator of a half")
        kwargs = _object(entry.get("kwargs", {}), "arguments")
        if not set(kwargs) <= operators.keywords(target):
            _refuse(f"its graph calls {_short(entry['target'])} with an argument that it does not take")
        text = operators.takes_text(target)
        return self.graph.call_function(
            target, self.arguments(entry, text), {k: self.value(v, text) for k, v in kwargs.items()}
        )

    def arguments(self, entry: dict[str, Any], text: bool = False) -> tuple[Any, ...]:
        args = entry.get("args", [])
        if not isinstance(args, list):
            _refuse("the arguments of a node are no list")
        return tuple(self.value(a, text) for a in args)

    def value(self, document: Any, text: bool = False, depth: int = 0) -> Any:
        """One argument; see ``encode``."""
        if document is None or isinstance(document, (bool, int, float)):
            return document
        if isinstance(document, str) and text and len(document) <= _LONGEST_TEXT:
            return document
        if isinstance(document, list) and depth <= _DEEPEST:
            return [self.value(v, text, depth + 1) for v in document]
        if isinstance(document, dict) and len(document) == 1:
            ((kind, held),) = document.items()
            found = self.special(kind, held)
            if found is not None:
                return found
        _refuse(f"an argument is {_short(document)}")

    def special(self, kind: str, held: Any) -> Any:
        """A node, a number that JSON lacks, or one of torch's constants; None for anything else."""
        if kind == "node":
            fits = isinstance(held, int) and not isinstance(held, bool) and 0 <= held < len(self.nodes)
            return self.nodes[held] if fits else None
        if not isinstance(held, str):
            return None
        if kind == "number":
            return _NUMBERS.get(held)
        if kind == "device":
            return torch.device(held) if _DEVICE.fullmatch(held) else None
        expected = {"dtype": torch.dtype, "layout": torch.layout, "memory_format": torch.memory_format}.get(kind)
        found = getattr(torch, held, None) if held.isidentifier() else None
        return found if expected is not None and isinstance(found, expected) else None

    def block(self, document: dict[str, Any]) -> nn.Module:
        kind = document.get("kind")
        if kind == "guard" and all(isinstance(document.get(k), bool) for k in ("expected", "last_index")):
            return Guard(document["expected"], document["last_index"])
        if kind == "select":
            return Select()
        parts = {"branch": ("if_true", "if_false"), "loop": ("condition", "body")}.get(str(kind))
        if parts is None:
            _refuse(f"its graph holds a block of kind {_short(kind)}")
        first, second = (decode_graph(document.get(p), self.tensors, self.depth + 1)[0] for p in parts)
        return Branch(first, second) if kind == "branch" else Loop(first, second)


def _object(document: Any, what: str) -> dict[str, Any]:
    if not isinstance(document, dict) or not all(isinstance(k, str) for k in document):
        _refuse(f"a {what} in it is no JSON object")
    return document


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _refuse(reason: str) -> NoReturn:
    raise CutError(f"the file of this half is refused: {reason}.")
