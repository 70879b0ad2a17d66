"""Structural similarity (Wang, Bovik, Sheikh, Simoncelli, IEEE TIP 2004): the standard form, and the papers' form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import pytorch_msssim
import torch
import torch.nn.functional as F
from torch import Tensor

from splitward.core.registry import register
from splitward.metrics._images import check_pair

GAUSSIAN_WINDOW = 11  # pixels; sigma 1.5 cut off at 3.5 sigma, as in the 2004 paper and in scikit-image
GAUSSIAN_SIGMA = 1.5
UNIFORM_WINDOW = 7  # pixels; scikit-image's default, which the papers used
K1, K2 = 0.01, 0.03


@register("metric")
@dataclass(frozen=True)
class StructuralSimilarity:
    """SSIM per image: Gaussian window (11x11, sigma 1.5), data range 1, valid area only, mean over channels.

    In [-1, 1]; 1 for an exact recovery. Equal to scikit-image's ``structural_similarity(gaussian_weights=True,
    sigma=1.5, use_sample_covariance=False, data_range=1, full=True)`` averaged over the area at least 5 pixels from the
    border. Raises MetricError for images below 11x11 pixels (pytorch-msssim would silently skip the smoothing), for
    shapes that do not fit and for pixels outside [0, 1].

    >>> import torch
    >>> image = torch.linspace(0, 1, 256).view(1, 1, 16, 16)
    >>> round(StructuralSimilarity()(image, image).item(), 4)
    1.0
    >>> round(StructuralSimilarity()(1 - image, image).item(), 4)  # inverted
    -0.8262
    """

    name: ClassVar[str] = "ssim"
    unit: ClassVar[str] = ""
    higher_is_closer: ClassVar[bool] = True

    def __call__(self, guess: Tensor, truth: Tensor) -> Tensor:
        """(N, C, H, W) twice, in [0, 1], to (N,)."""
        guess, truth = check_pair(self.name, guess, truth, smallest=GAUSSIAN_WINDOW)
        if not len(truth):
            return torch.zeros(0, device=truth.device)
        value: Tensor = pytorch_msssim.ssim(
            guess,
            truth,
            data_range=1.0,
            size_average=False,
            win_size=GAUSSIAN_WINDOW,
            win_sigma=GAUSSIAN_SIGMA,
            K=(K1, K2),
        )
        return value.float()


def uniform_window_similarity(guess: Tensor, truth: Tensor, data_range: Tensor) -> Tensor:
    """SSIM with a 7x7 uniform window and sample covariances, (N,); ``data_range`` (N,) must be positive."""
    pixels = UNIFORM_WINDOW**2

    def local(images: Tensor) -> Tensor:
        return F.avg_pool2d(images, UNIFORM_WINDOW, stride=1)

    mean_g, mean_t = local(guess), local(truth)
    unbiased = pixels / (pixels - 1)
    variance_g = unbiased * (local(guess * guess) - mean_g**2)
    variance_t = unbiased * (local(truth * truth) - mean_t**2)
    covariance = unbiased * (local(guess * truth) - mean_g * mean_t)
    c1, c2 = ((k * data_range.view(-1, 1, 1, 1)) ** 2 for k in (K1, K2))
    similarity = ((2 * mean_g * mean_t + c1) * (2 * covariance + c2)) / (
        (mean_g**2 + mean_t**2 + c1) * (variance_g + variance_t + c2)
    )
    return similarity.flatten(1).mean(1)


@register("metric")
@dataclass(frozen=True)
class PaperStructuralSimilarity:
    """The papers' SSIM: 7x7 uniform window, and a data range of max - min *of the reconstruction*.

    For comparison with the published figures only: the range makes the score depend on the guess's contrast. Equal to
    scikit-image's ``structural_similarity(truth, guess, data_range=guess.max() - guess.min())``. A reconstruction
    without contrast has no range; its score is 0 (and 1 where it equals the truth). Raises MetricError for images below
    7x7 pixels, for shapes that do not fit and for pixels outside [0, 1].

    >>> import torch
    >>> image = torch.linspace(0, 1, 64).view(1, 1, 8, 8)
    >>> round(PaperStructuralSimilarity()(image / 2, image).item(), 4)
    0.6404
    >>> PaperStructuralSimilarity()(torch.full((1, 1, 8, 8), 0.5), image)
    tensor([0.])
    """

    name: ClassVar[str] = "ssim-paper"
    unit: ClassVar[str] = ""
    higher_is_closer: ClassVar[bool] = True

    def __call__(self, guess: Tensor, truth: Tensor) -> Tensor:
        """(N, C, H, W) twice, in [0, 1], to (N,)."""
        guess, truth = check_pair(self.name, guess, truth, smallest=UNIFORM_WINDOW)
        flat = guess.flatten(1)
        data_range = flat.amax(1) - flat.amin(1)
        equal = (guess == truth).flatten(1).all(1)
        value = uniform_window_similarity(guess, truth, data_range.where(data_range > 0, torch.ones_like(data_range)))
        return value.where(data_range > 0, equal.to(value.dtype)).float()
