"""The inverse network: a decoder trained on answers of the device (IoTJ20 section III-B, equation 2)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from splitward.attacks._affine import identify
from splitward.attacks._asking import Interview
from splitward.attacks._decoders import Decoder, ScriptDecoder, teach
from splitward.attacks._panel import make_panel, train_panel
from splitward.attacks._reading import LOOKED_AT, read, unflattened
from splitward.attacks._training import Schedule, invert, picture_loss, train_decoder
from splitward.core.knowledge import Activations, BlackBox
from splitward.core.protocols import Inverter
from splitward.core.registry import register
from splitward.core.run import Run
from splitward.core.spec import TensorSpec

FEW = 512
"""Pairs, at most, that an affine edge is identified from."""
CLOSED_FORM = 16384
"""Pairs, at most, that the linear path is fitted to."""


@dataclass(frozen=True)
class LearnedInverse:
    """A trained decoder as an inverter; ``held``, ``pixels``: (activation, picture) pairs that it never learnt from."""

    decoder: nn.Module
    held: Activations
    pixels: Tensor

    def __call__(self, activations: Activations) -> Tensor:
        """(N, k, *shape) each to (N, C, H, W)."""
        return invert(self.decoder, activations)


@register("attack")
@dataclass(frozen=True)
class InverseNetwork:
    """A decoder from what crossed the wire to pixels, trained on the device's answers for public images.

    inverse = argmin_g 1/m sum ||g(sent(x_i)) - x_i||^2 (equation 2), over public images x_i. The oracle answers with
    defended activations, so an adaptive attacker learns to undo the defence as far as that is possible.

    Ours (``architecture="sized"``): a decoder that is sized from the shapes alone, with a linear path in closed form;
    an edge that turns out to be affine is identified and solved exactly. ``scripts``: the small decoders, the loss in
    normalised pixel space and the schedule of the released scripts (Adam; the paper says SGD).

    ``steps``: training steps; 0 gives an untrained decoder. ``laps``: how often at most they are gone through, while
    the loss on the hold-out has not settled. ``epochs``: over the public images, in place of ``steps``.
    ``structure``: weight of 1 - SSIM beside the squared error. ``shift``: augmentation, a share of the image.
    ``observations``: how many the decoder expects at once; any other number works too.
    """

    name: ClassVar[str] = "inverse-network"
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "scripts": {
            "architecture": "scripts", "epochs": 50, "laps": 1, "batch": 32, "learning_rate": 1e-3, "structure": 0.0,
            "shift": 0.0, "knows_defence": False,
        },
    }  # fmt: skip
    efforts: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "quick": {"steps": 500, "laps": 3, "width": 32, "batch": 32},
        "standard": {},
        "thorough": {"steps": 4000, "width": 64, "depth": 2},
    }

    steps: int = 1500
    laps: int = 2
    epochs: int | None = None
    batch: int = 64
    learning_rate: float = 3e-3
    structure: float = 0.05
    width: int = 48
    depth: int = 1
    shift: float = 0.08
    architecture: str = "sized"
    observations: int = 1
    knows_defence: bool = True

    def prepare(self, knowledge: BlackBox, run: Run) -> Inverter:
        """Ask, and train. Raises NotApplicable with fewer than two public images or queries."""
        return self.learn(Interview(knowledge, self.observations, self.shift, self._looks, run), knowledge, run)

    def learn(self, source: Interview, knowledge: BlackBox, run: Run) -> Inverter:
        """Train on what the device answers in ``source``, which an attack that has asked already brings along."""
        if self.architecture == "scripts":
            return self._scripts(knowledge, source, run)
        specs = self._specs(source, knowledge)
        with run.constructing("decoder"):
            decoder = Decoder(specs, knowledge.input, self.width, self.depth, self.observations > 1)
        decoder.to(run.device)
        if self.steps:
            exact = identify(*source.first(FEW)[:2], source.held(), run) if source.affine else None
            if exact is not None:
                return exact
        schedule = Schedule(self._count(source), self.batch, self.learning_rate, laps=self.laps)

        def loss(guess: Tensor, truth: Tensor) -> Tensor:
            return picture_loss(guess, truth, self.structure)

        teach(decoder, source, lambda: source.first(CLOSED_FORM), schedule, loss, run)
        return LearnedInverse(decoder, *source.held())

    def prepare_several(self, knowledge: Sequence[BlackBox], run: Run) -> list[Inverter]:
        """Ask one device under several defences, and train decoders for each that share most of their weights.

        It saves work and grants nothing: each decoder still sees answers of its own device only, of which there are as
        many as it likes, and what the shared weights learn from the others could be learnt from those with more steps.
        Under a query budget that is not so, and every attacker trains alone. (A white-box attacker can make the answers
        of any defence himself.)
        """
        shares = len(knowledge)
        sources = [
            Interview(known, self.observations, self.shift, self._looks, run, 1 / shares)  # one hold-out for all
            for known in knowledge
        ]
        first = knowledge[0]
        specs = self._specs(sources[0], first)

        def make() -> Decoder:
            with run.constructing("decoder"):
                return Decoder(specs, first.input, self.width, self.depth, self.observations > 1)

        panel = make_panel(make, shares)

        def loss(guess: Tensor, truth: Tensor) -> Tensor:
            return picture_loss(guess, truth, self.structure)

        schedule = Schedule(self._count(sources[0]), self.batch, self.learning_rate, laps=self.laps)
        train_panel(panel, sources, schedule, loss, run)
        return [LearnedInverse(decoder, *source.held()) for decoder, source in zip(panel, sources, strict=True)]

    def _specs(self, source: Interview, knowledge: BlackBox) -> tuple[TensorSpec, ...]:
        """The shapes that a decoder takes the activation for."""
        vectors = any(read(spec, knowledge.input).layout == "vector" for spec in knowledge.activation)
        if not vectors or not self.steps:
            return knowledge.activation
        sent, pixels, _ = source.first(LOOKED_AT)
        return unflattened(knowledge.activation, knowledge.input, sent, pixels)

    @property
    def _looks(self) -> int:
        """Images that a training looks at, at most."""
        return self.steps * self.laps * self.batch

    def _count(self, source: Interview) -> int:
        if self.epochs is None or self.steps == 0:
            return self.steps
        return self.epochs * math.ceil(len(source.images) / self.batch)

    def _scripts(self, knowledge: BlackBox, source: Interview, run: Run) -> Inverter:
        with run.constructing("decoder"):
            decoder = ScriptDecoder(knowledge.activation, knowledge.input)
        images = knowledge.public.images
        decoder.mean = images.mean((0, 2, 3))[:, None, None]
        decoder.std = images.std((0, 2, 3))[:, None, None].clamp_min(1e-3)
        decoder.to(run.device)
        steps = self._count(source)
        schedule = Schedule(steps, self.batch, self.learning_rate, halve_every=max(1, steps // 5))

        def loss(guess: Tensor, truth: Tensor) -> Tensor:  # in normalised pixel space
            return ((guess - truth) / decoder.std).square().mean()

        train_decoder(decoder, source, schedule, loss, run)
        return lambda activations: invert(decoder, activations)
