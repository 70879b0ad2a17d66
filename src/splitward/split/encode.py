"""The graph of a half as JSON."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import fx, nn

from splitward.core.errors import CutError
from splitward.split import operators
from splitward.split.blocks import Branch, Guard, Loop, Select


def encode_graph(module: fx.GraphModule) -> dict[str, Any]:
    """``{"nodes": [...], "output": ...}``; a node refers to earlier ones by their index.

    Raises CutError for an operator that has no place in a file.
    """
    numbers: dict[fx.Node, int] = {}
    nodes: list[dict[str, Any]] = []
    for node in module.graph.nodes:
        if node.op == "output":
            output = node.args[0]
            values = output if isinstance(output, (tuple, list)) else (output,)
            return {
                "nodes": nodes,
                "output": [_encode(v, numbers) for v in values],
                "single": not isinstance(output, (tuple, list)),
            }
        nodes.append(_encode_node(node, module, numbers))
        numbers[node] = len(numbers)
    raise CutError("a graph without an output cannot be saved.")


def _encode_node(node: fx.Node, module: fx.GraphModule, numbers: dict[fx.Node, int]) -> dict[str, Any]:
    if node.op == "placeholder":
        return {"op": "input"}
    if node.op == "get_attr":
        return {"op": "weight", "name": str(node.target)}
    args = [_encode(a, numbers) for a in node.args]
    if node.op == "call_module":
        return {"op": "block", "block": _encode_block(module.get_submodule(str(node.target))), "args": args}
    name = operators.name_of(node.target)
    if name is None:
        raise CutError(f"this half cannot be saved: its operator {node.target} is none of ATen's plain ones.")
    kwargs = {k: _encode(v, numbers) for k, v in node.kwargs.items()}
    return {"op": "call", "target": name, "args": args, **({"kwargs": kwargs} if kwargs else {})}


def _encode_block(block: nn.Module) -> dict[str, Any]:
    if isinstance(block, Guard):
        return {"kind": "guard", "expected": block.expected, "last_index": block.last_index}
    if isinstance(block, Select):
        return {"kind": "select"}
    if isinstance(block, Branch):
        parts = {"if_true": block.if_true, "if_false": block.if_false}
    elif isinstance(block, Loop):
        parts = {"condition": block.condition, "body": block.body}
    else:
        raise CutError(f"this half cannot be saved: it holds a {type(block).__name__}.")
    graphs = {name: encode_graph(part) for name, part in parts.items() if isinstance(part, fx.GraphModule)}
    return {"kind": type(block).__name__.lower(), **graphs}


def _encode(value: Any, numbers: dict[fx.Node, int]) -> Any:
    """One argument: JSON's own values as they are, lists as lists, the rest as an object with one key."""
    if isinstance(value, fx.Node):
        return {"node": numbers[value]}
    if isinstance(value, (tuple, list)):
        return [_encode(v, numbers) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return {"number": str(value)}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    for kind, key in ((torch.dtype, "dtype"), (torch.layout, "layout"), (torch.memory_format, "memory_format")):
        if isinstance(value, kind):
            return {key: str(value).removeprefix("torch.")}
    if isinstance(value, torch.device):
        return {"device": str(value)}
    raise CutError(f"this half cannot be saved: an argument is a {type(value).__name__}.")
