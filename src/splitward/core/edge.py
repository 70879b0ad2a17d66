"""The device's half: a normalisation, then the edge's part of the network; and what the defended device sends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor, nn

from splitward.core.defence import Chain


class Normalise(nn.Module):
    """(pixels - mean) / std per channel, the first thing inside the edge."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: tuple[float, ...] = (0.0,), std: tuple[float, ...] = (1.0,)) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1))

    def forward(self, pixels: Tensor) -> Tensor:
        """(N, C, H, W) in [0, 1] to normalised values."""
        return (pixels - self.mean) / self.std

    def inverse(self, values: Tensor) -> Tensor:
        """Normalised values back to pixels; not clipped."""
        return values * self.std + self.mean


class Normalised(nn.Module):
    """A whole model from pixels: ``model(normalise(pixels))``. Every model of the audit has this form.

    ``split`` cuts the inner ``model``, so the names of cuts are the inner model's own, and hands the normalisation to
    the edge.
    """

    def __init__(self, normalise: nn.Module, model: nn.Module) -> None:
        super().__init__()
        self.normalise = normalise
        self.model = model

    def forward(self, pixels: Tensor) -> Any:
        """Pixels (N, C, H, W) in [0, 1] to the model's output."""
        return self.model(self.normalise(pixels))


class Edge(nn.Module):
    """The half on the device: ``body(normalise(pixels))``. The point between the two is where @input defences act."""

    def __init__(self, normalise: nn.Module, body: nn.Module) -> None:
        super().__init__()
        self.normalise = normalise
        self.body = body

    def forward(self, pixels: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Pixels to the activation: a tensor, or a tuple of them."""
        activation: Tensor | tuple[Tensor, ...] = self.body(self.normalise(pixels))
        return activation


def release(edge: Edge, chain: Chain, pixels: Tensor, generator: Generator) -> tuple[Tensor, ...]:
    """What the defended device sends for ``pixels``: one fresh draw, each tensor (N, *shape). Differentiable."""
    sender = Sender(edge, chain, generator)
    return sender.draw(sender.compute(pixels))  # once: nothing to keep


class Sender:
    """A defended device: a fresh draw for every call; what its defences do not change is computed once for a picture.

    That is the activation, where no defence acts on the input, no gradient is asked for, and equal pictures are sent.
    ``known``: ``edge`` itself, without gradients, by one who remembers more than the last pictures.
    """

    def __init__(
        self,
        edge: Edge,
        chain: Chain,
        generator: Generator,
        known: Callable[[Tensor], tuple[Tensor, ...]] | None = None,
    ) -> None:
        self.edge, self.generator, self.known = edge, generator, known
        self.at_input, self.wire = chain.at("input"), chain.at("wire")
        self._last: tuple[Tensor, ...] = ()  # copies of the pixels, and of what was computed for them

    def __call__(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """What is sent for ``pixels`` (N, C, H, W): one fresh draw, each tensor (N, *shape). Differentiable."""
        if self._last and not pixels.requires_grad and torch.equal(self._last[0], pixels):
            return self.draw(self._last[1:])
        parts = self.compute(pixels)
        if self.wire and not self.at_input and not any(part.requires_grad for part in parts):
            self._last = (pixels.clone(), *(part.clone() for part in parts))
        return self.draw(parts)

    def compute(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """What is computed for ``pixels`` before a defence acts on it; those of the input have acted."""
        if self.known is not None and not self.at_input:
            return self.known(pixels)
        activation = self.edge.body(self.at_input.sample(self.edge.normalise(pixels), self.generator))
        return (activation,) if isinstance(activation, Tensor) else tuple(activation)

    def draw(self, parts: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """A fresh draw of what is sent for them."""
        return tuple(self.wire.sample(part, self.generator) for part in parts)
