"""Maximum a posteriori inversion: the images that make likeliest what crossed the wire, under a prior of public images.

One objective for every defence: minus its log-likelihood, plus the prior, whose weight against the data follows from
the noise that the likelihood knows of.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from splitward.attacks._descent import Descent, descend
from splitward.attacks._likelihood import Likelihood, evaluate, make_laws, root_mean_square
from splitward.attacks._prior import PublicPrior, fit_prior
from splitward.core.defence import Chain
from splitward.core.edge import Edge, release
from splitward.core.knowledge import Activations, as_tuple
from splitward.core.run import Run

NEIGHBOURS = 10
"""Public images whose mean is the start, and the centre of the prior."""
REFERENCES = 2048
"""Public images among which the neighbours are looked for, at most ..."""
REFERENCE_NUMBERS = 2**23
"""... and numbers of their activations, times observations, at most;"""
FEWEST_REFERENCES = 128
"""with fewer references than this, the mean of all public images serves."""
COMPARED = 4
"""Observations that the search for neighbours looks at."""
TUNING_IMAGES = 6
"""Public images on which the prior's weights are chosen."""
WEIGHTS = ((1.0, 0.1), (1.0, 1.0), (0.1, 1.0))
"""(of the total variation, of the covariance): what is tried; the first where there is nothing to choose on."""
BATCH_NUMBERS = 2**25
"""Numbers of activations that are optimised in one batch, at most: 256 secrets of 32,768 numbers and four draws."""


@dataclass(frozen=True)
class Posterior:
    """Minus log p(sent | x) - log p(x), for each of N images, up to a constant."""

    likelihood: Likelihood
    sent: Activations
    prior: PublicPrior
    centre: Tensor  # (N, C, H, W)
    weights: Tensor  # (N, 2)

    def __call__(self, values: Tensor, tolerance: float) -> Tensor:
        """(N, C, H, W) to (N,)."""
        smooth, near = self.weights.unbind(1)
        prior = smooth * self.prior.smoothness(values) + near * self.prior.distance(values, self.centre)
        return prior - self.likelihood(values, self.sent, tolerance)

    def select(self, rows: Tensor) -> Posterior:
        """The objective of these images only."""
        sent = tuple(part[rows] for part in self.sent)
        return replace(self, sent=sent, centre=self.centre[rows], weights=self.weights[rows])


@dataclass(frozen=True)
class Stage:
    """An inversion from what was sent to what went in, tuned on public pairs."""

    likelihood: Likelihood
    prior: PublicPrior
    references: Tensor  # public images (M, C, H, W), and what the device computes for them
    computed: Activations
    descent: Descent
    restarts: int
    weights: tuple[float, float] = WEIGHTS[0]

    def invert(self, sent: Activations, run: Run) -> Tensor:
        """(N, k, *shape) each to (N, C, H, W), in batches."""
        numbers = sum(part[0].numel() for part in sent) * self.restarts
        size = max(1, BATCH_NUMBERS // numbers)
        parts = [tuple(p[i : i + size] for p in sent) for i in range(0, len(sent[0]), size)]
        weights = torch.tensor(self.weights, device=sent[0].device)
        run.progress.start("rmle", len(parts) * self.descent.steps)
        found = [self._invert(part, weights.expand(len(part[0]), 2), run) for part in parts]
        run.progress.finish()
        return torch.cat(found)

    def _invert(self, sent: Activations, weights: Tensor, run: Run) -> Tensor:
        """One batch: every restart of every image at once; the best by its own loss."""
        centre = self.neighbours(sent) if self.descent.steps else self.prior.mean.expand(len(weights), -1, -1, -1)
        starts, count = [centre], len(weights)
        for i in range(1, self.restarts):  # from the mean image, and from public images drawn at random
            draw = torch.randint(
                len(self.references), (count,), generator=run.stream(f"restart/{i}"), device=centre.device
            )
            starts.append(self.prior.mean.expand_as(centre) if i == 1 else self.references[draw])
        objective = Posterior(self.likelihood, sent, self.prior, centre, weights)
        everyone = torch.arange(count, device=centre.device).repeat(self.restarts)
        best, loss = descend(objective.select(everyone), torch.cat(starts), self.descent, run, "rmle")
        winner = loss.view(self.restarts, count).argmin(0)
        return best.view(self.restarts, *centre.shape)[winner, torch.arange(count, device=centre.device)]

    @torch.no_grad()
    def neighbours(self, sent: Activations) -> Tensor:
        """The mean of the public images that make each secret's activations likeliest, (N, C, H, W)."""
        count, seen = len(sent[0]), tuple(part[:, :COMPARED] for part in sent)
        numbers = sum(part[0].numel() for part in seen)
        size = min(len(self.references), REFERENCES, REFERENCE_NUMBERS // numbers)
        if size < min(FEWEST_REFERENCES, len(self.references)) or size < 2 * NEIGHBOURS:
            return self.prior.mean.expand(count, -1, -1, -1)
        computed = tuple(part[:size] for part in self.computed)
        found = []
        for i in range(count):
            mine = tuple(part[i : i + 1].expand(size, *part.shape[1:]) for part in seen)
            likely = self.likelihood.of(computed, mine, self.descent.tolerance[0])
            found.append(self.references[likely.topk(NEIGHBOURS).indices].mean(0))
        return torch.stack(found)

    def score(self, sent: Activations, candidates: Tensor) -> Tensor:
        """log p(sent | candidate) of every pair, up to a constant, (N, M): the likelihood without the prior."""
        return self.likelihood.score(sent, candidates, self.descent.tolerance[1])

    def tuned(self, sent: Activations, truth: Tensor, run: Run) -> Stage:
        """The stage with the prior's weights that recover ``truth`` (T, C, H, W; public) best from ``sent``, in dB.

        All weights are tried in one batch.
        """
        if not len(truth) or not self.descent.steps:
            return self
        tries, count = len(WEIGHTS), len(truth)
        weights = torch.tensor(WEIGHTS, device=truth.device).repeat_interleave(count, 0)
        repeated = tuple(part.repeat(tries, *[1] * (part.ndim - 1)) for part in sent)
        guess = self._invert(repeated, weights, run.child("tuning")).view(tries, *truth.shape)
        error = (guess - truth).square().flatten(2).mean(2).clamp_min(1e-10).log().mean(1)
        return replace(self, weights=WEIGHTS[int(error.argmin())])


def make_likelihood(
    edge: Edge, chain: Chain, references: Tensor, run: Run
) -> tuple[Likelihood, Tensor, Activations, Callable[[Tensor], tuple[Tensor, ...]]]:
    """What the attacker makes of an edge and its chain of defences.

    Returns the likelihood, the references (M, C, H, W) that were looked at, what the device computes for them, and a
    function that draws what it sends.
    """

    def body(images: Tensor) -> tuple[Tensor, ...]:
        return as_tuple(edge(images))

    def draw(images: Tensor) -> tuple[Tensor, ...]:
        return release(edge, chain, images, stream)

    stream = run.stream("rmle/draws")
    numbers = sum(part.numel() for part in body(references[:1]))
    shown = references[: min(REFERENCES, max(64, REFERENCE_NUMBERS // numbers))]
    computed = evaluate(body, shown)
    laws = make_laws(chain, computed, evaluate(draw, shown) if chain else computed)
    return Likelihood(body, laws, root_mean_square(computed)), shown, computed, draw


def make_stage(edge: Edge, chain: Chain, public: Tensor, k: int, descent: Descent, restarts: int, run: Run) -> Stage:
    """A stage for the edge under the chain of defences, tuned with ``k`` observations of the last ``public`` images.

    ``public`` (M, C, H, W): those it is tuned on are not among its references.
    """
    held = min(TUNING_IMAGES, len(public) // 4)
    references, truth = public[: len(public) - held], public[len(public) - held :]
    likelihood, shown, computed, draw = make_likelihood(edge, chain, references, run)
    stage = Stage(likelihood, fit_prior(references), shown, computed, descent, restarts)
    if not held:
        return stage
    draws = [draw(truth) for _ in range(k)]
    return stage.tuned(tuple(torch.stack(parts, 1) for parts in zip(*draws, strict=True)), truth, run)
