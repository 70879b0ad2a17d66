"""What a judge is, and a judgement: a metric that asks it.

Pixels say how near a picture comes to its original; a judge says what can still be told from it.

The judge is no attacker and no attacker holds it. It is trained by the audit, once, on public images.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Protocol

from torch import Tensor

from splitward.core.knowledge import Samples


class Judge(Protocol):
    """A small network, trained on public images and independent of the victim; frozen, and without gradients."""

    @property
    def classes(self) -> Tensor | None:
        """The labels that it can name, (C,) sorted; None where the public images carry no labels."""

    def features(self, images: Tensor) -> tuple[Tensor, ...]:
        """The output of each of its layers for pixels (N, C, H, W) in [0, 1]: tensors (N, C_l, H_l, W_l)."""

    def embed(self, images: Tensor) -> Tensor:
        """A direction for each picture, (N, D) of unit length: pictures of one class point alike."""

    def classify(self, images: Tensor) -> Tensor:
        """The label that it gives to each picture, (N,) int64. Raises NotApplicable where it can name none."""


@dataclass(frozen=True)
class Yardstick:
    """A judgement, ready to be used on the guesses of floors and attacks.

    ``score``: guesses (N, C, H, W) of the N secrets, in their order, to (N,), one finite number each. ``chance``: the
    mean that guessing gives; None where there is no such thing.
    """

    score: Callable[[Tensor], Tensor]
    chance: float | None = None


class Judgement(Protocol):
    """A metric that asks a judge; a class decorated with ``@register("judgement")``. It is scored like any metric."""

    name: ClassVar[str]
    unit: ClassVar[str]
    higher_is_closer: ClassVar[bool]

    def prepare(self, judge: Judge, secrets: Samples, others: Samples | None) -> Yardstick:
        """Everything that no guess is needed for.

        ``secrets``: the originals, with their labels where there are any. ``others``: more images of the pool that the
        secrets were drawn from, None where there are none. Raises NotApplicable, with the reason, where there is
        nothing to judge: the judgement is then left out.
        """
