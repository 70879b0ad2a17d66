"""A folder of images, with or without classes.

Classes: every subfolder that holds images (at any depth) is one, in the order of the names; without such subfolders
there are no labels. Roles: subfolders ``train`` and ``test`` (and ``val``, or ``validation``) are respected: train is
the victim's, val is public, test is held out; where ``val`` is missing, a quarter of train becomes public. Otherwise
the images are split by the content of their files within each class: 60 % train, 20 % public, 20 % held out.

Every image is read as ``data.images`` says.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from splitward.core.errors import DataError
from splitward.data.dataset import Dataset, assemble
from splitward.data.images import SUFFIXES, decode, naming, opened
from splitward.data.pixels import Pixels, Shape, fit, split_by_content

MAX_BYTES = 8 << 30
"""The images of a folder, as float32, must fit into so much memory."""
SHARES = (0.6, 0.2, 0.2)

Files = list[tuple[Path, int]]
"""Image and the number of its class."""


def read_folder(folder: Path, shape: Shape | None) -> Dataset:
    """The images below ``folder`` at ``shape``, (C, H, W); without it at their own size, where they all have the same.

    Raises DataError for a folder with too few images and for a file that is no image, naming it.
    """
    parts = {role: _subfolder(folder, names) for role, names in _ROLE_NAMES.items()}
    train, test, middle = parts["train"], parts["test"], parts["val"]
    notes: list[str] = []
    if train is None or test is None:
        classes, files = _listing(folder, notes)
        groups: list[Files] = _split(files, SHARES, folder)
    else:
        homes = [train, middle, test] if middle is not None else [train, test]
        classes = sorted({name for home in homes for name in _class_folders(home)})
        listed = [_listing(home, notes, classes)[1] for home in homes]
        groups = listed if middle is not None else [*_split(listed[0], (0.75, 0.25), train), listed[1]]
    _refuse_too_few(groups, folder)
    every = [path for group in groups for path, _ in group]
    native = [_size(path) for path in every]
    shape = shape or _common_shape(native, folder)
    _refuse_too_large(len(every), shape, folder)
    roles = [_read(group, shape, labelled=bool(classes)) for group in groups]
    smallest = min(height * width for _, height, width in native)
    freedom = shape[0] * min(shape[1] * shape[2], smallest)
    note = f"{len(every):,} images of a folder, at {'x'.join(map(str, shape))}."
    return assemble(
        folder.resolve().name, (roles[0], roles[1], roles[2]), classes,
        note=note, degrees_of_freedom=freedom, warnings=notes,
    )  # fmt: skip


_ROLE_NAMES = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}


def _subfolder(folder: Path, names: tuple[str, ...]) -> Path | None:
    """The first of ``names`` that is a subfolder, written in any case."""
    found = {path.name.lower(): path for path in sorted(folder.iterdir()) if path.is_dir()}
    return next((found[name] for name in names if name in found), None)


def _images(folder: Path, *, deep: bool) -> list[Path]:
    """The files with the name of an image in ``folder``, hidden ones left out, in order."""
    files = folder.rglob("*") if deep else folder.iterdir()
    return sorted(p for p in files if p.suffix.lower() in SUFFIXES and not p.name.startswith(".") and p.is_file())


def _class_folders(folder: Path) -> list[str]:
    """The names of the subfolders that hold images."""
    return sorted(p.name for p in folder.iterdir() if p.is_dir() and p.name[0] != "." and _images(p, deep=True))


def _listing(folder: Path, notes: list[str], classes: Sequence[str] | None = None) -> tuple[list[str], Files]:
    """Classes and images of a folder; ``classes`` are those of the whole set where it has several parts."""
    names = list(classes) if classes is not None else _class_folders(folder)
    loose = _images(folder, deep=False)
    if not names:
        return [], [(path, 0) for path in loose]
    if loose:
        notes.append(f"{len(loose):,} images in {folder} lie beside the class folders and were left out.")
    present = [(number, folder / name) for number, name in enumerate(names) if (folder / name).is_dir()]
    return names, [(path, number) for number, home in present for path in _images(home, deep=True)]


def _split(files: Files, shares: tuple[float, ...], folder: Path) -> list[Files]:
    """By the content of the files, within each class."""
    try:
        keys = [hashlib.blake2b(path.read_bytes(), digest_size=16).digest() for path, _ in files]
    except OSError as error:
        raise DataError(f"{error.filename} in {folder} cannot be read: {error.strerror}.") from None
    labels = np.array([label for _, label in files], dtype=np.int64)
    return [[files[i] for i in part] for part in split_by_content(keys, labels, shares)]


def _size(path: Path) -> Shape:
    """Channels, height and width as the image will be seen, from its header. Raises DataError for what is no image."""
    with naming(path), opened(path) as image:
        turned = image.getexif().get(0x0112, 1) in (5, 6, 7, 8)  # EXIF: lies on its side
        height, width = (image.width, image.height) if turned else (image.height, image.width)
        return (1 if image.mode in ("1", "L", "LA", "I", "I;16", "I;16B", "I;16L") else 3), height, width


def _read(files: Files, shape: Shape, *, labelled: bool) -> Pixels:
    """Every image of one role."""
    images = np.empty((len(files), *shape), dtype=np.uint8)
    for index, (path, _) in enumerate(files):
        images[index] = fit(decode(path, shape), shape)
    return Pixels(images, np.array([label for _, label in files], dtype=np.int64) if labelled else None)


def _common_shape(native: Sequence[Shape], folder: Path) -> Shape:
    """The one size of all images, colour where one of them is; raises DataError where they differ."""
    sizes = {(height, width) for _, height, width in native}
    if len(sizes) > 1:
        raise DataError(
            f"the images in {folder} have {len(sizes):,} different sizes: say which input the model takes, as CxHxW."
        )
    height, width = sizes.pop()
    return max(channels for channels, _, _ in native), height, width


def _refuse_too_few(groups: Sequence[Files], folder: Path) -> None:
    """Every role needs an image."""
    total = sum(map(len, groups))
    if not total:
        raise DataError(f"there is no image in {folder}; it takes files like .png, .jpg or .pgm.")
    if not all(groups):
        raise DataError(
            f"the {total:,} image{'s' if total > 1 else ''} in {folder} are too few to give the victim, the attacker "
            "and the secrets some each; give at least 5 in each class."
        )


def _refuse_too_large(count: int, shape: Shape, folder: Path) -> None:
    """All images are held in memory."""
    needed = count * int(np.prod(shape)) * 4
    if needed > MAX_BYTES:
        raise DataError(
            f"the {count:,} images in {folder} would take {needed / 2**30:.1f} GiB of memory at "
            f"{'x'.join(map(str, shape))}; give fewer (at most {MAX_BYTES // (needed // count):,})."
        )
