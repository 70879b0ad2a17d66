"""Adversaries in the loop: decoders learn to recover the input beside the model, and the device learns to fool them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from splitward.core.hardening import Batch, Setting
from splitward.core.registry import register
from splitward.core.run import Run
from splitward.hardening._decoder import Decoder, shrunk
from splitward.hardening._level import check_weight

DECODERS = 2
REFRESHED = 150
"""Steps after which one decoder begins anew, in turns: a device that fools one by a trick meets another."""
RATE = 2e-3


@register("hardening")
@dataclass(frozen=True)
class Adversary:
    """Rewards the error of decoders that learn beside the model; the level is the weight of that reward.

    The reward ends where the decoders are no better than the mean image of the right class: an error beyond that is no
    protection, and a device that seeks it only unsettles the decoders (adversarial learning of representations:
    H. Edwards and A. Storkey, ICLR 2016; for split inference: T. Xiao et al., AAAI 2020). Raises DefenceError for a
    level that is not above 0.
    """

    name: ClassVar[str] = "adversary"
    tries: ClassVar[tuple[str, ...]] = (
        "bottleneck:8+adversary:1+quantise:1", "bottleneck:8+adversary:2+gaussian:0.25", "adversary:1",
    )  # fmt: skip
    level: float

    def __post_init__(self) -> None:
        check_weight(self.name, self.level)

    def companion(self, setting: Setting, run: Run) -> _Decoders:
        """The decoders."""
        return _Decoders(self.level, setting, run)


class _Decoders:
    differentiates_pixels: ClassVar[bool] = False

    def __init__(self, weight: float, setting: Setting, run: Run) -> None:
        self.weight, self.setting, self.run, self.step = weight, setting, run, 0
        self.pairs = [self._fresh(number) for number in range(DECODERS)]

    def _fresh(self, number: int) -> tuple[Decoder, torch.optim.Optimizer]:
        with self.run.constructing(f"decoder {number}"):
            decoder = Decoder(self.setting.numbers, self.setting.image).to(self.run.device)
        return decoder, torch.optim.Adam(decoder.parameters(), lr=RATE)

    def adapt(self, batch: Batch) -> None:
        """One step of each decoder; the oldest begins anew when it is due."""
        self.step += 1
        if self.step % REFRESHED == 0:
            turn = self.step // REFRESHED
            self.pairs[turn % DECODERS] = self._fresh(DECODERS + turn)
        target, sent = shrunk(batch.pixels.detach()), batch.sent.detach()
        for decoder, optimiser in self.pairs:
            loss = F.mse_loss(decoder(sent), target)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()

    def loss(self, batch: Batch) -> Tensor:
        """What the decoders are better by than the mean image of the class, as a share of its error."""
        target = shrunk(batch.pixels.detach())
        gains = []
        for decoder, _ in self.pairs:
            decoder.requires_grad_(False)
            gains.append((self.setting.guess - F.mse_loss(decoder(batch.sent), target)).clamp_min(0))
            decoder.requires_grad_(True)
        return self.weight * torch.stack(gains).mean() / max(self.setting.guess, 1e-8)
