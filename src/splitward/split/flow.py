"""What depends on the input, in which order, and what is alive between two positions of the graph."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, fx

from splitward.core.errors import CutError
from splitward.split.blocks import Guard
from splitward.split.leaks import raw
from splitward.split.program import Program
from splitward.split.shapes import affine, is_number_like, is_scalar, value

_GLUED = (operator.getitem, torch.ops.aten.detach.default)
"""What belongs to the node before it: one of its results, or the end of its gradient."""


class Flow:
    """The data flow of a program.

    ``heads``: the nodes that compute float tensors from the input, in order: one position each. ``position``: for
    every node that depends on the input, the position with which it is computed; results of a node that returns
    several are glued to it, and what computes no float (a mask, an index, a number) goes with the position after it.
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        self.depends = _dependent(program)
        self.raw = raw(program.graph, program.modules, {program.input: True})
        self.heads = [n for n in program.graph.nodes if n in self.depends and self._is_head(n)]
        if not any(isinstance(leaf, fx.Node) and leaf in self.depends for leaf in program.outputs):
            raise CutError("the model's output does not depend on its input: there is nothing to cut.")
        heads = set(self.heads)
        self.position: dict[fx.Node, int] = {program.input: -1}
        started = 0
        for node in program.graph.nodes:
            if node not in self.depends or node is program.input:
                continue
            if node.target in _GLUED:
                self.position[node] = self.position[node.args[0]]
            else:
                self.position[node] = started
                started += node in heads

    def _is_head(self, node: fx.Node) -> bool:
        if node.op == "placeholder" or node.target in _GLUED:
            return False
        if node.op == "call_module" and isinstance(self.program.modules[str(node.target)], Guard):
            return False
        held = value(node)
        parts = held if isinstance(held, (tuple, list)) else (held,)
        return any(isinstance(part, Tensor) and is_number_like(part) for part in parts)

    def raw_so_far(self, position: int) -> bool:
        """Whether nothing has been computed yet: all up to this position is the raw input still."""
        return all(_is_raw(self.raw[head]) for head in self.heads[: position + 1])

    def is_raw(self, node: fx.Node) -> bool:
        """Whether this value is the raw input still."""
        return _is_raw(self.raw[node])

    def crossing(self, position: int) -> list[fx.Node]:
        """The tensors that have to cross between this position and the next, in the graph's order.

        Sizes and constants do not cross, they are recomputed; nor do masks, indices and numbers that can be recomputed
        from the floats that cross. Other masks and indices do (as floats), and for other numbers the tensor that they
        were read from.
        """
        alive = self._alive(position)
        wire = {n for n in alive if self._crosses_as_it_is(n)}
        for node in self._ordered(alive):
            self._carry(node, wire)
        return self._ordered(wire)

    def _alive(self, position: int) -> set[fx.Node]:
        """Values of the edge's side that the other side uses."""
        alive: set[fx.Node] = set()
        seen: set[fx.Node] = set()
        waiting = [n for n in self.program.outputs if isinstance(n, fx.Node)]
        while waiting:
            node = waiting.pop()
            if node in seen or node not in self.depends:
                continue
            seen.add(node)
            if self.position[node] <= position:
                alive.add(node)
            else:
                waiting.extend(node.all_input_nodes)
        return alive

    def _crosses_as_it_is(self, node: fx.Node) -> bool:
        held = value(node)
        return node is self.program.input or (isinstance(held, Tensor) and is_number_like(held))

    def _carry(self, node: fx.Node, wire: set[fx.Node]) -> None:
        """Make sure that the cloud can have this value, adding to ``wire`` what that takes."""
        if self._recomputable(node, wire):
            return
        if is_scalar(node):
            for source in node.all_input_nodes:
                self._carry(source, wire)
        else:
            wire.add(node)

    def _recomputable(self, node: fx.Node, wire: set[fx.Node]) -> bool:
        if node in wire or node not in self.depends:
            return True
        held = value(node)
        if self._crosses_as_it_is(node) or not (is_scalar(node) or isinstance(held, Tensor)):
            return False
        return all(self._recomputable(n, wire) for n in node.all_input_nodes)

    def _ordered(self, nodes: Iterable[fx.Node]) -> list[fx.Node]:
        chosen = set(nodes)
        return [n for n in self.program.graph.nodes if n in chosen]


def _dependent(program: Program) -> set[fx.Node]:
    """The nodes whose value depends on the numbers in the input, not only on its batch size, type or device."""
    found = {program.input}
    for node in program.graph.nodes:
        fixed = is_scalar(node) and affine_size(node) is not None
        if node.op != "output" and not fixed and any(n in found for n in node.all_input_nodes):
            found.add(node)
    return found


def affine_size(node: fx.Node) -> Any:
    """(a, b) for a size that is a * batch + b; ("device",) for a device; None for anything else."""
    held = value(node)
    if type(held).__name__ == "device":
        return ("device",)
    if isinstance(held, bool) or not is_scalar(node) or type(held).__name__ not in ("int", "SymInt"):
        return None
    return affine(held)


def _is_raw(flag: Any) -> bool:
    return any(_is_raw(f) for f in flag) if isinstance(flag, tuple) else bool(flag)
