"""Does the description of a defence, which adaptive attackers are handed, fit what the device does?

An attack that reasons from a wrong description is weaker than one from a right one, so its silence means nothing. Each
channel is tested at its own place, on fresh draws for public data: its draws against those of the description
(``audit.draws``), and, where there is a closed form, the description's density against its draws
(``audit.densities``).
"""

from __future__ import annotations

import torch
from torch import Tensor

from splitward.audit.densities import weigh
from splitward.audit.draws import Look, compare, draw, scales_of
from splitward.audit.world import World
from splitward.core.defence import Chain, Channel, Position, spec
from splitward.core.knowledge import as_tuple
from splitward.core.run import Run
from splitward.record import schema

POSITIONS: tuple[Position, ...] = ("input", "wire")
"""In the order in which they come."""
IMAGES = 64
"""Public images whose clean values are drawn for, at most; each several times."""
DRAWN, WEIGHED = 1 << 19, 3 << 22
"""Numbers that are drawn for one tensor in the two tests, about."""
FEWEST, MOST = 64, 8192
"""Rows of each test; 8192 show a density whose scale is 10 % off, or whose rate is by 0.05."""


@torch.no_grad()
def examine(world: World, run: Run) -> tuple[schema.Description, ...]:
    """Every channel of the world's defence, in the order in which they act; integers and booleans pass unchanged."""
    told, found = world.chain.description(), list[schema.Description]()
    values: tuple[Tensor, ...] = (world.edge.normalise(world.public.images[:IMAGES]),)
    for position in POSITIONS:
        if position == "wire":
            values = as_tuple(world.edge.body(values[0]))
        for pair in zip(world.chain.at(position).channels, told.at(position).channels, strict=True):
            own = run.child(f"description/{len(found)}/{world.key}")
            found.append(_examine(*pair, values, own))
            values = tuple(Chain(pair[:1]).sample(clean, own.stream("sent on")) for clean in values)
    return tuple(found)


def _examine(device: Channel, told: Channel, values: tuple[Tensor, ...], run: Run) -> schema.Description:
    """One channel on the clean values that reach it, each (M, *shape)."""
    draws: list[Look] = []
    densities: list[Look] = []
    for index, clean in enumerate(values):
        if clean.is_floating_point() and clean.numel():
            stream, entries = run.stream(str(index)), clean[0].numel()
            many = clean[torch.arange(_rows(DRAWN, entries), device=clean.device) % len(clean)]
            sent = draw(device, many, stream), draw(told, many, stream)
            scales = scales_of(many, *sent)
            draws.append(compare(*sent, many, scales))
            density = weigh(device, told, clean, scales, _rows(WEIGHED, entries), stream)
            densities += [] if density is None else [density]
    return schema.Description(
        defence=spec(device), told=spec(told), sampler=_worst(draws), density=_worst(densities)
    )  # fmt: skip


def _rows(numbers: int, entries: int) -> int:
    return max(FEWEST, min(MOST, numbers // entries))


def _worst(looks: list[Look]) -> schema.Fit | None:
    """The least p-value, times their number; None where there was nothing to look at."""
    if not looks:
        return None
    least = min(looks, key=lambda look: look.p)
    p = min(1.0, len(looks) * least.p)
    return schema.Fit(p=p, quantity=least.quantity, device=least.device, described=least.described)
