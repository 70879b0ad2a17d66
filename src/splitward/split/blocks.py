"""The few modules that a half is made of beside its graph: control flow, and what rebuilds the model's output."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from splitward.core.errors import CutError

Structure = Any
"""How an output is built from its leaves: an int (which leaf), or ``["tuple" | "list", [Structure, ...]]``, or
``["dict", [[key, Structure], ...]]``. Plain JSON."""


class Branch(nn.Module):
    """``if condition: ... else: ...`` as one node: both sides take the same values and return a tuple."""

    def __init__(self, if_true: nn.Module, if_false: nn.Module) -> None:
        super().__init__()
        self.if_true = if_true
        self.if_false = if_false

    def forward(self, condition: Tensor | bool, *values: Any) -> tuple[Any, ...]:
        """``condition`` holds one element; returns what the chosen side returns."""
        chosen = self.if_true if bool(condition) else self.if_false
        result: tuple[Any, ...] = tuple(chosen(*values))
        return result


class Select(nn.Module):
    """``if condition: ... else: ...`` after both sides have been computed: the values of the one or of the other."""

    def forward(self, condition: Tensor | bool, *values: Any) -> tuple[Any, ...]:
        """``condition`` holds one element; ``values``: those of the true side, then as many of the false side."""
        half = len(values) // 2
        return values[:half] if bool(condition) else values[half:]


class Loop(nn.Module):
    """``while condition(values): values = body(values)`` as one node, from ``torch.while_loop``."""

    def __init__(self, condition: nn.Module, body: nn.Module) -> None:
        super().__init__()
        self.condition = condition
        self.body = body

    def forward(self, carried: tuple[Any, ...], constant: tuple[Any, ...]) -> tuple[Any, ...]:
        """``carried`` changes from pass to pass, ``constant`` does not; returns the last ``carried``."""
        carried = tuple(carried)
        while bool(self.condition(*carried, *constant)[0]):
            carried = tuple(self.body(*carried, *constant))
        return carried


class Guard(nn.Module):
    """Lets values pass while the control flow stays on a path that was exported, and says so when it does not.

    ``last_index``: the other answer would be an index beyond the last, which the model's own code cannot mean.
    """

    def __init__(self, expected: bool, last_index: bool = False) -> None:
        super().__init__()
        self.expected = expected
        self.last_index = last_index

    def forward(self, condition: Tensor | bool, *values: Any) -> tuple[Any, ...]:
        """``condition`` holds one element. Raises CutError when it is not as expected."""
        if bool(condition) is not self.expected:
            raise CutError(
                "this input leads the model's control flow onto a path where the model fails or that was not exported."
            )
        return values


def build(structure: Structure, leaves: tuple[Any, ...]) -> Any:
    """The output that ``structure`` describes.

    >>> build(["dict", [["logits", 1], ["pair", ["tuple", [0, 1]]]]], ("a", "b"))
    {'logits': 'b', 'pair': ('a', 'b')}
    """
    if isinstance(structure, int):
        return leaves[structure]
    kind, parts = structure
    if kind == "dict":
        return {key: build(part, leaves) for key, part in parts}
    return (tuple if kind == "tuple" else list)(build(part, leaves) for part in parts)


class Cloud(nn.Module):
    """The half on the server: from the activation to what the whole model returns.

    Tuples, lists and dicts of the model's output come back as plain ones: a dataclass-like output that is a dict
    underneath (as in Hugging Face's models) as a dict.
    """

    def __init__(self, body: nn.Module, structure: Structure, tensors: int) -> None:
        super().__init__()
        self.body = body
        self.structure = structure
        self.tensors = tensors  # how many cross

    def forward(self, activation: Tensor | tuple[Tensor, ...]) -> Any:
        """The tensor, or the tuple of tensors, that the edge returned (each (N, *shape)) to the model's output."""
        parts = (activation,) if isinstance(activation, torch.Tensor) else tuple(activation)
        if len(parts) != self.tensors:
            raise CutError(f"the cloud half takes {self.tensors} tensor(s) and was given {len(parts)}.")
        return build(self.structure, tuple(self.body(*parts)))
