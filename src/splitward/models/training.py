"""Training of the zoo's victims, for CPU and GPU.

One recipe: AdamW, a one-cycle learning rate, an exponential moving average of the weights, and augmentation by random
affine maps. On a CPU with bfloat16 units the convolutions run in bfloat16 and channels-last. Nothing is selected on
test data: the weights are the moving average after the last step.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR, StepLR

from splitward.core.errors import ModelError
from splitward.core.knowledge import Samples
from splitward.core.run import Run, supports_bfloat16


@dataclass(frozen=True)
class Recipe:
    """How a victim is trained. Angles in degrees, translations and scales as shares of the image."""

    epochs: int = 12
    batch: int = 128
    learning_rate: float = 2e-3
    weight_decay: float = 5e-2
    label_smoothing: float = 0.0
    flip: bool = False
    rotate: float = 10.0
    translate: float = 0.1
    scale: float = 0.1
    cutout: int = 0  # side, in pixels, of a square that is blanked in every image (DeVries and Taylor, 2017)
    average: float = 0.998  # of the weights' moving average, per step; 0: the last weights
    halve_every: int = 0  # epochs; the papers' schedule, with Adam (AMSGrad), in place of one cycle of AdamW

    @property
    def augments(self) -> bool:
        """Whether images are moved at all."""
        return bool(self.flip or self.rotate or self.translate or self.scale)


RECIPES = {
    ("lenet5", "mnist"): Recipe(epochs=30),
    ("lenet5", "digits"): Recipe(epochs=60, batch=32),
    ("lenet5", "faces"): Recipe(epochs=200, batch=16, flip=True),
    ("cifar-cnn", "cifar10"): Recipe(
        epochs=18, label_smoothing=0.05, flip=True, rotate=0.0, scale=0.0, translate=0.125, cutout=8
    ),
}
"""Model and data set -> the recipe of the shipped weights; any other pair uses ``Recipe()``."""
PAPERS = Recipe(
    epochs=50, batch=32, learning_rate=1e-3, weight_decay=0.0, rotate=0.0, translate=0.0, scale=0.0, average=0.0,
    halve_every=20,
)  # fmt: skip
"""The released scripts' training on MNIST: Adam 1e-3 (eps 1e-3, AMSGrad), halved every 20 epochs, no augmentation."""
NAMED = {"papers": PAPERS}
"""Recipes that can be asked for by name."""


@dataclass(frozen=True)
class Trained:
    """The outcome of a training: what it cost and what it reached."""

    accuracy: float
    test_samples: int
    train_samples: int
    seconds: float
    losses: tuple[float, ...]  # mean training loss, by epoch


def affine(images: Tensor, recipe: Recipe, generator: Generator) -> Tensor:
    """Each image under its own random rotation, scale, translation and flip; (N, C, H, W), zeros outside."""
    n = images.shape[0]

    def shift(size: int) -> Tensor:  # whole pixels, so that a shift alone does not blur
        return 2 * (uniform(recipe.translate) * size).round() / size

    def uniform(span: float) -> Tensor:
        return (torch.rand(n, generator=generator, device=images.device) * 2 - 1) * span

    angle, scale = uniform(math.radians(recipe.rotate)), 1 + uniform(recipe.scale)
    cosine, sine = angle.cos() / scale, angle.sin() / scale
    mirror = torch.ones(n, device=images.device)
    if recipe.flip:
        mirror = uniform(1.0).sign()
    theta = torch.stack(
        [
            torch.stack([cosine * mirror, -sine, shift(images.shape[3])], 1),
            torch.stack([sine * mirror, cosine, shift(images.shape[2])], 1),
        ],
        1,
    )
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", align_corners=False)


def cutout(images: Tensor, side: int, generator: Generator) -> Tensor:
    """Each image with its own square of mid-grey, anywhere in it and cut off at the border; (N, C, H, W)."""
    n, _, height, width = images.shape
    centre = torch.rand(2, n, 1, 1, 1, generator=generator, device=images.device)
    rows = torch.arange(height, device=images.device).view(1, 1, -1, 1)
    columns = torch.arange(width, device=images.device).view(1, 1, 1, -1)
    inside = ((rows - centre[0] * height).abs() <= side / 2) & ((columns - centre[1] * width).abs() <= side / 2)
    return images.masked_fill(inside, 0.5)


@torch.no_grad()
def predict(model: nn.Module, images: Tensor, batch: int = 500) -> Tensor:
    """Class of each image, (N,) int64."""
    return torch.cat([model(part).argmax(1) for part in images.split(batch)])


def _optimiser(model: nn.Module, recipe: Recipe, steps: int) -> tuple[Optimizer, LRScheduler]:
    rate = recipe.learning_rate
    if recipe.halve_every:
        adam = torch.optim.Adam(model.parameters(), lr=rate, eps=1e-3, amsgrad=True, weight_decay=recipe.weight_decay)
        return adam, StepLR(adam, recipe.halve_every * max(1, steps // recipe.epochs), 0.5)
    adamw = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=recipe.weight_decay)
    warm = 0.2 if steps > 5 else 0.3  # at five steps, 0.2 divides by zero
    return adamw, OneCycleLR(adamw, rate, total_steps=steps, pct_start=warm)


def train(model: nn.Module, train_set: Samples, test_set: Samples, recipe: Recipe, run: Run) -> Trained:
    """Train ``model`` (from pixels to logits) in place, and measure it on ``test_set``.

    Raises ModelError where a set has no labels or the loss is not finite.
    """
    if train_set.labels is None or test_set.labels is None:
        raise ModelError(f"{train_set.name} has no labels to train on: use a data set with classes.")
    device = run.device
    model.to(device).to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    images, labels = train_set.images.to(device), train_set.labels.to(device)
    size = min(recipe.batch, len(train_set))
    steps = recipe.epochs * (len(train_set) // size)
    optimiser, schedule = _optimiser(model, recipe, steps)
    average = {k: v.detach().clone() for k, v in model.named_parameters()}
    order, draws = run.stream("order"), run.stream("augmentation")
    low = supports_bfloat16(device)
    start, losses, step = time.perf_counter(), [], 0
    run.progress.start(f"training on {len(train_set):,} images", steps)
    for _ in range(recipe.epochs):
        total = 0.0
        for index in torch.randperm(len(train_set), generator=order, device=device).split(size):
            if len(index) < size:
                continue
            batch = images[index]
            if recipe.augments:
                batch = affine(batch, recipe, draws)
            if recipe.cutout:
                batch = cutout(batch, recipe.cutout, draws)
            batch = batch.to(memory_format=torch.channels_last)
            with torch.autocast(device.type, torch.bfloat16, enabled=low):
                logits = model(batch)
            loss = F.cross_entropy(logits.float(), labels[index], label_smoothing=recipe.label_smoothing)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            schedule.step()
            step += 1
            keep = min(recipe.average, (1 + step) / (10 + step))
            with torch.no_grad():
                for name, parameter in model.named_parameters():
                    average[name].lerp_(parameter, 1 - keep)
            total += loss.item()
            run.progress.advance(1, f"loss {loss.item():.3f}")
        losses.append(total / (len(train_set) // size))
        if not math.isfinite(losses[-1]):
            raise ModelError(f"the training on {train_set.name} diverged: lower the recipe's learning rate.")
        run.record_loss("training", step, losses[-1])
    run.progress.finish()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(average[name])
    model.eval()
    correct = predict(model, test_set.images.to(device)) == test_set.labels.to(device)
    return Trained(
        correct.float().mean().item(),
        len(test_set),
        len(train_set),
        time.perf_counter() - start,
        tuple(losses),
    )
