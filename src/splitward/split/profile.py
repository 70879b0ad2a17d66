"""Operations per node, by ``torch.utils.flop_counter`` over the exported graph, and parameters."""

from __future__ import annotations

import operator
from collections.abc import Iterable
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


class Parameters:
    """How many numbers the parameters hold that given values are computed from; each counts once."""

    def __init__(self, program: Program) -> None:
        weights = program.graph.find_nodes(op="get_attr")
        self._bits = {str(node.target): 1 << n for n, node in enumerate(weights)}  # a set of weights is a number
        self._sizes = {
            bit: program.tensors[name].numel()
            for name, bit in self._bits.items()
            if isinstance(program.tensors[name], nn.Parameter)
        }
        self._needed: dict[fx.Node, int] = {}
        for node in program.graph.nodes:
            needed = self._bits[str(node.target)] if node.op == "get_attr" else 0
            for source in node.all_input_nodes:
                needed |= self._needed[source]
            self._needed[node] = needed
        self.total = sum(self._sizes.values())

    def behind(self, nodes: Iterable[fx.Node]) -> int:
        """The parameters that any of these nodes is computed from."""
        needed = 0
        for node in nodes:
            needed |= self._needed[node]
        return sum(size for bit, size in self._sizes.items() if needed & bit)
