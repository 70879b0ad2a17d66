"""A two-sample test: does the device draw from the law that its description draws from?

Both draw once for the same clean values, row by row. If the two laws are one, exchanging the two draws of a row changes
nothing, so the difference of any bounded feature of theirs is symmetric about 0. For such differences d, whatever their
law and number, P(|sum d| >= z sqrt(sum d^2)) <= 2 exp(-z^2 / 2) (W. Hoeffding, JASA 58, 1963; for sums that are
normalised by themselves B. Efron, JASA 64, 1969). So the p-value is exact, with atoms and heavy tails too.

The features are those of the characteristic function, which tell any two laws apart (J. Heathcote, Biometrika 59, 1972;
W. Jitkrittum et al., NeurIPS 2016), of the atoms, and of how changes depend on the clean value and on one another.
Each is tested as the mean over the entries of a row, which sees a small fault of all entries, and at each entry by
itself, which sees a large fault of one. The least p-value is multiplied by their number (Bonferroni).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from splitward.core.defence import Channel, spec
from splitward.core.errors import DefenceError

FREQUENCIES = (0.125, 0.5, 1.0, 2.0, 8.0)
"""Of the characteristic function; 1 is the most telling about the scale of a normal law in units of its median size."""
CHUNK = 1 << 18
"""Numbers whose features are held in memory at once; a larger tensor is looked at as a whole, not at each entry."""


@dataclass(frozen=True)
class Look:
    """What a test saw: its p-value, and the quantity with the clearest difference, on the device and as described."""

    p: float
    quantity: str
    device: float
    described: float


@dataclass(frozen=True)
class Scales:
    """The size of clean values (root mean square), and of what the defence changes (median over changed entries)."""

    clean: float
    change: float


SIZE = "the median size of a change"
DEPENDENCE = "how the change depends on the clean value"


def _features(sent: Tensor, clean: Tensor, scales: Scales) -> Iterator[tuple[str, Tensor]]:
    """What is looked at: the quantity in words, and its values in [-1, 1], all (n, D)."""
    yield "the share of entries that are sent unchanged", (sent == clean).float()
    yield "the share of entries that are sent as zero", (sent == 0).float()
    yield "the share of entries that are not finite", (~torch.isfinite(sent)).float()
    change = ((sent - clean) / scales.change).nan_to_num(0.0, 0.0, 0.0)
    value = torch.tanh(clean / scales.clean)
    for w in FREQUENCIES:
        cos, sin = torch.cos(w * change), torch.sin(w * change)
        yield SIZE, cos
        yield "the direction of the change", sin
        yield DEPENDENCE, value.abs() * cos
        yield DEPENDENCE, value * sin
    bounded, entries = torch.tanh(change), clean.shape[1]
    for steps in sorted({1, entries // 2} - {0, entries}):
        yield "how the changes of two entries go together", bounded * bounded.roll(steps, 1)


def draw(channel: Channel, clean: Tensor, generator: Generator) -> Tensor:
    """One fresh draw for each row of (N, *shape). Each is asked for by itself, as on a device: rows are independent.

    Raises DefenceError where a draw has another shape than what it was made of.
    """
    sent = torch.cat([channel.sample(row, generator) for row in clean.split(1)])
    if sent.shape != clean.shape:
        raise DefenceError(
            f"{spec(channel)} made {tuple(sent.shape)} of {tuple(clean.shape)}: a defence keeps the shape."
        )
    return sent


def scales_of(clean: Tensor, *sent: Tensor) -> Scales:
    """From some clean values and the draws that were made of them, all of one shape; 1 where there is nothing."""
    size = clean.double().square().mean().sqrt().item() or 1.0
    return Scales(size, _median(torch.cat([(s - clean).abs().flatten() for s in sent])) or 1.0)


def compare(device: Tensor, described: Tensor, clean: Tensor, scales: Scales) -> Look:
    """Test the device's draws against those of the description, all three (N, *shape) with the same rows."""
    device, described, clean = (tensor.flatten(1).float() for tensor in (device, described, clean))
    rows, entries = clean.shape
    names = [name for name, _ in _features(clean[:1], clean[:1], scales)]
    places = 1 + entries if entries <= CHUNK else 1
    sums = torch.zeros(4, len(names), places, dtype=torch.float64, device=clean.device)
    for part in torch.arange(rows, device=clean.device).split(max(1, CHUNK // entries)):
        pairs = zip(*(_features(sent[part], clean[part], scales) for sent in (device, described)), strict=True)
        for j, both in enumerate(pairs):
            ours, theirs = (torch.cat([v.mean(1, keepdim=True), v[:, : places - 1]], 1).double() for _, v in both)
            gap = ours - theirs
            for i, value in enumerate((ours, theirs, gap, gap.square())):
                sums[i, j] += value.sum(0)
    z = sums[2].abs() / sums[3].sqrt().clamp_min(1e-30)
    j, e = divmod(int(z.argmax()), places)
    p = min(1.0, z.numel() * 2 * math.exp(-(min(float(z[j, e]), 1e3) ** 2) / 2))
    name, means = names[j], (sums[:2, j, e] / rows).tolist()
    if name == SIZE:
        seen = slice(None) if e == 0 else slice(e - 1, e)
        means = [_median((sent - clean)[:, seen].abs()) for sent in (device, described)]
    return Look(p, name if e == 0 else f"{name} (entry {e - 1})", *means)


def _median(sizes: Tensor) -> float:
    changed = sizes[torch.isfinite(sizes) & (sizes > 0)]
    return float(changed.median()) if len(changed) else 0.0
