"""Where the raw input is still the raw input: reshaped, permuted, cast, cropped, joined, normalised, or squashed
pixel by pixel, but not yet mixed by any layer."""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import Tensor, fx, nn

from splitward.split.blocks import Branch, Guard, Loop, Select
from splitward.split.shapes import at_batch, value

_OF_ONE = frozenset({
    # the same numbers in another shape, order, type or selection
    "view", "_unsafe_view", "reshape", "view_as", "reshape_as", "flatten", "unflatten", "ravel", "permute",
    "transpose", "t", "mT", "numpy_T", "movedim", "moveaxis", "swapaxes", "swapdims", "squeeze", "unsqueeze",
    "expand", "expand_as", "broadcast_to", "contiguous", "clone", "detach", "alias", "to", "_to_copy", "type_as",
    "float", "double", "half", "view_as_real", "view_as_complex", "real", "imag", "slice", "select", "narrow",
    "split", "split_with_sizes", "chunk", "tensor_split", "unsafe_chunk", "unsafe_split", "unbind", "unfold",
    "im2col", "index", "index_select", "gather", "take", "take_along_dim", "flip", "fliplr", "flipud", "rot90",
    "roll", "repeat", "repeat_interleave", "tile", "pad", "constant_pad_nd", "reflection_pad1d",
    "reflection_pad2d", "reflection_pad3d", "replication_pad1d", "replication_pad2d", "replication_pad3d",
    "pixel_shuffle", "pixel_unshuffle", "channel_shuffle", "dropout", "feature_dropout", "alpha_dropout",
    "one_hot", "masked_fill", "diagonal", "tril", "triu",
    # a picture of another size
    "upsample_nearest1d", "upsample_nearest2d", "upsample_nearest3d", "upsample_linear1d", "upsample_bilinear2d",
    "upsample_bicubic2d", "upsample_trilinear3d", "_upsample_nearest_exact1d", "_upsample_nearest_exact2d",
    "_upsample_bilinear2d_aa", "_upsample_bicubic2d_aa",
    # the plain normalisation, and functions of one pixel
    "batch_norm", "_native_batch_norm_legit_no_training", "native_batch_norm", "instance_norm", "layer_norm",
    "native_layer_norm", "group_norm", "native_group_norm", "rms_norm", "neg", "abs", "exp", "log", "log1p",
    "sqrt", "square", "sigmoid", "tanh", "clamp", "clamp_min", "clamp_max", "hardtanh", "relu", "leaky_relu",
    "elu", "gelu", "silu", "softplus", "round", "pow",
})  # fmt: skip
"""Operators (any overload) whose result is their first argument's raw input still."""

_OF_ANY = frozenset({
    "cat", "concat", "concatenate", "stack", "hstack", "vstack", "dstack", "column_stack", "where",
    "slice_scatter", "select_scatter",
})  # fmt: skip
"""Operators whose result holds each of its arguments unchanged."""

_WITH_CONSTANT = frozenset({
    "add", "sub", "rsub", "mul", "multiply", "subtract", "div", "divide", "true_divide", "maximum", "minimum",
})  # fmt: skip
"""Operators that leave the input what it is if the other operand is a constant or a statistic (fewer numbers)."""


def raw(graph: fx.Graph, modules: dict[str, nn.Module], inputs: dict[fx.Node, bool]) -> dict[fx.Node, Any]:
    """For every node whether its value is still the raw input; a tuple where it returns several values.

    ``inputs`` says it for the placeholders.
    """
    found: dict[fx.Node, Any] = {}
    for node in graph.nodes:
        if node.op == "placeholder":
            found[node] = inputs.get(node, False)
        elif node.op == "call_module":
            found[node] = _block(modules[str(node.target)], [_flag(a, found) for a in node.args])
        elif node.op == "call_function":
            found[node] = _call(node, found)
        elif node.op == "output":
            found[node] = tuple(_any(_flag(a, found)) for a in node.args[0])
        else:
            found[node] = False
    return found


def operator_name(node: fx.Node) -> str:
    """``conv2d`` of ``aten.conv2d.default``; ``relu`` of ``aten.relu_.default``; else what Python calls it."""
    if isinstance(node.target, torch._ops.OpOverload):
        return str(node.target._schema.name).split("::")[-1]
    if node.op == "call_module":
        return str(node.target).rsplit("_", 1)[0]
    return str(getattr(node.target, "__name__", node.target))


def _call(node: fx.Node, found: dict[fx.Node, Any]) -> Any:
    if node.target is operator.getitem:
        flag = _flag(node.args[0], found)
        index: Any = node.args[1]
        return flag[index] if isinstance(flag, tuple) else flag
    flags = [_any(_flag(a, found)) for a in node.args]
    name = operator_name(node)
    if name in _OF_ANY or name in _OF_ONE:
        return any(flags) if name in _OF_ANY else bool(flags) and flags[0]
    if name in _WITH_CONSTANT and any(flags):
        tensors = [a for a in node.args if isinstance(a, fx.Node) and isinstance(value(a), Tensor)]
        size = max(_numel(a) for a in tensors if found[a])
        return all(found[a] or a.op == "get_attr" or _numel(a) < size for a in tensors)
    return False


def _block(module: nn.Module, flags: list[Any]) -> Any:
    """Whether the results of control flow are the raw input, given its arguments."""
    if isinstance(module, Guard):
        return tuple(flags[1:])
    if isinstance(module, Select):
        half = len(flags) // 2
        return tuple(_any(pair) for pair in zip(flags[1 : half + 1], flags[half + 1 :], strict=True))
    if isinstance(module, Branch):
        sides = [_graph(side, flags[1:]) for side in (module.if_true, module.if_false)]
        return tuple(any(pair) for pair in zip(*sides, strict=True))
    if isinstance(module, Loop):
        carried, constant = flags
        return tuple(any(p) for p in zip(carried, _graph(module.body, [*carried, *constant]), strict=True))
    return False


def _graph(body: nn.Module, flags: list[Any]) -> tuple[bool, ...]:
    assert isinstance(body, fx.GraphModule)
    placeholders = body.graph.find_nodes(op="placeholder")
    inputs = dict(zip(placeholders, (_any(flag) for flag in flags), strict=True))
    result: tuple[bool, ...] = raw(body.graph, dict(body.named_children()), inputs)[body.graph.output_node()]
    return result


def _flag(argument: Any, found: dict[fx.Node, Any]) -> Any:
    if isinstance(argument, fx.Node):
        return found[argument]
    return tuple(_flag(a, found) for a in argument) if isinstance(argument, (tuple, list)) else False


def _any(flag: Any) -> bool:
    return any(_any(f) for f in flag) if isinstance(flag, tuple) else bool(flag)


def _numel(node: fx.Node) -> int:
    held = value(node)
    total = 1
    for size in held.shape if isinstance(held, Tensor) else ():
        total *= at_batch(size, 2) or 1
    return total
