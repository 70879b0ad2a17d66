"""Decoders for one device under several defences, or under one at several levels, that learn together.

What a defence changes is each decoder's own: how values are standardised, the linear path (in closed form), and a gain
and an offset for each channel, which is how the network is told which defence it is. All other weights are shared, and
learn from every answer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Generator, Tensor, nn

from splitward.attacks._asking import Interview
from splitward.attacks._decoders import Decoder, linear_loss
from splitward.attacks._training import Schedule, invert, train
from splitward.core.run import Run, supports_bfloat16

SHARED = ("stems", "glimpse", "trunk", "rise", "refine", "last")
"""The parts of a decoder that all share."""
AT_ONCE = 6
"""Defences in one batch, at most: the batch is divided among them."""
CLOSED_FORM = 16384
"""Pairs, at most, that a linear path is fitted to ..."""
CLOSED_FORMS = 65536
"""... and all of them together."""


class Told(nn.Module):
    """A gain and an offset for each channel (FiLM, Perez et al. 2018); at first it changes nothing."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(channels, 1, 1))
        self.offset = nn.Parameter(torch.zeros(channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        y: Tensor = x * self.gain + self.offset
        return y


def make_panel(make: Callable[[], Decoder], count: int) -> list[Decoder]:
    """``count`` decoders, made by ``make``, that share what a defence does not change."""
    decoders = [make() for _ in range(count)]
    for decoder in decoders:
        for name in SHARED:
            setattr(decoder, name, getattr(decoders[0], name))
        decoder.told = Told(decoder.channels)
    return decoders


def train_panel(
    panel: Sequence[Decoder],
    sources: Sequence[Interview],
    schedule: Schedule,
    compare: Callable[[Tensor, Tensor], Tensor],
    run: Run,
) -> float:
    """Train the decoders, each on pairs of its own source, by ``compare`` (guess, truth).

    Each counts by its loss relative to that of its linear picture, or a strong defence, whose loss is large whatever is
    learnt, would drown a weak one. Returns the mean of that over the hold-outs. All add to their linear pictures, or
    none: what is added is made by weights that they share.
    """
    for decoder, source in zip(panel, sources, strict=True):
        decoder.to(run.device)
        pairs = source.first(max(1, min(CLOSED_FORM, CLOSED_FORMS // len(sources))))
        decoder.learn_closed_forms(pairs, source.held())
    low = supports_bfloat16(run.device)

    def held(decoder: nn.Module, source: Interview) -> float:
        activations, truth = source.held()
        return float(compare(invert(decoder, activations), truth))

    adds = any(decoder.adds for decoder in panel)  # where it helps, it helps more than it harms elsewhere
    for decoder in panel:
        decoder.adds = adds
    start = [linear_loss(decoder, source.held(), compare) for decoder, source in zip(panel, sources, strict=True)]

    def loss(generator: Generator) -> Tensor:
        device = sources[0].images.device
        chosen = torch.randperm(len(sources), generator=generator, device=device)[:AT_ONCE].tolist()
        errors = []
        for i in chosen:
            sent, pixels, half = sources[i].batch(max(1, schedule.batch // len(chosen)), generator)
            with torch.autocast(run.device.type, torch.bfloat16, enabled=low):
                guess = panel[i](sent, half)
            errors.append(compare(guess.float(), pixels) / start[i])
        return torch.stack(errors).mean()

    def held_loss() -> float:
        errors = [held(d, source) / first for d, source, first in zip(panel, sources, start, strict=True)]
        return sum(errors) / len(errors)

    wrong = train(nn.ModuleList(panel), loss, held_loss, schedule, run, "decoder", known=1.0)
    for decoder, source, linear in zip(panel, sources, start, strict=True):
        decoder.alone = linear < held(decoder, source)
    return wrong
