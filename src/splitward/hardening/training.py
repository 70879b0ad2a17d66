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

DISTILLED, TEMPERATURE = 0.5, 2.0
"""Share of the loss that asks for the unhardened model's own answers, at this temperature (G. Hinton et al., 2015)."""
AVERAGE = 0.995
"""Of the weights' moving average, a step: it is what comes out of a training."""
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
    augmented: Recipe,
) -> Fitted:  # fmt: skip
    """Train ``assembly`` in place on ``samples``; every draw is from ``run``.

    ``teacher``: the unhardened model, from pixels to its output. Raises DataError for samples without labels,
    ModelError where the loss is not finite.
    """
    if samples.labels is None:
        raise DataError(f"{samples.name} has no labels to train on: use a data set with classes.")
    loop = _Loop(assembly, teacher, samples, classes, run)
    start, tail = time.perf_counter(), []
    parameters = assembly.parameters
    optimiser = torch.optim.AdamW(parameters, lr=schedule.learning_rate, weight_decay=schedule.weight_decay)
    warm = max(1, schedule.steps // 20)
    rate = torch.optim.lr_scheduler.LambdaLR(optimiser, _cosine(warm, schedule.steps))
    average = [parameter.detach().clone() for parameter in parameters]
    batches = _Batches(samples, schedule, augmented, run)
    run.progress.start(f"training {assembly.recipe}", schedule.steps)
    for step in range(schedule.steps):
        loss = loop.loss(*batches.next())
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


class _Batches:
    """Augmented batches without end, in an order that the seed gives."""

    def __init__(self, samples: Samples, schedule: Schedule, augmented: Recipe, run: Run) -> None:
        self.samples, self.augmented, self.size = samples, augmented, min(schedule.batch, len(samples))
        self.order, self.draws = run.stream("order"), run.stream("augmentation")
        self.left: list[Tensor] = []

    def next(self) -> tuple[Tensor, Tensor]:
        """Pixels and labels."""
        if not self.left:
            permuted = torch.randperm(len(self.samples), generator=self.order, device=self.samples.images.device)
            whole = len(permuted) // self.size * self.size
            self.left = list(permuted[:whole].split(self.size))
        batch = self.samples[self.left.pop()]
        assert batch.labels is not None
        return affine(batch.images, self.augmented, self.draws).clamp(0, 1), batch.labels


class _Loop:
    """The loss of one batch; the companions adapt to it on the way."""

    def __init__(self, assembly: Assembly, teacher: nn.Module, samples: Samples, classes: int, run: Run) -> None:
        self.assembly, self.teacher, self.run = assembly, teacher, run
        self.noise = run.stream("defence")
        shape = samples.spec.shape
        guess = guessing_error(samples, classes)
        settings = [
            Setting((shape[0], shape[1], shape[2]), assembly.numbers, classes, guess, pair.edge if pair else None)
            for pair in assembly.inserted
        ]
        self.companions: Sequence[Companion] = assembly.recipe.companions(settings, run)
        self.slopes = any(c.differentiates_pixels for c in self.companions)
        if assembly.trains != "both":
            frozen = assembly.model.cloud if assembly.trains == "edge" else assembly.model.edge
            frozen.requires_grad_(False)

    def loss(self, pixels: Tensor, labels: Tensor) -> Tensor:
        """The task, the teacher's answers, and what the recipe adds."""
        if self.slopes:
            pixels = pixels.requires_grad_()
        chain, model = self.assembly.recipe.chain, self.assembly.model
        values = chain.at("input").sample(self.assembly.normalise(pixels), self.noise)
        clean: Tensor = model.edge(values)
        sent = chain.at("wire").sample(clean, self.noise)
        answer = logits(model.cloud(sent))
        with torch.no_grad():
            wanted = logits(self.teacher(pixels))
        total = (1 - DISTILLED) * F.cross_entropy(answer, labels) + DISTILLED * _distance(answer, wanted)
        if self.companions:
            batch = Batch(pixels, labels, clean.flatten(1), sent.flatten(1))
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
