"""The cheap measure of the search: a fresh decoder, learnt on half of the selection set and tried on the rest.

Its guesses are sharpened by a short descent that knows the edge's weights.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from splitward.core.defence import Chain
from splitward.core.edge import Edge, Sender
from splitward.core.knowledge import Samples
from splitward.core.registry import find
from splitward.core.run import Run
from splitward.core.task import logits
from splitward.hardening._decoder import Decoder, shrunk

BATCH = 256
RATE = 2e-3
DESCENDED, DESCENT = 48, 120
"""Pictures that are sharpened by a descent on the edge's weights, and its steps."""
PRIOR = 0.03
"""Weight of the distance from the decoder's guess in that descent."""
FLOOR_CEILING = 0.95
"""Floors above leave no room in which an excess could be told, as in the record's verdict."""


@dataclass(frozen=True)
class Proxy:
    """What the selection set shows: accuracy, SSIM of the decoder, and of one that knows the answer alone."""

    accuracy: float
    leakage: float
    floor: float

    @property
    def excess(self) -> float:
        """What the activation adds, as a share of what is left to recover."""
        return (self.leakage - self.floor) / max(1 - self.floor, 1 - FLOOR_CEILING)


@torch.no_grad()
def sent_for(
    edge: Edge, cloud: nn.Module, chain: Chain, images: Tensor, k: int, draws: Generator
) -> tuple[Tensor, Tensor]:
    """The mean of ``k`` draws of what is sent (N, D), and the class that the cloud answers to the first (N,)."""
    rows, answers = [], []
    times = k if chain.draws else 1
    for part in images.split(BATCH):
        send = Sender(edge, chain, draws)
        first = send(part)
        answers.append(logits(cloud(first[0] if len(first) == 1 else first)).argmax(1))
        total = torch.cat([tensor.flatten(1) for tensor in first], 1)
        for _ in range(times - 1):
            total = total + torch.cat([tensor.flatten(1) for tensor in send(part)], 1)
        rows.append(total / times)
    return torch.cat(rows), torch.cat(answers)


def measure(
    edge: Edge, cloud: nn.Module, chain: Chain, samples: Samples, classes: int, *, k: int, steps: int, run: Run
) -> Proxy:
    """The proxy of a defended cut on ``samples``, every second of which teaches; ``k``: observations of a secret."""
    assert samples.labels is not None
    rows, answers = sent_for(edge, cloud, chain, samples.images, k, run.stream("sent"))
    accuracy = float((answers == samples.labels).float().mean())
    target = shrunk(samples.images)
    told = F.one_hot(answers, classes).float()
    guess = _decoded(rows, target, samples.spec.shape, steps, run.child("sent"))
    floor = _similarity(_decoded(told, target, samples.spec.shape, steps, run.child("told")), target[1::2])
    sharper = _descended(edge, chain, guess[:DESCENDED], rows[1::2][:DESCENDED], samples.images.shape[2:])
    better = _similarity(shrunk(sharper), target[1::2][:DESCENDED])
    return Proxy(accuracy, max(_similarity(guess, target[1::2]), better, floor), floor)


def _similarity(guess: Tensor, target: Tensor) -> float:
    return float(find("metric", "ssim")()(guess, target).mean())


def _descended(edge: Edge, chain: Chain, guess: Tensor, rows: Tensor, size: torch.Size) -> Tensor:
    """From the decoder's guess down to pictures whose activation is the one that was sent: the edge's weights known.

    A decoder alone finds too little in large maps. The likelihood is the chain's where it has one, else a normal one.
    """
    start = F.interpolate(guess, size=(int(size[0]), int(size[1])), mode="bilinear").clamp(0.01, 0.99)
    free = torch.logit(start).requires_grad_()
    optimiser = torch.optim.Adam([free], lr=0.05)
    wire, tolerance = chain.at("wire"), 0.1 * float(rows.std().clamp_min(1e-6))
    for _ in range(DESCENT):
        clean = edge(torch.sigmoid(free))
        assert isinstance(clean, Tensor)
        likely = wire.log_density(rows.view_as(clean), clean, tolerance)
        misfit = -likely if likely is not None else (clean.flatten(1) - rows).square().sum(1) / (2 * tolerance**2)
        near = (torch.sigmoid(free) - start).square().flatten(1).sum(1)
        (slope,) = torch.autograd.grad((misfit / rows.shape[1] + PRIOR * near).sum(), free)
        free.grad = slope
        optimiser.step()
    return torch.sigmoid(free.detach())


def _decoded(rows: Tensor, target: Tensor, shape: tuple[int, ...], steps: int, run: Run) -> Tensor:
    """What a decoder makes of the odd rows, learnt on the even ones."""
    learn, test = rows[::2], rows[1::2]
    mean, deviation = learn.mean(0), learn.std(0).clamp_min(1e-3)
    learn, test = (learn - mean) / deviation, (test - mean) / deviation
    with run.constructing("decoder"):
        decoder = Decoder(rows.shape[1], (shape[0], shape[1], shape[2])).to(rows.device)
    optimiser = torch.optim.Adam(decoder.parameters(), lr=RATE)
    rate = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    order, pixels = run.stream("order"), target[::2]
    for _ in range(steps):
        index = torch.randint(len(learn), (min(128, len(learn)),), generator=order, device=rows.device)
        loss = F.mse_loss(decoder(learn[index]), pixels[index])
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        rate.step()
    with torch.no_grad():
        guess: Tensor = decoder(test)
    return guess
