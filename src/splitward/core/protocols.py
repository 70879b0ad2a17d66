"""What an attack, a floor and a metric are. The three never import one another."""

from __future__ import annotations

import typing
from collections.abc import Callable
from typing import Any, ClassVar, Protocol, TypeVar, runtime_checkable

from torch import Tensor

from splitward.core.errors import RegistryError
from splitward.core.knowledge import THREAT_MODELS, Activations, QueryFree, Released
from splitward.core.run import Run

K_contra = TypeVar("K_contra", bound=QueryFree, contravariant=True)

Inverter = Callable[[Activations], Tensor]
"""From what crossed the wire, each (N, k, *shape), to pixels (N, C, H, W) in [0, 1]."""


@runtime_checkable
class Scorer(Protocol):
    """An inverter that can also say how likely a candidate is. Optional: without it, the nearest candidate counts."""

    def __call__(self, activations: Activations) -> Tensor:
        """As any inverter."""

    def score(self, activations: Activations, candidates: Tensor) -> Tensor:
        """How likely each of m images makes what crossed for each of N secrets: (N, m); higher is likelier.

        ``activations``: each (N, k, *shape), whose k observations count jointly. ``candidates``: (m, C, H, W) in
        [0, 1], in an order that says nothing. -inf is allowed, NaN and inf are not. Each secret is judged on its own,
        and nothing of the candidates is kept.
        """


class Attack(Protocol[K_contra]):
    """Turns knowledge into an inverter.

    Plugins are frozen dataclasses: the fields are the configuration, the table row and the help text. The annotation
    of ``knowledge`` *is* the threat model. Optional class attributes:

    ``presets``: name -> field overrides; ``rmle:scripts`` is the preset ``scripts`` of ``rmle``.
    ``efforts``: effort -> field overrides, for the default preset.
    ``knows_defence``: False where the attack cannot use a defence's facts: it then runs only as a naive attacker.

    Optional method: ``prepare_several(knowledge: Sequence[K], run) -> list[Inverter]``, the work for one device under
    several defences at once, with an inverter for each: what serves all of them is learnt once.
    """

    name: ClassVar[str]

    def prepare(self, knowledge: K_contra, run: Run) -> Inverter:
        """All the work that needs no secret: training, identification. Randomness comes from ``run`` alone."""


class Floor(Protocol):
    """What an attacker reaches *without* the activation."""

    name: ClassVar[str]  # "prior/mean", "prior/best", "allowed"

    def prepare(self, released: Released, run: Run) -> Callable[[Tensor | None, int], Tensor]:
        """From (public image, released answer) pairs to a function of the secrets' answers (N, k, A) and N."""


class Metric(Protocol):
    """Compares guesses with the truth, per sample."""

    name: ClassVar[str]
    unit: ClassVar[str]  # "dB", "" ...
    higher_is_closer: ClassVar[bool]

    def __call__(self, guess: Tensor, truth: Tensor) -> Tensor:
        """(N, C, H, W) twice, in [0, 1], to (N,). Raises MetricError on shapes that do not fit."""


def threat_model(attack: type[Attack[Any]] | Attack[Any]) -> type[QueryFree]:
    """The threat model of an attack: the annotation of the argument ``knowledge`` of its ``prepare``."""
    hints = typing.get_type_hints(attack.prepare)
    kind = hints.get("knowledge")
    if kind not in THREAT_MODELS.values():
        raise RegistryError(
            f"attack {attack.name!r}: the argument `knowledge` of prepare() must be annotated with one of "
            f"{', '.join(k.__name__ for k in THREAT_MODELS.values())}, not {kind!r}."
        )
    return typing.cast("type[QueryFree]", kind)
