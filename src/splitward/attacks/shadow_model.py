"""The query-free attack: shadows of the edge that suit the frozen cloud half (IoTJ20 section III-C)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Generator, Tensor

from splitward.attacks._decoders import Decoder
from splitward.attacks._shadows import Moments, Shadows, draw, run_cloud, split
from splitward.attacks._surrogate import make_edge, rectified
from splitward.attacks._training import Schedule, invert, picture_loss, train, train_decoder
from splitward.attacks.inverse_network import CLOSED_FORM, InverseNetwork
from splitward.attacks.rmle import RMLE
from splitward.core.defence import Chain
from splitward.core.edge import Edge, release
from splitward.core.errors import AttackError
from splitward.core.knowledge import QueryFree, Samples
from splitward.core.protocols import Inverter
from splitward.core.registry import register
from splitward.core.run import Run
from splitward.core.spec import TensorSpec


@register("attack")
@dataclass(frozen=True)
class ShadowModel:
    """Shadow edges that suit the frozen cloud half, then a decoder (or rMLE) of the shadows; it never asks the device.

    shadow = argmin_g 1/m sum loss(cloud(g(x_i)), y_i) (equation 4) over public images, with the loss of the cloud's own
    task. An adaptive attacker passes the shadow's activation through the defence. Where there is traffic of other
    users, the shadow's activations are fitted to its moments too. Several shadows are made; the decoder learns from all
    but one and is selected on the last, which it has never seen, as it has never seen the victim.

    ``steps``: of each shadow's training; ``decoder_steps``; ``inversion_steps``: of rMLE. ``moments``: weight of the
    moments, less where traffic is scarce. ``architecture``: "sized", "scripts" (ACSAC19 table 5), or
    ``package.module:factory``.
    """

    name: ClassVar[str] = "shadow-model"
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "scripts": {
            "architecture": "scripts", "epochs": 50, "batch": 32, "learning_rate": 1e-3, "shadows": 1, "moments": 0.0,
            "inversion": "rmle", "shift": 0.0, "knows_defence": False,
        },
    }  # fmt: skip
    efforts: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "quick": {"steps": 150, "decoder_steps": 120, "shadows": 2, "width": 12, "batch": 32},
        "standard": {},
        "thorough": {"steps": 2000, "decoder_steps": 4000, "shadows": 5},
    }

    steps: int = 400
    epochs: int | None = None
    batch: int = 64
    learning_rate: float = 3e-3
    shadows: int = 3
    moments: float = 1.0
    width: int = 24
    architecture: str = "sized"
    inversion: Literal["decoder", "rmle"] = "decoder"
    decoder_steps: int = 600
    inversion_steps: int = 500
    structure: float = InverseNetwork.structure
    shift: float = 0.08
    observations: int = 1
    knows_defence: bool = True

    def __post_init__(self) -> None:
        if self.inversion not in ("decoder", "rmle"):
            raise AttackError(f"shadow-model inverts by 'decoder' or 'rmle', not by {self.inversion!r}.")

    def prepare(self, knowledge: QueryFree, run: Run) -> Inverter:
        """Make the shadows, and learn from them; NotApplicable where the public set lacks what the task needs."""
        chain = knowledge.defence or Chain()
        pictures, unseen = split(knowledge.public, run)
        with torch.no_grad():  # raises NotApplicable without labels, before any work is done
            probe = tuple(torch.zeros(2, *s.shape, device=run.device) for s in knowledge.activation)
            knowledge.task.loss(run_cloud(knowledge.cloud, probe), unseen[:2])
        edges = [self._shadow(knowledge, chain, pictures, unseen, i, run) for i in range(max(1, self.shadows))]
        edges.sort(key=lambda pair: -pair[0])  # the most faithful one judges
        chosen = [edge for _, edge in edges]
        if self.inversion == "rmle":
            return self._descent(chosen[-1], chain, knowledge, run)
        return self._decoder(knowledge, Shadows(knowledge, chain, chosen, self.observations, self.shift, run), run)

    def _shadow(
        self, knowledge: QueryFree, chain: Chain, pictures: Samples, unseen: Samples, index: int, run: Run
    ) -> tuple[float, Edge]:
        """(loss on the hold-out, edge), trained through the frozen cloud half."""
        phase = f"shadow/{index}"
        traffic = knowledge.traffic
        rectify = rectified(traffic) if traffic is not None else [False] * len(knowledge.activation)
        if self.architecture == "scripts":
            rectify = [True] * len(rectify)
        own = run.child(phase)
        edge = make_edge(knowledge, self.architecture, self.width, 5 - 2 * (index % 2), rectify, own)
        moments = Moments(traffic) if traffic is not None and self.moments else None

        def misfit(batch: Samples, generator: Generator) -> Tensor:
            sent = release(edge, chain, batch.images, generator)
            loss = knowledge.task.loss(run_cloud(knowledge.cloud, sent), batch)
            return loss if moments is None else loss + self.moments * moments.trust * moments.distance(sent)

        @torch.no_grad()
        def held() -> float:
            return float(misfit(unseen, own.stream("hold-out")))

        steps = self.steps
        if self.epochs is not None and steps:
            steps = self.epochs * -(-len(pictures) // self.batch)
        halving = max(1, steps // 5) if self.epochs is not None else None
        schedule = Schedule(steps, self.batch, self.learning_rate, halve_every=halving)
        loss = train(edge, lambda g: misfit(draw(pictures, self.batch, self.shift, g), g), held, schedule, own, phase)
        run.trace.update(own.trace)
        return loss, edge.requires_grad_(False)

    def _descent(self, edge: Edge, chain: Chain, knowledge: QueryFree, run: Run) -> Inverter:
        if self.architecture == "scripts":  # 500 iterations, learning rate 0.1, lambda 2
            attack = RMLE(
                objective="mean-squared", steps=self.inversion_steps, learning_rate=0.1, smoothness_weight=2.0
            )
        else:
            attack = RMLE(steps=self.inversion_steps, observations=self.observations, tolerance=(0.5, 0.25))
        return attack.inverter(edge, chain, knowledge.public.images, run)

    def _decoder(self, knowledge: QueryFree, source: Shadows, run: Run) -> Inverter:
        answers = source.held()[0][-1]
        specs = (*knowledge.activation, TensorSpec(tuple(answers.shape[2:])))
        with run.constructing("decoder"):
            decoder = Decoder(specs, knowledge.input, sets=self.observations > 1)
        decoder.to(run.device)
        if self.decoder_steps:
            pairs = source.sample(CLOSED_FORM)
            decoder.standardise.fit(pairs[0])
            decoder.fit_linear(*pairs, source.held())
        schedule = Schedule(self.decoder_steps, self.batch, self.learning_rate)
        train_decoder(decoder, source, schedule, lambda g, t: picture_loss(g, t, self.structure), run)
        return lambda activations: invert(decoder, source.beside(activations))
