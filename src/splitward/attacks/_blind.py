"""Blind identification: the linear map that turns public images into something with the traffic's own moments."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from splitward.attacks._linear import centred
from splitward.attacks._moments import LAGS, Moments, Whitening, overlaps
from splitward.core.spec import TensorSpec

KERNEL = 5
"""Pixels per side that a value of a map depends on, at a stride of 1; four more at every doubling of the stride."""
STARTS = 3
ITERATIONS = 300
IMAGES = 2048
"""Public images whose windows are correlated, at most."""
NUMBERS = 1 << 27
"""Numbers in all of their windows, at most."""


class Affine(nn.Module):
    """One convolution to the principal components of the traffic's channels, and back to the channels."""

    basis: Tensor
    mean: Tensor

    def __init__(self, whitening: Whitening, spec: TensorSpec, colours: int, stride: int, rectified: bool) -> None:
        super().__init__()
        self.rectified = rectified
        self.grid = spec.shape[1:]
        kernel = KERNEL + 4 * int(math.log2(stride))
        components = len(whitening.deviations)
        self.components = nn.Conv2d(colours, components, kernel, stride, kernel // 2)
        self.register_buffer("basis", whitening.directions * whitening.deviations)
        self.register_buffer("mean", whitening.mean)

    def forward(self, values: Tensor) -> Tensor:
        """(N, C, H, W), normalised, to (N, *shape)."""
        found = centred(self.components(values), self.grid)
        maps = torch.einsum("nrhw,cr->nchw", found, self.basis) + self.mean[:, None, None]
        return F.relu(maps) if self.rectified else maps

    def before_rectifying(self) -> Affine:
        """The same map, without the last ReLU from now on."""
        self.rectified = False
        return self

    def windows(self, values: Tensor) -> Tensor:
        """What each position sees: (N, C, H, W) to (N, window, *grid)."""
        conv = self.components
        kernel, stride = conv.kernel_size[0], conv.stride[0]
        seen = F.unfold(values, kernel, padding=kernel // 2, stride=stride)
        sides = ((n - 1) // stride + 1 for n in values.shape[-2:])
        return centred(seen.unflatten(2, tuple(sides)), self.grid)


@dataclass(frozen=True)
class Problem:
    """The moments' distance of an affine map, a polynomial of its weights: quadratic in means, quartic in covariances.

    ``weights`` (window + 1, components), the bias last. Of public images: ``gram``, of the windows' means over places
    and classes; ``lagged``, of windows at every lag. Of the traffic: ``cross``, ``square``, ``covariance``.
    """

    gram: Tensor
    cross: Tensor
    square: Tensor
    lagged: Tensor
    covariance: Tensor

    def distance(self, weights: Tensor) -> Tensor:
        """As ``Moments.distance`` of the map with these weights; a scalar."""
        means = (weights * (self.gram @ weights - 2 * self.cross)).sum() + self.square
        q = weights[:-1]
        difference = q.T @ self.lagged @ q - self.covariance
        return means / weights.shape[1] + difference.square().sum() / self.covariance.square().sum()

    def cpu(self) -> Problem:
        """The same problem on the CPU."""
        return Problem(*(getattr(self, f.name).cpu() for f in dataclasses.fields(self)))

    def linear(self, penalty: float) -> Tensor:
        """What the means alone say of the weights."""
        ridge = penalty * self.gram.diagonal().mean() * torch.eye(len(self.gram)).to(self.gram)
        weights: Tensor = torch.linalg.solve(self.gram + ridge, self.cross)
        return weights.contiguous()


def pose(body: Affine, moments: Moments, images: Tensor, labels: Tensor | None) -> Problem:
    """The problem for public ``images`` (N, C, H, W), normalised, with their ``labels`` where they have some."""
    places = body.grid[0] * body.grid[1]
    average = images.mean(0, keepdim=True)
    rows = F.pad(body.windows(average).flatten(2)[0].T.double(), (0, 1), value=1.0)
    target = moments.mean[0].flatten(1).T.double()
    gram, cross, square = rows.T @ rows, rows.T @ target, target.square().sum()
    if moments.shares is not None and labels is not None:
        seen = [c for c in range(len(moments.shares)) if bool((labels == c).any()) and float(moments.shares[c])]
        for c in seen:
            apart = body.windows(images[labels == c].mean(0, keepdim=True) - average)
            rows = F.pad(apart.flatten(2)[0].T.double(), (0, 1))
            target = moments.by_class[0][c].view(-1, places).T.double()
            gram = gram + rows.T @ rows / len(seen)
            cross = cross + rows.T @ target / len(seen)
            square = square + target.square().sum() / len(seen)
    share = max(64, min(IMAGES, NUMBERS // body.windows(images[:1]).numel()))
    total = torch.zeros(())
    for batch in (images[:share] - average).split(32):
        seen_there = body.windows(batch).transpose(0, 1)
        total = total + torch.stack([here @ there.T for here, there in overlaps(seen_there)]).double()
    counts = torch.tensor([n * min(len(images), share) for n in _places(body.grid)]).to(total)
    return Problem(
        gram / places, cross / places, square / places, total / counts[:, None, None], moments.covariance[0].double()
    )


def _places(grid: tuple[int, ...]) -> list[int]:
    height, width = grid
    return [(height - r) * (width - abs(c)) for r, c in LAGS if r < height and abs(c) < width]


def identify(body: Affine, problem: Problem, generator: Generator) -> float:
    """Put the best weights found in place: L-BFGS from several starts; returns their distance.

    It runs on the CPU in any case: a GPU would spend its time on telling the line search how it goes.
    """
    problem = problem.cpu()
    best, start = float("inf"), problem.linear(1e-3)
    conv = body.components
    for number in range(STARTS):
        noise = torch.randn(start.shape, generator=generator, device=generator.device, dtype=start.dtype).cpu()
        weights = (start + 0.3 * number * start.std() * noise).requires_grad_()
        optimiser = torch.optim.LBFGS(
            [weights], max_iter=ITERATIONS, history_size=30, line_search_fn="strong_wolfe", tolerance_change=1e-10
        )

        def closure(weights: Tensor = weights, optimiser: torch.optim.LBFGS = optimiser) -> Tensor:
            optimiser.zero_grad()
            distance = problem.distance(weights)
            distance.backward()
            return distance

        optimiser.step(closure)
        with torch.no_grad():
            distance = float(problem.distance(weights))
            if distance < best:
                best = distance
                conv.weight.copy_(weights[:-1].T.reshape(conv.weight.shape))
                conv.bias.copy_(weights[-1])  # type: ignore[union-attr]
    return best
