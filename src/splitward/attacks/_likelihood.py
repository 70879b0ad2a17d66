"""How likely what crossed the wire is, given what an undefended device computes: from the defence's description."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from splitward.core.defence import Chain
from splitward.core.knowledge import Activations

SPREAD = 1e-6
"""Variance, relative to the largest, below which an entry counts as constant over the public images."""

SCORED_NUMBERS = 2**18
"""Numbers that are compared at once when candidates are scored: 1 MiB, which stays in the cache of one core."""

Body = Callable[[Tensor], tuple[Tensor, ...]]
"""From images (N, C, H, W) to what the undefended device computes, one tensor per value, each (N, *shape)."""

Law = Callable[[Tensor, Tensor, float], Tensor]
"""log p(sent | clean) of one tensor: (sent (N, *shape), clean (N, *shape), tolerance) to (N,), up to a constant."""


@dataclass(frozen=True)
class FittedLaw:
    """A normal law for each entry, ``sent = gain * clean + offset + noise``, fitted to public draws.

    For defences without a closed form: of the input, and chains whose parts do not compose to one. What they do to the
    expectation and the spread of an entry is kept, the rest is not.
    """

    gain: Tensor
    offset: Tensor
    variance: Tensor

    def __call__(self, sent: Tensor, clean: Tensor, tolerance: float) -> Tensor:
        """-(sent - gain * clean - offset)^2 / (2 (variance + tolerance^2)), summed over entries, (N,)."""
        away = sent - self.gain * clean - self.offset
        return (-away.square() / (2 * (self.variance + tolerance**2))).reshape(len(sent), -1).sum(1)


def fit_law(clean: Tensor, sent: Tensor) -> FittedLaw:
    """Least squares for each entry from public pairs, both (M, *shape)."""
    clean_mean, sent_mean = clean.mean(0), sent.mean(0)
    covariance = ((clean - clean_mean) * (sent - sent_mean)).mean(0)
    spread = (clean - clean_mean).square().mean(0)
    least = SPREAD * spread.max() + 1e-12
    gain = torch.where(spread > least, covariance / spread.clamp_min(least), torch.zeros_like(spread))
    offset = sent_mean - gain * clean_mean
    return FittedLaw(gain, offset, (sent - gain * clean - offset).square().mean(0))


def make_laws(chain: Chain, clean: tuple[Tensor, ...], sent: tuple[Tensor, ...]) -> tuple[Law, ...]:
    """The defence's own law where it has a closed form on the wire, else one fitted to public pairs (M, *shape)."""
    if not chain.at("input") and chain.log_density(sent[0][:1], clean[0][:1], 1.0) is not None:

        def exact(sent: Tensor, clean: Tensor, tolerance: float) -> Tensor:
            value = chain.log_density(sent, clean, tolerance)
            assert value is not None  # it was not a moment ago
            return value

        return tuple(exact for _ in clean)
    return tuple(fit_law(*pair) for pair in zip(clean, sent, strict=True))


@dataclass(frozen=True)
class Likelihood:
    """log p(sent | images) of everything that crossed.

    ``scales``: the root mean square of each tensor on public images. Point masses are widened by ``tolerance`` times
    the scale, so that each of several tensors counts by its own size.
    """

    body: Body
    laws: tuple[Law, ...]
    scales: tuple[float, ...]

    def __call__(self, images: Tensor, sent: Activations, tolerance: float) -> Tensor:
        """(N, C, H, W) and activations, each (N, k, *shape), to (N,), summed over tensors and observations."""
        return self.of(self.body(images), sent, tolerance)

    def of(self, computed: tuple[Tensor, ...], sent: Activations, tolerance: float) -> Tensor:
        """The same from what the device computes."""
        total = torch.zeros(sent[0].shape[0], device=sent[0].device)
        for law, clean, part, scale in zip(self.laws, computed, sent, self.scales, strict=True):
            count, k = part.shape[:2]
            repeated = clean if k == 1 else clean.repeat_interleave(k, 0)
            total = total + law(part.flatten(0, 1), repeated, tolerance * scale).view(count, k).sum(1)
        return total

    @torch.no_grad()
    def score(self, sent: Activations, candidates: Tensor, tolerance: float) -> Tensor:
        """log p(sent | candidate) of every pair, up to a constant: (N, k, *shape) each and (M, C, H, W) to (N, M).

        What the device computes for the candidates is computed once for all N.
        """
        computed = evaluate(self.body, candidates)
        size = max(1, SCORED_NUMBERS // sum(part[0].numel() for part in sent))
        parts = [tuple(c[j : j + size] for c in computed) for j in range(0, len(candidates), size)]
        rows = []
        for i in range(len(sent[0])):
            mine = tuple(part[i : i + 1] for part in sent)
            many = [tuple(m.expand(len(part[0]), *m.shape[1:]) for m in mine) for part in parts]
            rows.append(torch.cat([self.of(part, m, tolerance) for part, m in zip(parts, many, strict=True)]))
        return torch.stack(rows)


@torch.no_grad()
def evaluate(body: Body, images: Tensor, batch: int = 256) -> tuple[Tensor, ...]:
    """What the device computes for many images, in batches."""
    parts = [body(part) for part in images.split(batch)]
    return tuple(torch.cat(values) for values in zip(*parts, strict=True))


def root_mean_square(computed: tuple[Tensor, ...]) -> tuple[float, ...]:
    """The size of each tensor; 1 for one that is zero everywhere."""
    return tuple(part.square().mean().sqrt().item() or 1.0 for part in computed)
