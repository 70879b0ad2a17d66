"""What public images say about any image: its total variation, and its mean and covariance."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

CORNER = 1e-6
"""Added under the square root of the total variation: rounds the corner where neighbours are equal (1e-3 wide)."""

DIRECTIONS = 256
"""Principal directions that the covariance keeps, at most; the rest of the variance is spread evenly."""
BASIS_NUMBERS = 2**24
"""Numbers that those directions take, at most (64 MiB)."""
LEAST_VARIANCE = 1e-3
"""Of the directions that are not kept: a pixel that never varies in public may still vary by 0.03 in a secret."""


def total_variation(images: Tensor, beta: float = 1.0, corner: float = CORNER) -> Tensor:
    """Isotropic total variation, IoTJ20 eq. 1b, per image: (N, C, H, W) to (N,).

    ``TV(x) = sum over c, i, j of (|x[i+1, j] - x[i, j]|^2 + |x[i, j+1] - x[i, j]|^2)^(beta / 2)``; differences across
    the border are zero. ``corner`` is added to the sum of squares, so that the gradient exists where both are zero.

    >>> edge = torch.zeros(1, 1, 4, 4)
    >>> edge[..., 2:] = 1
    >>> total_variation(edge, corner=0.0)
    tensor([4.])
    """
    down = F.pad(images[:, :, 1:] - images[:, :, :-1], (0, 0, 0, 1))
    right = F.pad(images[..., 1:] - images[..., :-1], (0, 1))
    squares = down.square() + right.square() + corner
    powered = squares.sqrt() if beta == 1 else squares if beta == 2 else squares ** (beta / 2)
    return powered.flatten(1).sum(1)


def mean_squared_differences(images: Tensor) -> Tensor:
    """The smoothness of the papers' released scripts, per image: (N, C, H, W) to (N,).

    The mean squared difference of vertical neighbours plus that of horizontal neighbours.
    """
    down = (images[:, :, 1:] - images[:, :, :-1]).square().flatten(1).mean(1)
    right = (images[..., 1:] - images[..., :-1]).square().flatten(1).mean(1)
    return down + right


@dataclass(frozen=True)
class PublicPrior:
    """A prior over images, fitted to public ones: -log p(x) = rate TV(x) + 1/2 (x - centre)' S^-1 (x - centre).

    ``rate``: of the exponential law of the total variation. ``mean``: (1, C, H, W). The covariance is that of
    probabilistic principal components (Tipping and Bishop 1999), ``S = U diag(kept) U' + noise I``, after shrinkage
    (OAS, Chen et al. 2010), which is what few public images need.
    """

    mean: Tensor
    rate: float
    directions: Tensor  # U: (D, q)
    shares: Tensor  # (q,): kept / (kept + noise)
    noise: float

    def smoothness(self, images: Tensor) -> Tensor:
        """rate TV(x), (N,)."""
        return self.rate * total_variation(images)

    def distance(self, images: Tensor, centre: Tensor) -> Tensor:
        """1/2 (x - centre)' S^-1 (x - centre), (N,), by the matrix inversion lemma."""
        away = (images - centre).flatten(1)
        along = away @ self.directions
        return (away.square().sum(1) - (self.shares * along.square()).sum(1)) / (2 * self.noise)


def fit_prior(images: Tensor) -> PublicPrior:
    """The prior of public ``images`` (M, C, H, W).

    The rate is the maximum likelihood estimate: TV is homogeneous of degree one on the D - 1 dimensions that it sees,
    so p(x) = rate^(D-1) exp(-rate TV(x)) / const, and rate = (D - 1) / mean TV.
    """
    pixels = images[0].numel()
    rate = (pixels - 1) / max(total_variation(images, corner=0.0).mean().item(), 1e-3 * pixels)
    flat = images.flatten(1)[: 8192 if pixels <= 1024 else 1024].double()
    mean = flat.mean(0, keepdim=True)
    away = flat - mean
    if len(away) >= pixels:
        variances, vectors = torch.linalg.eigh(away.T @ away / len(away))
    else:
        variances, rows = torch.linalg.eigh(away @ away.T / len(away))
        vectors = away.T @ (rows / (len(away) * variances.clamp_min(1e-12)).sqrt())
    variances, vectors = variances.flip(0).clamp_min(0), vectors.flip(1)
    variances, even = _shrunk(variances, len(away), pixels)
    keep = int(min(DIRECTIONS, max(1, BASIS_NUMBERS // pixels), int((variances > 1e-8).sum())))
    rest = variances[keep:].sum().item() + even * max(0, pixels - len(variances))
    noise = max(rest / max(1, pixels - keep), LEAST_VARIANCE)
    kept = (variances[:keep] - noise).clamp_min(0)
    return PublicPrior(
        images.mean(0, keepdim=True), rate, vectors[:, :keep].float(), (kept / (kept + noise)).float(), noise
    )


def _shrunk(variances: Tensor, samples: int, pixels: int) -> tuple[Tensor, float]:
    """Eigenvalues of a sample covariance, drawn towards their mean by OAS; and what the zero ones become."""
    total, squares = variances.sum().item(), variances.square().sum().item()
    spread = squares - total**2 / pixels
    weight = 1.0
    if samples > 1 and spread > 0:
        weight = min(1.0, ((1 - 2 / pixels) * squares + total**2) / ((samples + 1 - 2 / pixels) * spread))
    even = weight * total / pixels
    return (1 - weight) * variances + even, even
