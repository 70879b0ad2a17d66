"""Shadow edges: networks that suit a frozen cloud half, and what they teach about the victim's own edge."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Generator, Tensor, nn

from splitward.attacks._training import augment
from splitward.core.defence import Chain
from splitward.core.edge import Edge, release
from splitward.core.errors import NotApplicable
from splitward.core.knowledge import Activations, QueryFree, Samples
from splitward.core.run import Run

HELD = 256
"""Public images kept for the hold-out, at most; never more than an eighth of them."""
RESPONSES = 4096
"""Numbers of the cloud's own output that a decoder looks at, at most."""
SAMPLE_NUMBERS = 1 << 27
"""Numbers, at most, that closed forms are fitted to."""
PLENTY = 0.03
"""Sampling error of the traffic's moments up to which they are taken at their word: some 300 activations of LeNet-5."""
WIDEST = 512
"""Numbers whose covariance is compared, at most; of longer vectors only the variances are."""


class Moments:
    """First and second moments of traffic, and how far activations are from them.

    Of a map: the mean at every place, and the covariance of channels over all places. Of a vector: mean and covariance.
    ``trust``: 1 where traffic is plenty; less where the moments of so few activations are mostly chance, which a shadow
    had better not be fitted to.
    """

    def __init__(self, traffic: Activations) -> None:
        flat = tuple(part.flatten(0, 1).float() for part in traffic)
        self.mean = [part.mean(0) for part in flat]
        self.variance = [float(part.var()) or 1.0 for part in flat]
        self.covariance = [_covariance(part - mean) for part, mean in zip(flat, self.mean, strict=True)]
        self.trust = 1.0 if len(flat[0]) > 1 else 0.0
        if len(flat[0]) >= 4:
            self.trust = min(1.0, PLENTY / max(self._sampling_error(flat), 1e-12))

    def _sampling_error(self, flat: tuple[Tensor, ...]) -> float:
        """What the distance of these moments to the true ones is expected to be: a quarter of that of two halves."""
        total = 0.0
        for part, variance, covariance in zip(flat, self.variance, self.covariance, strict=True):
            halves = part[0::2], part[1::2]
            one, two = (half.mean(0) for half in halves)
            first, second = (_covariance(half - half.mean(0)) for half in halves)
            total += float((one - two).square().mean()) / variance
            total += float((first - second).square().sum() / covariance.square().sum().clamp_min(1e-12))
        return total / 4

    def distance(self, sent: tuple[Tensor, ...]) -> Tensor:
        """Of a batch of activations, each (N, *shape), to the traffic; a scalar.

        |mean - mean'|^2 / variance' + |covariance - covariance'|^2 / |covariance'|^2. Both squares are products of the
        differences of two halves of the batch, so that the batch's own sampling error is not taken for a difference:
        the expectation is right, and single values may be negative.
        """
        total = torch.zeros((), device=sent[0].device)
        for part, mean, variance, covariance in zip(sent, self.mean, self.variance, self.covariance, strict=True):
            halves = part[0::2], part[1::2]
            one, two = (half.mean(0) - mean for half in halves)
            total = total + (one * two).mean() / variance
            first, second = (_covariance(half - half.mean(0)) - covariance for half in halves)
            total = total + (first * second).sum() / covariance.square().sum().clamp_min(1e-12)
        return total


def _covariance(centred: Tensor) -> Tensor:
    """Channels by channels; the variances alone where they are too many."""
    rows = centred.flatten(2).transpose(1, 2).flatten(0, 1) if centred.ndim == 4 else centred.flatten(1)
    if rows.shape[1] > WIDEST:
        return rows.square().mean(0, keepdim=True)
    return rows.T @ rows / len(rows)


class Shadows:
    """The attacker's own pairs: public images, passed through shadow edges and the defence that it knows of.

    What a decoder sees is the activation, and what the frozen cloud half makes of it: the victim and its shadows agree
    on that, as the task has it, and on little else.
    """

    def __init__(
        self, knowledge: QueryFree, chain: Chain, edges: Sequence[Edge], observations: int, shift: float, run: Run
    ) -> None:
        self.cloud, self.chain, self.edges = knowledge.cloud, chain, edges
        self.observations, self.shift = observations, shift
        self.pictures, self.unseen = split(knowledge.public, run)
        self.numbers = observations * len(edges) * sum(s.elements for s in knowledge.activation)
        self.draws = run.stream("shadow-draws")

    @torch.no_grad()
    def through(self, edge: Edge, pixels: Tensor, draws: int, generator: Generator) -> Activations:
        """What a decoder is given for ``pixels``, if ``edge`` were the victim's."""
        sent = [release(edge, self.chain, pixels, generator) for _ in range(draws)]
        return self.beside(tuple(torch.stack([s[i] for s in sent], 1) for i in range(len(sent[0]))))

    @torch.no_grad()
    def beside(self, activations: Activations) -> Activations:
        """Activations, each (N, k, *shape), and the cloud's responses to them (N, k, R)."""
        count, k = activations[0].shape[:2]
        parts = [p.flatten(0, 1).split(256) for p in activations]
        answers = torch.cat([responses(run_cloud(self.cloud, sent)) for sent in zip(*parts, strict=True)])
        return (*activations, answers[:, :RESPONSES].unflatten(0, (count, k)))

    def held(self) -> tuple[Activations, Tensor]:
        """Unseen pictures through the last edge."""
        pixels = self.unseen.images
        return self.through(self.edges[-1], pixels, self.observations, self.draws), pixels

    def sample(self, count: int) -> tuple[Activations, Tensor]:
        """Pairs of all edges that are learnt from, ``count`` at most: what closed forms are fitted to."""
        learnt = self.edges[:-1] or self.edges
        share = min(count // len(learnt), len(self.pictures), max(64, SAMPLE_NUMBERS // self.numbers))
        pixels = self.pictures.images[:share]
        given = [self.through(edge, pixels, self.observations, self.draws) for edge in learnt]
        return tuple(torch.cat(parts) for parts in zip(*given, strict=True)), pixels.repeat(len(learnt), 1, 1, 1)

    def batch(self, count: int, generator: Generator) -> tuple[Activations, Tensor]:
        """Pictures through one of the other edges (the last one, where it is the only one)."""
        which = torch.randint(max(1, len(self.edges) - 1), (), generator=generator, device=generator.device)
        pixels = draw(self.pictures, count, self.shift, generator).images
        return self.through(self.edges[int(which)], pixels, self.observations, generator), pixels


def split(public: Samples, run: Run) -> tuple[Samples, Samples]:
    """Public samples to learn from, and a hold-out."""
    order = torch.randperm(len(public), generator=run.stream("public-order"), device=run.device)
    reserved = max(1, min(HELD, len(public) // 8))
    return public[order[reserved:]], public[order[:reserved]]


def draw(samples: Samples, count: int, shift: float, generator: Generator) -> Samples:
    """A random batch, augmented."""
    index = torch.randint(len(samples), (count,), generator=generator, device=samples.images.device)
    batch = samples[index]
    return Samples(augment(batch.images, shift, generator), batch.labels, batch.name)


def run_cloud(cloud: nn.Module, sent: tuple[Tensor, ...]) -> Any:
    """The cloud's output for what was sent."""
    return cloud(sent[0] if len(sent) == 1 else sent)


def responses(output: Any) -> Tensor:
    """All floating-point numbers of an output, flattened: (N, R)."""
    if isinstance(output, Tensor):
        return output.flatten(1).float() if output.is_floating_point() else output.new_zeros(len(output), 0).float()
    values = list(output.values()) if hasattr(output, "values") else list(output)
    parts = [responses(value) for value in values if isinstance(value, Tensor | tuple | list | dict)]
    if not parts:
        raise NotApplicable("the cloud's output holds no tensor that a query-free attack could learn from.")
    return torch.cat(parts, 1)
