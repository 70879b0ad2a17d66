"""The candidate game: which of m images produced this activation? Played after an attack, with nothing prepared anew.

The candidates of a secret are the secret and the decoys, which are the same for every secret, attack and floor. A
reconstruction (or a floor's guess) names the candidate that is nearest to it; an attack that can say how likely a
candidate is names the likeliest; the released answer alone names the candidate whose own answer is nearest. Who names
at random is right once in m.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from splitward.audit.floors import Release
from splitward.audit.world import samples_hash
from splitward.core.errors import in_one_line
from splitward.core.knowledge import Activations, Samples
from splitward.core.protocols import Scorer
from splitward.core.run import Run
from splitward.data.dataset import to_eight_bit
from splitward.data.pixels import content_keys
from splitward.record.schema import Game
from splitward.record.statistics import estimate

CANDIDATES = 1000
"""Images in a line-up, the secret among them, where the pool has as many."""
GROUP = 128
"""Secrets that are judged at once, so that a line-up handed to an attack holds few secrets but its own."""
TIE = 1e-12
"""Mean squared errors of pixels that differ by less count as equal, as in the metric ``identification``."""
ANSWER_TIE = 1e-9
"""The same for answers: above what float32 rounding makes of the same image in another batch."""
TIE_RELATIVE = 2**-22
"""Likelihoods that differ by a smaller share of the secret's own count as equal: twice the rounding of float32."""
LEAST = -1e30
"""Stands for a likelihood of 0."""
BLOCK = 2**24
"""Numbers of the decoys that are held in float64 at a time: 128 MiB."""


def pick_decoys(pool: Tensor, order: Tensor, secrets: Tensor, count: int = CANDIDATES - 1) -> Tensor:
    """The first ``count`` indices of ``order`` into the pool whose images are neither a secret nor one another.

    Images are compared by their 8-bit pixels.
    """
    seen, kept = set(content_keys(to_eight_bit(secrets))), []
    for part in order.split(CANDIDATES):
        for index, key in zip(part.tolist(), content_keys(to_eight_bit(pool[part])), strict=True):
            if key not in seen:
                seen.add(key)
                kept.append(int(index))
        if len(kept) >= count:
            break
    return torch.tensor(kept[:count], dtype=torch.long)


def place(own: Tensor, others: Tensor, tie: Tensor | float) -> tuple[Tensor, Tensor]:
    """Wins in [0, 1] and ranks from 1, both (N,), of secrets at the distances ``own`` (N,) beside others (N, D).

    Nearest is best. A tie among t counts 1/t as a win, and has the mean of its t ranks.

    >>> wins, ranks = place(torch.tensor([1.0, 1.0]), torch.tensor([[2.0, 1.0], [0.0, 2.0]]), 0.0)
    >>> wins.tolist(), ranks.tolist()
    ([0.5, 0.0], [1.5, 2.0])
    """
    away = others - own[:, None]
    margin = torch.as_tensor(tie, dtype=away.dtype, device=away.device).expand(len(own))[:, None]
    nearer, tied = (away < -margin).sum(1).double(), 1 + (away.abs() <= margin).sum(1).double()
    return torch.where(nearer == 0, 1 / tied, torch.zeros_like(tied)), 1 + nearer + (tied - 1) / 2


@dataclass(frozen=True)
class Lineup:
    """The secrets (N, C, H, W), and the decoys (D, C, H, W) that stand beside each of them; D may be 0: no game."""

    secrets: Tensor
    decoys: Tensor
    run: Run

    @property
    def candidates(self) -> int:
        """m: a secret and the decoys."""
        return 1 + len(self.decoys)

    @cached_property
    def key(self) -> str:
        """What distinguishes these decoys from others."""
        return samples_hash(Samples(self.decoys, None))

    def by_guess(self, guess: Tensor) -> tuple[Game, ...]:
        """The candidate nearest to each guess, in mean squared error; no game where there are no decoys."""
        if not len(self.decoys):
            return ()
        pixels = self.secrets[0].numel()
        flat, truth = guess.flatten(1).double(), self.secrets.flatten(1).double()
        own, parts = (flat - truth).square().mean(1), []
        for block in self.decoys.flatten(1).split(max(1, BLOCK // pixels)):
            decoys = block.double()
            energy = flat.square().mean(1, keepdim=True) + decoys.square().mean(1)
            parts.append(energy - 2 / pixels * flat @ decoys.T)
        return (self._game("nearest", *place(own, torch.cat(parts, 1), TIE)),)

    def by_likelihood(self, inverter: object, sent: Activations) -> tuple[Game, ...]:
        """The candidate that is likeliest by the attack's own account; no game where it has none to give.

        The attack sees the decoys and the secrets of one group in a random order, never which is which. A judge that
        fails loses this game, not its trial: what the attack recovered was recovered.
        """
        if not len(self.decoys) or not isinstance(inverter, Scorer):
            return ()
        try:
            groups = [self._likely(inverter, sent, start) for start in range(0, len(self.secrets), GROUP)]
        except MemoryError:
            raise
        except Exception as error:
            reason = in_one_line(error)
            chance = 1 / self.candidates
            return (Game(judge="likelihood", candidates=self.candidates, chance=chance, reason=reason),)
        wins, ranks = (torch.cat(parts) for parts in zip(*groups, strict=True))
        return (self._game("likelihood", wins, ranks),)

    def _likely(self, inverter: Scorer, sent: Activations, start: int) -> tuple[Tensor, Tensor]:
        secrets, device = self.secrets[start : start + GROUP], self.secrets.device
        count, total = len(secrets), len(secrets) + len(self.decoys)
        order = torch.randperm(total, generator=self.run.stream(f"line-up/{start}"), device=device)
        candidates = torch.cat([secrets, self.decoys])[order]
        scores = inverter.score(tuple(part[start : start + GROUP] for part in sent), candidates)
        if tuple(scores.shape) != (count, total):
            raise ValueError(f"likelihoods of shape {tuple(scores.shape)} where {(count, total)} are due")
        if bool((torch.isnan(scores) | (scores == torch.inf)).any()):
            raise ValueError("likelihoods that are NaN or infinite")
        where = order.argsort()
        cost = -scores.to(device, torch.float64).clamp_min(LEAST)[:, where]
        own = cost.diagonal()
        return place(own, cost[:, count:], TIE_RELATIVE * own.abs())

    def by_answer(self, release: Release) -> tuple[Game, ...]:
        """The candidate whose released answer is nearest to the secret's; no game where nothing is released.

        Answers are the means over their draws; all candidates of one label tie. Probabilities are compared by their
        logarithms, in which the small ones tell as much as the large ones.
        """
        theirs = release.theirs
        if not len(self.decoys) or theirs is None:
            return ()
        secrets = means(theirs, release.kind)
        own = means(release.candidates(self.secrets, "secrets"), release.kind)
        decoys = means(release.candidates(self.decoys, "decoys"), release.kind)
        exact = "donot_use_mm_for_euclid_dist"  # the distances are squared differences, not differences of squares
        others = torch.cdist(secrets, decoys, compute_mode=exact).square() / secrets.shape[1]
        return (self._game("answer", *place((secrets - own).square().mean(1), others, ANSWER_TIE)),)

    def _game(self, judge: Literal["nearest", "likelihood", "answer"], wins: Tensor, ranks: Tensor) -> Game:
        per_sample = {"wins": wins.tolist(), "rank": ranks.tolist()}
        return Game(
            judge=judge, candidates=self.candidates, chance=1 / self.candidates, per_sample=per_sample,
            wins=estimate(per_sample["wins"], True), rank=estimate(per_sample["rank"], False),
        )  # fmt: skip


def means(answers: Tensor, kind: str) -> Tensor:
    """Answers (N, draws, A) as rows to be compared, (N, A)."""
    values = answers.double()
    return (values.clamp_min(1e-30).log() if kind == "probabilities" else values).mean(1)
