"""Perceptual distance: how different two pictures look to a network, rather than pixel by pixel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from splitward.core.judging import Judge, Yardstick
from splitward.core.knowledge import Samples
from splitward.core.registry import register

BATCH = 256
"""Pictures whose features are held at a time."""

SHIFTS = 8
"""Other originals that each original is compared with, for the chance level."""

TINY = 1e-10
"""Keeps the length of a feature vector from zero; as in the reference implementation of LPIPS."""


def perceptual_distance(judge: Judge, guess: Tensor, truth: Tensor) -> Tensor:
    """(N, C, H, W) twice, in [0, 1], to (N,): 0 for the same picture, at most 2.

    Zhang et al. (CVPR 2018), eq. 1, with the weights w_l = 1: at every place of every layer the features are scaled to
    unit length over the channels; their squared distance is averaged over the places, then over the layers.
    """
    parts = []
    for a, b in zip(guess.split(BATCH), truth.split(BATCH), strict=True):
        layers = [
            (_unit(x) - _unit(y)).square().sum(1).flatten(1).mean(1)
            for x, y in zip(judge.features(a), judge.features(b), strict=True)
        ]
        parts.append(torch.stack(layers).mean(0))
    return torch.cat(parts)


def _unit(features: Tensor) -> Tensor:
    return features / (features.square().sum(1, keepdim=True).sqrt() + TINY)


@register("judgement")
@dataclass(frozen=True)
class Perceptual:
    """Distance of reconstruction and original in the features of the judge, as LPIPS; 0 is the same picture.

    R. Zhang, P. Isola, A. Efros, E. Shechtman, O. Wang, "The Unreasonable Effectiveness of Deep Features as a
    Perceptual Metric", CVPR 2018, eq. 1 with uniform weights (there: fitted to people's answers) and with the audit's
    own judge (there: a network trained on ImageNet). Values can be compared within one audit, not with those of LPIPS.
    Chance: the mean distance of an original to other originals.
    """

    name: ClassVar[str] = "perceptual"
    unit: ClassVar[str] = ""
    higher_is_closer: ClassVar[bool] = False

    def prepare(self, judge: Judge, secrets: Samples, others: Samples | None) -> Yardstick:  # noqa: ARG002
        """The distance to the secrets."""
        truth, n = secrets.images, len(secrets)
        # Images of a pool may be sorted by class: neighbours alone would make the originals look too much alike.
        shifts = sorted({1 + i * (n - 1) // SHIFTS for i in range(SHIFTS)}) if n > 1 else []
        apart = [float(perceptual_distance(judge, truth.roll(s, 0), truth).mean()) for s in shifts]
        chance = sum(apart) / len(apart) if apart else None
        return Yardstick(lambda guess: perceptual_distance(judge, guess, truth), chance)
