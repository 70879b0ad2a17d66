"""What attackers hold: images of the victim's own set, of the same distribution, of another one, or noise.

The kinds are those of He, Zhang, Lee (ACSAC 2019, table 6): the victim's training set, another set of the same
distribution, Gaussian noise; and any other data set.
"""

from __future__ import annotations

from pathlib import Path

import torch

from splitward.core.errors import DataError, UsageError
from splitward.core.knowledge import Samples
from splitward.core.run import derive_seed
from splitward.data.dataset import Dataset, load

KINDS = ("same-distribution", "same-set", "noise")
"""The usual one first. Whatever else is named is another data set."""

GREY, DEVIATION = 0.5, 0.5
"""Of Gaussian noise, in pixels, which is then clipped to [0, 1]: standard normal where 0.5 is normalised to 0."""


def held_by_attackers(
    kind: str, dataset: Dataset, count: int | None = None, *, data_dir: Path | None = None, seed: int = 0
) -> Samples:
    """``count`` images that attackers of a victim of ``dataset`` hold, (count, C, H, W) in [0, 1].

    ``same-distribution``: the set's public part. ``same-set``: its training part. ``noise``: Gaussian noise, without
    labels. Any other: a data set of the catalogue or a folder, all of it; its labels are kept where its classes have
    the same names. ``count`` None: as many as the public part has, or as many as there are.

    Raises UsageError where fewer are there than were asked for, and DataError for a set that is not there or does not
    fit.
    """
    wanted = count if count is not None else dataset.counts[1]
    if kind == "noise":
        draws = torch.Generator().manual_seed(derive_seed(seed, "public-noise"))
        images = GREY + DEVIATION * torch.randn(wanted, *dataset.shape, generator=draws)
        return Samples(images.clamp(0, 1), None, "Gaussian noise")
    if kind in KINDS:
        found = dataset.public if kind == "same-distribution" else dataset.train
    else:
        try:
            other = load(kind, data_dir=data_dir, input=dataset.shape)
        except DataError as error:
            raise DataError(f"what attackers hold is {', '.join(KINDS)}, or another data set; {error}") from error
        found = _all_of(other, dataset.classes, wanted)
    if count is not None and count > len(found):
        raise UsageError(
            f"{count} public samples were asked for and {found.name} has {len(found)}; ask for fewer."
        )  # fmt: skip
    return found[slice(0, wanted)]


def _all_of(other: Dataset, classes: tuple[str, ...], wanted: int) -> Samples:
    """The images of ``other``, of all roles but no more than ``wanted``."""
    parts = [other.public]
    for role in ("train", "held_out"):
        if sum(len(part) for part in parts) < wanted:
            parts.append(getattr(other, role))
    known = [part.labels for part in parts if part.labels is not None]
    labelled = len(known) == len(parts) and other.classes == classes
    return Samples(torch.cat([p.images for p in parts]), torch.cat(known) if labelled else None, other.name)
