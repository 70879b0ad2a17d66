"""Decoders: networks from what crossed the wire to pixels, sized from the shapes alone.

``Decoder`` is ours: a convolutional network that sees the activation and a linear picture in closed form (``_linear``),
and adds to that picture what it lacks, or to the mean picture where the linear one says little. Several tensors are
embedded and summed on one canvas; k observations enter as a set, through their mean, largest and smallest value, which
no order can change. ``script_layers`` gives the small networks of the papers' released scripts.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from splitward.attacks._linear import LARGEST, CrossFitted, GlobalLinear, LocalLinear, centred
from splitward.attacks._reading import Standardise, canvas, read, stride_of
from splitward.attacks._training import Pairs, Schedule, Source, train_decoder
from splitward.core.errors import NotApplicable
from splitward.core.knowledge import Activations
from splitward.core.run import Run
from splitward.core.spec import TensorSpec

WIDTHS = {1: 0.5, 2: 1.0, 4: 1.5, 8: 2.0}
"""Channels at each stride, relative to ``width``: the finer the map, the fewer."""
EXPLAINED = 0.65
"""Share of the pixels' variance that a linear path explains, from which on a network adds to it."""
POSITIONS = 1024
"""Positions of a map beyond which its channels shrink, so that a large image costs what its pixels cost."""


class Residual(nn.Module):
    """x + conv(act(conv(act(x))))."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        y: Tensor = x + self.second(F.gelu(self.first(F.gelu(x))))
        return y


class MapStem(nn.Module):
    """A feature map onto the canvas: evenly padded to the canvas' borders, then one convolution."""

    def __init__(self, channels: int, own: tuple[int, int], grid: tuple[int, int], width: int) -> None:
        super().__init__()
        self.own, self.grid = own, grid
        kernel = 5 if channels <= 64 else 3
        self.squeeze = nn.Conv2d(channels, width, 1) if channels > 4 * width else nn.Identity()
        self.embed = nn.Conv2d(
            min(channels, width) if channels > 4 * width else channels, width, kernel, padding="same"
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) to (B, width, *grid)."""
        x = centred(self.squeeze(x), self.own)
        if self.own != self.grid:
            x = F.interpolate(x, size=self.grid, mode="bilinear", align_corners=False)
        y: Tensor = self.embed(x)
        return y


class VectorStem(nn.Module):
    """A vector onto the canvas: two fully connected layers to a coarse map, enlarged."""

    def __init__(self, length: int, image: TensorSpec, grid: tuple[int, int], width: int) -> None:
        super().__init__()
        _, self.coarse = canvas([], image)
        self.coarse = (min(self.coarse[0], grid[0]), min(self.coarse[1], grid[1]))
        self.grid, self.width = grid, width
        hidden = 8 * width
        self.layers = nn.Sequential(
            nn.Linear(length, hidden), nn.GELU(), nn.Linear(hidden, width * self.coarse[0] * self.coarse[1])
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, length) to (B, width, *grid)."""
        y = self.layers(x).view(len(x), self.width, *self.coarse)
        return y if self.coarse == self.grid else F.interpolate(y, size=self.grid, mode="nearest")


def channels_at(stride: int, image: TensorSpec, width: int) -> int:
    """Channels of the decoder's map at ``stride``."""
    positions = image.shape[-2] * image.shape[-1] / stride**2
    wanted = width * WIDTHS.get(stride, 2.0) * min(1.0, math.sqrt(POSITIONS / positions))
    return max(8, 8 * round(wanted / 8))


class Decoder(nn.Module):
    """From activations, each (B, k, *shape), to pixels (B, C, H, W), not clamped.

    ``sets``: the k observations are summarised before the network; without it the answers for each are averaged.
    Before ``learn_closed_forms`` and training it is grey, whatever it is given.
    """

    picture: Tensor

    def __init__(
        self, activation: tuple[TensorSpec, ...], image: TensorSpec, width: int = 48, depth: int = 1, sets: bool = False
    ) -> None:
        super().__init__()
        self.image, self.sets = image, sets
        self.readings = [read(spec, image) for spec in activation]
        self.standardise = Standardise(self.readings)
        self.register_buffer("picture", torch.full(image.shape, 0.5))
        self.linear: CrossFitted | None = None
        self.adds, self.alone = False, False  # to the linear picture; the linear picture alone
        self.stride, self.grid = canvas(self.readings, image)
        times = 3 if sets else 1
        coarse = channels_at(self.stride, image, width)
        self.channels = coarse
        self.stems = nn.ModuleList()
        for r in self.readings:
            own = stride_of(r.grid, image)
            size = (
                (math.ceil(image.shape[-2] / own), math.ceil(image.shape[-1] / own)) if own >= self.stride else r.grid
            )
            maps = MapStem(times * r.channels, size, self.grid, coarse) if r.channels else None
            vectors = VectorStem(times * r.length, image, self.grid, coarse) if r.length else None
            self.stems.append(nn.ModuleDict({n: m for n, m in (("map", maps), ("vector", vectors)) if m is not None}))
        self.told: nn.Module = nn.Identity()  # which defence it is: _panel
        self.glimpse = nn.Conv2d(image.shape[0] * self.stride**2, coarse, 3, padding=1)
        self.trunk = nn.Sequential(*(Residual(coarse) for _ in range(depth)))
        rise: list[nn.Module] = []
        stride = self.stride
        while stride > 1:
            stride //= 2
            here, fine = channels_at(2 * stride, image, width), channels_at(stride, image, width)
            rise += [nn.GELU(), nn.Conv2d(here, 4 * fine, 3, padding=1), nn.PixelShuffle(2)]
            rise += [Residual(fine)] if stride > 1 else []
        self.rise = nn.Sequential(*rise)
        fine = channels_at(1, image, width)
        self.refine = nn.Conv2d(fine + image.shape[0], fine, 3, padding=1)
        self.last = nn.Conv2d(fine, image.shape[0], 3, padding=1)
        nn.init.zeros_(self.last.weight)  # so that training starts from the picture that is added to
        nn.init.zeros_(self.last.bias)  # type: ignore[arg-type]

    def learn_closed_forms(self, pairs: Pairs, held: tuple[Activations, Tensor]) -> None:
        """Take the statistics, the mean picture and the best linear path, if there is one that says more, from pairs.

        The network adds to the linear picture where that is nearly right, and otherwise only looks at it: what it lacks
        is then mostly noise to learn from (CIFAR CNN, fc1: SSIM .32 for .29). Of a large map a local path that is not
        nearly right is not kept: what it says, convolutions soon learn, in less time than it takes.
        """
        self.standardise.fit(pairs.sent)
        inputs: Activations = self.standardise(held[0])

        def chosen(which: Tensor) -> Activations:
            values: Activations = self.standardise(tuple(a[which] for a in pairs.sent))
            return values

        self.picture = pairs.pixels.mean(0)
        error = float((self.picture - held[1]).square().mean())
        enough = (1 - EXPLAINED) * error
        for path in self._paths():
            path.to(pairs.pixels.device)
            wrong = path.fit(chosen, pairs.pixels, pairs.half, (inputs, held[1]))
            if wrong < error and (wrong <= enough or isinstance(path.first, GlobalLinear)):
                self.linear, self.adds, error = path, wrong <= enough, wrong

    def _paths(self) -> list[CrossFitted]:
        """The linear paths that are worth a try."""
        length = sum(r.spec.elements for r in self.readings)
        maps = [(r.spec.elements, i) for i, r in enumerate(self.readings) if r.channels]
        paths = [CrossFitted(lambda: GlobalLinear(self.image, length))] if length <= LARGEST else []
        if maps:
            widest = max(maps)[1]
            paths.append(CrossFitted(lambda: LocalLinear(self.image, self.readings[widest], widest)))
        return paths

    def forward(self, activations: Activations, half: Tensor | None = None) -> Tensor:
        """(B, k, *shape) each to (B, C, H, W); ``half`` of the public images, (B,), for pairs that are learnt from."""
        observations = activations[0].shape[1]
        if not self.sets and observations > 1:
            apart = tuple(part.flatten(0, 1)[:, None] for part in activations)
            half = None if half is None else half.repeat_interleave(observations)
            answers: Tensor = self._decode(apart, half).unflatten(0, (-1, observations))
            return answers.mean(1)
        return self._decode(activations, half)

    def linear_picture(self, values: Activations, half: Tensor | None = None) -> Tensor:
        """What the linear path makes of standardised activations, or the mean picture without one; (B, C, H, W)."""
        if self.linear is None:
            return self.picture.expand(len(values[0]), *self.picture.shape)
        with torch.autocast(values[0].device.type, enabled=False):
            picture: Tensor = self.linear(values, half)
        return picture

    def _decode(self, activations: Activations, half: Tensor | None) -> Tensor:
        values = self.standardise(activations)
        linear = self.linear_picture(values, half)
        if self.alone:
            return linear
        seen = linear.clamp(-0.5, 1.5)
        whole = centred(seen - self.picture, [n * self.stride for n in self.grid])
        hidden = self.trunk(self.told(self._embed(values) + self.glimpse(F.pixel_unshuffle(whole, self.stride))))
        fine = centred(F.gelu(self.rise(hidden)), self.image.shape[-2:])
        added: Tensor = self.last(F.gelu(self.refine(torch.cat([fine, seen.to(fine.dtype)], 1))))
        return (linear if self.adds else self.picture) + added

    def _embed(self, values: Activations) -> Tensor:
        total: Tensor | None = None
        for value, reading, stem in zip(values, self.readings, self.stems, strict=True):
            for form in stem:  # type: ignore[attr-defined]
                view = getattr(reading, form)(value.flatten(0, 1)).unflatten(0, value.shape[:2])
                embedded = stem[form](self._summary(view))  # type: ignore[index]
                total = embedded if total is None else total + embedded
        assert total is not None
        return total

    def _summary(self, view: Tensor) -> Tensor:
        """(B, k, C, ...) to (B, C, ...), or (B, 3 C, ...) of a set."""
        if not self.sets:
            return view[:, 0]
        return torch.cat([view.mean(1), view.amax(1), view.amin(1)], 1)


def linear_loss(
    decoder: Decoder, held: tuple[Activations, Tensor], compare: Callable[[Tensor, Tensor], Tensor]
) -> float:
    """The loss of a decoder's linear picture alone."""
    with torch.no_grad():
        return float(compare(decoder.linear_picture(decoder.standardise(held[0])).clamp(0, 1), held[1]))


def teach(
    decoder: Decoder,
    source: Source,
    pairs: Callable[[], Pairs],
    schedule: Schedule,
    compare: Callable[[Tensor, Tensor], Tensor],
    run: Run,
) -> None:
    """Fit what has a closed form to ``pairs``, and train the rest on ``source``, by ``compare`` (guess, truth).

    The linear picture alone is what a decoder says that does no better on the hold-out. Without steps nothing is done.
    """
    if schedule.steps:
        decoder.learn_closed_forms(pairs(), source.held())
    linear = linear_loss(decoder, source.held(), compare)
    loss = train_decoder(decoder, source, schedule, compare, run, linear)
    decoder.alone = bool(schedule.steps) and linear < loss


class ScriptDecoder(nn.Module):
    """The released scripts' decoders: from the activation's own values to pixels normalised by ``mean`` and ``std``."""

    mean: Tensor
    std: Tensor

    def __init__(self, activation: tuple[TensorSpec, ...], image: TensorSpec) -> None:
        super().__init__()
        if len(activation) > 1 or len(activation[0].shape) != 3:
            raise NotApplicable("the scripts' decoders take one feature map; use the default preset for this cut.")
        self.image = image
        self.layers = script_layers(activation[0].shape, image)
        self.register_buffer("mean", torch.zeros(image.shape[0], 1, 1))
        self.register_buffer("std", torch.ones(image.shape[0], 1, 1))

    def forward(self, activations: Activations, _half: Tensor | None = None) -> Tensor:
        """(B, k, C, H, W) to (B, C, H, W); the answers for k observations are averaged."""
        (part,) = activations
        out: Tensor = self.layers(part.flatten(0, 1)) * self.std + self.mean
        apart: Tensor = centred(out, self.image.shape[-2:]).unflatten(0, part.shape[:2])
        return apart.mean(1)


def script_layers(shape: tuple[int, ...], image: TensorSpec) -> nn.Sequential:
    """FACTS of the released scripts, by the kind of cut: how many pixels there are per position.

    LeNet-5 conv1: Conv 8-1 k5 pad 4. LeNet-5 ReLU2: ConvT 16-8 k5, ReLU, ConvT 8-1 k5 s2 op1. CIFAR conv11: ConvT 64-3
    k3 p1. ReLU22: ConvT 128-64 k3 s2 p1 op1, ReLU, ConvT 64-3 k3 p1. ReLU32: ConvT 128-128 s2, ReLU, 128-64 s2, ReLU,
    64-3. Other shapes get the nearest of these; an output of another size is padded or cropped evenly.
    """
    channels, colours = shape[0], image.shape[0]
    ratio = image.shape[-1] / shape[2]
    exact = image.shape[-1] % shape[2] == 0
    up = {"kernel_size": 3, "stride": 2, "padding": 1, "output_padding": 1}
    if not exact and ratio < 2:
        return nn.Sequential(nn.Conv2d(channels, colours, 5, padding=4))
    if not exact:
        half = max(channels // 2, 1)
        return nn.Sequential(
            nn.ConvTranspose2d(channels, half, 5),
            nn.ReLU(),
            nn.ConvTranspose2d(half, colours, 5, stride=2, output_padding=1),
        )
    layers: list[nn.Module] = []
    for step in range(round(math.log2(ratio))):
        fewer = max(channels // 2, 1) if step == round(math.log2(ratio)) - 1 else channels
        layers += [nn.ConvTranspose2d(channels, fewer, **up), nn.ReLU()]  # type: ignore[arg-type]
        channels = fewer
    return nn.Sequential(*layers, nn.ConvTranspose2d(channels, colours, 3, padding=1))
