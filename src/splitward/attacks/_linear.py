"""The linear part of a decoder: ridge regression from (standardised) activations to pixels, in closed form.

Two forms. *Global*: every pixel from all numbers of the activation; it knows where in the image it is. *Local*: every
block of pixels from the patch of the feature map above it, with weights shared by all positions; it needs few samples.
Whichever predicts held-out public images better is taken, and so is the strength of the penalty. Both are fitted to
either half of the public images, so that a network that learns from the same images sees what the linear path says of
images that it was not fitted to.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from splitward.attacks._reading import Reading, stride_of
from splitward.core.knowledge import Activations
from splitward.core.spec import TensorSpec

LONGEST = 2048
"""Numbers of an activation that the global form regresses on; longer ones are projected onto public activations."""
LARGEST = 8192
"""Numbers of an activation beyond which a network gets further in the time that the global form takes."""
LANDMARKS = 768
"""Public activations that a long activation is projected onto."""
PATCH_NUMBERS = 1200
"""Numbers in a patch of the local form, at most."""
PATCHES = 20
"""Patches for each unknown of the local form, at most: of either half of the public images, more say no more."""
TRIED = 64
"""Held-out images that the penalties of the local form are tried on, at most."""
PENALTIES = tuple(10.0**e for e in range(-8, 5))
"""Ridge penalties that are tried, relative to the mean eigenvalue; the last leaves the mean image."""
CHUNK = 256

Chunks = Callable[[int, int], Activations]
"""Standardised activations of the samples from ... to ...: never all of them at once."""
Chosen = Callable[[Tensor], Activations]
"""Standardised activations of the samples with these numbers, (n,)."""


class Ridge:
    """weights = (gram + penalty * mean eigenvalue)^-1 cross for any penalty, from one eigendecomposition; float64."""

    def __init__(self, gram: Tensor, cross: Tensor) -> None:
        self.values, self.vectors = torch.linalg.eigh(gram)
        self.values = self.values.clamp_min(0)
        self.rotated = self.vectors.T @ cross

    def shrunk(self, penalty: float) -> Tensor:
        """The weights in the basis of the eigenvectors."""
        weights: Tensor = self.rotated / (self.values + penalty * self.values.mean().clamp_min(1e-30))[:, None]
        return weights

    def weights(self, penalty: float) -> Tensor:
        """The weights."""
        weights: Tensor = self.vectors @ self.shrunk(penalty)
        return weights

    def best(self, rows: Tensor, loss: Callable[[Tensor], Tensor]) -> tuple[float, float]:
        """(loss, penalty) of the penalty whose predictions from ``rows`` have the least loss."""
        turned = rows @ self.vectors
        return min((float(loss(turned @ self.shrunk(p))), p) for p in PENALTIES)


class GlobalLinear(nn.Module):
    """pixels = bias + [activation (projected onto landmarks, if it is long)] @ weight."""

    landmarks: Tensor
    weight: Tensor
    bias: Tensor

    def __init__(self, image: TensorSpec, length: int) -> None:
        super().__init__()
        self.image = image
        width = length if length <= LONGEST else LANDMARKS
        self.register_buffer("landmarks", torch.zeros(length if length > LONGEST else 0, width))
        self.register_buffer("weight", torch.zeros(width, image.elements))
        self.register_buffer("bias", torch.zeros(image.elements))

    def rows(self, activations: Activations) -> Tensor:
        """One observation-averaged design row a sample, (N, D)."""
        flat = flattened(activations)
        return flat @ self.landmarks if self.landmarks.numel() else flat

    def forward(self, activations: Activations) -> Tensor:
        """(N, k, *shape) each to (N, C, H, W), not clamped."""
        flat = torch.addmm(self.bias, self.rows(activations), self.weight)
        return flat.view(-1, *self.image.shape)

    def fit(self, chunks: Chunks, pixels: Tensor, held: tuple[Activations, Tensor]) -> float:
        """Solve for the weights; returns the mean squared error on ``held``."""
        count = len(pixels)
        if self.landmarks.numel():
            chosen = flattened(chunks(0, LANDMARKS)).T
            self.landmarks = F.pad(chosen, (0, LANDMARKS - chosen.shape[1])) / math.sqrt(chosen.shape[0])
        starts = range(0, count, CHUNK)
        total = torch.stack([self.rows(chunks(i, i + CHUNK)).sum(0, dtype=torch.float64) for i in starts]).sum(0)
        centre, mean = (total / count).float(), pixels.flatten(1).mean(0)
        held_rows, truth = (self.rows(held[0]) - centre).double(), held[1].flatten(1).double()

        def loss(guess: Tensor) -> Tensor:
            return ((guess + mean).clamp(0, 1) - truth).square().mean()

        if count < len(centre):  # fewer samples than numbers: the dual form
            design = torch.cat([self.rows(chunks(i, i + CHUNK)) - centre for i in starts]).double()
            ridge = Ridge(design @ design.T, (pixels.flatten(1) - mean).double())
            error, penalty = ridge.best(held_rows @ design.T, loss)
            weight = design.T @ ridge.weights(penalty)
        else:
            gram, cross = self._normal_equations(chunks, pixels.flatten(1) - mean, centre)
            ridge = Ridge(gram, cross)
            error, penalty = ridge.best(held_rows, loss)
            weight = ridge.weights(penalty)
        self.weight = weight.float()
        self.bias = mean - centre @ self.weight
        return error

    def _normal_equations(self, chunks: Chunks, target: Tensor, centre: Tensor) -> tuple[Tensor, Tensor]:
        width = len(centre)
        gram = torch.zeros(width, width, dtype=torch.float64, device=target.device)
        cross = torch.zeros(width, target.shape[1], dtype=torch.float64, device=target.device)
        for i in range(0, len(target), CHUNK):
            rows = self.rows(chunks(i, i + CHUNK)) - centre
            gram += rows.T @ rows
            cross += rows.T @ target[i : i + CHUNK]
        return gram, cross


class LocalLinear(nn.Module):
    """A block of stride x stride pixels from the patch of the map above it; a bias for every pixel."""

    weight: Tensor
    bias: Tensor

    def __init__(self, image: TensorSpec, reading: Reading, index: int) -> None:
        super().__init__()
        self.image, self.reading, self.index = image, reading, index
        self.stride = stride_of(reading.grid, image)
        sides = (math.ceil(n / self.stride) for n in image.shape[-2:])
        self.grid = tuple(max(side, n) for side, n in zip(sides, reading.grid, strict=True))
        largest = math.isqrt(max(PATCH_NUMBERS // reading.channels, 1))
        self.patch = max(1, min(largest - 1 + largest % 2, 7))
        outputs = image.shape[0] * self.stride**2
        self.register_buffer("weight", torch.zeros(outputs, reading.channels, self.patch, self.patch))
        self.register_buffer("bias", torch.zeros(image.shape))

    def _map(self, activations: Activations) -> Tensor:
        return centred(self.reading.map(activations[self.index].mean(1)), self.grid)

    def forward(self, activations: Activations) -> Tensor:
        """(N, k, *shape) each to (N, C, H, W), not clamped."""
        return self.blocks(self._map(activations)) + self.bias

    def blocks(self, maps: Tensor) -> Tensor:
        """The map (N, channels, *grid) to pixels, without the bias."""
        blocks = F.conv2d(maps, self.weight, padding=self.patch // 2)
        return centred(F.pixel_shuffle(blocks, self.stride), self.image.shape[-2:])

    def fit(self, chunks: Chunks, pixels: Tensor, held: tuple[Activations, Tensor]) -> float:
        """Solve for the weights; returns the mean squared error on ``held``."""
        size = self.weight[0].numel()
        mean = pixels.mean(0)
        gram = torch.zeros(size, size, dtype=torch.float64, device=pixels.device)
        cross = torch.zeros(size, self.weight.shape[0], dtype=torch.float64, device=pixels.device)
        full = [side * self.stride for side in self.grid]
        inside = F.pixel_unshuffle(centred(torch.ones_like(pixels[:1]), full), self.stride).flatten(2).amin(1)[0] > 0
        images = min(len(pixels), max(32, PATCHES * size // int(inside.sum())))
        starts = range(0, images, 32)
        total = sum((self._map(chunks(i, i + 32)).sum(0) for i in starts), torch.zeros(())) / images
        for i in starts:
            part = self._map(chunks(i, i + 32)) - total
            target = F.pixel_unshuffle(centred(pixels[i : i + 32] - mean, full), self.stride).flatten(2)[..., inside]
            rows = F.unfold(part, self.patch, padding=self.patch // 2)[..., inside]
            flat = rows.transpose(1, 2).reshape(-1, size)
            gram += flat.T @ flat
            cross += flat.T @ target.transpose(1, 2).reshape(len(flat), -1)
        ridge = Ridge(gram, cross)
        errors = {}
        few, truth = tuple(a[:TRIED] for a in held[0]), held[1][:TRIED]
        for penalty in PENALTIES:
            self._take(ridge.weights(penalty), mean, total)
            errors[penalty] = float((self(few).clamp(0, 1) - truth).square().mean())
        best = min(errors, key=errors.__getitem__)
        self._take(ridge.weights(best), mean, total)
        return errors[best]

    def _take(self, weight: Tensor, mean: Tensor, total: Tensor) -> None:
        self.weight = weight.T.float().reshape(self.weight.shape)
        self.bias = mean - self.blocks(total[None])[0]


class CrossFitted(nn.Module):
    """Two linear paths, each fitted to one half of the public images; what they say of any other image is averaged.

    One path that is fitted to all predicts the images that a network then learns from better than any other, and the
    network learns to add what only those lack (stacked generalisation, Wolpert 1992). CIFAR CNN, pool3, 5,000 public
    images: SSIM .38 for .33.
    """

    def __init__(self, make: Callable[[], GlobalLinear | LocalLinear]) -> None:
        super().__init__()
        self.first, self.second = make(), make()

    def forward(self, activations: Activations, half: Tensor | None = None) -> Tensor:
        """(N, k, *shape) each to (N, C, H, W), not clamped; where a ``half`` is given, (N,), by the other's path."""
        first: Tensor = self.first(activations)
        second: Tensor = self.second(activations)
        if half is None:
            return (first + second) / 2
        return torch.where((half == 0)[:, None, None, None], second, first)

    def fit(self, chosen: Chosen, pixels: Tensor, half: Tensor, held: tuple[Activations, Tensor]) -> float:
        """Solve for the weights of both; returns the mean squared error on ``held``."""
        for i, path in enumerate((self.first, self.second)):
            own = (half == i).nonzero()[:, 0]
            if not len(own):  # one public image
                own = torch.arange(len(half), device=half.device)

            def chunks(start: int, stop: int, own: Tensor = own) -> Activations:
                return chosen(own[start:stop])

            path.fit(chunks, pixels[own], held)
        return float((self(held[0]).clamp(0, 1) - held[1]).square().mean())


def flattened(activations: Activations) -> Tensor:
    """All numbers of a sample in a row, averaged over its observations: (N, k, *shape) each to (N, D)."""
    return torch.cat([part.mean(1).reshape(len(part), -1) for part in activations], 1)


def centred(maps: Tensor, size: Iterable[int]) -> Tensor:
    """Zero-pad or crop (..., H, W) evenly on both sides to ``size``."""
    padding: list[int] = []
    for have, want in zip(maps.shape[:-3:-1], reversed(list(size)), strict=True):
        before = math.trunc((want - have) / 2)  # towards zero, so that a crop undoes a pad
        padding += [before, want - have - before]
    return F.pad(maps, padding)
