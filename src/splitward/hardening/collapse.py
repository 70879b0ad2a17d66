"""Class collapse: what crosses should carry the class and nothing else, so what varies within a class is punished."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from splitward.core.hardening import Batch, Setting
from splitward.core.registry import register
from splitward.core.run import Run
from splitward.hardening._level import check_weight

MEMORY = 0.9
"""Of the centres of the classes, a step."""


@register("hardening")
@dataclass(frozen=True)
class Collapse:
    """Punishes the distance of what is sent from the centre of its class; the level is its weight in the loss.

    The mean squared distance of each number from its class's running mean (the centre loss of Y. Wen et al., ECCV 2016;
    V. Papyan et al., PNAS 2020, see classifiers arrive there by themselves). Where nothing varies within a class, the
    activation tells any attacker, noise or no noise, what the label tells. Raises DefenceError for a level that is not
    above 0.
    """

    name: ClassVar[str] = "collapse"
    tries: ClassVar[tuple[str, ...]] = (
        "bottleneck:8+collapse:1+quantise:1", "bottleneck:16+collapse:0.3+quantise:1",
        "bottleneck:8+collapse:0.3+quantise:2", "bottleneck:16+collapse:3+quantise:1",
        "bottleneck:8+collapse:1+gaussian:0.5",
    )  # fmt: skip
    level: float

    def __post_init__(self) -> None:
        check_weight(self.name, self.level)

    def companion(self, setting: Setting, run: Run) -> _Centres:
        """The running centres and the distance from them."""
        return _Centres(self.level, setting, run.device)


class _Centres:
    differentiates_pixels: ClassVar[bool] = False

    def __init__(self, weight: float, setting: Setting, device: torch.device) -> None:
        self.weight = weight
        self.centres = torch.zeros(setting.classes, setting.numbers, device=device)
        self.seen = torch.zeros(setting.classes, 1, device=device)

    @torch.no_grad()
    def adapt(self, batch: Batch) -> None:
        """Move the centre of each class towards the mean of its images in the batch."""
        sums = torch.zeros_like(self.centres).index_add_(0, batch.labels, batch.clean.detach())
        counts = torch.bincount(batch.labels, minlength=len(self.centres))[:, None]
        means = sums / counts.clamp_min(1)
        keep = torch.where(self.seen > 0, MEMORY, 0.0)
        self.centres = torch.where(counts > 0, keep * self.centres + (1 - keep) * means, self.centres)
        self.seen += counts

    def loss(self, batch: Batch) -> Tensor:
        """The mean squared distance, a number."""
        return self.weight * (batch.clean - self.centres[batch.labels]).square().mean()
