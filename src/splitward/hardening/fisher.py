"""Fisher information that the activation carries about the pixels, as a term of the loss, estimated by probes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from splitward.core.hardening import Batch, Setting
from splitward.core.registry import register
from splitward.core.run import Run
from splitward.hardening._level import check_weight


@register("hardening")
@dataclass(frozen=True)
class Fisher:
    """Punishes the logarithm of Tr(J^T J) / d, J of what is sent by the d pixels; the level is its weight in the loss.

    Under Gaussian noise of standard deviation s, Tr(J^T J) / (d s^2) is the diagonal Fisher information leakage dFIL,
    and 1 / dFIL bounds the error of unbiased attackers (K. Maeng et al., NeurIPS 2023). The trace is estimated by one
    random probe a picture: E|v^T J|^2 for v of independent signs (M. Hutchinson, 1990). Raises DefenceError for a level
    that is not above 0.
    """

    name: ClassVar[str] = "fisher"
    tries: ClassVar[tuple[str, ...]] = ("bottleneck:8+fisher:0.05+gaussian:0.25", "fisher:0.05+gaussian:0.5")
    level: float

    def __post_init__(self) -> None:
        check_weight(self.name, self.level)

    def companion(self, setting: Setting, run: Run) -> _Information:  # noqa: ARG002 - of any setting
        """The term, with probes of its own stream."""
        return _Information(self.level, run.stream("probes"))


class _Information:
    differentiates_pixels: ClassVar[bool] = True

    def __init__(self, weight: float, probes: torch.Generator) -> None:
        self.weight, self.probes = weight, probes

    def adapt(self, batch: Batch) -> None:
        """Nothing learns beside the model."""

    def loss(self, batch: Batch) -> Tensor:
        """The weighted logarithm of the mean trace, a pixel."""
        shape, device = batch.clean.shape, batch.clean.device
        signs = torch.randint(2, shape, generator=self.probes, device=device).float() * 2 - 1
        (slope,) = torch.autograd.grad((signs * batch.clean).sum(), batch.pixels, create_graph=True)
        trace = slope.flatten(1).square().sum(1).mean()
        return self.weight * torch.log(trace / slope[0].numel() + 1e-8)
