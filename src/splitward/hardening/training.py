"""The training of an assembly: the task, the answers of the unhardened model, and what the recipe adds."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from splitward.core.errors import DataError, ModelError
from splitward.core.hardening import Batch, Companion, Setting
from splitward.core.knowledge import Samples
from splitward.core.run import Run
from splitward.core.task import logits
from splitward.hardening._decoder import shrunk
from splitward.hardening.assembly import Assembly
from splitward.models.training import RECIPES, Recipe, affine
from splitward.split.halves import Halves

DISTILLED, TEMPERATURE = 0.5, 2.0
"""Share of the loss that asks for the unhardened model's own answers, at this temperature (G. Hinton et al., 2015)."""
AVERAGE = 0.995
"""Of the weights' moving average, a step: it is what comes out of a training."""
HELD, COPIES = 1 << 29, 2
"""Bytes that are held at most, and augmented copies of each image, where the device's own half does not learn."""
LARGEST_STEP = 5.0
"""Norm of the gradient, at most."""


@dataclass(frozen=True)
class Schedule:
    """How long and how fast; one cosine from the rate to nothing, after a short warming-up."""

    steps: int
    batch: int = 128
    learning_rate: float = 2e-3
    weight_decay: float = 1e-4


@dataclass(frozen=True)
class Fitted:
    """What a training took: seconds, and the mean loss of its last tenth."""

    seconds: float
    loss: float


def guessing_error(samples: Samples, classes: int) -> float:
    """Mean squared error of the mean image of the right class, in shrunk pixels."""
    assert samples.labels is not None
    pixels = shrunk(samples.images)
    flat = pixels.flatten(1)
    sums = torch.zeros(classes, flat.shape[1], device=flat.device).index_add_(0, samples.labels, flat)
    means = sums / torch.bincount(samples.labels, minlength=classes).clamp_min(1)[:, None]
    return float((flat - means[samples.labels]).square().mean())


def fit(
    assembly: Assembly, teacher: nn.Module, samples: Samples, classes: int, schedule: Schedule, run: Run,
    augmented: Recipe, held: Held | None = None,
) -> Fitted:  # fmt: skip
    """Train ``assembly`` in place on ``samples``; every draw is from ``run``.

    ``teacher``: the unhardened model, from pixels to its output. ``held``: of the same halves; where the recipe has
    something else to train, the device's own half then stays as it is, and is not gone through again. Raises DataError
    for samples without labels, ModelError where the loss is not finite.
    """
    if samples.labels is None:
        raise DataError(f"{samples.name} has no labels to train on: use a data set with classes.")
    loop = _Loop(assembly, samples, classes, run)
    start, tail = time.perf_counter(), []
    batches: _Fresh | _Kept = _Fresh(teacher, samples, schedule, augmented, run)
    if held is not None and loop.can_hold:
        assembly.model.edge[0].requires_grad_(False)
        batches = _Kept(held, schedule, run)
    parameters = [p for p in assembly.model.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(parameters, lr=schedule.learning_rate, weight_decay=schedule.weight_decay)
    rate = torch.optim.lr_scheduler.LambdaLR(optimiser, _cosine(max(1, schedule.steps // 20), schedule.steps))
    average = [parameter.detach().clone() for parameter in parameters]
    run.progress.start(f"training {assembly.recipe}", schedule.steps)
    for step in range(schedule.steps):
        loss = loop.loss(batches.next())
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, LARGEST_STEP)
        optimiser.step()
        rate.step()
        with torch.no_grad():
            for mean, parameter in zip(average, parameters, strict=True):
                mean.lerp_(parameter, 1 - min(AVERAGE, (1 + step) / (10 + step)))
        if step >= 0.9 * schedule.steps:
            tail.append(loss.item())
        run.progress.advance()
    run.progress.finish()
    with torch.no_grad():
        for mean, parameter in zip(average, parameters, strict=True):
            parameter.copy_(mean)
    if not all(map(math.isfinite, tail)):
        raise ModelError(f"the training of {assembly.recipe} diverged: lower its levels.")
    return Fitted(time.perf_counter() - start, sum(tail) / max(len(tail), 1))


def _cosine(warm: int, steps: int) -> Callable[[int], float]:
    def factor(step: int) -> float:
        if step < warm:
            return (step + 1) / warm
        return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))

    return factor


@dataclass(frozen=True)
class _Step:
    """Pixels, labels and the teacher's logits; ``activation``: what the device's own half computes, if held."""

    pixels: Tensor
    labels: Tensor
    wanted: Tensor
    activation: Tensor | None = None


class _Order:
    """Indices of batches without end, in an order that the seed gives."""

    def __init__(self, count: int, size: int, run: Run) -> None:
        self.count, self.size, self.order = count, min(size, count), run.stream("order")
        self.left: list[Tensor] = []

    def next(self) -> Tensor:
        """Of one batch."""
        if not self.left:
            permuted = torch.randperm(self.count, generator=self.order, device=self.order.device)
            self.left = list(permuted[: self.count // self.size * self.size].split(self.size))
        return self.left.pop()


class _Fresh:
    """Every batch is augmented anew, and goes through the whole model."""

    def __init__(self, teacher: nn.Module, samples: Samples, schedule: Schedule, augmented: Recipe, run: Run) -> None:
        self.samples, self.teacher, self.augmented = samples, teacher, augmented
        self.order, self.draws = _Order(len(samples), schedule.batch, run), run.stream("augmentation")

    def next(self) -> _Step:
        """The next batch."""
        return self.seen(self.samples[self.order.next()])

    @torch.no_grad()
    def seen(self, batch: Samples) -> _Step:
        """Augmented, with the teacher's answers."""
        assert batch.labels is not None
        pixels = affine(batch.images, self.augmented, self.draws).clamp(0, 1)
        return _Step(pixels, batch.labels, logits(self.teacher(pixels)))


class Held:
    """What the device's own half and the teacher make of the images, gone through once: for trainings that leave it.

    Two augmented copies of each image, or as many as fit; ``run`` gives the augmentation.
    """

    def __init__(self, halves: Halves, teacher: nn.Module, samples: Samples, augmented: Recipe, run: Run) -> None:
        fresh = _Fresh(teacher, samples, Schedule(1), augmented, run)
        numbers = sum(spec.elements for spec in halves.activation)
        most = HELD // (4 * (numbers + samples.images[0].numel()))
        parts = torch.arange(len(samples), device=samples.images.device).repeat(COPIES)[:most].split(500)
        run.progress.start("activations of the training images", len(parts))
        steps, activations = [], []
        for part in parts:
            steps.append(fresh.seen(samples[part]))
            with torch.no_grad():
                activations.append(halves.edge(steps[-1].pixels))
            run.progress.advance()
        run.progress.finish()
        self.pixels, self.labels, self.wanted = (
            torch.cat([getattr(step, name) for step in steps]) for name in ("pixels", "labels", "wanted")
        )
        self.activation = torch.cat(activations)

    def step(self, at: Tensor) -> _Step:
        """The images of these indices."""
        return _Step(self.pixels[at], self.labels[at], self.wanted[at], self.activation[at])


class _Kept:
    """Batches of what is held."""

    def __init__(self, held: Held, schedule: Schedule, run: Run) -> None:
        self.held, self.order = held, _Order(len(held.labels), schedule.batch, run)

    def next(self) -> _Step:
        """The next batch."""
        return self.held.step(self.order.next())


class _Loop:
    """The loss of one batch; the companions adapt to it on the way."""

    def __init__(self, assembly: Assembly, samples: Samples, classes: int, run: Run) -> None:
        self.assembly, self.run = assembly, run
        self.noise = run.stream("defence")
        shape = samples.spec.shape
        guess = guessing_error(samples, classes)
        settings = [
            Setting((shape[0], shape[1], shape[2]), assembly.numbers, classes, guess, pair.edge if pair else None)
            for pair in assembly.inserted
        ]
        self.companions: Sequence[Companion] = assembly.recipe.companions(settings, run)
        self.slopes = any(c.differentiates_pixels for c in self.companions)
        assembly.model.edge.requires_grad_(assembly.trains != "cloud")
        assembly.model.cloud.requires_grad_(assembly.trains != "edge")

    @property
    def can_hold(self) -> bool:
        """Whether something learns though the device's own half does not, and nothing asks for more of that half."""
        assembly = self.assembly
        learns = any(assembly.inserted) or assembly.trains == "cloud"
        return learns and not self.slopes and not assembly.recipe.chain.at("input")

    def loss(self, step: _Step) -> Tensor:
        """The task, the teacher's answers, and what the recipe adds."""
        pixels = step.pixels.requires_grad_() if self.slopes else step.pixels
        chain, model = self.assembly.recipe.chain, self.assembly.model
        if step.activation is None:
            values = chain.at("input").sample(self.assembly.normalise(pixels), self.noise)
            clean: Tensor = model.edge(values)
        else:
            clean = model.edge[1:](step.activation)
        sent = chain.at("wire").sample(clean, self.noise)
        answer = logits(model.cloud(sent))
        total = (1 - DISTILLED) * F.cross_entropy(answer, step.labels) + DISTILLED * _distance(answer, step.wanted)
        if self.companions:
            batch = Batch(pixels, step.labels, clean.flatten(1), sent.flatten(1))
            for companion in self.companions:
                companion.adapt(batch)
                total = total + companion.loss(batch)
        return total


def _distance(answer: Tensor, wanted: Tensor) -> Tensor:
    """Kullback-Leibler distance of softened answers, in the scale of the cross-entropy."""
    soft = F.log_softmax(answer / TEMPERATURE, 1), F.log_softmax(wanted / TEMPERATURE, 1)
    return TEMPERATURE**2 * F.kl_div(*soft, reduction="batchmean", log_target=True)


def augmentation(model: str, data: str) -> Recipe:
    """The augmentation of the victim's own training."""
    return RECIPES.get((model, data), Recipe())
