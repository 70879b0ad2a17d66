"""Which operators may stand in the file of a half."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import torch

aten = torch.ops.aten

_PYTHON: dict[str, Callable[..., Any]] = {
    f"operator.{f.__name__}": f
    for f in (
        *(operator.add, operator.sub, operator.mul, operator.floordiv, operator.truediv, operator.mod, operator.neg),
        *(operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge, operator.getitem),
    )
} | {f"torch.{f.__name__}": f for f in (torch.sym_float, torch.sym_int, torch.sym_max, torch.sym_min, torch.sym_not)}
"""Python's own, on sizes and numbers."""

_UNDERSCORED = frozenset({
    "_to_copy", "_unsafe_view", "_native_batch_norm_legit_no_training", "_softmax", "_log_softmax",
    "_safe_softmax", "_weight_norm", "_convolution", "_adaptive_avg_pool2d", "_adaptive_avg_pool3d",
    "_upsample_nearest_exact1d", "_upsample_nearest_exact2d", "_upsample_nearest_exact3d",
    "_upsample_bilinear2d_aa", "_upsample_bicubic2d_aa", "_local_scalar_dense", "_embedding_bag", "_trilinear",
    "_cdist_forward", "_prelu_kernel",
})  # fmt: skip
"""Of ATen's internal operators, those that exported models hold. The others may trust their arguments."""

_REFUSED = frozenset({"from_file"})
"""Plain by their schema, but they touch more than tensors."""


def name_of(target: Any) -> str | None:
    """The name of an operator in a file; None where it has no place there."""
    if target is torch.ops.prim.device.default:
        return "prim.device.default"
    if isinstance(target, torch._ops.OpOverload):
        name = str(target)
        return name if name.startswith("aten.") and _is_plain(target) else None
    return next((name for name, f in _PYTHON.items() if f is target), None)


def find(name: Any) -> Callable[..., Any] | None:
    """The operator of this name; None for anything that has no place in a file."""
    if not isinstance(name, str):
        return None
    if name == "prim.device.default":
        found: Callable[..., Any] = torch.ops.prim.device.default
        return found
    parts = name.split(".")
    if len(parts) != 3 or parts[0] != "aten":
        return _PYTHON.get(name)
    if not all(part.isidentifier() and not part.startswith("__") for part in parts):
        return None
    target = getattr(getattr(aten, parts[1], None), parts[2], None)
    return target if isinstance(target, torch._ops.OpOverload) and _is_plain(target) else None


def _is_plain(target: torch._ops.OpOverload) -> bool:
    """Functional, and no internal or file operator."""
    name = target._schema.name.split("::")[-1]
    return (
        not target._schema.is_mutable
        and name not in _REFUSED
        and (not name.startswith("_") or name in _UNDERSCORED)
        and ("unsafe" not in name or name in _UNDERSCORED)
    )


def takes_text(target: Callable[..., Any]) -> bool:
    """Whether one of its arguments is a text (the equation of an einsum, the mode of a padding)."""
    return isinstance(target, torch._ops.OpOverload) and any("str" in str(a.type) for a in target._schema.arguments)


def keywords(target: Callable[..., Any]) -> frozenset[str]:
    """The names under which it takes arguments."""
    if not isinstance(target, torch._ops.OpOverload):
        return frozenset()
    return frozenset(a.name for a in target._schema.arguments)
