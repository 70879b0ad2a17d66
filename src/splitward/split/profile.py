"""Operations per node, by ``torch.utils.flop_counter`` over the exported graph, and parameters."""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import SymInt, Tensor, fx, nn
from torch.fx.node import map_aggregate
from torch.utils.flop_counter import FlopCounterMode

from splitward.split.blocks import Branch, Loop
from splitward.split.program import Program
from splitward.split.shapes import at_batch, value


def operations(graph: fx.Graph, modules: dict[str, nn.Module]) -> dict[fx.Node, int]:
    """Floating-point operations of each node for one sample (a multiply-add counts as two).

    Counted on tensors without data, node by node. As in ``flop_counter``: matrix products, convolutions and attention
    count, element-wise operators do not. A branch counts as its dearer side, a loop as one pass of its body.
    """
    return {node: _count(node, modules) for node in graph.nodes}


def _count(node: fx.Node, modules: dict[str, nn.Module]) -> int:
    if node.op == "call_module":
        block = modules[str(node.target)]
        if isinstance(block, Branch):
            return max(_body(block.if_true), _body(block.if_false))
        return _body(block.body) if isinstance(block, Loop) else 0
    if node.op != "call_function" or node.target is operator.getitem:
        return 0
    if not isinstance(node.target, torch._ops.OpOverload):
        return 0
    try:
        args, kwargs = map_aggregate((node.args, node.kwargs), _empty)
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            node.target(*args, **kwargs)
    except (RuntimeError, NotImplementedError, TypeError):  # reads values, or has no rule for tensors without data
        return 0
    return int(counter.get_total_flops())


def _body(body: nn.Module) -> int:
    assert isinstance(body, fx.GraphModule)
    return sum(operations(body.graph, dict(body.named_children())).values())


def _empty(item: Any) -> Any:
    """A tensor of the same shape without data, for one sample."""
    if not isinstance(item, fx.Node):
        return item
    held = value(item)
    if isinstance(held, Tensor):
        sizes = [at_batch(size, 1) for size in held.shape]
        if None in sizes:
            raise TypeError("a size that depends on the data")
        return torch.empty([int(s or 0) for s in sizes], dtype=held.dtype, device="meta")
    if isinstance(held, torch.device):
        return torch.device("meta")
    return at_batch(held, 1) if isinstance(held, (int, SymInt)) else held


def parameters(program: Program) -> int:
    """Numbers in the parameters that a program refers to; each counts once."""
    used = {str(n.target) for n in program.graph.find_nodes(op="get_attr")}
    return sum(program.tensors[name].numel() for name in used if isinstance(program.tensors[name], nn.Parameter))
