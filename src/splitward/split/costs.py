"""Costs read off the exported graph, for one sample: operations, weights, and what is alive between them."""

from __future__ import annotations

import operator
from collections import defaultdict
from collections.abc import Iterator

import torch
from torch import Tensor, fx

from splitward.plan.costs import Costs, CutCosts, Kind, Operation, Value
from splitward.split.cuts import Positions
from splitward.split.flow import Flow
from splitward.split.leaks import operator_name
from splitward.split.profile import operations
from splitward.split.shapes import at_batch, is_scalar, layouts, transportable, value, wire_spec

_KINDS: tuple[tuple[Kind, frozenset[str]], ...] = (
    ("linear", frozenset({
        "linear", "addmm", "mm", "matmul", "bmm", "baddbmm", "einsum", "scaled_dot_product_attention", "lstm", "gru",
    })),
    ("pooling", frozenset({
        "max_pool1d", "max_pool2d", "max_pool3d", "avg_pool1d", "avg_pool2d", "adaptive_avg_pool1d",
        "adaptive_avg_pool2d", "adaptive_max_pool2d", "max_pool2d_with_indices", "mean", "sum",
    })),
    ("normalisation", frozenset({
        "batch_norm", "layer_norm", "group_norm", "instance_norm", "rms_norm", "_native_batch_norm_legit_no_training",
        "native_batch_norm_legit_no_training", "native_layer_norm", "local_response_norm", "softmax", "log_softmax",
        "_softmax", "_log_softmax",
    })),
    ("activation", frozenset({
        "relu", "gelu", "silu", "sigmoid", "tanh", "leaky_relu", "elu", "hardtanh", "hardswish", "hardsigmoid",
        "softplus", "clamp", "mish",
    })),
)  # fmt: skip

_EVALUATION_IDENTITIES = frozenset({"dropout", "feature_dropout", "alpha_dropout"})
"""In evaluation mode they return the tensor that they were given."""

_SCRATCH = {"max_pool1d": 8, "max_pool2d": 8, "max_pool3d": 8}
"""Operators that allocate more than they return, in bytes a number of the result: int64 indices of the maxima."""


def costs(positions: Positions, model: str) -> Costs:
    """The costs of a captured model. One operation a position; what has no position of its own goes with the next."""
    flow = Flow(positions.program)
    return _Reader(positions, flow).costs(model)


class _Reader:
    def __init__(self, positions: Positions, flow: Flow) -> None:
        self.positions, self.flow, self.program = positions, flow, positions.program
        self.flops = operations(self.program.graph, self.program.modules)
        self.members: dict[int, list[fx.Node]] = defaultdict(list)
        self.position = positions_of(flow)
        for node, position in self.position.items():
            self.members[position].append(node)
        self.tensors = [n for n in self.program.graph.nodes if n in flow.depends and isinstance(value(n), Tensor)]
        self.storages: dict[fx.Node, int] = {}
        for node in self.tensors:
            source = alias_of(node)
            self.storages[node] = self.storages.get(source, len(self.storages)) if source else len(self.storages)

    def costs(self, model: str) -> Costs:
        names = {self._last(cut.index): cut.name for cut in self.positions.cuts}
        return Costs(
            model=model,
            input=self.positions.input.shape,
            weights={name: tensor.numel() * tensor.element_size() for name, tensor in self.program.tensors.items()},
            operations=tuple(
                self._operation(p, names.get(p, f"input.{operator_name(head)}"))
                for p, head in enumerate(self.flow.heads)
            ),
            values=tuple(self._values()),
            cuts=tuple(
                CutCosts(
                    name=cut.name,
                    last=self._last(cut.index),
                    elements=sum(spec.elements for spec in cut.activation),
                    refused=cut.refused,
                    leaks_input=cut.leaks_input,
                )
                for cut in self.positions.cuts
            ),
        )

    def _last(self, index: int) -> int:
        """The position of a cut: positions at which all is the raw input still are offered as none."""
        return index + len(self.flow.heads) - len(self.positions.cuts)

    def _operation(self, position: int, name: str) -> Operation:
        nodes = self.members[position]
        head = self.flow.heads[position]
        inputs = {s for n in nodes for s in n.all_input_nodes if s in self.flow.depends and s not in nodes}
        return Operation(
            name=name,
            kind=_kind(head),
            flops=sum(self.flops[n] for n in nodes),
            weights=tuple(sorted({w for n in nodes for w in self._weights(n)})),
            input_bytes=sum(_bytes(n) for n in inputs),
            output_bytes=sum(_bytes(n) for n in nodes),
            scratch_bytes=max((_scratch(n) for n in nodes), default=0),
        )

    def _weights(self, node: fx.Node) -> Iterator[str]:
        """The tensors that a node uses, directly or through nodes that do not depend on the input."""
        for source in node.all_input_nodes:
            if source.op == "get_attr":
                yield str(source.target)
            elif source not in self.flow.depends:
                yield from self._weights(source)

    def _values(self) -> Iterator[Value]:
        returned = {leaf for leaf in self.program.outputs if isinstance(leaf, fx.Node)}
        for node in self.tensors:
            position = self.position[node]
            users = {self.position[u] for u in self._users(node)} - {position}
            held = value(node)
            found = layouts(held.shape)
            spec = wire_spec(held, found[0]) if found and transportable(held) else None
            if users or node in returned:
                yield Value(
                    producer=position,
                    consumers=tuple(sorted(users)),
                    elements=spec.elements if spec else 0,
                    bytes=_bytes(node),
                    output=node in returned,
                    raw=self.flow.is_raw(node),
                    refused="" if spec else f"a tensor of {held.dtype} without a part for each sample would cross",
                    storage=self.storages[node],
                )

    def _users(self, node: fx.Node) -> Iterator[fx.Node]:
        """Who uses a tensor, directly or through Python numbers read from it."""
        for user in node.users:
            if user.op == "output" or user not in self.flow.depends:
                continue
            if is_scalar(user):
                yield from self._users(user)
            else:
                yield user


def positions_of(flow: Flow) -> dict[fx.Node, int]:
    """The operation with which each node is computed; what comes after the last one goes with it."""
    last = len(flow.heads) - 1
    return {node: min(position, last) for node, position in flow.position.items()}


def alias_of(node: fx.Node) -> fx.Node | None:
    """The node whose memory this one shares: a view, a result of several, or dropout in evaluation mode."""
    sources = [n for n in node.all_input_nodes if isinstance(value(n), Tensor | tuple | list)]
    if node.op != "call_function" or not sources:
        return None
    if node.target is operator.getitem:
        return sources[0] if isinstance(value(sources[0]), Tensor) else None
    if not isinstance(node.target, torch._ops.OpOverload):
        return None
    returns = node.target._schema.returns
    is_view = bool(returns) and returns[0].alias_info is not None
    return sources[0] if is_view or operator_name(node) in _EVALUATION_IDENTITIES else None


def _kind(node: fx.Node) -> Kind:
    name = operator_name(node)
    if "conv" in name and len(node.args) > 1 and isinstance(node.args[1], fx.Node):
        weight, given = value(node.args[1]), value(node.all_input_nodes[0])
        if not isinstance(weight, Tensor) or not isinstance(given, Tensor):
            return "other"
        if weight.shape[1] == 1 and given.shape[1] > 1:
            return "depthwise"
        return "pointwise" if all(int(k) == 1 for k in weight.shape[2:]) else "convolution"
    if alias_of(node) is not None:
        return "view"
    return next((kind for kind, names in _KINDS if name in names), "other")


def _bytes(node: fx.Node) -> int:
    """Memory of one sample of what a node returns."""
    held = value(node)
    parts = held if isinstance(held, tuple | list) else (held,)
    return sum(_size(part) for part in parts if isinstance(part, Tensor))


def _size(tensor: Tensor) -> int:
    total = tensor.element_size()
    for size in tensor.shape:
        total *= at_batch(size, 1) or 0
    return total


def _scratch(node: fx.Node) -> int:
    held = value(node)
    per_number = _SCRATCH.get(operator_name(node), 0)
    return per_number * _size(held) // held.element_size() if per_number and isinstance(held, Tensor) else 0
