"""8-bit images between reader and data set: content keys, duplicates, deterministic splits, resizing. Free of torch."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from splitward.core.errors import DataError

Shape = tuple[int, int, int]
"""Channels (1 grey or 3 colour), height, width."""


@dataclass(frozen=True)
class Pixels:
    """``images``: (N, C, H, W) uint8. ``labels``: (N,) int64, or None where there are none."""

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return int(self.images.shape[0])

    def __getitem__(self, index: slice | npt.NDArray[np.int64]) -> Pixels:
        return Pixels(self.images[index], None if self.labels is None else self.labels[index])


def content_keys(images: npt.NDArray[np.uint8]) -> list[bytes]:
    """A 128-bit key for each image's content and shape; images (N, C, H, W)."""
    shape = str(images.shape[1:]).encode()
    return [hashlib.blake2b(image, digest_size=16, key=shape).digest() for image in np.ascontiguousarray(images)]


def split_by_content(
    keys: Sequence[bytes], groups: npt.NDArray[np.int64] | None, shares: tuple[float, ...]
) -> tuple[npt.NDArray[np.int64], ...]:
    """Indices by role: within each group (class) in the order of the keys, ``shares`` of it to each role.

    Deterministic, and independent of the order in which the images were read. Each role's indices are in the order of
    the keys read backwards (the keys themselves decided the role), so that its first images are a fair sample.
    """
    order = np.array(sorted(range(len(keys)), key=lambda i: keys[i]), dtype=np.int64)
    role = np.zeros(len(keys), dtype=np.int64)
    bounds = np.cumsum(shares)[:-1]
    for group in [None] if groups is None else np.unique(groups):
        members = order if group is None or groups is None else order[groups[order] == group]
        for number, part in enumerate(np.split(members, np.round(bounds * len(members)).astype(int))):
            role[part] = number
    shuffled = np.array(sorted(range(len(keys)), key=lambda i: keys[i][::-1]), dtype=np.int64)
    return tuple(shuffled[role[shuffled] == number] for number in range(len(shares)))


def fit(image: Image.Image, shape: Shape) -> npt.NDArray[np.uint8]:
    """A Pillow image as (C, H, W): converted to grey (ITU-R 601 luma) or colour, its shorter side resized to fill
    H x W (bilinear; with antialiasing where it shrinks), the centre cut out.
    """  # fmt: skip
    channels, height, width = shape
    if channels not in (1, 3):
        raise DataError(f"images have 1 (grey) or 3 (colour) channels, not the {channels} that the model wants.")
    image = image.convert("L" if channels == 1 else "RGB")
    scale = max(height / image.height, width / image.width)
    size = max(width, round(image.width * scale)), max(height, round(image.height * scale))
    if size != image.size:
        image = image.resize(size, Image.Resampling.BILINEAR)
    left, top = (size[0] - width) // 2, (size[1] - height) // 2
    array = np.asarray(image.crop((left, top, left + width, top + height)), dtype=np.uint8)
    return array[None] if channels == 1 else np.ascontiguousarray(array.transpose(2, 0, 1))


def fit_all(images: npt.NDArray[np.uint8], shape: Shape) -> npt.NDArray[np.uint8]:
    """Grey images (N, h, w) as (N, C, H, W) by ``fit``."""
    return np.stack([fit(Image.fromarray(image), shape) for image in images])
