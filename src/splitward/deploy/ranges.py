"""The range of values that cross at a cut: what int8 is spread over, found on public images before anything is sent."""

from __future__ import annotations

import torch
from torch import Tensor

from splitward.core.defence_text import parse_chain
from splitward.core.edge import release
from splitward.split.halves import Halves

DRAWS = 4


@torch.no_grad()
def ranges(halves: Halves, defence: str, images: Tensor) -> tuple[tuple[float, float], ...]:
    """Least and largest value of each tensor, over some draws of the defence for ``images`` (N, C, H, W)."""
    generator, chain = torch.Generator().manual_seed(0), parse_chain(defence)
    draws = [release(halves.edge, chain, images, generator) for _ in range(DRAWS)]
    return tuple(
        (min(float(t.min()) for t in part), max(float(t.max()) for t in part)) for part in zip(*draws, strict=True)
    )
