"""Defences that are trained: what is inserted at the cut, what is added to the loss, what is trained beside.

A hardening is a frozen dataclass with a ``name`` and a ``level``, decorated with ``@register("hardening")``. It may
have any of these methods; those of a recipe (``bottleneck:8+adversary:2``) act together, in their order.

``insert(shape) -> Inserted``: modules at the cut, for an activation (N, *shape).
``companion(setting, run) -> Companion``: a term of the loss, and perhaps an adversary that learns beside the model.
``tries``: whole recipes in which it plays the lead, for the search; defences of the registry may stand in them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple, Protocol

from torch import Tensor, nn


class Inserted(NamedTuple):
    """What stands at the cut: ``edge`` on the device, after its half; ``cloud`` undoes it before the cloud's half.

    The edge's part maps (N, *shape) to another shape, which the cloud's part maps back to (N, *shape).
    """

    edge: nn.Module
    cloud: nn.Module


@dataclass(frozen=True)
class Batch:
    """One step of the training, seen from the wire.

    ``pixels``: (N, C, H, W) in [0, 1]. ``labels``: (N,) int64. ``clean``: (N, D), all that the device computes for
    them, differentiable. ``sent``: (N, D), what the defence of the recipe makes of it.
    """

    pixels: Tensor
    labels: Tensor
    clean: Tensor
    sent: Tensor


@dataclass(frozen=True)
class Setting:
    """What a companion is built for.

    ``image``: (C, H, W). ``numbers``: D, of what is sent. ``guess``: mean squared error, in pixels, of the mean image
    of the right class, on the training images: what an attacker who knows the label alone is left with.
    ``inserted``: this hardening's own module on the device, None where it has none.
    """

    image: tuple[int, int, int]
    numbers: int
    classes: int
    guess: float
    inserted: nn.Module | None


class Companion(Protocol):
    """What a hardening does at each step of the training."""

    differentiates_pixels: ClassVar[bool]  # whether ``loss`` asks for gradients with respect to ``Batch.pixels``

    def adapt(self, batch: Batch) -> None:
        """Learn from the step: an adversary's own training; nothing of it reaches the model (``sent`` is detached)."""

    def loss(self, batch: Batch) -> Tensor:
        """What is added to the loss of the model: a scalar, differentiable in ``batch.clean`` or ``batch.sent``."""


class Hardening(Protocol):
    """A method and its strength; its docstring says what the level means."""

    name: ClassVar[str]

    @property
    def level(self) -> float:
        """Its strength, in the unit that the kind defines."""
