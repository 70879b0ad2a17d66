"""Asking the device: which public images, how often, and what is kept of the answers. Every image asked is a query."""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor

from splitward.attacks._training import Pairs, augment
from splitward.core.errors import NotApplicable
from splitward.core.knowledge import Activations, BlackBox, Oracle
from splitward.core.run import Run

BATCH, SMALL_BATCH = 256, 64
"""Questions at once, on a GPU and on a CPU, whose caches hold no more: a third faster at the CIFAR CNN's ReLU22."""
HELD = 512
"""Public images kept for the hold-out, at most; never more than an eighth of them."""
ENOUGH = 8192
"""Images that a training set is stretched to by augmentation, where the public set is smaller."""
OFTEN = 8
"""Looks at an image, on average, beyond which a training asks about newly augmented ones ..."""
ANEW = 4
"""... for one in so many of each batch; where answers are kept, in the place of a kept one."""
HELD_BYTES = 1 << 29
"""Answers for the hold-out, at most."""
CACHE_BYTES = 2 << 30
"""Answers kept in memory, at most; beyond it the device is asked anew."""
PROBES = 4
PROBED = 200
"""Queries that must be allowed for the device's nature to be probed with twenty of them."""
SAMPLE_BYTES = 1 << 30
"""Answers, at most, that closed forms are fitted to."""


def ask(query: Oracle, images: Tensor, draws: int = 1) -> Activations:
    """The device's answers, ``draws`` for each image: (N, draws, *shape) each."""
    batch = SMALL_BATCH if images.device.type == "cpu" else max(1, BATCH // draws)
    batches = [[query(part) for _ in range(draws)] for part in images.split(batch)]
    return tuple(torch.cat([torch.stack([d[i] for d in b], 1) for b in batches]) for i in range(len(batches[0][0])))


def left(query: Oracle) -> float:
    """Queries that may still be asked."""
    return math.inf if query.budget is None else query.budget - query.used


def is_random(query: Oracle, images: Tensor) -> bool:
    """Whether the device answers the same question differently: a few images, asked twice."""
    first, second = query(images[:PROBES]), query(images[:PROBES])
    return any(not torch.equal(a, b) for a, b in zip(first, second, strict=True))


def is_affine(query: Oracle, images: Tensor) -> bool:
    """Whether the answer for the mean of two images is the mean of the two answers, for a few pairs."""
    first, second = images[:PROBES], images[-PROBES:]
    one, two, between = query(first), query(second), query((first + second) / 2)
    return any(
        bool(((a + b) / 2 - m).abs().max() <= 1e-4 * (a - b).abs().max())
        for a, b, m in zip(one, two, between, strict=True)
    )


class Interview:
    """A training's source of pairs that asks the device.

    Under a budget each public image is asked once, then (``observations`` times, where the device is random, and
    augmented images) up to what is left; the answers are kept and used again and again. Without a budget a device
    with randomness (or too large an activation to be kept) is asked afresh for every batch, and any other once for
    every image and augmented image. Of either a part of every batch is augmented anew, where a training would otherwise
    look at the same images so often that it learns them by heart (LeNet-5 at ReLU2, 2,000 public images, 2,400 steps:
    25.4 dB for 25.8), and nowhere else: secrets are not moved, and a deep cut's decoder has enough to learn without
    (LeNet-5 at fc3 under gaussian:1, all images moved: SSIM .38 for .47). With ``observations`` > 1 a batch holds that
    many draws of each image, or (every other batch) fewer.
    ``wish``: images that the training will look at; a smaller public set is stretched to no more than that.
    ``share``: of the hold-out and of memory, where several are used at once.
    """

    def __init__(
        self, knowledge: BlackBox, observations: int, shift: float, wish: int, run: Run, share: float = 1.0
    ) -> None:
        self.query, self.observations, self.shift = knowledge.query, observations, shift
        order = torch.randperm(len(knowledge.public), generator=run.stream("public-order"), device=run.device)
        images = knowledge.public.images[order]
        allowed = left(self.query)
        if allowed < 2 or len(images) < 2:
            raise NotApplicable(
                f"learning an inverse takes at least two public images and two queries; there are {len(images)} images "
                f"and {max(0, int(allowed))} queries."
            )
        probed = allowed >= PROBED  # a small budget is better spent on pairs
        self.random = not probed or is_random(self.query, images)
        self.affine = not self.random and is_affine(self.query, images)
        allowed = left(self.query)
        self.draws = observations if self.random else 1
        if allowed < math.inf:
            images = images[: max(2, int(allowed) // self.draws)]
            self.draws = max(1, min(self.draws, int(allowed) // len(images)))
        self.bytes = self.draws * sum(s.bytes_per_sample for s in knowledge.activation)
        self.share = share
        reserved = max(1, int(min(share * HELD, len(images) // 8, share * HELD_BYTES / self.bytes)))
        self._held = self._as_sets(ask(self.query, images[:reserved], self.draws)), images[:reserved]
        wanted = int(min(left(self.query), min(wish, ENOUGH) * self.draws)) // self.draws
        self.originals = images[reserved:]
        self.images = self._stretched(self.originals, wanted, run)
        small = self.bytes * len(self.images) <= self.share * CACHE_BYTES
        self.kept = allowed < math.inf or (not self.random and small)
        often = share * wish > OFTEN * len(self.images)
        self.renewed = allowed == math.inf and self.shift > 0 and often
        if self.renewed and self.kept:
            self.images = self.images.clone()  # the originals stay as they are
        self._answers: Activations | None = None

    def _stretched(self, images: Tensor, wanted: int, run: Run) -> Tensor:
        """The public images, and augmented copies of them up to ``wanted``; no more than that under a budget."""
        missing = wanted - len(images)
        if missing <= 0 or self.shift == 0:
            return images
        repeated = images.repeat(math.ceil(missing / len(images)), 1, 1, 1)[:missing]
        return torch.cat([images, augment(repeated, self.shift, run.stream("augmentation"))])

    def _as_sets(self, answers: Activations) -> Activations:
        """As many observations as there will be at the inversion; a device without randomness repeats itself."""
        have = answers[0].shape[1]
        if have >= self.observations:
            return answers
        return tuple(a[:, torch.arange(self.observations, device=a.device) % have] for a in answers)

    def held(self) -> tuple[Activations, Tensor]:
        """The hold-out: (activations, pixels)."""
        return self._held

    def _pairs(self, sent: Activations, index: Tensor, pixels: Tensor) -> Pairs:
        """Pairs of the images with the numbers ``index``, some of which are one original, augmented."""
        return Pairs(sent, pixels, index % len(self.originals) % 2)

    def first(self, count: int) -> Pairs:
        """The first ``count`` training pairs, or as many as memory allows: what closed forms are fitted to."""
        images = self.images[: max(1, min(count, int(self.share * SAMPLE_BYTES / self.bytes)))]
        sent = self._known(len(images)) if self.kept else ask(self.query, images, self.draws)
        index = torch.arange(len(images), device=images.device)
        return self._pairs(tuple(a[: len(images)] for a in sent), index, images)

    def _known(self, count: int) -> Activations:
        """Kept answers for at least the first ``count`` images; what is not known yet is asked."""
        have = 0 if self._answers is None else len(self._answers[0])
        if have < count:
            new = ask(self.query, self.images[have:count], self.draws)
            pairs = zip(self._answers or (), new, strict=True) if have else ()
            self._answers = tuple(torch.cat(pair) for pair in pairs) if have else new
        assert self._answers is not None
        return self._answers

    def _moved(self, index: Tensor, generator: Generator) -> Tensor:
        """The originals that the images with the numbers ``index`` were made of, newly augmented."""
        return augment(self.originals[index % len(self.originals)], self.shift, generator)

    def _renew(self, index: Tensor, generator: Generator) -> None:
        """Put newly augmented images, and the device's answers for them, in the place of kept ones."""
        pixels = self._moved(index, generator)
        self.images[index] = pixels
        for kept, new in zip(self._answers or (), ask(self.query, pixels, self.draws), strict=True):
            kept[index] = new

    def batch(self, count: int, generator: Generator) -> Pairs:
        """``count`` random pairs, of k observations each."""
        device = self.images.device
        index = torch.randint(len(self.images), (count,), generator=generator, device=device)
        k = self.observations
        if k > 1 and float(torch.rand((), generator=generator, device=device)) < 0.5:
            k = int(torch.randint(1, k + 1, (), generator=generator, device=device))
        few = max(1, count // ANEW)
        if not self.kept:
            pixels = self.images[index]
            if self.renewed:
                pixels[:few] = self._moved(index[:few], generator)
            return self._pairs(ask(self.query, pixels, k), index, pixels)
        answers = self._known(len(self.images))
        if self.renewed:
            self._renew(index[:few].unique(), generator)
        have = answers[0].shape[1]
        chosen = torch.rand(have, generator=generator, device=device).argsort()[:k]
        chosen = chosen[torch.arange(k, device=device) % len(chosen)]
        return self._pairs(tuple(a[index[:, None], chosen] for a in answers), index, self.images[index])
