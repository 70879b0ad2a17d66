"""An affine edge that the attacker holds: a linear system, solved with products of its Jacobian and its transpose."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor

from splitward.attacks._affine import AffineInverse, inverse_of, least_squares
from splitward.core.edge import Edge
from splitward.core.knowledge import Activations, as_tuple
from splitward.core.run import Run

PROBED = 8
"""Public images, at least two, that the edge is tried on."""
HELD = 32
"""Public images that must come back."""
AFFINE = 1e-9
"""Of the size of the activation: what an affine edge may differ by, in float64."""


@dataclass(frozen=True)
class AffineEdge:
    """f(x) = J x + b in float64: J by running the edge, its transpose by its gradient, for any padding and stride."""

    edge: Edge
    bias: tuple[Tensor, ...]  # what the edge computes for black, each (1, *shape)

    def forward(self, pixels: Tensor) -> Tensor:
        """J x: (N, C, H, W) to (N, D), all tensors in a row."""
        return flat(tuple(part - b for part, b in zip(as_tuple(self.edge(pixels)), self.bias, strict=True)))

    def adjoint(self, rows: Tensor, like: Tensor) -> Tensor:
        """J' y: (N, D) to (N, C, H, W)."""
        with torch.enable_grad():
            leaf = torch.zeros(len(rows), *like.shape[1:], dtype=rows.dtype, device=rows.device, requires_grad=True)
            (pulled,) = torch.autograd.grad(self.forward(leaf), leaf, rows)
        return pulled

    def solve(self, activations: Activations, start: Tensor) -> Tensor:
        """Least squares from ``start`` (1, C, H, W); observations count by their mean."""
        sent = tuple(part.double().mean(1) for part in activations)
        target = flat(tuple(part - b for part, b in zip(sent, self.bias, strict=True)))
        return least_squares(self.forward, lambda rows: self.adjoint(rows, start), target, start.double())


def flat(parts: tuple[Tensor, ...]) -> Tensor:
    """(N, *shape) each to (N, D)."""
    return torch.cat([part.flatten(1) for part in parts], 1)


@torch.no_grad()
def solve_affine(edge: Edge, public: Tensor, run: Run) -> AffineInverse | None:
    """The exact inverse of ``edge``, where it is affine and its answers decide every pixel; else None."""
    exact = copy.deepcopy(edge).double()
    some = public[:PROBED].double()
    one, two = some[: len(some) // 2], some[len(some) // 2 : 2 * (len(some) // 2)]
    if not len(one):
        return None
    parts = [as_tuple(exact(x)) for x in (one, two, (one + two) / 2)]
    if not all(part.is_floating_point() for part in parts[0]):
        return None
    a, b, between = (flat(part).double() for part in parts)
    if float(((a + b) / 2 - between).abs().max()) > AFFINE * float(a.abs().max()):
        return None
    affine = AffineEdge(exact, as_tuple(exact(torch.zeros_like(some[:1]))))
    held = public[-HELD:]
    sent = tuple(part[:, None] for part in as_tuple(edge(held)))
    return inverse_of(affine, public[:1024], (sent, held), run)
