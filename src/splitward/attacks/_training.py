"""One training loop for every learned attack: a source of (activations, pixels), a loss, a schedule, a hold-out.

What is kept is selected by the attacker's own loss on public images that it did not train on.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from splitward.core.knowledge import Activations
from splitward.core.run import Run, supports_bfloat16
from splitward.core.settling import FLAT, converged

WINDOW = 11
"""Side of SSIM's Gaussian window (Wang et al. 2004); smaller images have no SSIM, and the loss is the error alone."""
SIGMA = 1.5
POINTS = 16
"""Looks at the hold-out, and points of a loss trace."""
APART = 10
"""Steps between two of them, at least."""
PATIENCE = 5
"""Looks in a row without an improvement that end a training ..."""
BETTER = 1e-3
"""... of at least this share of the best loss."""
GENTLER = 0.1
"""The learning rate of what follows where large steps gain nothing any more, in shares of the rate before."""
INVERT_BATCH = 128


class Pairs(NamedTuple):
    """What a decoder learns from.

    ``sent``: activations, each (N, k, *shape). ``pixels``: (N, C, H, W). ``half``: (N,), 0 or 1, in which half of the
    public images the one is that a pair was made of; what is made of the same image is in the same half.
    """

    sent: Activations
    pixels: Tensor
    half: Tensor


class Source(Protocol):
    """Where a training's pairs come from."""

    def batch(self, count: int, generator: Generator) -> Pairs:
        """``count`` pairs to learn from."""

    def held(self) -> tuple[Activations, Tensor]:
        """Pairs that are never learnt from."""


@dataclass(frozen=True)
class Schedule:
    """How long and how fast: AdamW, a linear warm-up, then a cosine to zero; an average of the weights is kept.

    ``laps``: how often at most, while the loss has not settled; the papers' is gone through once.
    """

    steps: int
    batch: int
    learning_rate: float
    warm_up: float = 0.1  # share of the steps
    weight_decay: float = 1e-2
    average: float = 0.995  # of the weights' moving average, per step
    laps: int = 1
    halve_every: int | None = None  # steps; the papers' schedule in place of warm-up and cosine, and plain Adam

    def rate(self, step: int) -> float:
        """Learning rate at ``step``."""
        if self.halve_every is not None:
            return self.learning_rate * 0.5 ** (step // self.halve_every)
        done = (step + 1) / (self.steps + 1)
        if done < self.warm_up:
            return self.learning_rate * done / self.warm_up
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * (done - self.warm_up) / (1 - self.warm_up)))


def window(size: int, device: torch.device) -> Tensor:
    """The Gaussian window as a matrix (size - 10, size): one row for each place where the window fits."""
    offsets = torch.arange(WINDOW, device=device, dtype=torch.float32) - WINDOW // 2
    weights = torch.exp(-(offsets**2) / (2 * SIGMA**2))
    weights /= weights.sum()
    return torch.stack([F.pad(weights, (i, size - WINDOW - i)) for i in range(size - WINDOW + 1)])


def structural_similarity(guess: Tensor, truth: Tensor) -> Tensor:
    """Mean SSIM of each image, (N,): Gaussian window, valid area, data_range 1; differentiable."""
    rows, columns = (window(n, truth.device) for n in truth.shape[-2:])

    def blur(x: Tensor) -> Tensor:
        return rows @ x @ columns.T

    mean_g, mean_t = blur(guess), blur(truth)
    var_g, var_t = blur(guess * guess) - mean_g**2, blur(truth * truth) - mean_t**2
    covariance = blur(guess * truth) - mean_g * mean_t
    c1, c2 = 0.01**2, 0.03**2
    similarity = (2 * mean_g * mean_t + c1) * (2 * covariance + c2)
    similarity = similarity / ((mean_g**2 + mean_t**2 + c1) * (var_g + var_t + c2))
    return similarity.flatten(1).mean(1)


def picture_loss(guess: Tensor, truth: Tensor, structure: float) -> Tensor:
    """Mean squared error + structure * (1 - SSIM).

    A guess beyond [0, 1] on the side of a true 0 or 1 costs nothing: it will be clamped.
    """
    beyond = ((guess < 0) & (truth <= 0)) | ((guess > 1) & (truth >= 1))
    error = torch.where(beyond, 0.0, guess - truth).square().mean()
    if structure == 0 or min(truth.shape[-2:]) < WINDOW:
        return error
    return error + structure * (1 - structural_similarity(guess.clamp(0, 1), truth).mean())


@torch.no_grad()
def invert(decoder: nn.Module, activations: Activations) -> Tensor:
    """What ``decoder`` says for activations, each (N, k, *shape), in [0, 1]."""
    decoder.eval()
    parts = [
        decoder(tuple(a[i : i + INVERT_BATCH] for a in activations))
        for i in range(0, len(activations[0]), INVERT_BATCH)
    ]
    return torch.cat(parts).float().clamp(0, 1)


class Average:
    """A moving average of a module's trainable weights."""

    def __init__(self, module: nn.Module, keep: float) -> None:
        self.parameters = [p for p in module.parameters() if p.requires_grad]
        self.values = [p.detach().clone() for p in self.parameters]
        self.keep, self.count = keep, 0

    @torch.no_grad()
    def update(self) -> None:
        """One more step."""
        self.count += 1
        keep = min(self.keep, (1 + self.count) / (10 + self.count))
        torch._foreach_lerp_(self.values, [p.detach() for p in self.parameters], 1 - keep)

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange the module's weights and the average."""
        for parameter, value in zip(self.parameters, self.values, strict=True):
            held = parameter.clone()
            parameter.copy_(value)
            value.copy_(held)


Loss = Callable[[Generator], Tensor]
"""The loss of a fresh batch, drawn with the generator; differentiable."""


class _Training:
    """One training under way: its optimiser, the average of its weights, and the best of them so far."""

    def __init__(
        self,
        module: nn.Module,
        loss: Loss,
        held_loss: Callable[[], float],
        schedule: Schedule,
        run: Run,
        phase: str,
        known: float = math.inf,
    ) -> None:
        self.module, self.loss, self.held_loss = module, loss, held_loss
        self.schedule, self.run, self.phase = schedule, run, phase
        self.draws, self.papers = run.stream(f"{phase}/batches"), schedule.halve_every is not None
        module.to(device=run.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.parameters = [p for p in module.parameters() if p.requires_grad]
        self.laps, self.steps, self.share = 0, 0, 1.0
        self._begin()
        module.eval()
        self.best, self.kept = held_loss(), [p.detach().clone() for p in self.parameters]
        self.points = [(0, min(self.best, known))]
        run.record_loss(phase, *self.points[0])

    def _begin(self) -> None:
        """An optimiser and an average that know of the weights as they are."""
        decay = 0.0 if self.papers else self.schedule.weight_decay
        self.optimiser = torch.optim.AdamW(self.parameters, lr=self.schedule.learning_rate, weight_decay=decay)
        self.average = Average(self.module, 0.0 if self.papers else self.schedule.average)

    def lap(self) -> None:
        """Once through the schedule. The first lap goes on with smaller steps where large ones gain nothing any more,
        and ends where these gain nothing either.

        A further lap begins with larger steps than the last one ended with, which undo some of what was gained: only
        its end says whether more is to be had.
        """
        every = max(APART, math.ceil(self.schedule.steps / POINTS))
        self.laps += 1
        self.idle, self.lowest = 0, math.inf
        again = f", lap {self.laps}" if self.laps > 1 else ""
        self.run.progress.start(f"training the {self.phase}{again}", self.schedule.steps)
        for step in range(self.schedule.steps):
            self._step(step)
            if (step + 1) % every and step + 1 < self.schedule.steps:
                continue
            self._look()
            if self.idle < PATIENCE or self.laps > 1 or self.papers:
                continue
            if self.share < 1:
                break
            self._slow_down()
        self.run.progress.finish()

    def _slow_down(self) -> None:
        """Back to the best weights, and on from there with smaller steps."""
        self.restore()
        self.share *= GENTLER
        self.idle = 0
        self._begin()

    def _step(self, step: int) -> None:
        for group in self.optimiser.param_groups:
            group["lr"] = self.share * self.schedule.rate(step)
        self.module.train()
        error = self.loss(self.draws)
        self.optimiser.zero_grad(set_to_none=True)
        error.backward()
        self.optimiser.step()
        self.average.update()
        self.steps += 1
        # a GPU is asked now and then only: each question waits for all that it was given to do
        self.run.progress.advance(1, "" if step % APART else f"loss {error.item():.4f}")

    def _look(self) -> None:
        """At the hold-out, with the average of the weights.

        Patience is with the lap, not with what is kept: a start from a closed form is better than what a lap first
        makes of it, and a lap on its way back from there gains.
        """
        self.average.swap()
        self.module.eval()
        now = self.held_loss()
        self.idle = 0 if now < (1 - BETTER) * self.lowest else self.idle + 1
        self.lowest = min(now, self.lowest)
        if now < self.best:
            self.best, self.kept = now, [p.detach().clone() for p in self.parameters]
        self.average.swap()
        self.points.append((self.steps, self.best))  # of what is kept: where it stays, more of this gain nothing
        self.run.record_loss(self.phase, self.steps, self.best)

    @torch.no_grad()
    def restore(self) -> float:
        """Put the best weights in place; returns their loss on the hold-out."""
        for parameter, value in zip(self.parameters, self.kept, strict=True):
            parameter.copy_(value)
        self.module.eval()
        return self.best


def train(
    module: nn.Module,
    loss: Loss,
    held_loss: Callable[[], float],
    schedule: Schedule,
    run: Run,
    phase: str,
    known: float = math.inf,
) -> float:
    """Train ``module`` in place for ``schedule.steps``; returns its loss on the hold-out.

    The moving average of the weights that does best on the hold-out is kept, the start included. Where large steps gain
    nothing any more, the rest of the lap goes on from the best weights with a tenth of the rate: large steps end on a
    plateau that smaller ones leave. Further laps follow, as many as ``schedule.laps`` allows in all, while the loss has
    not settled. The papers' schedule is gone through once, whatever it leaves. ``known``: a loss that is reached
    without any training; one that ends above it has learnt too little, and has not settled, which a phase
    ``<phase>/closed-form`` of the trace says.
    """
    training, enough = _Training(module, loss, held_loss, schedule, run, phase, known), (1 + FLAT) * known
    for _ in range(1 if training.papers else max(1, schedule.laps)):
        training.lap()
        if converged(training.points) and training.best <= enough:
            break
    if training.best > enough:  # a loss that rose: see core.settling
        run.record_loss(f"{phase}/closed-form", 0, known)
        run.record_loss(f"{phase}/closed-form", training.steps, training.best)
    return training.restore()


def train_decoder(
    decoder: nn.Module,
    source: Source,
    schedule: Schedule,
    compare: Callable[[Tensor, Tensor], Tensor],
    run: Run,
    known: float = math.inf,
) -> float:
    """Train ``decoder`` on pairs from ``source``, by ``compare`` (guess, truth); returns its loss on the hold-out.

    ``known``: as in ``train``.
    """
    activations, truth = source.held()
    papers = schedule.halve_every is not None
    low = supports_bfloat16(run.device) and not papers  # 1.6 times as fast on two cores, and no weaker for it

    def loss(generator: Generator) -> Tensor:
        sent, pixels, half = source.batch(schedule.batch, generator)
        with torch.autocast(run.device.type, torch.bfloat16, enabled=low):
            guess = decoder(sent, half)
        return compare(guess.float(), pixels)

    def held_loss() -> float:
        return float(compare(invert(decoder, activations), truth))

    return train(decoder, loss, held_loss, schedule, run, "decoder", known)


def augment(images: Tensor, shift: float, generator: Generator) -> Tensor:
    """Each image moved by its own whole pixels, at most ``shift`` of the image; colour images also mirrored at random.

    The border is repeated outwards. (N, C, H, W) to the same.
    """
    count, colours, height, width = images.shape
    reach = round(shift * max(height, width))
    if reach:
        padded = F.pad(images, (reach,) * 4, mode="replicate")
        moves = torch.randint(0, 2 * reach + 1, (2, count, 1), generator=generator, device=images.device)
        rows = moves[0] + torch.arange(height, device=images.device)
        columns = moves[1] + torch.arange(width, device=images.device)
        which = torch.arange(count, device=images.device)[:, None, None]
        images = padded[which, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2).contiguous()
    if colours == 3:
        mirrored = torch.rand(count, 1, 1, 1, generator=generator, device=images.device) < 0.5
        images = torch.where(mirrored, images.flip(3), images)
    return images
