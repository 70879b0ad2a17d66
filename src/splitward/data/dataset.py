"""A data set in its three roles, and the rule that no image plays two of them."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import ClassVar, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from splitward.core.errors import DataError, OverlapError
from splitward.core.knowledge import Samples
from splitward.core.registry import discover
from splitward.data.pixels import Pixels, Shape, content_keys
from splitward.data.places import data_directory

ROLES = ("train", "public", "held out")


@dataclass(frozen=True)
class Dataset:
    """Images in three roles that share none; made by ``assemble``.

    ``pixels``: the 8-bit images by role (train, public, held out). ``degrees_of_freedom``: how many independent
    numbers an image holds at most (fewer than its pixels where it was enlarged). ``note``: what a reader of a report
    should know of the set.
    """

    name: str
    pixels: tuple[Pixels, Pixels, Pixels]
    classes: tuple[str, ...]
    degrees_of_freedom: int
    note: str = ""
    warnings: tuple[str, ...] = ()

    @cached_property  # as floats only when asked for: an audit of CIFAR-10 needs 120 MB of the 740
    def train(self) -> Samples:
        """The victim's training set, (N, C, H, W) float32 in [0, 1]."""
        return self._samples(0)

    @cached_property
    def public(self) -> Samples:
        """What an attacker may hold."""
        return self._samples(1)

    @cached_property
    def held_out(self) -> Samples:
        """Where secrets, traffic and task accuracy come from."""
        return self._samples(2)

    @property
    def counts(self) -> tuple[int, int, int]:
        """How many images each role has, without making floats of them."""
        return len(self.pixels[0]), len(self.pixels[1]), len(self.pixels[2])

    @property
    def shape(self) -> Shape:
        """(C, H, W) of an image."""
        _, channels, height, width = self.pixels[0].images.shape
        return channels, height, width

    def _samples(self, role: int) -> Samples:
        part = self.pixels[role]
        labels = None if part.labels is None else torch.from_numpy(part.labels.astype(np.int64))
        return Samples(to_float(part.images), labels, f"{self.name} {ROLES[role]}")


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
    for number, role in enumerate(ROLES):
        _refuse_unusable(kept[number], f"{name} {role}", len(classes))
    freedom = degrees_of_freedom or int(np.prod(roles[0].images.shape[1:]))
    return Dataset(name, (kept[0], kept[1], kept[2]), tuple(classes), freedom, note.strip(), tuple(warnings))


def _refuse_unusable(pixels: Pixels, name: str, classes: int) -> None:
    """Raise DataError for a role without images, or with a label that names no class."""
    if not len(pixels):
        raise DataError(f"{name} has no image; every role (train, public, held out) needs at least one of its own.")
    labels = pixels.labels
    if labels is not None and (labels.min() < 0 or labels.max() >= classes):
        raise DataError(f"{name} has labels from {labels.min()} to {labels.max()}, but there are {classes} classes.")


def to_float(images: npt.NDArray[np.uint8]) -> Tensor:
    """8-bit pixels (N, C, H, W) as float32 in [0, 1]."""
    floats = torch.empty(images.shape, dtype=torch.float32)
    np.divide(images, np.float32(255), out=floats.numpy())
    return floats


def to_eight_bit(images: Tensor) -> npt.NDArray[np.uint8]:
    """Pixels (N, C, H, W) in [0, 1] as 8 bits, by which images are compared."""
    pixels: npt.NDArray[np.uint8] = (images.detach().clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()
    return pixels


def refuse_overlap(**samples: Samples) -> None:
    """Raise OverlapError where two of the given samples share an image, compared by their 8-bit pixels.

    The names of the arguments are the roles that the error speaks of.
    """
    keys = {}
    for role, part in samples.items():
        keys[role] = {key for pixels in part.images.split(1000) for key in content_keys(to_eight_bit(pixels))}
    for first, second in combinations(samples, 2):
        shared = len(keys[first] & keys[second])
        if shared:
            raise OverlapError(
                f"{first} and {second} share {shared:,} image{'s' if shared > 1 else ''} (of {len(samples[first]):,} "
                f"and {len(samples[second]):,}); give samples that are disjoint."
            )
