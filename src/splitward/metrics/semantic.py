"""Semantic leakage: does an independent classifier still name the class of the reconstruction?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from splitward.core.errors import NotApplicable
from splitward.core.judging import Judge, Yardstick
from splitward.core.knowledge import Samples
from splitward.core.registry import register


@register("judgement")
@dataclass(frozen=True)
class Semantic:
    """1 where the judge names the true class of the secret from its reconstruction, else 0.

    By itself it says little: where the label is released anyway, a picture of that class is named as well without the
    activation. What counts is the excess over the floor (``record.meaning.gain``). Chance: one in the number of
    classes.
    """

    name: ClassVar[str] = "semantic"
    unit: ClassVar[str] = ""
    higher_is_closer: ClassVar[bool] = True

    def prepare(self, judge: Judge, secrets: Samples, others: Samples | None) -> Yardstick:  # noqa: ARG002
        """Raises NotApplicable where the secrets have no labels, or labels that the judge has never seen."""
        classes, labels = judge.classes, secrets.labels
        if classes is None:
            raise NotApplicable("the public images carry no labels of several classes, so the judge can name none.")
        if labels is None:
            raise NotApplicable("the secrets carry no labels, so nobody knows which name is right.")
        unknown = int((~torch.isin(labels, classes)).sum())
        if unknown:
            raise NotApplicable(f"{unknown} of {len(labels)} secrets are of a class that no public image shows.")

        def score(guess: Tensor) -> Tensor:
            return (judge.classify(guess) == labels).float()

        return Yardstick(score, 1 / len(classes))
