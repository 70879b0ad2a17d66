"""Pixel-wise metrics: mean squared error and peak signal-to-noise ratio."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from splitward.core.registry import register
from splitward.metrics._images import check_pair

PSNR_CAP_DB = 100.0
"""An exact recovery has no error, and JSON has no infinity."""


def mean_squared_error(guess: Tensor, truth: Tensor) -> Tensor:
    """Mean over channels and pixels of (guess - truth)^2, per image: (N, C, H, W) twice to (N,)."""
    return (guess - truth).square().flatten(1).mean(1)


@register("metric")
@dataclass(frozen=True)
class MSE:
    """Mean squared error of the pixels, per image.

    ``MSE = mean over c, i, j of (guess - truth)^2``; in [0, 1], 0 for an exact recovery. Raises MetricError on shapes
    that do not fit and on pixels outside [0, 1].

    >>> import torch
    >>> MSE()(torch.zeros(2, 1, 4, 4), torch.full((2, 1, 4, 4), 0.5))
    tensor([0.2500, 0.2500])
    """

    name: ClassVar[str] = "mse"
    unit: ClassVar[str] = ""
    higher_is_closer: ClassVar[bool] = False

    def __call__(self, guess: Tensor, truth: Tensor) -> Tensor:
        """(N, C, H, W) twice, in [0, 1], to (N,)."""
        return mean_squared_error(*check_pair(self.name, guess, truth)).float()


@register("metric")
@dataclass(frozen=True)
class PeakSignalToNoiseRatio:
    """Peak signal-to-noise ratio per image, peak 1, capped at 100 dB.

    ``PSNR = -10 log10(MSE)`` dB on pixels in [0, 1]: at least 0 dB, and 100 dB from an MSE of 1e-10 down to an exact
    recovery. An average over images is an average in dB, as in the papers. Raises MetricError on shapes that do not
    fit and on pixels outside [0, 1].

    >>> import torch
    >>> truth = torch.zeros(3, 1, 4, 4)
    >>> guess = torch.stack([truth[0], truth[0] + 0.1, truth[0] + 1])
    >>> PeakSignalToNoiseRatio()(guess, truth)
    tensor([100.,  20.,   0.])
    """

    name: ClassVar[str] = "psnr"
    unit: ClassVar[str] = "dB"
    higher_is_closer: ClassVar[bool] = True

    def __call__(self, guess: Tensor, truth: Tensor) -> Tensor:
        """(N, C, H, W) twice, in [0, 1], to (N,) in dB."""
        error = mean_squared_error(*check_pair(self.name, guess, truth))
        smallest = 10 ** (-PSNR_CAP_DB / 10)
        return (-10 * error.clamp(min=smallest, max=1.0).log10()).float().abs()
