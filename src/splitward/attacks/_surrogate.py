"""Edges in the likeness of one that is not known: sized from the shapes alone, the papers', or a named one."""

from __future__ import annotations

import importlib
import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from splitward.attacks._linear import centred
from splitward.attacks._reading import Reading, read, stride_of
from splitward.core.edge import Edge, Normalise
from splitward.core.errors import AttackError, NotApplicable
from splitward.core.knowledge import Activations, QueryFree, as_tuple
from splitward.core.run import Run
from splitward.core.spec import TensorSpec

COARSEST = 4
"""Positions per side at which features are no longer pooled."""
THUMBNAIL = 8
"""Side of the thumbnail that a vector may depend on linearly."""
WIDTHS = (0.5, 1.0, 1.5, 2.0)
"""Channels after each pooling, relative to ``width``."""


class Head(nn.Module):
    """From features at one scale to one tensor of the activation, in its own order of dimensions.

    A map is read off the features in the middle (convolutions without padding lose the border), the features resized
    to the map (those that were resampled), and a thumbnail of the image; a vector off the deepest features and a
    thumbnail.
    """

    def __init__(self, reading: Reading, maps: int, colours: int, deepest: tuple[int, int, int]) -> None:
        super().__init__()
        self.reading = reading
        channels, height, width = deepest
        self.map = nn.Conv2d(2 * maps + colours, reading.channels, 3, padding=1) if reading.channels else None
        self.vector = None
        if reading.length:
            hidden = 4 * channels
            first = nn.Linear(channels * height * width, hidden)
            self.vector = nn.Sequential(nn.Flatten(), first, nn.ReLU(), nn.Linear(hidden, reading.length))
            self.straight = nn.Linear(colours * THUMBNAIL**2, reading.length)

    def forward(self, image: Tensor, features: Tensor, deepest: Tensor) -> Tensor:
        """The image, its features (N, C, h, w) at the scale of the map, and the deepest ones, to (N, *shape)."""
        pieces = []
        if self.vector is not None:
            thumbnail = F.adaptive_avg_pool2d(image, THUMBNAIL).flatten(1)
            pieces.append(self.vector(deepest) + self.straight(thumbnail))
        if self.map is not None:
            grid = self.reading.grid
            resized = [F.adaptive_avg_pool2d(x, grid) for x in (features, image)]
            maps = self.map(torch.cat([centred(features, grid), *resized], 1))
            if self.reading.layout == "map-last":
                maps = maps.movedim(1, -1)
            if self.reading.layout == "tokens":
                maps = maps.flatten(2).transpose(1, 2)
            pieces.append(maps.flatten(1))
        return torch.cat(pieces, 1).reshape(-1, *self.reading.spec.shape)


class Surrogate(nn.Module):
    """Normalised pixels to activations of given shapes: convolutions and pooling, and a head for each tensor.

    ``rectified``: for each tensor, whether its numbers are never negative, which a last ReLU then sees to.
    """

    def __init__(
        self,
        activation: tuple[TensorSpec, ...],
        image: TensorSpec,
        rectified: Sequence[bool],
        width: int = 32,
        kernel: int = 5,
    ) -> None:
        super().__init__()
        readings = [read(spec, image) for spec in activation]
        self.rectified = tuple(rectified)
        self.places = [int(math.log2(stride_of(r.grid, image))) if r.channels else 0 for r in readings]
        coarse = math.floor(math.log2(max(min(image.shape[-2:]) / COARSEST, 1)))
        octaves = max(*self.places, coarse if any(r.length for r in readings) else 0, 0)
        widths = [max(8, round(width * WIDTHS[min(octave, 3)])) for octave in range(octaves + 1)]
        self.base: nn.Module | None = None
        self.octaves = nn.ModuleList()
        before = image.shape[0]
        for octave, channels in enumerate(widths):
            size = kernel if octave < 2 else 3
            layers: list[nn.Module] = [nn.MaxPool2d(2, ceil_mode=True)] if octave else []
            layers += [nn.Conv2d(before, channels, size, padding="same"), nn.ReLU()]
            layers += [nn.Conv2d(channels, channels, 3, padding="same"), nn.ReLU()]
            self.octaves.append(nn.Sequential(*layers))
            before = channels
        height, breadth = (math.ceil(n / 2**octaves) for n in image.shape[-2:])
        deepest = (widths[-1], height, breadth)
        colours = image.shape[0]
        self.heads = nn.ModuleList(
            Head(r, widths[place], colours, deepest) for r, place in zip(readings, self.places, strict=True)
        )

    def forward(self, values: Tensor) -> Tensor | tuple[Tensor, ...]:
        """(N, C, H, W) to a tensor, or a tuple of them, each (N, *shape)."""
        features = [self.octaves[0](values)]
        for octave in self.octaves[1:]:
            features.append(octave(features[-1]))
        parts = []
        for head, place, rectified in zip(self.heads, self.places, self.rectified, strict=True):
            part = head(values, features[place], features[-1])
            if self.base is not None:
                part = part + self.base(values)
            parts.append(F.relu(part) if rectified else part)
        return parts[0] if len(parts) == 1 else tuple(parts)

    def start_from(self, base: nn.Module) -> None:
        """Learn what is to be added to ``base``, which makes the one map of the activation; at first nothing is."""
        self.base = base
        for head in self.heads:
            for parameter in head.map.parameters():  # type: ignore[union-attr]
                nn.init.zeros_(parameter)


def rectified(activations: Activations) -> tuple[bool, ...]:
    """For each tensor whether it looks like the output of a ReLU: never negative, and often zero."""
    return tuple(bool((a >= 0).all()) and float((a == 0).float().mean()) > 0.05 for a in activations)


def script_layers(shape: tuple[int, ...], image: TensorSpec, rectify: bool) -> nn.Sequential:
    """The shadow architectures of ACSAC19 table 5, by how many pixels there are per position.

    MNIST (no padding) conv1: two 3x3x8; ReLU2: 3x3x8, 3x3x16, pool, 3x3x16, 3x3x16, ReLU. CIFAR (padded) conv11:
    3x3x16, 3x3x64; ReLU22: 5x5x64, ReLU, pool, 5x5x128, ReLU; ReLU32: the same, pool, 5x5x128, ReLU.
    """
    channels, colours = shape[0], image.shape[0]
    octaves = int(math.log2(stride_of((shape[1], shape[2]), image)))
    padded = shape[1] * 2**octaves == image.shape[1]
    if not padded:
        layers: list[nn.Module] = [nn.Conv2d(colours, 8, 3), nn.Conv2d(8, channels if not octaves else 16, 3)]
        if octaves:
            layers += [nn.MaxPool2d(2), nn.Conv2d(16, 16, 3), nn.Conv2d(16, channels, 3)]
    elif not octaves:
        layers = [nn.Conv2d(colours, 16, 3, padding=1), nn.Conv2d(16, channels, 3, padding=1)]
    else:
        layers, before = [nn.Conv2d(colours, 64, 5, padding=2)], 64
        for _ in range(octaves):
            layers += [nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(before, channels, 5, padding=2)]
            before = channels
    return nn.Sequential(*layers, *([nn.ReLU()] if rectify else []))


def make_edge(
    knowledge: QueryFree, architecture: str, width: int, kernel: int, rectify: Sequence[bool], run: Run
) -> Edge:
    """An untrained edge in the likeness of the victim's, behind the public images' own normalisation.

    ``architecture``: "sized", "scripts", or ``package.module:factory``, where ``factory()`` gives a module from
    normalised pixels to the activation. Raises NotApplicable where the papers have no architecture for these shapes,
    AttackError where the named one gives other shapes.
    """
    image, activation = knowledge.input, knowledge.activation
    with run.constructing("surrogate"):
        if architecture == "sized":
            body: nn.Module = Surrogate(activation, image, rectify, width, kernel)
        elif architecture == "scripts":
            if len(activation) > 1 or len(activation[0].shape) != 3:
                raise NotApplicable("the papers' shadow networks give one feature map; use the default preset here.")
            body = script_layers(activation[0].shape, image, rectify[0])
        else:
            body = _named(architecture)
    edge = behind_public(body, knowledge).to(run.device)
    with torch.no_grad():
        given = [tuple(part.shape[1:]) for part in as_tuple(edge(knowledge.public.images[:2]))]
    due = [spec.shape for spec in activation]
    if given != due:
        message = f"the architecture {architecture!r} gives activations of shape {given} and {due} are due"
        if architecture == "scripts":
            raise NotApplicable(f"{message}; use the default preset here.")
        raise AttackError(f"{message}; name another.")
    return edge


def behind_public(body: nn.Module, knowledge: QueryFree) -> Edge:
    """``body`` as an edge, behind the public images' own normalisation."""
    images = knowledge.public.images
    mean, std = images.mean((0, 2, 3)), images.std((0, 2, 3)).clamp_min(1e-3)
    return Edge(Normalise(tuple(mean.tolist()), tuple(std.tolist())), body)


def _named(architecture: str) -> nn.Module:
    module, _, factory = architecture.partition(":")
    try:
        body = getattr(importlib.import_module(module), factory)()
    except (ImportError, AttributeError, ValueError) as error:
        raise AttackError(f"there is no architecture {architecture!r}: {error}.") from error
    if not isinstance(body, nn.Module):
        raise AttackError(f"{architecture!r} gives {type(body).__name__} where a torch module is due.")
    return body
