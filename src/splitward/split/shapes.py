"""Shapes in an exported graph: what depends on the batch size, and where the batch lies in a tensor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import SymBool, SymFloat, SymInt, Tensor, fx

from splitward.core.spec import BYTES_PER_ELEMENT, TensorSpec

PROBES = (5, 7, 11)
"""Batch sizes at which a symbolic size is evaluated to see how it depends on the batch."""


@dataclass(frozen=True)
class Layout:
    """Where the samples lie in a tensor.

    ``dim`` is None where the tensor has no batch (one value for all samples). Otherwise dimension ``dim`` has
    ``before * batch * after`` entries, in this order.
    """

    dim: int | None
    before: int = 1
    after: int = 1

    @property
    def first(self) -> bool:
        """Whether it is (batch, ...) already."""
        return (self.dim, self.before, self.after) == (0, 1, 1)


def value(node: fx.Node) -> Any:
    """What the node computed while it was traced: a fake tensor, a symbol, a tuple of them, or None."""
    return node.meta.get("val")


def at_batch(size: Any, batch: int) -> int | None:
    """An int or a SymInt at a batch size; None where it depends on the data."""
    if not isinstance(size, SymInt):
        return int(size)
    expression = size.node.expr
    symbols = list(expression.free_symbols)
    if any(not str(s).startswith("s") for s in symbols):  # "u0", "zuf0": read from the data
        return None
    return int(expression.subs(dict.fromkeys(symbols, batch)))


def affine(size: Any) -> tuple[int, int] | None:
    """(a, b) such that the size is a * batch + b; None where it is nothing of that form."""
    seen = [at_batch(size, n) for n in PROBES]
    if seen[0] is None or seen[1] is None or seen[2] is None:
        return None
    a, rest = divmod(seen[1] - seen[0], PROBES[1] - PROBES[0])
    b = seen[0] - a * PROBES[0]
    return (a, b) if rest == 0 and a * PROBES[2] + b == seen[2] else None


def layouts(shape: Sequence[Any]) -> tuple[Layout, ...]:
    """Every way in which the samples may lie in a tensor of this shape; empty where it is no tensor per sample.

    A merged dimension (``3 * batch`` windows or heads) may hold the samples in several orders.
    """
    forms = [affine(size) for size in shape]
    if any(form is None for form in forms):
        return ()
    moving = [(d, form) for d, form in enumerate(forms) if form is not None and form[0] != 0]
    if not moving:
        return (Layout(None),)
    dim, (count, rest) = moving[0]
    if len(moving) > 1 or rest or count < 1:
        return ()
    return tuple(Layout(dim, c, count // c) for c in range(1, count + 1) if count % c == 0)


def per_sample(shape: Sequence[Any], layout: Layout) -> tuple[int, ...]:
    """Shape of one sample once the batch has been brought to the front."""
    sizes = [at_batch(size, 1) or 0 for size in shape]
    if layout.dim is None:
        return tuple(sizes)
    inner = [n for n, keep in ((layout.before, layout.before > 1), (layout.after, layout.after > 1)) if keep]
    return (*sizes[: layout.dim], *inner, *sizes[layout.dim + 1 :])


def wire_spec(tensor: Tensor, layout: Layout) -> TensorSpec:
    """What crosses for this tensor: float32 for what is no float; two numbers for a complex one."""
    shape = per_sample(tensor.shape, layout)
    if tensor.is_complex():
        return TensorSpec((*shape, 2), dtype_name(tensor.dtype.to_real()))
    return TensorSpec(shape, dtype_name(tensor.dtype) if tensor.is_floating_point() else "float32")


def dtype_name(dtype: torch.dtype) -> str:
    """``torch.float32`` as ``float32``."""
    return str(dtype).removeprefix("torch.")


def transportable(tensor: Tensor) -> bool:
    """Whether its type has a place in a TensorSpec."""
    real = tensor.dtype.to_real() if tensor.is_complex() else tensor.dtype
    return dtype_name(real) in BYTES_PER_ELEMENT


def is_scalar(node: fx.Node) -> bool:
    """Whether the node computes a Python number or a device rather than a tensor or a tuple of tensors."""
    held = value(node)
    return isinstance(held, (bool, int, float, SymInt, SymFloat, SymBool, torch.device))


def is_number_like(tensor: Tensor) -> bool:
    """Float or complex: what can carry information about the input to a gradient."""
    return tensor.is_floating_point() or tensor.is_complex()
