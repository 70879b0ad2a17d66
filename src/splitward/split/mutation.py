"""Operators that overwrite their argument (``relu_``, ``add_``), told apart by how much work they are.

Between two halves nothing may be overwritten: a value that crosses would change under its reader. Where a tensor of its
own is overwritten (``nn.ReLU(inplace=True)``), the operator without the underscore does the same if whoever reads the
tensor later reads the result. Where a view or the input is overwritten, torch's own functionalisation has to help.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import fx

aten = torch.ops.aten


def is_mutating(node: fx.Node) -> bool:
    """Whether the node overwrites one of its arguments; detach_ counts as detach, which overwrites nothing."""
    target = node.target
    return (
        isinstance(target, torch._ops.OpOverload) and target._schema.is_mutable and target is not aten.detach_.default
    )


def functional(target: Any) -> Any:
    """The operator that returns what this one writes into its first argument; None where there is none."""
    name = target._schema.name.split("::")[-1]
    packet = getattr(aten, name.removesuffix("_"), None) if name.endswith("_") else None
    return getattr(packet, target._overloadname, None)


def is_plain(node: fx.Node) -> bool:
    """Whether the mutating node overwrites a tensor that nobody else looks into."""
    overwritten = node.args[0] if node.args else None
    if not isinstance(overwritten, fx.Node) or overwritten.op != "call_function" or functional(node.target) is None:
        return False
    schema = _schema(node)
    written = [a.name for a in schema.arguments if a.alias_info is not None and a.alias_info.is_write]
    owner = overwritten
    while is_mutating(owner) and isinstance(owner.args[0], fx.Node):
        owner = owner.args[0]
    looked_into = any(_is_view(user) for user in (*owner.users, *overwritten.users))
    once = sum(is_mutating(user) and user.args[0] is overwritten for user in overwritten.users) == 1
    return written == [schema.arguments[0].name] and once and not _is_view(owner) and not looked_into


def _schema(node: fx.Node) -> Any:
    assert isinstance(node.target, torch._ops.OpOverload)
    return node.target._schema


def _is_view(node: fx.Node) -> bool:
    """Whether its result may share memory with an argument (mutating operators aside, which return it)."""
    if not isinstance(node.target, torch._ops.OpOverload):
        return node.op != "output"
    if is_mutating(node):
        return False
    name = node.target._schema.name.split("::")[-1]
    composite = torch._C._dispatch_has_kernel_for_dispatch_key(node.target.name(), "CompositeImplicitAutograd")
    aliased = any(r.alias_info is not None for r in node.target._schema.returns)
    return aliased or (composite and name not in _OWN_MEMORY)


_OWN_MEMORY = frozenset({
    "conv1d", "conv2d", "conv3d", "conv_transpose2d", "linear", "batch_norm", "layer_norm", "group_norm",
    "instance_norm", "max_pool1d", "max_pool2d", "max_pool3d", "adaptive_avg_pool2d", "matmul", "relu6", "selu",
    "embedding", "softmax", "log_softmax", "scaled_dot_product_attention",
})  # fmt: skip
"""Composite operators that never return a view; of the others we do not know."""
