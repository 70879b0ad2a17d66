"""An edge that is affine is identified from a few answers, and inverted exactly by conjugate gradients.

A convolution (with any bias for every position: padding of normalised pixels, position embeddings) is found by least
squares on public (patch of pixels -> position of the map) pairs. Inverting it is then an over-determined linear system.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from splitward.attacks._reading import Reading, read, refuse_not_finite, stride_of
from splitward.core.knowledge import Activations
from splitward.core.run import Run
from splitward.core.spec import TensorSpec

KERNELS = (3, 5, 7, 11, 16)
"""Sides of the window of pixels that a position may depend on."""
UNKNOWNS = 1000
"""Numbers in a window, at most."""
AFFINE = 1e-6
"""Share of the variance that an affine map may leave unexplained on public images it was not fitted to."""
EXACT = 1e-5
"""Mean squared error (50 dB) on those images that makes the solution the answer; otherwise a decoder is trained."""
ITERATIONS = 300
ROWS = 60_000
"""Windows of pixels, at least, that a kernel is fitted to."""
BATCH = 64


Linear = Callable[[Tensor], Tensor]
"""A linear map of images (N, C, H, W) to images, each image by itself."""


def conjugate_gradients(apply: Linear, target: Tensor, iterations: int, precision: float = 1e-10) -> Tensor:
    """The solutions d of ``apply(d) = target``, one for each image; ``apply`` symmetric and not negative.

    Stops when every residual, relative to its start, is below ``precision``. (Hestenes and Stiefel 1952.)
    """
    d, residual = torch.zeros_like(target), target.clone()
    direction, power = residual.clone(), _dot(residual, residual)
    enough = precision**2 * power + torch.finfo(target.dtype).tiny
    for _ in range(iterations):
        if bool((power <= enough).all()):
            break
        moved = apply(direction)
        size = power / _dot(direction, moved).clamp_min(torch.finfo(target.dtype).tiny)
        size = torch.where(power <= enough, 0.0, size)
        d = d + size * direction
        residual = residual - size * moved
        new = _dot(residual, residual)
        direction = residual + new / power.clamp_min(torch.finfo(target.dtype).tiny) * direction
        power = new
    return d


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).flatten(1).sum(1)[:, None, None, None]


@dataclass(frozen=True)
class Convolution:
    """activation = kernel * pixels + bias: a window of pixels for each position, and a bias for each number."""

    reading: Reading
    index: int  # of the tensor, among those that crossed
    kernel: Tensor  # (channels, C, k, k) float64
    bias: Tensor  # (channels, h, w)
    stride: int
    padding: tuple[int, int, int, int]  # negative: pixels that no position sees

    def forward(self, pixels: Tensor) -> Tensor:
        """(N, C, H, W) to the map without its bias."""
        return F.conv2d(F.pad(pixels, self.padding), self.kernel, stride=self.stride)

    def adjoint(self, maps: Tensor) -> Tensor:
        """The transpose of ``forward``."""
        spread = F.conv_transpose2d(maps, self.kernel, stride=self.stride)
        return F.pad(spread, [-p for p in self.padding])

    def solve(self, activations: Activations, start: Tensor) -> Tensor:
        """Least squares by conjugate gradients on the normal equations, from ``start`` (1, C, H, W)."""
        maps = self.reading.map(activations[self.index].double().mean(1)) - self.bias
        return least_squares(self.forward, self.adjoint, maps, start.double())


def least_squares(
    forward: Callable[[Tensor], Tensor], adjoint: Callable[[Tensor], Tensor], target: Tensor, start: Tensor
) -> Tensor:
    """The images x nearest to ``start`` (1, C, H, W) with the least ``|forward(x) - target|``; both maps linear.

    ``target``: (N, *shape) of anything that ``forward`` gives for N images.
    """
    x = start.expand(len(target), *start.shape[1:])
    return x + conjugate_gradients(lambda d: adjoint(forward(d)), adjoint(target - forward(x)), ITERATIONS)


class Solvable(Protocol):
    """An affine edge that can be solved for its input."""

    def solve(self, activations: Activations, start: Tensor) -> Tensor:
        """(N, k, *shape) each to (N, C, H, W) float64, not clamped."""


@dataclass(frozen=True)
class AffineInverse:
    """The inverter of an affine edge: pixels in [0, 1], rounded to eight bits where all public images are so."""

    edge: Solvable
    start: Tensor
    eight_bits: bool

    def __call__(self, activations: Activations) -> Tensor:
        """(N, k, *shape) each to (N, C, H, W)."""
        refuse_not_finite(activations)
        whole = range(0, len(activations[0]), BATCH)
        parts = [self.edge.solve(tuple(a[i : i + BATCH] for a in activations), self.start) for i in whole]
        pixels = torch.cat(parts).clamp(0, 1)
        return ((pixels * 255).round() / 255 if self.eight_bits else pixels).float()


def inverse_of(edge: Solvable, pixels: Tensor, held: tuple[Activations, Tensor], run: Run) -> AffineInverse | None:
    """The exact inverse, if it gives the hold-out back; ``pixels`` (M, C, H, W): public images."""
    eight_bits = bool(((pixels * 255).round() - pixels * 255).abs().max() < 1e-3)
    inverse = AffineInverse(edge, pixels.mean(0, keepdim=True), eight_bits)
    guess = inverse(tuple(a[:BATCH] for a in held[0]))
    error = float((guess - held[1][:BATCH]).square().mean())
    if error >= EXACT:
        return None
    run.record_loss("exact", ITERATIONS, error)
    return inverse


Shape = tuple[int, int, tuple[int, int, int, int]]
"""Stride, side of the window, padding (negative: pixels that no position sees)."""


def windows(image: TensorSpec, grid: tuple[int, int]) -> list[Shape]:
    """(stride, kernel, padding) of the convolutions that may have made a map of ``grid``, centred on the image."""
    height, width = image.shape[-2:]
    ratio = min(height / grid[0], width / grid[1])
    strides = sorted({max(1, math.floor(ratio)), max(1, round(ratio)), stride_of(grid, image)})
    found = []
    for stride in strides:
        for kernel in sorted({*KERNELS, stride, stride + 2}):
            if kernel >= stride and image.shape[0] * kernel**2 <= UNKNOWNS:
                sides = []
                for size, positions in ((width, grid[1]), (height, grid[0])):
                    missing = (positions - 1) * stride + kernel - size
                    sides += [missing // 2, missing - missing // 2]
                found.append((stride, kernel, (sides[0], sides[1], sides[2], sides[3])))
    return found


def fit(reading: Reading, index: int, maps: Tensor, pixels: Tensor, shape: Shape) -> Convolution:
    """Least squares for one window shape; ``maps`` (N, channels, h, w) and ``pixels`` float64."""
    stride, kernel, padding = shape
    mean, centre = pixels.mean(0, keepdim=True), maps.mean(0, keepdim=True)
    size = pixels.shape[1] * kernel**2
    gram = torch.zeros(size, size, dtype=torch.float64, device=pixels.device)
    cross = torch.zeros(size, maps.shape[1], dtype=torch.float64, device=pixels.device)
    for i in range(0, len(pixels), BATCH):
        rows = F.unfold(F.pad(pixels[i : i + BATCH] - mean, padding), kernel, stride=stride).transpose(1, 2)
        flat = rows.reshape(-1, size)
        gram += flat.T @ flat
        cross += flat.T @ (maps[i : i + BATCH] - centre).flatten(2).transpose(1, 2).reshape(len(flat), -1)
    gram += 1e-10 * gram.diagonal().mean() * torch.eye(size, dtype=torch.float64, device=pixels.device)
    weight = torch.linalg.solve(gram, cross).T.reshape(-1, pixels.shape[1], kernel, kernel)
    found = Convolution(reading, index, weight, centre, stride, padding)
    return Convolution(reading, index, weight, centre - found.forward(mean), stride, padding)


def identify(
    activations: Activations, pixels: Tensor, held: tuple[Activations, Tensor], run: Run
) -> AffineInverse | None:
    """The exact inverse, where one of the tensors is an affine map of the image that can be solved; else None.

    ``activations`` (N, k, *shape) of a device without randomness. The fit is judged on the hold-out, by itself (is the
    edge affine?) and by the pictures that it gives back.
    """
    image = TensorSpec(tuple(pixels.shape[1:]))
    for index, part in enumerate(activations):
        reading = read(TensorSpec(tuple(part.shape[2:])), image)
        if not reading.channels or reading.spec.elements < image.elements:
            continue
        used = max(32, ROWS // math.prod(reading.grid))
        maps, seen = reading.map(part[:used, 0]).double(), pixels[:used].double()
        true, unseen = reading.map(held[0][index][:BATCH, 0]).double(), held[1][:BATCH].double()
        variance = (true - maps.mean(0)).square().mean()
        for shape in windows(image, reading.grid):
            edge = fit(reading, index, maps, seen, shape)
            wrong = (edge.forward(unseen) + edge.bias - true).square().mean()
            if float(wrong) > AFFINE * float(variance):
                continue
            inverse = inverse_of(edge, pixels, held, run)
            if inverse is not None:
                return inverse
    return None
