"""What crosses at one position, brought into the form of the wire: float tensors, (batch, ...), and back."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, fx

from splitward.core.errors import CutError
from splitward.core.spec import TensorSpec
from splitward.split.flow import Flow, affine_size
from splitward.split.program import Program, copy_node, module_of
from splitward.split.shapes import Layout, layouts, value, wire_spec

aten = torch.ops.aten


@dataclass(frozen=True)
class Wire:
    """One tensor that crosses: the node, where its samples lie, and what is sent for one sample."""

    node: fx.Node
    layout: Layout
    spec: TensorSpec


class Half:
    """Copies the part of a program that is needed for some values into a new one.

    ``known``: program node -> node of the half, which stops the copying there. Batch sizes and devices are read off
    ``anchor``, a placeholder of the half that is (batch, ...).
    """

    def __init__(self, program: Program, anchor: str) -> None:
        self.program = program
        self.result = Program(fx.Graph())
        self.anchor = self.result.graph.placeholder(anchor)
        self.known: dict[fx.Node, fx.Node] = {}
        self._batch: fx.Node | None = None
        self._device: fx.Node | None = None

    def need(self, outputs: list[fx.Node]) -> None:
        """Copy what the outputs are computed from, in the program's order."""
        needed: set[fx.Node] = set()
        waiting = list(outputs)
        while waiting:
            node = waiting.pop()
            if node not in needed and node not in self.known:
                needed.add(node)
                waiting.extend([] if affine_size(node) else node.all_input_nodes)
        for node in [n for n in self.program.graph.nodes if n in needed]:
            self.known[node] = self._copy(node)
            if node.op == "get_attr":
                self.result.tensors[str(node.target)] = self.program.tensors[str(node.target)]

    def _copy(self, node: fx.Node) -> fx.Node:
        size = affine_size(node)
        if size == ("device",):
            return self.device()
        if size:
            return self.size(*size)
        if node.op == "placeholder":
            raise CutError("the raw input would cross the wire.")  # refused before: never built
        return copy_node(node, self.program, self.result, lambda n: self.known[n])

    def call(self, target: Callable[..., object], *args: object) -> fx.Node:
        """A new call at the end of the half."""
        return self.result.graph.call_function(target, args)  # type: ignore[arg-type]

    def device(self) -> fx.Node:
        """The device that the half's input is on."""
        self._device = self._device or self.call(torch.ops.prim.device.default, self.anchor)
        return self._device

    def size(self, a: int, b: int) -> fx.Node:
        """a * batch + b."""
        self._batch = self._batch or self.call(aten.sym_size.int, self.anchor, 0)
        scaled = self._batch if a == 1 else self.call(operator.mul, self._batch, a)
        return scaled if b == 0 else self.call(operator.add, scaled, b)

    def pack(self, wire: Wire) -> fx.Node:
        """What the edge sends for a value that it has computed."""
        held: Tensor = value(wire.node)
        node = self.known[wire.node]
        if held.is_complex():
            node = self.call(aten.view_as_real.default, node)
        elif not held.is_floating_point():
            node = self.call(aten.to.dtype, node, torch.float32)
        layout = wire.layout
        if layout.dim is None:
            shape = [-1] * (held.ndim + held.is_complex())
            return self.call(aten.expand.default, self.call(aten.unsqueeze.default, node, 0), [self.size(1, 0), *shape])
        sizes = _split(layout)
        if len(sizes) > 1:
            node = self.call(aten.unflatten.int, node, layout.dim, sizes)
        at = layout.dim + sizes.index(-1)
        return self.call(aten.movedim.int, node, at, 0) if at else node

    def unpack(self, wire: Wire, received: fx.Node) -> None:
        """The value that the cloud goes on with, from what it received; the inverse of ``pack``."""
        held: Tensor = value(wire.node)
        layout, node = wire.layout, received
        if layout.dim is None:
            node = self.call(aten.select.int, node, 0, 0)
        else:
            sizes = _split(layout)
            at = layout.dim + sizes.index(-1)
            node = self.call(aten.movedim.int, node, 0, at) if at else node
            if len(sizes) > 1:
                node = self.call(aten.flatten.using_ints, node, layout.dim, layout.dim + len(sizes) - 1)
        if held.is_complex():
            node = self.call(aten.view_as_complex.default, self.call(aten.contiguous.default, node))
        elif held.dtype is torch.bool:
            node = self.call(aten.gt.Scalar, node, 0.5)
        elif not held.is_floating_point():
            node = self.call(aten.to.dtype, self.call(aten.round.default, node), held.dtype)
        self.known[wire.node] = node


def _split(layout: Layout) -> list[int]:
    """How a dimension that holds the batch is unflattened; -1 is the batch."""
    return [*([layout.before] if layout.before > 1 else []), -1, *([layout.after] if layout.after > 1 else [])]


def edge_program(program: Program, wires: list[Wire]) -> Program:
    """From the input to what is sent: one tensor, or a tuple of them."""
    half = Half(program, "values")
    half.known[program.input] = half.anchor
    half.need([w.node for w in wires])
    sent = [half.pack(w) for w in wires]
    half.result.graph.output(sent[0] if len(sent) == 1 else tuple(sent))
    return half.result


def cloud_program(program: Program, wires: list[Wire]) -> Program:
    """From what was sent to the flat leaves of the model's output."""
    half = Half(program, "activation_0")
    received = [half.anchor, *(half.result.graph.placeholder(f"activation_{k}") for k in range(1, len(wires)))]
    for wire, node in zip(wires, received, strict=True):
        half.unpack(wire, node)
    half.need([n for n in program.outputs if isinstance(n, fx.Node)])
    leaves = tuple(half.known[n] if isinstance(n, fx.Node) else n for n in program.outputs)
    half.result.graph.output(leaves)
    half.result.structure = program.structure
    return half.result


def find_layouts(flow: Flow, nodes: list[fx.Node], example: Tensor) -> dict[fx.Node, Layout | None]:
    """Where the samples lie in each of these tensors; None where they cannot be told apart.

    A dimension of several entries per sample may hold them in several orders: the program is run on three samples,
    and on the same three in another order, and the layout is the one in which the result is reordered alike.
    """
    options = {node: layouts(value(node).shape) for node in nodes}
    unclear = [node for node, found in options.items() if len(found) > 1]
    found = {node: choice[0] if choice else None for node, choice in options.items()}
    if unclear:
        one, other = _run_twice(flow.program, unclear, example)
        for node, a, b in zip(unclear, one, other, strict=False):  # empty where the model refused the samples
            found[node] = next((o for o in options[node] if _reordered_alike(a, b, o)), options[node][0])
    return found


def _run_twice(program: Program, nodes: list[fx.Node], example: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    half = Half(program, "values")
    half.known[program.input] = half.anchor
    half.need(nodes)
    half.result.graph.output(tuple(half.known[n] for n in nodes))
    module = module_of(half.result.graph, {**half.result.tensors, **half.result.modules})
    generator = torch.Generator().manual_seed(0)
    pool = example.detach().flatten()  # values that the model is known to take, integers included
    picks = torch.randint(pool.numel(), (3, *example.shape[1:]), generator=generator).to(pool.device)
    batch = pool[picks]
    try:
        with torch.no_grad():
            return list(module(batch)), list(module(batch.roll(1, 0)))
    except Exception:  # arbitrary code, on samples that we made up: then the usual order is taken
        return [], []


def _reordered_alike(one: Tensor, other: Tensor, layout: Layout) -> bool:
    assert layout.dim is not None
    split = (layout.before, -1, layout.after)
    parts = [t.unflatten(layout.dim, split).movedim(layout.dim + 1, 0) for t in (one, other)]
    if not parts[0].is_floating_point():
        return bool((parts[0].roll(1, 0) == parts[1]).all())
    return torch.allclose(parts[0].roll(1, 0), parts[1], rtol=1e-3, atol=1e-4)


def make_wire(node: fx.Node, layout: Layout) -> Wire:
    """A wire for a node whose samples lie as ``layout`` says."""
    return Wire(node, layout, wire_spec(value(node), layout))
