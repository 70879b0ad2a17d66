"""What the cloud half is for, and the answer that it releases."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from splitward.core.errors import ModelError, NotApplicable
from splitward.core.knowledge import Samples

RELEASES = ("none", "label", "probabilities", "logits")
"""What the user may declare as released anyway."""


def logits(output: Any) -> Tensor:
    """The logits (N, classes) in an output: the tensor itself, ``.logits``, ``["logits"]`` or the first tensor."""
    if hasattr(output, "logits"):
        output = output.logits
    elif isinstance(output, dict):
        output = output["logits"] if "logits" in output else next(iter(output.values()))
    elif isinstance(output, tuple | list):
        output = output[0]
    if not isinstance(output, Tensor) or output.ndim != 2:
        shape = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise ModelError(f"the model's output holds {shape} where logits of shape (batch, classes) are needed.")
    return output


@dataclass(frozen=True)
class Classification:
    """One class of several, trained by cross-entropy."""

    name: str = "classification"

    def loss(self, output: Any, batch: Samples) -> Tensor:
        """Mean cross-entropy; raises NotApplicable where the samples carry no labels."""
        if batch.labels is None:
            raise NotApplicable(f"{batch.name} has no labels, which the cross-entropy of a classifier needs.")
        return F.cross_entropy(logits(output), batch.labels)

    def correct(self, output: Any, batch: Samples) -> Tensor:
        """1.0 where the highest logit is the label's, (N,)."""
        if batch.labels is None:
            raise NotApplicable(f"{batch.name} has no labels, so accuracy cannot be measured on it.")
        return (logits(output).argmax(1) == batch.labels).float()


def answer(output: Any, released: str) -> Tensor:
    """What is released of an output, (N, classes): a one-hot label, probabilities or logits."""
    scores = logits(output)
    if released == "label":
        return F.one_hot(scores.argmax(1), scores.shape[1]).to(scores.dtype)
    return scores.softmax(1) if released == "probabilities" else scores
