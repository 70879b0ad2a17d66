"""The floor ``allowed``: what the answer that the user releases anyway gives away of the picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from splitward.attacks._decoders import Decoder, teach
from splitward.attacks._training import Pairs, Schedule, invert, picture_loss, train_decoder
from splitward.attacks.inverse_network import InverseNetwork
from splitward.core.errors import NotApplicable
from splitward.core.knowledge import Activations, Released
from splitward.core.registry import register
from splitward.core.run import Run
from splitward.core.spec import TensorSpec

TABLE_NUMBERS = 1 << 24
"""Of a picture for every label, at most; more are left to a decoder."""
ENOUGH, NEARLY = 16, 0.95
"""So many public images of a label are needed, for this share of what is answered: noise makes some labels rare."""
TABLE_BATCH = 128
"""Pairs at once that it learns from: each has to do with one picture only."""


class KnownPairs:
    """A training's source of pairs that asks nobody: (answers, picture) of the public images, k draws of each."""

    def __init__(self, answers: Tensor, images: Tensor, observations: int, run: Run) -> None:
        order = torch.randperm(len(images), generator=run.stream("public-order"), device=images.device)
        reserved = max(1, min(256, len(images) // 8))
        self.observations = observations
        self._held = (answers[order[:reserved], :observations],), images[order[:reserved]]
        self.answers, self.images = answers[order[reserved:]], images[order[reserved:]]

    def held(self) -> tuple[Activations, Tensor]:
        """The hold-out."""
        return self._held

    def every(self) -> Pairs:
        """All pairs that are learnt from."""
        return Pairs((self.answers,), self.images, torch.arange(len(self.images), device=self.images.device) % 2)

    def batch(self, count: int, generator: Generator) -> Pairs:
        """``count`` random pairs, with as many of the known draws as there will be of a secret."""
        index = torch.randint(len(self.images), (count,), generator=generator, device=self.images.device)
        draws = torch.rand(self.answers.shape[1], generator=generator, device=self.images.device).argsort()
        sent = self.answers[index[:, None], draws[: self.observations]]
        return Pairs((sent,), self.images[index], index % 2)


@register("floor")
@dataclass(frozen=True)
class Allowed:
    """The picture from the released answer alone: the attacks' decoder, loss and effort; never below the class mean.

    Where one label is all that is released, whatever can be said of it is a table of one picture for each. With public
    images enough (``ENOUGH``) of nearly every label that is what is trained, ``TABLE_BATCH`` pairs at once, and no
    decoder, which takes several times as long to do as well; ``batch``, ``width`` and ``depth`` are the decoder's.
    Among what was trained, the mean public image of the answered class and the mean public image, the one that does
    best on public images that it was not made from is taken. ``observations``: draws of the answer that there will be
    of a secret.
    """

    name: ClassVar[str] = "allowed"
    efforts: ClassVar[Mapping[str, Mapping[str, Any]]] = InverseNetwork.efforts

    steps: int = InverseNetwork.steps
    laps: int = InverseNetwork.laps
    batch: int = InverseNetwork.batch
    learning_rate: float = InverseNetwork.learning_rate
    structure: float = InverseNetwork.structure
    width: int = InverseNetwork.width
    depth: int = InverseNetwork.depth
    observations: int = 1

    def prepare(self, released: Released, run: Run) -> Callable[[Tensor | None, int], Tensor]:
        """Learn from (answers, picture) pairs. Raises NotApplicable where nothing is released."""
        if released.kind == "none" or released.answers is None:
            raise NotApplicable("nothing is released, so nothing can be inverted but the activation.")
        answers = released.answers.float()
        observations = min(self.observations, answers.shape[1])
        pairs = KnownPairs(answers, released.public.images, observations, run)

        def loss(guess: Tensor, truth: Tensor) -> Tensor:
            return picture_loss(guess, truth, self.structure)

        decoder = self._trained(pairs, released, loss, run)
        means = ClassMeans(pairs.answers, pairs.images)
        candidates: tuple[Callable[[Tensor], Tensor], ...]
        candidates = (lambda known: invert(decoder, (known,)), means, means.overall)
        (held,), truth = pairs.held()
        losses = [float(loss(guess(held), truth)) for guess in candidates]
        best = candidates[losses.index(min(losses))]

        def answer(known: Tensor | None, count: int) -> Tensor:
            if known is None or len(known) != count:
                raise NotApplicable("the secrets' released answers are missing.")
            return best(known.float())

        return answer

    def _trained(
        self, pairs: KnownPairs, released: Released, loss: Callable[[Tensor, Tensor], Tensor], run: Run
    ) -> nn.Module:
        classes = pairs.answers.shape[2]
        schedule = Schedule(self.steps, self.batch, self.learning_rate, laps=self.laps)
        if released.kind == "label" and tells_apart(pairs):
            table = Table(ClassMeans(pairs.answers, pairs.images).pictures)
            train_decoder(table, pairs, replace(schedule, batch=TABLE_BATCH, weight_decay=0.0), loss, run)
            return table
        with run.constructing("decoder"):
            spec = TensorSpec((classes,))
            decoder = Decoder((spec,), released.input, self.width, self.depth, pairs.observations > 1)
        decoder.to(run.device)
        teach(decoder, pairs, pairs.every, schedule, loss, run)
        return decoder


def tells_apart(pairs: KnownPairs) -> bool:
    """Whether one picture for each label can be learnt: single labels, nearly all of which have many images."""
    counts = pairs.answers.sum((0, 1))
    known = float(counts[counts >= ENOUGH * pairs.answers.shape[1]].sum() / counts.sum())
    return pairs.observations == 1 and known >= NEARLY and len(counts) * pairs.images[0].numel() <= TABLE_NUMBERS


class Table(nn.Module):
    """A picture for every label, that a training changes."""

    def __init__(self, pictures: Tensor) -> None:
        super().__init__()
        self.shape = pictures.shape[1:]
        self.pictures = nn.Parameter(pictures.flatten(1).clone())

    def forward(self, sent: Activations, _half: Tensor | None = None) -> Tensor:
        """One-hot labels (N, 1, A) to (N, C, H, W)."""
        # not by indexing, whose gradients are summed in any order
        picture: Tensor = F.embedding(sent[0][:, 0].argmax(1), self.pictures)
        return picture.view(-1, *self.shape)


class ClassMeans:
    """The mean public image of the answered class; answers count by their mean over the draws."""

    def __init__(self, answers: Tensor, images: Tensor) -> None:
        self.mean = images.mean(0)
        classes = F.one_hot(answers.mean(1).argmax(1), answers.shape[2]).to(images.dtype)
        counts = classes.sum(0)[:, None]
        sums = classes.T @ images.flatten(1)
        means = torch.where(counts > 0, sums / counts.clamp_min(1), self.mean.flatten())
        self.pictures = means.view(-1, *images.shape[1:])

    def __call__(self, answers: Tensor) -> Tensor:
        """Answers (N, k, A) to pictures (N, C, H, W)."""
        return self.pictures[answers.mean(1).argmax(1)]

    def overall(self, answers: Tensor) -> Tensor:
        """The mean public image, whatever is answered."""
        return self.mean.expand(len(answers), *self.mean.shape)
