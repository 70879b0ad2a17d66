"""White-box inversion by regularised maximum likelihood (IoTJ20 section III-A; ACSAC19 section 5)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from splitward.attacks._descent import Descent, descend
from splitward.attacks._exact import solve_affine
from splitward.attacks._posterior import Stage, make_stage
from splitward.attacks._prior import mean_squared_differences, total_variation
from splitward.attacks._reading import refuse_not_finite
from splitward.core.defence import Chain
from splitward.core.edge import Edge
from splitward.core.errors import AttackError
from splitward.core.knowledge import Activations, WhiteBox, as_tuple
from splitward.core.protocols import Inverter
from splitward.core.registry import register
from splitward.core.run import Run

PAPER_WEIGHT = 0.1
"""Lambda of IoTJ20 section III-A behind the first fully connected layer; before it, 0."""

SCRIPT_WEIGHTS = {
    # (colour, convolutions, fully connected layers on the edge): lambda, from the defaults of the released scripts
    (False, 2, 0): 1.0,  # MNIST ReLU2, and every MNIST defence run
    (False, 2, 3): 1e3,  # MNIST fc3
    (True, 1, 0): 0.0,  # CIFAR conv11
    (True, 2, 0): 0.0,  # CIFAR ReLU12, pool1
    (True, 4, 0): 10.0,  # CIFAR conv22, ReLU22, pool2
    (True, 6, 0): 1e3,  # CIFAR ReLU32
    (True, 6, 1): 1e4,  # CIFAR fc1
    (True, 6, 2): 500.0,  # CIFAR fc2
}
SCRIPT_RATE = 1e-2
SCRIPT_RATES = {(True, 6, 1): 1e-3, (True, 6, 2): 1e-1}
"""Learning rates of the scripts where they are not ``SCRIPT_RATE``: CIFAR fc1 and fc2, by the same key."""
SCRIPT_NORM_WEIGHTS = {(True, 6, 2): 100.0}
"""Weight of the image's own mean square, which the scripts add at CIFAR fc2."""


@register("attack")
@dataclass(frozen=True)
class RMLE:
    """Regularised maximum likelihood: the image whose activation makes likeliest what crossed the wire.

    ``objective``: "posterior" (ours) maximises the true likelihood under the defence that the attacker knows of, and a
    prior of public images (total variation; mean and covariance), inside the box [0, 1], and solves an affine edge
    exactly; "squared" is the paper's eq. 1c, "mean-squared" the released scripts' variant, both in normalised space
    without a box, clipped at the end.
    ``smoothness_weight``: lambda of the latter two; None: by the paper's, or the scripts', rule. ``learning_rate``:
    None: by the scripts' rule, for "mean-squared" only. ``beta``: of the total variation, eq. 1b. All images and
    restarts are optimised in one batch, each with its own loss; the edge's weights get no gradient.

    Differences to the reference: see the presets ``paper`` and ``scripts``, which know of no defence. The scripts run
    500 steps in every MNIST defence run and at CIFAR's fc2, and 5000 elsewhere: say so by ``steps``.
    """

    name: ClassVar[str] = "rmle"
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {
            "objective": "squared", "steps": 5000, "learning_rate": 1e-3, "knows_defence": False,
        },
        "scripts": {
            "objective": "mean-squared", "steps": 500, "learning_rate": None, "knows_defence": False,
        },
    }  # fmt: skip
    efforts: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "quick": {"steps": 120},
        "standard": {},
        "thorough": {"steps": 1500, "restarts": 2},
    }
    suite: ClassVar[tuple[str, ...]] = ("", "scripts")

    objective: Literal["posterior", "squared", "mean-squared"] = "posterior"
    steps: int = 400
    learning_rate: float | None = 0.05
    restarts: int = 1
    tolerance: tuple[float, float] = (0.5, 0.005)
    smoothness_weight: float | None = None
    beta: float = 1.0
    knows_defence: bool = True
    observations: int = 1

    def __post_init__(self) -> None:
        ruled = self.learning_rate is None and self.objective == "mean-squared"
        if self.steps < 0 or self.restarts < 1 or not (ruled or (self.learning_rate or 0) > 0):
            raise AttackError(
                f"rmle takes steps from 0, restarts from 1 and a positive learning rate, not steps {self.steps}, "
                f"restarts {self.restarts}, learning rate {self.learning_rate}."
            )

    def prepare(self, knowledge: WhiteBox, run: Run) -> Inverter:
        """Choose the prior's weights on public data; the inverter does the descent."""
        return self.inverter(knowledge.edge, knowledge.defence or Chain(), knowledge.public.images, run)

    def inverter(self, edge: Edge, chain: Chain, public: Tensor, run: Run) -> Inverter:
        """An inverter of any edge that can be differentiated: the victim's, or one made in its likeness.

        ``public``: (M, C, H, W) in [0, 1], M at least 1.
        """
        public = public.to(run.device)
        if self.objective != "posterior":
            return PaperInverter(self, edge, public.shape[1:], run)
        exact = solve_affine(edge, public, run) if self.steps and not chain else None
        if exact is not None:
            return exact
        descent = Descent(self.steps, self.learning_rate or 0.0, box=True, tolerance=self.tolerance)
        stage = make_stage(edge, chain, public, self.observations, descent, self.restarts, run)
        return PosteriorInverter(stage, run)


def _on(run: Run, activations: Activations) -> Activations:
    refuse_not_finite(activations)
    return tuple(part.detach().to(run.device, torch.float32) for part in activations)


@dataclass(frozen=True)
class PosteriorInverter:
    """The descent on the posterior; and, for a given image, its likelihood alone (``core.protocols.Scorer``)."""

    stage: Stage
    run: Run

    def __call__(self, activations: Activations) -> Tensor:
        """(N, k, *shape) each to pixels (N, C, H, W)."""
        return self.stage.invert(_on(self.run, activations), self.run).to(activations[0].device)

    def score(self, activations: Activations, candidates: Tensor) -> Tensor:
        """log p(activations | candidate) under the defence that the attacker knows of, (N, M), up to a constant."""
        sent = _on(self.run, activations)
        return self.stage.score(sent, candidates.to(self.run.device)).to(activations[0].device)


@dataclass(frozen=True)
class PaperObjective:
    """IoTJ20 eq. 1c for each of N images, in normalised space: ED(x, x0) + lambda TV(x); or with the scripts' means."""

    edge: Edge
    sent: Activations
    means: bool
    weight: float
    beta: float
    norm_weight: float = 0.0

    def __call__(self, values: Tensor, tolerance: float) -> Tensor:  # noqa: ARG002 - it has no tolerance
        """(N, C, H, W) to (N,)."""
        total = torch.zeros(len(values), device=values.device)
        for clean, part in zip(as_tuple(self.edge.body(values)), self.sent, strict=True):
            squares = (clean[:, None] - part).square().flatten(2).mean(1)
            total = total + (squares.mean(1) if self.means else squares.sum(1))
        if self.norm_weight:
            total = total + self.norm_weight * values.square().flatten(1).mean(1)
        if not self.weight:
            return total
        return total + self.weight * (
            mean_squared_differences(values) if self.means else total_variation(values, self.beta)
        )

    def select(self, rows: Tensor) -> PaperObjective:
        """The objective of these images only."""
        return replace(self, sent=tuple(p[rows] for p in self.sent))


@dataclass(frozen=True)
class PaperInverter:
    """rMLE as the paper, or its scripts, run it: from zeros in normalised space, no box, clipped at the end."""

    attack: RMLE
    edge: Edge
    image: torch.Size
    run: Run

    def __call__(self, activations: Activations) -> Tensor:
        """(N, k, *shape) each to pixels (N, C, H, W)."""
        sent, attack = _on(self.run, activations), self.attack
        means = attack.objective == "mean-squared"
        depth = depth_of(self.edge, self.image[0])
        weight = attack.smoothness_weight
        if weight is None:
            weight = scripts_weight(depth) if means else paper_weight(sent)
        rate = attack.learning_rate if attack.learning_rate is not None else SCRIPT_RATES.get(depth, SCRIPT_RATE)
        descent = Descent(
            attack.steps, rate, box=False, annealed=1.0, cosine=False,
            betas=(0.9, 0.999), epsilon=1e-3, amsgrad=True,
        )  # fmt: skip
        start = torch.zeros(len(sent[0]), *self.image, device=self.run.device)
        self.run.progress.start("rmle", attack.steps)
        norm = SCRIPT_NORM_WEIGHTS.get(depth, 0.0) if means and attack.smoothness_weight is None else 0.0
        objective = PaperObjective(self.edge, sent, means, weight, attack.beta, norm)
        values, _ = descend(objective, start, descent, self.run, "rmle")
        self.run.progress.finish()
        return pixels_of(self.edge.normalise, values).clamp(0, 1).to(activations[0].device)


def pixels_of(normalise: nn.Module, values: Tensor) -> Tensor:
    """Undo a normalisation that is affine in each pixel, whatever its module: from its values at black and white."""
    with torch.no_grad():
        black = normalise(torch.zeros_like(values[:1]))
        white = normalise(torch.ones_like(values[:1]))
    pixels: Tensor = (values - black) / (white - black)
    return pixels


def paper_weight(sent: Activations) -> float:
    """Lambda of the paper: 0 before the first fully connected layer (a feature map crosses), else 0.1."""
    return 0.0 if any(part.ndim - 2 >= 2 for part in sent) else PAPER_WEIGHT


Depth = tuple[bool, int, int]
"""Of an edge: colour, convolutions, fully connected layers."""


def depth_of(edge: nn.Module, channels: int) -> Depth:
    """How deep an edge is, counted by its weights."""
    weights = [p.ndim for p in edge.parameters()]
    return channels > 1, weights.count(4), weights.count(2)


def scripts_weight(depth: Depth) -> float:
    """Lambda of the scripts; at a depth that they did not attack, that of the next shallower one."""
    colour, convolutions, connected = depth
    known = [k for k in SCRIPT_WEIGHTS if k[0] == colour and k[1] <= convolutions and k[2] <= connected]
    return SCRIPT_WEIGHTS[max(known, key=lambda k: (k[2], k[1]))] if known else (0.0 if colour else 1.0)
