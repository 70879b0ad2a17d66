"""Prior floors: what is reached with public images alone, without anything of the secret."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from splitward.core.errors import MetricError
from splitward.core.knowledge import Released
from splitward.core.protocols import Metric
from splitward.core.registry import find, register
from splitward.core.run import Run

Guesser = Callable[[Tensor | None, int], Tensor]


def the_same_for_all(image: Tensor) -> Guesser:
    """The floor that answers ``image`` (C, H, W), whatever the secret."""

    def guess(answers: Tensor | None, count: int) -> Tensor:  # noqa: ARG001 - a prior floor knows no answers
        return image.expand(count, *image.shape).clone()

    return guess


@register("floor")
@dataclass(frozen=True)
class MeanImage:
    """The mean of the public images: of all single images the best by mean squared error."""

    name: ClassVar[str] = "prior/mean"

    def prepare(self, released: Released, run: Run) -> Guesser:
        """From the public images to a guess that is the same for every secret, (N, C, H, W) in [0, 1]."""
        return the_same_for_all(released.public.images.to(run.device).mean(0).clamp(0, 1))


@register("floor")
@dataclass(frozen=True)
class BestImage:
    """The one image that scores best on average over the public set, by SSIM: often not the mean.

    Candidates are ``candidates`` public images drawn at random, and the mean and the pixel-wise median of all. They are
    scored on public images in rounds: the best quarter of the drawn ones stays, and is scored on four times as many
    images, so that every round costs the same; the mean and the median stay to the end. Images too small for SSIM are
    scored by mean squared error. ``scored``: images of the first round; images larger than 28x28 get fewer candidates.
    """

    name: ClassVar[str] = "prior/best"
    candidates: int = 128
    scored: int = 64

    def prepare(self, released: Released, run: Run) -> Guesser:
        """From the public images to a guess that is the same for every secret, (N, C, H, W) in [0, 1]."""
        images = released.public.images.to(run.device)
        order = torch.randperm(len(images), generator=run.stream("order"), device=images.device)
        fewer = min(1.0, 28 * 28 / images[0].numel())
        drawn = images[order[: max(6, round(fewer * self.candidates))]]
        # what is scored on comes from the other end of the order: no candidate is scored on itself while images last
        judges = images[order.flip(0)]
        always = torch.stack([images.mean(0), images.median(0).values])
        metric, count = metric_for(images), self.scored
        while True:
            pool = torch.cat([always, drawn]).clamp(0, 1)
            scores = average_scores(metric, pool, judges[:count])
            if count >= len(judges) or len(drawn) <= 4:
                return the_same_for_all(pool[scores.argmax()])
            drawn = drawn[scores[2:].topk(len(drawn) // 4).indices]
            count *= 4


def metric_for(images: Tensor) -> Metric:
    """SSIM, or minus-MSE's order where the images are too small for it."""
    ssim: Metric = find("metric", "ssim")()
    try:
        ssim(images[:1], images[:1])
    except MetricError:
        mse: Metric = find("metric", "mse")()
        return mse
    return ssim


def average_scores(metric: Metric, candidates: Tensor, judges: Tensor) -> Tensor:
    """The mean score of each candidate over the judges, (M,); higher is closer."""
    sign = 1.0 if metric.higher_is_closer else -1.0
    scores = [metric(image.expand_as(judges), judges).mean() for image in candidates]
    return sign * torch.stack(scores)
