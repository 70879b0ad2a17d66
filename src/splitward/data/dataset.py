"""A data set in its three roles, and the rule that no image plays two of them."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import ClassVar, Protocol

import numpy as np
import torch

from splitward.core.errors import DataError, OverlapError
from splitward.core.knowledge import Samples
from splitward.core.registry import discover
from splitward.data.pixels import Pixels, Shape, content_keys
from splitward.data.places import data_directory


@dataclass(frozen=True)
class Dataset:
    """Images in [0, 1] in three roles that share no image.

    ``train``: the victim's training set. ``public``: what an attacker may hold. ``held_out``: where secrets, traffic
    and task accuracy come from. ``degrees_of_freedom``: how many independent numbers an image holds at most (fewer
    than its pixels where it was enlarged). ``note``: what a reader of a report should know of the set.
    """

    name: str
    train: Samples
    public: Samples
    held_out: Samples
    classes: tuple[str, ...]
    degrees_of_freedom: int
    note: str = ""
    warnings: tuple[str, ...] = ()


class Source(Protocol):
    """A data set of the catalogue: a class decorated with ``@register("dataset")``; its docstring describes it.

    ``shape``: of its images, None where it follows the model's. ``files``: what ``splitward data fetch`` gets (a tuple
    of ``splitward.data.fetch.Remote``); empty for sets that come inside installed packages.
    """

    name: ClassVar[str]
    shape: ClassVar[Shape | None]

    def read(self, folder: Path, shape: Shape | None) -> Dataset:
        """Read the set from the data directory ``folder``, for a model that takes ``shape`` (None: any).

        Raises DataError for what is missing, broken, or does not fit ``shape``.
        """


def load(name_or_folder: str, *, data_dir: Path | None = None, input: Shape | None = None) -> Dataset:
    """A data set of the catalogue, or a folder of images.

    ``data_dir``: where data sets lie; without it ``SPLITWARD_DATA``, else the platform's cache folder.
    ``input``: (C, H, W) of the model. Embedded sets and folders are brought to it; a set with a fixed format is
    refused where it differs. Raises DataError.
    """
    known = discover("dataset")
    if name_or_folder in known:
        dataset: Dataset = known[name_or_folder]().read(data_directory(data_dir), input)
        return dataset
    path = Path(name_or_folder).expanduser()
    if path.is_dir():
        from splitward.data.folder import read_folder

        return read_folder(path, input)
    near = difflib.get_close_matches(name_or_folder, known, n=2, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"the catalogue has {', '.join(known)}."
    raise DataError(f"there is no data set and no folder {name_or_folder!r}; {hint}")


def assemble(
    name: str,
    roles: tuple[Pixels, Pixels, Pixels],
    classes: Sequence[str],
    *,
    note: str,
    degrees_of_freedom: int | None = None,
    warnings: Sequence[str] = (),
) -> Dataset:
    """A Dataset from 8-bit ``roles`` (train, public, held out), without images that occur twice.

    A repeated image stays where it is first met in the order train, held out, public, and the note says how many were
    dropped. Raises DataError for a role without images and for labels outside of ``classes``.
    """
    seen: set[bytes] = set()
    kept: dict[int, Pixels] = {}
    dropped = 0
    for number in (0, 2, 1):
        keep = []
        for index, key in enumerate(content_keys(roles[number].images)):
            if key not in seen:
                seen.add(key)
                keep.append(index)
        dropped += len(roles[number]) - len(keep)
        whole = len(keep) == len(roles[number])
        kept[number] = roles[number] if whole else roles[number][np.array(keep, dtype=np.int64)]
    if dropped:
        note = f"{note} {dropped:,} repeated image{'s' if dropped > 1 else ''} dropped."
    samples = [
        _samples(kept[i], f"{name} {role}", len(classes)) for i, role in enumerate(("train", "public", "held out"))
    ]
    freedom = degrees_of_freedom or int(np.prod(roles[0].images.shape[1:]))
    return Dataset(name, samples[0], samples[1], samples[2], tuple(classes), freedom, note.strip(), tuple(warnings))


def _samples(pixels: Pixels, name: str, classes: int) -> Samples:
    """Float images in [0, 1]; raises DataError where there are none, or a label names no class."""
    if not len(pixels):
        raise DataError(f"{name} has no image; every role (train, public, held out) needs at least one of its own.")
    labels = pixels.labels
    if labels is not None and (labels.min() < 0 or labels.max() >= classes):
        raise DataError(f"{name} has labels from {labels.min()} to {labels.max()}, but there are {classes} classes.")
    images = torch.from_numpy(pixels.images.astype(np.float32)).div_(255)
    return Samples(images, None if labels is None else torch.from_numpy(labels.astype(np.int64)), name)


def refuse_overlap(**samples: Samples) -> None:
    """Raise OverlapError where two of the given samples share an image, compared by their 8-bit pixels.

    The names of the arguments are the roles that the error speaks of.
    """
    keys = {}
    for role, part in samples.items():
        pixels = (part.images.detach().clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()
        keys[role] = set(content_keys(pixels))
    for first, second in combinations(samples, 2):
        shared = len(keys[first] & keys[second])
        if shared:
            raise OverlapError(
                f"{first} and {second} share {shared:,} image{'s' if shared > 1 else ''} (of {len(samples[first]):,} "
                f"and {len(samples[second]):,}); give samples that are disjoint."
            )
