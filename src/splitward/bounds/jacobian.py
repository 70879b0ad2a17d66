"""Derivatives of the edge by forward mode, in chunks; and the check without which none of them is believed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor

from splitward.core.errors import BoundError, in_one_line

Map = Callable[[Tensor], Tensor]
"""From pixels (N, C, H, W) to the numbers that cross, (N, a)."""

TANGENTS, NUMBERS = 128, 1 << 22
"""Directions that pass through the edge at once, at most, and numbers that cross for them."""
STEPS = (1e-3, 1e-2, 3e-2)
"""Standard deviation, per pixel, of the moves over which derivatives are compared with differences."""
POINTS = (16, 64, 256)
"""At which a derivative is taken along one move; more where fewer do not do, because of kinks on the way."""
TOLERANCE = 0.02
"""Of the check. More points bring the error of a right derivative below it, not that of a wrong one."""


def push(edge: Map, images: Tensor, directions: Tensor) -> Tensor:
    """J u: how the numbers move, (N, a), when ``images`` do along ``directions``, both (N, C, H, W).

    Raises BoundError where an operator of the edge has no forward-mode derivative.
    """
    try:
        moved: Tensor = torch.func.jvp(edge, (images,), (directions,))[1]
    except (NotImplementedError, RuntimeError) as error:
        raise BoundError(f"the edge cannot be differentiated in forward mode ({in_one_line(error)}).") from error
    return moved.detach()


def pull(edge: Map, images: Tensor, weights: Tensor) -> Tensor:
    """J^T w, (N, C, H, W), for weights (N, a): reverse mode."""
    back: Callable[[Tensor], tuple[Tensor, ...]] = torch.func.vjp(edge, images)[1]
    return back(weights)[0].detach()


def columns(edge: Map, image: Tensor, directions: Tensor) -> Tensor:
    """J u of one image (C, H, W) for each of m directions (m, C, H, W): (m, a)."""
    with torch.no_grad():
        crossing = edge(image[None]).shape[1]
    chunk = max(1, min(TANGENTS, NUMBERS // max(crossing, image.numel())))
    parts = [push(edge, image.expand_as(u).contiguous(), u) for u in directions.split(chunk)]
    return torch.cat(parts)


def energies(edge: Map, image: Tensor, directions: Tensor) -> Tensor:
    """The squared length of J u for each direction, (m,), float64."""
    return columns(edge, image, directions).double().square().sum(1)


def units(image: Tensor) -> Tensor:
    """One direction for each pixel."""
    return torch.eye(image.numel(), dtype=image.dtype, device=image.device).view(-1, *image.shape)


def principal_directions(edge: Map, image: Tensor) -> Tensor:
    """An orthonormal basis of the pixels, (d, C, H, W): eigenvectors of J^T J at the image, the strongest first."""
    moves = columns(edge, image, units(image)).double()
    vectors: Tensor = torch.linalg.eigh(moves @ moves.T)[1]
    return vectors.flip(1).T.to(image.dtype).reshape(-1, *image.shape)


def self_check(edge: Map, images: Tensor, generator: Generator) -> float:
    """The largest relative error of the derivatives, against differences and against reverse mode.

    1. f(x + v) - f(x - v) is the integral of J v along the way, for random moves v from tiny to plain: not so where J
       is wrong, where a gradient was cut off or made up, and where the edge jumps (rounds, compares).
    2. (J v) . w = v . (J^T w) for random v and w.

    Raises BoundError where it exceeds 2 %: a wrong Jacobian certifies nothing.
    """
    worst = 0.0
    for step in STEPS:
        v = step * torch.randn(images.shape, generator=generator, device=images.device)
        off = _integrated(edge, images, v, POINTS[0])
        for points in POINTS[1:]:
            before = off
            if off > TOLERANCE:
                off = _integrated(edge, images, v, points)
            if off > before / 2:
                break
        worst = max(worst, off, _transposed(edge, images, v, generator))
        if not worst <= TOLERANCE:
            raise BoundError(
                f"the derivatives of the edge are off by {100 * worst:.0f} % from what it does: it jumps, or a "
                "gradient in it is cut off or made up, so that nothing can be certified from them."
            )
    return worst


def _integrated(edge: Map, images: Tensor, v: Tensor, points: int) -> float:
    """By how much f(x + v) - f(x - v) is off from the integral of J v (midpoint rule)."""
    with torch.no_grad():
        gap = (edge(images + v) - edge(images - v)).double()
    moved = torch.zeros_like(gap)
    for i in range(points):
        moved += push(edge, images + ((2 * i + 1) / points - 1) * v, v).double() * (2 / points)
    return _relative(gap, moved)


def _transposed(edge: Map, images: Tensor, v: Tensor, generator: Generator) -> float:
    """By how much (J v) . w is off from v . (J^T w), for w near J v."""
    moved = push(edge, images, v)
    noise = torch.randn(moved.shape, generator=generator, device=moved.device)
    w = moved + moved.norm() / moved.numel() ** 0.5 * noise
    forward = (moved.double() * w).flatten(1).sum(1)
    reverse = (pull(edge, images, w).double() * v).flatten(1).sum(1)
    return _relative(forward, reverse)


def _relative(one: Tensor, other: Tensor) -> float:
    size = max(float(one.norm()), float(other.norm()))
    return float((one - other).norm()) / size if size > 0 else 0.0


def flattened(body: Callable[[Tensor], Any]) -> Map:
    """All tensors that cross as one row of numbers for each image. Raises BoundError where one is not floating."""

    def numbers(pixels: Tensor) -> Tensor:
        sent = body(pixels)
        parts = (sent,) if isinstance(sent, Tensor) else tuple(sent)
        if bad := [p.dtype for p in parts if not p.is_floating_point()]:
            raise BoundError(f"a tensor of type {bad[0]} crosses, which no noise is added to.")
        return torch.cat([p.flatten(1) for p in parts], 1)

    return numbers
