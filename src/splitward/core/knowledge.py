"""Threat models are types: an attack cannot touch what its threat model forbids, because it is never handed it.

``WhiteBox`` is a ``BlackBox`` is a ``QueryFree``: a weaker attack runs under stronger knowledge, never the reverse.
Only ``splitward.audit.grant`` makes these objects.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn

from splitward.core.defence import Chain
from splitward.core.edge import Edge
from splitward.core.spec import TensorSpec

Activations = tuple[Tensor, ...]
"""What crossed the wire: one tensor per value alive at the cut, each (N, k, *shape): k observations of N secrets."""


@dataclass(frozen=True)
class Samples:
    """Images with, perhaps, their labels.

    ``images``: (N, C, H, W) float32 in [0, 1]. ``labels``: (N,) int64, or None where there are none.
    """

    images: Tensor
    labels: Tensor | None
    name: str = "samples"

    def __len__(self) -> int:
        return self.images.shape[0]

    def __getitem__(self, index: slice | Tensor) -> Samples:
        labels = None if self.labels is None else self.labels[index]
        return replace(self, images=self.images[index], labels=labels)

    @property
    def spec(self) -> TensorSpec:
        """Shape of one image."""
        return TensorSpec(tuple(self.images.shape[1:]))


class Task(Protocol):
    """What the cloud half is for: the loss that a query-free attacker may train a shadow with."""

    @property
    def name(self) -> str:
        """Of the task, for records."""

    def loss(self, output: Any, batch: Samples) -> Tensor:
        """Scalar loss of the cloud half's ``output`` on ``batch``; raises NotApplicable without what it needs."""

    def correct(self, output: Any, batch: Samples) -> Tensor:
        """Per sample, (N,) in [0, 1]: whether the output is right."""


class Oracle(Protocol):
    """The device, to be asked: counted, budgeted, without gradients; every answer is a fresh draw of its defence."""

    used: int
    budget: int | None

    def __call__(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """Activations of ``pixels`` (N, C, H, W) in [0, 1], each (N, *shape).

        Each image counts as one query; raises BudgetExceeded when more are asked than the budget has left.
        """


@dataclass(frozen=True)
class QueryFree:
    """Holds the cloud half, public data, the shapes and the activations of other users that it served; no more.

    ``traffic`` is defended, unlabelled, disjoint from the secrets; each tensor (M, k, *shape).
    ``defence`` is the chain of defences for an adaptive attacker, and None for a naive one.
    """

    label: ClassVar[str] = "query-free"
    input: TensorSpec
    activation: tuple[TensorSpec, ...]
    cloud: nn.Module
    task: Task
    public: Samples
    traffic: Activations | None
    defence: Chain | None


@dataclass(frozen=True)
class BlackBox(QueryFree):
    """May also ask the device, through a counted, budgeted oracle without gradients."""

    label: ClassVar[str] = "black-box"
    query: Oracle


@dataclass(frozen=True)
class WhiteBox(BlackBox):
    """Holds the edge half too: its structure, its weights and its normalisation (frozen)."""

    label: ClassVar[str] = "white-box"
    edge: Edge


THREAT_MODELS: dict[str, type[QueryFree]] = {k.label: k for k in (WhiteBox, BlackBox, QueryFree)}
"""Strongest first."""


@dataclass(frozen=True)
class Released:
    """All that a floor receives: public images, the answers released for them, and shapes; never an activation.

    ``answers``: (N, k, A) for the N public images, k independent draws each; None where nothing is released.
    """

    input: TensorSpec
    public: Samples
    answers: Tensor | None
    kind: str  # "none" | "label" | "probabilities" | "logits"


def fold(activations: Activations) -> tuple[Tensor, ...]:
    """(N, k, *shape) to (N * k, *shape): the k observations of one secret lie side by side."""
    return tuple(a.flatten(0, 1) for a in activations)


def as_tuple(value: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """One tensor or several, as a tuple."""
    return (value,) if isinstance(value, torch.Tensor) else tuple(value)
