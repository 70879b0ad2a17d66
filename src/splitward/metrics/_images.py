"""What every metric checks before it compares."""

from __future__ import annotations

import torch
from torch import Tensor

from splitward.core.errors import MetricError

SLACK = 1e-4
"""How far a pixel may lie outside [0, 1]: rounding, not a forgotten de-normalisation."""


def check_pair(name: str, guess: Tensor, truth: Tensor, smallest: int = 1) -> tuple[Tensor, Tensor]:
    """Both batches, (N, C, H, W), in float64 on the truth's device.

    Raises MetricError where the shapes differ or are not those of images, an image has fewer than ``smallest`` pixels
    a side, or a pixel is not a number in [0, 1].
    """
    if guess.shape != truth.shape or truth.dim() != 4:
        raise MetricError(
            f"{name} compares two batches of images of one shape (N, C, H, W), not {tuple(guess.shape)} with "
            f"{tuple(truth.shape)}."
        )
    if min(truth.shape[2:]) < smallest:
        height, width = truth.shape[2:]
        raise MetricError(
            f"{name} needs images of at least {smallest}x{smallest} pixels (its window), not {height}x{width}: "
            f"use psnr or mse, or larger images."
        )
    for role, images in (("guess", guess), ("truth", truth)):
        if images.numel() and not bool(((images >= -SLACK) & (images <= 1 + SLACK)).all()):
            low, high = images.aminmax()
            raise MetricError(
                f"{name} needs pixels in [0, 1]; those of the {role} span [{low:.4g}, {high:.4g}]: "
                f"undo the normalisation and clip first."
            )
    return guess.detach().to(truth.device, torch.float64), truth.detach().to(torch.float64)
