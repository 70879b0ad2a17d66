"""Model reconstruction: a surrogate edge from queries, then inverted (IoTJ20 section III-B; ACSAC19 table 8)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from splitward.attacks._affine import identify
from splitward.attacks._asking import Interview
from splitward.attacks._descent import Descent
from splitward.attacks._surrogate import make_edge, rectified
from splitward.attacks._training import Schedule, train
from splitward.attacks.inverse_network import FEW, InverseNetwork
from splitward.attacks.prior_guided import PACES, guided
from splitward.attacks.rmle import RMLE
from splitward.core.defence import Chain
from splitward.core.edge import Edge
from splitward.core.knowledge import Activations, BlackBox, as_tuple
from splitward.core.protocols import Inverter
from splitward.core.registry import register
from splitward.core.run import Run

SAMPLE = 512
"""Answers that are looked at for the size of the activation's numbers, and for whether they are rectified."""
DECODERS = {
    effort: {f"decoder_{name}": value for name, value in fields.items()}
    for effort, fields in InverseNetwork.efforts.items()
}
"""The inverse network of each effort, as this attack's settings name it."""


@register("attack")
@dataclass(frozen=True)
class ModelReconstruction:
    """A surrogate of the edge, fitted to the device's answers for public images, then a white-box attack on it.

    The surrogate is fitted to be the likeliest under the defence that the attacker knows of: log p(sent | surrogate(x))
    is maximal, so that it becomes what the device computes *before* the defence. A defence of the input acts where the
    attacker cannot see; there the surrogate becomes the mean answer. An edge that turns out to be affine is identified
    exactly instead.

    ``inversion``: "prior-guided" corrects the ``inverse-network``'s answer by the surrogate, as far as that helps with
    public pictures; "rmle" is the paper's. ``steps``, ``laps``: of the surrogate's training; ``decoder_...``: of the
    inverse network; ``inversion_steps``: of the descent. ``architecture``: "sized" (from the shapes alone), or
    ``package.module:factory`` of a network from normalised pixels to the activation.
    """

    name: ClassVar[str] = "model-reconstruction"
    efforts: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "quick": {"steps": 200, "laps": 3, "inversion_steps": 150, **DECODERS["quick"]},
        "standard": {},
        "thorough": {"steps": 6000, "width": 48, "inversion_steps": 1000, **DECODERS["thorough"]},
    }
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"paper": {"inversion": "rmle", "laps": 1, "decoder_laps": 1}}

    steps: int = 1500
    laps: int = 2
    batch: int = 64
    learning_rate: float = 3e-3
    width: int = 32
    architecture: str = "sized"
    inversion: Literal["prior-guided", "rmle"] = "prior-guided"
    decoder_steps: int = InverseNetwork.steps
    decoder_laps: int = InverseNetwork.laps
    decoder_batch: int = InverseNetwork.batch
    decoder_width: int = InverseNetwork.width
    decoder_depth: int = InverseNetwork.depth
    inversion_steps: int = RMLE.steps
    shift: float = 0.08
    tolerance: float = 0.1
    observations: int = 1
    knows_defence: bool = True

    def prepare(self, knowledge: BlackBox, run: Run) -> Inverter:
        """Ask, fit the surrogate, and learn to invert it.

        Raises NotApplicable with fewer than two public images or queries.
        """
        source = Interview(knowledge, self.observations, self.shift, self.steps * self.laps * self.batch, run)
        if self.steps and source.affine:
            exact = identify(*source.first(FEW)[:2], source.held(), run)
            if exact is not None:
                return exact
        chain = (knowledge.defence or Chain()).at("wire")
        seen = source.first(SAMPLE).sent
        edge = make_edge(knowledge, self.architecture, self.width, 5, rectified(seen), run)
        misfit = Misfit(edge, chain, tuple(self.tolerance * a.square().mean().sqrt().item() or 1.0 for a in seen))

        @torch.no_grad()
        def held() -> float:
            return float(misfit(*source.held()))

        schedule = Schedule(self.steps, self.batch, self.learning_rate, laps=self.laps)
        wrong = train(
            edge, lambda draws: misfit(*source.batch(self.batch, draws)[:2]), held, schedule, run, "surrogate"
        )
        edge.eval().requires_grad_(False)
        trust = min(max(math.sqrt(max(2 * wrong, 0)) * self.tolerance, RMLE.tolerance[1]), RMLE.tolerance[0])
        tolerance = (RMLE.tolerance[0], trust)  # what the surrogate itself gets wrong is no evidence
        if self.inversion == "rmle":
            attack = RMLE(steps=self.inversion_steps, observations=self.observations, tolerance=tolerance)
            return attack.inverter(edge, chain, knowledge.public.images, run)
        learned = self._learned(source, knowledge, run)
        descent = Descent(self.inversion_steps, PACES[0][0], box=True, tolerance=tolerance)
        return guided(learned, edge, chain, knowledge.public.images, descent, run)

    def _learned(self, source: Interview, knowledge: BlackBox, run: Run) -> Inverter:
        """The inverse network; under a budget from the answers that were paid for already."""
        guide = InverseNetwork(
            steps=self.decoder_steps, laps=self.decoder_laps, batch=self.decoder_batch, width=self.decoder_width,
            depth=self.decoder_depth, observations=self.observations,
        )  # fmt: skip
        if knowledge.query.budget is not None:
            return guide.learn(source, knowledge, run)
        learned: Inverter = run.prepared(guide, knowledge)
        return learned


class Misfit:
    """How unlikely the answers are, given what the surrogate says: minus the log-likelihood, per number.

    In units of the squared ``tolerances``, to which point masses are widened, one for each tensor.
    """

    def __init__(self, edge: Edge, chain: Chain, tolerances: tuple[float, ...]) -> None:
        self.edge, self.chain, self.tolerances = edge, chain, tolerances

    def __call__(self, activations: Activations, pixels: Tensor) -> Tensor:
        """Activations, each (N, 1, *shape), and the pixels asked, to a scalar."""
        total = torch.zeros((), device=pixels.device)
        for part, clean, tolerance in zip(activations, as_tuple(self.edge(pixels)), self.tolerances, strict=True):
            sent = part[:, 0]
            likely = self.chain.log_density(sent, clean, tolerance)
            if likely is None:  # no closed form: the mean of fresh draws
                likely = -((sent - clean) ** 2).flatten(1).sum(1) / (2 * tolerance**2)
            total = total - likely.sum() / sent.numel()
        return total
