"""White-box inversion that starts where a learned inverter ends: the edge corrects what the inverter got wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from splitward.attacks._descent import Descent, descend
from splitward.attacks._exact import solve_affine
from splitward.attacks._likelihood import Likelihood
from splitward.attacks._posterior import make_likelihood
from splitward.attacks._reading import refuse_not_finite
from splitward.attacks._training import WINDOW, structural_similarity
from splitward.attacks.inverse_network import InverseNetwork, LearnedInverse
from splitward.core.defence import Chain
from splitward.core.edge import Edge
from splitward.core.knowledge import Activations, WhiteBox
from splitward.core.protocols import Inverter
from splitward.core.registry import register
from splitward.core.run import Run

LEVELS = 24
"""Levels of unrest for which the learned inverter's error is measured."""
LEAST_ERROR = 1e-3
"""Of a pixel: a quarter of the step between two of 256 grey values."""
TUNING_IMAGES = 24
WEIGHTS = (1.0, 0.1, 0.01)
"""Of the learned inverter's answer, relative to what its errors would justify: what is tried on public images."""
PACES = ((0.05, 0.0), (0.005, 0.0), (0.005, 0.05))
"""(learning rate, blur) that are tried: LeNet-5 wants the first; the CIFAR network, whose linear pieces are smaller
than the error of any answer, the last (measured)."""
BATCH_NUMBERS = 2**25
"""Numbers of activations that are refined in one batch, at most."""


@register("attack")
@dataclass(frozen=True)
class PriorGuided:
    """A learned inverter's answer, corrected by the edge itself: maximum a posteriori, from and around that answer.

    Each pixel of a secret is taken for Laplace distributed about the learned answer, as widely as the inverter errs
    there: little where its answer is even, more where it has edges; measured on public images that it never learnt
    from. The likelihood is the true one under the defence that the attacker knows of. Where the activation says
    nothing the learned answer stays; where it says anything it overrules it. So the learned answer has to say which
    pixels are in doubt, and the activation what they are: where fewer are in doubt than it has independent numbers, the
    picture comes back exactly. An affine edge is solved as a linear system.

    ``steps``, ``laps``, ``batch``, ``width``, ``depth``: of the learned inverter, which is the ``inverse-network`` of
    the same settings. ``descent_steps``: of the correction. ``tolerance``: from, to, to which point masses are
    widened, relative to the activation's size. Chosen on public images: the learning rate, how far the learned answer
    is trusted, and the *blur*: the edge's slope is then taken not at the picture but at a place near it, drawn anew for
    every step, so that on average it is that of a smoothed edge. Where the edge's linear pieces are small, the slope of
    the piece says little of where the picture lies; the blur falls with the tolerance.
    """

    name: ClassVar[str] = "prior-guided"
    efforts: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        effort: {**fields, "descent_steps": {"quick": 200, "standard": 600, "thorough": 800}[effort]}
        for effort, fields in InverseNetwork.efforts.items()
    }

    steps: int = InverseNetwork.steps
    laps: int = InverseNetwork.laps
    batch: int = InverseNetwork.batch
    width: int = InverseNetwork.width
    depth: int = InverseNetwork.depth
    descent_steps: int = 600
    tolerance: tuple[float, float] = (0.1, 0.002)
    knows_defence: bool = True
    observations: int = 1

    def prepare(self, knowledge: WhiteBox, run: Run) -> Inverter:
        """Learn the inverter (or take it over) and how it errs. Raises NotApplicable as ``inverse-network`` does."""
        chain = knowledge.defence or Chain()
        exact = solve_affine(knowledge.edge, knowledge.public.images, run) if self.steps and not chain else None
        if exact is not None:
            return exact
        descent = Descent(self.descent_steps, PACES[0][0], box=True, tolerance=self.tolerance)
        guide = InverseNetwork(
            steps=self.steps, laps=self.laps, batch=self.batch, width=self.width, depth=self.depth,
            observations=self.observations,
        )  # fmt: skip
        learned: Inverter = run.prepared(guide, knowledge)
        return guided(learned, knowledge.edge, chain, knowledge.public.images, descent, run)


def guided(learned: Inverter, edge: Edge, chain: Chain, public: Tensor, descent: Descent, run: Run) -> Inverter:
    """``learned``, corrected by ``edge`` under the defences that are known; as it is where no correction helps it.

    ``learned`` must carry pairs that it never learnt from (``LearnedInverse``); any other is exact, and returned.
    """
    if not isinstance(learned, LearnedInverse):
        return learned
    likelihood, *_ = make_likelihood(edge, chain, public, run)
    law = ErrorLaw(learned(learned.held), learned.pixels)
    some = tuple(part[:TUNING_IMAGES] for part in learned.held)
    return Guided(learned, likelihood, law, descent, WEIGHTS[0], 0.0, run).tuned(some, learned.pixels[:TUNING_IMAGES])


class ErrorLaw:
    """How far a learned inverter errs, by the *unrest* of its answer: the range of a pixel's neighbourhood.

    The scale b of a Laplace law for each level of unrest: the mean absolute error, which is its maximum likelihood
    estimate. ``answers`` and ``truth``: (M, C, H, W), pictures that were never learnt from.
    """

    def __init__(self, answers: Tensor, truth: Tensor) -> None:
        restless, error = unrest(answers).flatten(), (answers - truth).abs().flatten()
        shares = torch.linspace(0, 1, LEVELS + 1, device=error.device)[1:-1]
        places = (shares * (len(restless) - 1)).long()
        self.borders = restless.sort().values[places].unique()
        level = torch.bucketize(restless, self.borders)
        sums, counts = (torch.zeros(len(self.borders) + 1, device=error.device) for _ in range(2))
        sums.index_add_(0, level, error)
        counts.index_add_(0, level, torch.ones_like(error))
        overall = error.mean()
        self.scale = torch.where(counts > 0, sums / counts.clamp_min(1), overall).clamp_min(LEAST_ERROR)

    def __call__(self, answers: Tensor) -> Tensor:
        """The scale b of every pixel, of the shape of ``answers`` (N, C, H, W)."""
        return self.scale[torch.bucketize(unrest(answers), self.borders)]


def unrest(images: Tensor) -> Tensor:
    """The range (largest less smallest value) of each pixel's 3 x 3 neighbourhood; (N, C, H, W) to the same."""
    padded = F.pad(images, (1, 1, 1, 1), mode="replicate")
    return (F.max_pool2d(padded, 3, stride=1) + F.max_pool2d(-padded, 3, stride=1)).contiguous()


@dataclass(frozen=True)
class GuidedPosterior:
    """Minus log p(sent | x) + weight sum |x - centre| / scale, for each of N images.

    Its value is exact; with a ``blur`` (of a pixel, at a tolerance of 1) its slope is that of the edge nearby.
    """

    likelihood: Likelihood
    sent: Activations
    centre: Tensor  # (N, C, H, W)
    scale: Tensor  # (N, C, H, W)
    weights: Tensor  # (N,)
    blur: float
    stream: Generator

    def __call__(self, values: Tensor, tolerance: float) -> Tensor:
        """(N, C, H, W) to (N,)."""
        away = ((values - self.centre).abs() / self.scale).flatten(1).sum(1)
        return self.weights * away - self.likelihood.of(self._computed(values, tolerance), self.sent, tolerance)

    def _computed(self, values: Tensor, tolerance: float) -> Activations:
        if not self.blur or not values.requires_grad:
            return self.likelihood.body(values)
        noise = torch.randn(values.shape, generator=self.stream, device=values.device)
        near = self.likelihood.body(values + self.blur * tolerance * noise)
        with torch.no_grad():
            here = self.likelihood.body(values)
        return tuple(h + (n - n.detach()) for h, n in zip(here, near, strict=True))

    def select(self, rows: Tensor) -> GuidedPosterior:
        """The objective of these images only."""
        sent = tuple(part[rows] for part in self.sent)
        return replace(
            self, sent=sent, centre=self.centre[rows], scale=self.scale[rows], weights=self.weights[rows]
        )  # fmt: skip


@dataclass(frozen=True)
class Guided:
    """A learned inverter, and how its answers are corrected."""

    learned: Inverter
    likelihood: Likelihood
    law: ErrorLaw
    descent: Descent
    weight: float
    blur: float  # of a pixel, at the first tolerance
    run: Run

    def __call__(self, activations: Activations) -> Tensor:
        """(N, k, *shape) each to (N, C, H, W)."""
        refuse_not_finite(activations)
        size = max(1, BATCH_NUMBERS // sum(part[0].numel() for part in activations))
        batches = [tuple(p[i : i + size] for p in activations) for i in range(0, len(activations[0]), size)]
        self.run.progress.start("prior-guided", len(batches) * self.descent.steps)
        parts = [
            self._correct(sent, self.learned(sent), torch.full((len(sent[0]),), self.weight), self.run)
            for sent in batches
        ]
        self.run.progress.finish()
        return torch.cat(parts)

    def score(self, activations: Activations, candidates: Tensor) -> Tensor:
        """log p(activations | candidate) under the defence that the attacker knows of, (N, M), up to a constant."""
        return self.likelihood.score(activations, candidates, self.descent.tolerance[1])

    def _correct(self, sent: Activations, centre: Tensor, weights: Tensor, run: Run) -> Tensor:
        blur, stream = self.blur / self.descent.tolerance[0], run.stream("blur")
        objective = GuidedPosterior(
            self.likelihood, sent, centre, self.law(centre), weights.to(centre.device), blur, stream
        )
        return descend(objective, centre, self.descent, run, "correction")[0]

    def tuned(self, sent: Activations, truth: Tensor) -> Inverter:
        """What recovers ``truth`` (T, C, H, W; public) best from ``sent``: a rate and a weight, or none.

        Judged by squared error and by 1 - SSIM, relative to what they were: a correction that gains a decibel and loses
        the picture's structure is none. All weights are tried in one batch, with a third of the steps.
        """
        repeated = tuple(part.repeat(len(WEIGHTS), *[1] * (part.ndim - 1)) for part in sent)
        centre, weights = self.learned(sent), torch.tensor(WEIGHTS).repeat_interleave(len(truth))
        centres = centre.repeat(len(WEIGHTS), 1, 1, 1)

        def error(guess: Tensor) -> Tensor:
            known = truth.repeat(len(guess) // len(truth), 1, 1, 1)
            away = (guess - known).square().flatten(1).mean(1).clamp_min(1e-10).log()
            if min(truth.shape[-2:]) >= WINDOW:
                away = away + (1 - structural_similarity(guess, known)).clamp_min(1e-6).log()
            return away.view(-1, len(truth)).mean(1)

        best, chosen = float(error(centre)), None
        for rate, blur in PACES:
            paced = replace(self, descent=replace(self.descent, rate=rate), blur=blur)
            tried = replace(paced, descent=replace(paced.descent, steps=max(1, self.descent.steps // 3)))
            errors = error(tried._correct(repeated, centres, weights, self.run.child(f"tuning/{rate}/{blur}")))
            if float(errors.min()) < best:
                best, chosen = float(errors.min()), replace(paced, weight=WEIGHTS[int(errors.argmin())])
        return chosen or self.learned
