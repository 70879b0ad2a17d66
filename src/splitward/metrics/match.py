"""Matching: is the person (or whatever the label stands for) found again among other pictures?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from splitward.core.errors import NotApplicable
from splitward.core.judging import Judge, Yardstick
from splitward.core.knowledge import Samples
from splitward.core.registry import register


@register("judgement")
@dataclass(frozen=True)
class Match:
    """1 where, of all *other* originals, the one most like the reconstruction has the secret's own label, else 0.

    Labels are taken as identities. The gallery holds the originals of the labels that occur among the secrets, the
    other secrets included, but never the secret itself: who is found was recognised, not merely copied. *Most like* is
    the highest cosine of the judge's embeddings, as face matchers do; the people need not be those that the judge was
    trained on. Chance: the mean share of the gallery that has the right label.
    """

    name: ClassVar[str] = "match"
    unit: ClassVar[str] = ""
    higher_is_closer: ClassVar[bool] = True

    def prepare(self, judge: Judge, secrets: Samples, others: Samples | None) -> Yardstick:
        """Raises NotApplicable without labels, with one label only, or where a secret has no other picture."""
        if judge.classes is None:
            raise NotApplicable("the public images carry no labels of several classes, so the judge knows no likeness.")
        if secrets.labels is None or (others is not None and others.labels is None):
            raise NotApplicable("the secrets carry no labels, so nobody knows who is who.")
        labels, images = secrets.labels, secrets.images
        if others is not None and others.labels is not None:
            kept = torch.isin(others.labels, labels)
            labels, images = torch.cat([labels, others.labels[kept]]), torch.cat([images, others.images[kept]])
        if len(labels.unique()) < 2:
            raise NotApplicable("the secrets all have one label, so there is nobody to be mistaken for.")
        same = secrets.labels[:, None] == labels
        alone = int((same.sum(1) < 2).sum())
        if alone:
            raise NotApplicable(f"{alone} of {len(secrets)} secrets have a label that no other image of the pool has.")
        gallery, own = judge.embed(images), torch.arange(len(secrets), device=images.device)

        def score(guess: Tensor) -> Tensor:
            alike = judge.embed(guess) @ gallery.T
            alike[own, own] = -torch.inf  # the secrets are the first of the gallery
            return same[own, alike.argmax(1)].float()

        return Yardstick(score, float(((same.sum(1) - 1) / (len(labels) - 1)).mean()))
