"""Real images that come inside packages that we use anyway: no download, the same on every machine.

The files are read where scikit-learn and scikit-image install them, because some functions of those packages would
download what is missing.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from splitward.core.errors import DataError
from splitward.core.registry import register
from splitward.data.dataset import Dataset, assemble
from splitward.data.pixels import Pixels, Shape, content_keys, fit, fit_all, split_by_content


def shipped(package: str, file: str) -> Path:
    """The path of ``file`` inside an installed package, without importing it. Raises DataError where it is not."""
    found = importlib.util.find_spec(package)
    for root in (found.submodule_search_locations or []) if found else []:
        if (path := Path(root) / file).is_file():
            return path
    raise DataError(
        f"{file} is not in the installed package {package}: install it with `pip install 'splitward[audit]'`."
    )


@register("dataset")
class Digits:
    """1,797 real handwritten digits of scikit-learn (8x8, 17 grey levels), shown at 28x28.

    Bilinear enlargement: an image has 64 degrees of freedom. Split by content within each class: 50 % train, 30 %
    public, 20 % held out. Source: E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits, UCI, 1998.
    """

    name: ClassVar[str] = "digits"
    shape: ClassVar[Shape | None] = (1, 28, 28)

    def read(self, folder: Path, shape: Shape | None) -> Dataset:  # noqa: ARG002 - nothing to read there
        """Enlarged to ``shape``, by default 1x28x28."""
        table = np.loadtxt(shipped("sklearn", "datasets/data/digits.csv.gz"), delimiter=",", dtype=np.int64)
        small = np.round(table[:, :64].reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
        pixels = Pixels(fit_all(small, shape or (1, 28, 28)), table[:, 64])
        return _dataset(
            self.name, pixels, small, (0.5, 0.3, 0.2), tuple("0123456789"),
            "Handwritten digits of 8x8 pixels, enlarged (bilinear): an image has 64 degrees of freedom.", 64,
        )  # fmt: skip


@register("dataset")
class Faces:
    """100 real faces and 100 patches without a face (25x25 grey), scikit-image's subset of Labeled Faces in the Wild.

    Kept at 25x25, or brought (bilinear) to the size that the model takes. Split by content within each class: 40 %
    train, 30 % public, 30 % held out. Source: G. Huang et al., Labeled Faces in the Wild, 2007.
    """

    name: ClassVar[str] = "faces"
    shape: ClassVar[Shape | None] = (1, 25, 25)

    def read(self, folder: Path, shape: Shape | None) -> Dataset:  # noqa: ARG002 - nothing to read there
        """At 1x25x25, or brought to ``shape``."""
        stored = np.load(shipped("skimage", "data/lfw_subset.npy"), allow_pickle=False)
        small = np.round(stored * 255).clip(0, 255).astype(np.uint8)
        labels = np.repeat(np.array([0, 1], dtype=np.int64), 100)
        pixels = Pixels(fit_all(small, shape or (1, 25, 25)), labels)
        return _dataset(
            self.name, pixels, small, (0.4, 0.3, 0.3), ("face", "no face"),
            "Faces and patches without a face, 25x25 grey; half of the images show no person.", 625,
        )  # fmt: skip


PHOTOS: dict[str, tuple[tuple[str, str], ...]] = {
    "train": (
        ("skimage", "data/motorcycle_left.png"),
        ("skimage", "data/astronaut.png"),
        ("skimage", "data/rocket.jpg"),
    ),
    "public": (("sklearn", "datasets/images/china.jpg"), ("skimage", "data/coffee.png")),
    "held out": (("skimage", "data/chelsea.png"), ("sklearn", "datasets/images/flower.jpg")),
}
"""Which photograph plays which role: crops of one photograph resemble one another, so none plays two."""


@register("dataset")
class Photos:
    """Crops (32x32, without overlap) of seven colour photographs of scikit-image and scikit-learn; no labels.

    Each photograph belongs to one role only. Another size is cut instead of 32x32, never resized. For models that
    were trained on something else: there is nothing to classify.
    """

    name: ClassVar[str] = "photos"
    shape: ClassVar[Shape | None] = (3, 32, 32)

    def read(self, folder: Path, shape: Shape | None) -> Dataset:  # noqa: ARG002 - nothing to read there
        """Cut into pieces of ``shape``, by default 3x32x32."""
        wanted = shape or (3, 32, 32)
        parts = []
        for files in PHOTOS.values():
            crops = np.concatenate([_crops(shipped(package, file), wanted) for package, file in files])
            order = sorted(range(len(crops)), key=content_keys(crops).__getitem__)  # neighbours lie far apart
            parts.append(Pixels(crops[order]))
        return assemble(
            self.name, (parts[0], parts[1], parts[2]), (),
            note="Crops of seven photographs, each photograph in one role only; no labels.",
        )  # fmt: skip


def _crops(path: Path, shape: Shape) -> npt.NDArray[np.uint8]:
    """All whole pieces of ``shape`` in a photograph, row by row."""
    channels, height, width = shape
    with Image.open(path) as photo:
        rows, columns = photo.height // height, photo.width // width
        if not rows or not columns:
            raise DataError(f"pieces of {height}x{width} do not fit into {path.name} ({photo.height}x{photo.width}).")
        whole = fit(photo.crop((0, 0, columns * width, rows * height)), (channels, rows * height, columns * width))
    tiles = whole.reshape(channels, rows, height, columns, width).transpose(1, 3, 0, 2, 4)
    return np.ascontiguousarray(tiles.reshape(-1, channels, height, width))


def _dataset(
    name: str, pixels: Pixels, native: npt.NDArray[np.uint8], shares: tuple[float, float, float],
    classes: tuple[str, ...], note: str, freedom: int,
) -> Dataset:  # fmt: skip
    """Split by the content of the ``native`` images, so that the roles do not depend on the model's input."""
    train, public, held_out = split_by_content(content_keys(native[:, None]), pixels.labels, shares)
    freedom = min(freedom, int(np.prod(pixels.images.shape[2:])))
    return assemble(
        name, (pixels[train], pixels[public], pixels[held_out]), classes, note=note, degrees_of_freedom=freedom
    )
