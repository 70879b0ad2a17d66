"""Shadow edges: networks that suit a frozen cloud half, and what they teach about the victim's own edge."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import torch
from torch import Generator, Tensor, nn

from splitward.attacks._denoising import Denoiser
from splitward.attacks._training import Pairs, augment
from splitward.core.defence import Chain
from splitward.core.edge import Edge, Sender
from splitward.core.errors import NotApplicable
from splitward.core.knowledge import Activations, QueryFree, Samples
from splitward.core.run import Run

HELD = 256
"""Public images kept for the hold-out, at most; never more than an eighth of them."""
RESPONSES = 4096
"""Numbers of the cloud's own output that a decoder looks at, at most."""
SAME, SURER, ASKEW = 0.5, 0.7, 0.25
"""Share of the classes of denoised traffic that must come back where that is taken for what was there, of those of
noisy traffic under more noise where it can't be denoised, and the distance at most (total variation) of how often the
cloud names each class to how often public images are of it. Where 0.53 came back, 0.79 were right (LeNet-5 at ReLU2,
gaussian:3); CIFAR-10 CNN at ReLU12, gaussian:1: 0.47 and 0.48, and askew by 0.36. Means by wrong classes mislead.
"""
SAMPLE_NUMBERS = 1 << 27
"""Numbers, at most, that closed forms are fitted to."""
DOUBT = 3.0
"""Deviation of the noise on a shadow's map, in units of how far the shadows are from each other in a direction of its
channels. The victim is farther from them all, as they were fitted to the same traffic from the same start, and a
decoder that takes them at their word reads what they alone agree on (LeNet-5 at conv2, quick: SSIM .71 without, .83 by
2, .86 by 4; at ReLU2 .84, .86, .85; at pool2 .61, by 3 .68). What all agree on, as what the cloud half's task settles,
is in no doubt in whatever direction it lies (a copy planted in a map of few values: 89 % told apart, 21 % with doubt
channel by channel; conv2 .865 and .859, ReLU2 .875 and .872, pool2 .654 and .659). It is denoised with the rest: added
afterwards it helps no more (ReLU2, gaussian:1: .83, .83). In a vector it would drown what the cloud half and the
traffic settle.
"""


class Shadows:
    """The attacker's own pairs: public images, passed through shadow edges and the defence that it knows of.

    What a decoder sees is the activation, after ``denoise``, and where ``answered`` what the frozen cloud half makes of
    it: the victim and its trained shadows agree on that, as the task has it, and on little else.
    """

    def __init__(
        self,
        knowledge: QueryFree,
        chain: Chain,
        edges: Sequence[Edge],
        observations: int,
        shift: float,
        run: Run,
        answered: bool = True,
        denoise: Denoiser | None = None,
    ) -> None:
        self.answered, self.denoise = answered, denoise or Denoiser()
        self.cloud, self.chain, self.edges = knowledge.cloud, chain, edges
        self.observations, self.shift = observations, shift
        self.pictures, self.unseen = split(knowledge.public, run)
        self.numbers = observations * len(edges) * sum(s.elements for s in knowledge.activation)
        self.draws = run.stream("shadow-draws")
        self.doubts = self._doubts()

    @torch.no_grad()
    def _doubts(self) -> Activations:
        """Of each map (C, C): what turns numbers of variance 1 into doubt about its channels; empty for others."""
        if len(self.edges) == 1:
            return ()
        made = [Sender(edge, Chain(), self.draws).compute(self.unseen.images) for edge in self.edges]
        return tuple(_apart(torch.stack(parts)) for parts in zip(*made, strict=True))

    @torch.no_grad()
    def through(self, edge: Edge, pixels: Tensor, draws: int, generator: Generator) -> Activations:
        """What a decoder is given for ``pixels``, if an edge like ``edge`` were the victim's."""
        sender = Sender(edge, self.chain, generator)
        parts = sender.compute(pixels)
        off = [self._off(p, doubt, generator) for p, doubt in zip(parts, self.doubts, strict=False)]
        sent = []
        for draw in range(draws):
            if draw and sender.at_input:
                parts = sender.compute(pixels)
            sent.append(sender.draw(tuple(p + o for p, o in zip(parts, off, strict=True)) if off else parts))
        return self.beside(tuple(torch.stack([s[i] for s in sent], 1) for i in range(len(sent[0]))))

    @staticmethod
    def _off(part: Tensor, doubt: Tensor, generator: Generator) -> Tensor:
        """Noise as far as ``part`` is in doubt."""
        if not doubt.numel():
            return torch.zeros_like(part)
        chance = torch.randn(part.shape, generator=generator, device=part.device)
        return torch.einsum("nchw,cd->ndhw", chance, doubt)

    @torch.no_grad()
    def beside(self, activations: Activations) -> Activations:
        """Activations, each (N, k, *shape), denoised, and where ``answered`` the cloud's responses (N, k, R)."""
        activations = self.denoise(activations)
        if not self.answered:
            return activations
        count, k = activations[0].shape[:2]
        parts = [p.flatten(0, 1).split(256) for p in activations]
        answers = torch.cat([responses(run_cloud(self.cloud, sent)) for sent in zip(*parts, strict=True)])
        return (*activations, answers[:, :RESPONSES].unflatten(0, (count, k)))

    def held(self) -> tuple[Activations, Tensor]:
        """Unseen pictures through the last edge."""
        pixels = self.unseen.images
        return self.through(self.edges[-1], pixels, self.observations, self.draws), pixels

    def sample(self, count: int) -> Pairs:
        """Pairs of all edges that are learnt from, ``count`` at most: what closed forms are fitted to."""
        learnt = self.edges[:-1] or self.edges
        share = min(count // len(learnt), len(self.pictures), max(64, SAMPLE_NUMBERS // self.numbers))
        pixels = self.pictures.images[:share]
        given = [self.through(edge, pixels, self.observations, self.draws) for edge in learnt]
        sent = tuple(torch.cat(parts) for parts in zip(*given, strict=True))
        half = torch.arange(share, device=pixels.device) % 2
        return Pairs(sent, pixels.repeat(len(learnt), 1, 1, 1), half.repeat(len(learnt)))

    def batch(self, count: int, generator: Generator) -> Pairs:
        """Pictures through one of the other edges (the last one, where it is the only one)."""
        which = torch.randint(max(1, len(self.edges) - 1), (), generator=generator, device=generator.device)
        index = torch.randint(len(self.pictures), (count,), generator=generator, device=generator.device)
        pixels = augment(self.pictures.images[index], self.shift, generator)
        return Pairs(self.through(self.edges[int(which)], pixels, self.observations, generator), pixels, index % 2)


def _apart(made: Tensor) -> Tensor:
    """How far edges are from each other on the same images, (E, N, C, H, W): ``DOUBT`` times a root of the covariance
    of channels, (C, C), so that a direction in which all agree is in no doubt; nothing of vectors."""
    if made.ndim != 5:
        return made.new_zeros(0)
    rows = (made - made.mean(0)).movedim(2, -1).flatten(0, -2).double()
    covariance = rows.T @ rows / len(rows) * len(made) / (len(made) - 1)
    values, vectors = torch.linalg.eigh(covariance)
    root: Tensor = vectors * values.clamp_min(0).sqrt() @ vectors.T
    return DOUBT * root.float()


def split(public: Samples, run: Run) -> tuple[Samples, Samples]:
    """Public samples to learn from, and a hold-out."""
    order = torch.randperm(len(public), generator=run.stream("public-order"), device=run.device)
    reserved = max(1, min(HELD, len(public) // 8))
    return public[order[reserved:]], public[order[:reserved]]


def draw(samples: Samples, count: int, shift: float, generator: Generator, moved: int) -> Samples:
    """A random batch, the last ``moved`` of it augmented."""
    index = torch.randint(len(samples), (count,), generator=generator, device=samples.images.device)
    batch = samples[index]
    last = augment(batch.images[count - moved :], shift, generator)
    return Samples(torch.cat([batch.images[: count - moved], last]), batch.labels, batch.name)


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


@torch.no_grad()
def classes(knowledge: QueryFree) -> Tensor | None:
    """What the cloud half takes each of the other users' activations for, (M,); None where the task has no classes."""
    labels, traffic = knowledge.public.labels, knowledge.traffic
    if labels is None or traffic is None or labels.is_floating_point() or labels.ndim > 1:
        return None
    known, blank = labels.unique(), knowledge.public.images[:1]
    guesses = []
    for sent in zip(*(part[:, 0].split(256) for part in traffic), strict=True):
        output, count = run_cloud(knowledge.cloud, sent), len(sent[0])
        right = [
            knowledge.task.correct(output, Samples(blank.expand(count, -1, -1, -1), label.expand(count)))
            for label in known
        ]
        guesses.append(known[torch.stack(right).argmax(0)])
    return torch.cat(guesses)


@torch.no_grad()
def sure_classes(knowledge: QueryFree, noise: Chain, denoise: Denoiser, generator: Generator) -> Tensor | None:
    """``classes`` of the denoised traffic, where they can be relied on although there is ``noise``; None where not."""
    labels, traffic = knowledge.public.labels, knowledge.traffic
    if traffic is None or labels is None:
        return None
    guess = denoise.jointly(traffic)
    found = classes(dataclasses.replace(knowledge, traffic=guess))
    if found is None or _askew(found, labels) > ASKEW:
        return None
    if not noise.draws:
        return found
    draws = [tuple(noise.sample(part[:, 0], generator) for part in guess) for _ in range(traffic[0].shape[1])]
    noisier = denoise.jointly(tuple(torch.stack(parts, 1) for parts in zip(*draws, strict=True)))
    again = classes(dataclasses.replace(knowledge, traffic=noisier))
    assert again is not None
    same = float(torch.eq(found, again).float().mean())
    return found if same >= (SAME if denoise else SURER) else None


def _askew(found: Tensor, labels: Tensor) -> float:
    """How far apart two sets of classes are in how often each class is named: total variation, 0 to 1."""
    count = int(max(found.max(), labels.max())) + 1
    named, due = (torch.bincount(which, minlength=count) / len(which) for which in (found, labels))
    return float((named - due).abs().sum()) / 2
