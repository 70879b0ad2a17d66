"""The device, to be asked by an attacker."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from splitward.audit.asked import Asked
from splitward.core.defence import Chain
from splitward.core.edge import Edge, Sender
from splitward.core.errors import BudgetExceeded


class DeviceOracle:
    """Counted, budgeted and without gradients; every answer is a fresh draw of the defence.

    The edge, the defence and their randomness sit in a closure, out of reach of an attack that reads attributes.
    ``asked``: what this edge computed for the images that were asked before; it saves work and changes no answer.
    """

    def __init__(
        self, edge: Edge, chain: Chain, generator: Generator, budget: int | None, asked: Asked | None = None
    ) -> None:
        self.used = 0
        self.budget = budget

        send = Sender(edge, chain, generator, asked)

        @torch.no_grad()
        def ask(pixels: Tensor) -> tuple[Tensor, ...]:
            return tuple(part.detach() for part in send(pixels))

        self._ask = ask

    def __call__(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """Activations of ``pixels`` (N, C, H, W); raises BudgetExceeded when more are asked than are left."""
        count = pixels.shape[0]
        if self.budget is not None and self.used + count > self.budget:
            raise BudgetExceeded(
                f"{count} queries were asked with {self.budget - self.used} of {self.budget} left: "
                "ask fewer, or raise --query-budget."
            )
        self.used += count
        return self._ask(pixels)
