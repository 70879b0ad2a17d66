"""The data sets with a fixed format of their own: MNIST, Fashion-MNIST and CIFAR-10.

Roles of the MNIST family: the first 45,000 training images are the victim's, the other 15,000 are public, the 10,000
official test images are held out. Of CIFAR-10, where the victim needs them all: the 50,000 training images are the
victim's, the first 5,000 test images are held out, the last 5,000 are public.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np

from splitward.core.errors import DataError
from splitward.core.registry import register
from splitward.data.cifar import read_binary_batch, read_python_batch
from splitward.data.dataset import Dataset, assemble
from splitward.data.fetch import Remote, matches
from splitward.data.idx import read_idx
from splitward.data.pixels import Pixels, Shape

MNIST_VICTIM = 0.75
"""Of the training images, the share that the victim is trained on: the first 45,000 of 60,000."""
CIFAR_HELD_OUT = 0.5
"""Of the test images, the share that is held out: the first 5,000 of 10,000, with the papers' targets among them."""


class _Idx:
    """A set of four IDX files: training and test images, training and test labels."""

    name: ClassVar[str]
    shape: ClassVar[Shape | None] = (1, 28, 28)
    classes: ClassVar[tuple[str, ...]]
    folders: ClassVar[tuple[str, ...]]
    files: ClassVar[tuple[Remote, ...]]

    def read(self, folder: Path, shape: Shape | None) -> Dataset:
        """From the four files, gzipped or plain, below ``folder``."""
        refuse_other_shape(self.name, (1, 28, 28), shape)
        stems = [remote.name.rpartition("/")[2].removesuffix(".gz") for remote in self.files]
        home = find_folder(self.name, folder, self.folders, stems, (".gz", ""))
        paths = [next(p for s in (".gz", "") if (p := home / (stem + s)).is_file()) for stem in stems]
        images, labels, test_images, test_labels = (read_idx(path, 3 if "images" in path.name else 1) for path in paths)
        for part, names in ((images, labels), (test_images, test_labels)):
            if len(part) != len(names) or part.shape[1:] != (28, 28):
                raise DataError(
                    f"the files in {home} do not belong together: images {part.shape}, {len(names):,} labels; "
                    f"{self.name} has one label for each 28x28 image."
                )
        whole = Pixels(images[:, None], labels.astype(np.int64))
        test = Pixels(test_images[:, None], test_labels.astype(np.int64))
        official = {remote.name.rpartition("/")[2]: remote.checksum for remote in self.files}
        own = int(MNIST_VICTIM * len(whole))
        note = (
            f"The first {own:,} training images are the victim's, the other {len(whole) - own:,} are public; the test "
            "images are held out."
        )
        roles = (whole[:own], whole[own:], test)
        return assemble(self.name, roles, self.classes, note=note, warnings=differing(paths, official))


@register("dataset")
class Mnist(_Idx):
    """MNIST: 70,000 handwritten digits, 28x28 grey (Y. LeCun, C. Cortes, C. Burges, 1998)."""

    name: ClassVar[str] = "mnist"
    classes: ClassVar[tuple[str, ...]] = tuple("0123456789")
    folders: ClassVar[tuple[str, ...]] = ("mnist", "MNIST/raw")
    files: ClassVar[tuple[Remote, ...]] = tuple(
        Remote(
            f"mnist/{name}.gz",
            tuple(
                f"{mirror}/{name}.gz"
                for mirror in (
                    "https://ossci-datasets.s3.amazonaws.com/mnist",
                    "https://storage.googleapis.com/cvdf-datasets/mnist",
                )
            ),
            f"sha256:{digest}",
            size,
        )
        for name, digest, size in (
            ("train-images-idx3-ubyte", "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609", 9912422),
            ("train-labels-idx1-ubyte", "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c", 28881),
            ("t10k-images-idx3-ubyte", "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6", 1648877),
            ("t10k-labels-idx1-ubyte", "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6", 4542),
        )
    )


@register("dataset")
class FashionMnist(_Idx):
    """Fashion-MNIST: 70,000 articles of clothing, 28x28 grey (H. Xiao, K. Rasul, R. Vollgraf, 2017)."""

    name: ClassVar[str] = "fashion-mnist"
    classes: ClassVar[tuple[str, ...]] = (
        "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
    )  # fmt: skip
    folders: ClassVar[tuple[str, ...]] = ("fashion-mnist", "FashionMNIST/raw")
    files: ClassVar[tuple[Remote, ...]] = tuple(
        Remote(
            f"fashion-mnist/{name}.gz",
            tuple(
                f"{mirror}/{name}.gz"
                for mirror in (
                    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
                    "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion",
                )
            ),
            f"md5:{digest}",  # what its authors publish
        )
        for name, digest in (
            ("train-images-idx3-ubyte", "8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
            ("train-labels-idx1-ubyte", "25c81989df183df01b3e8a0aad5dffbe"),
            ("t10k-images-idx3-ubyte", "bef4ecab320f06d8554ea6380940ec79"),
            ("t10k-labels-idx1-ubyte", "bb300cfdad3c16e7a12a480ee83cd310"),
        )
    )


@register("dataset")
class Cifar10:
    """CIFAR-10: 60,000 photographs of ten kinds of things, 32x32 colour (A. Krizhevsky, 2009)."""

    name: ClassVar[str] = "cifar10"
    shape: ClassVar[Shape | None] = (3, 32, 32)
    classes: ClassVar[tuple[str, ...]] = (
        "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
    )  # fmt: skip
    batches: ClassVar[dict[str, str]] = {  # python layout; the binary layout has .bin at the end of each name
        "data_batch_1": "md5:c99cafc152244af753f735de768cd75f",
        "data_batch_2": "md5:d4bba439e000b95fd0a9bffe97cbabec",
        "data_batch_3": "md5:54ebc095f3ab1f0389bbae665268c751",
        "data_batch_4": "md5:634d18415352ddfa80567beed471001a",
        "data_batch_5": "md5:482c414d41f54cd18b22e5b47cb7c3cb",
        "test_batch": "md5:40351d587109b95175f43aff81a1287e",
    }
    folders: ClassVar[tuple[str, ...]] = ("cifar-10-batches-bin", "cifar-10-batches-py", "cifar10")
    files: ClassVar[tuple[Remote, ...]] = (
        Remote(  # the binary layout: nothing in it can run
            "cifar-10-binary.tar.gz",
            (
                "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
                "https://cave.cs.toronto.edu/kriz/cifar-10-binary.tar.gz",
            ),
            "sha256:c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
            170_052_171,
            tuple(
                f"cifar-10-batches-bin/{name}.bin" for name in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch")
            ),
        ),
    )

    def read(self, folder: Path, shape: Shape | None) -> Dataset:
        """From the six files of the python or the binary layout below ``folder``."""
        refuse_other_shape(self.name, (3, 32, 32), shape)
        home = find_folder(self.name, folder, self.folders, list(self.batches), ("", ".bin"))
        paths = [next(p for s in (".bin", "") if (p := home / (stem + s)).is_file()) for stem in self.batches]
        parts = [read_binary_batch(p) if p.suffix == ".bin" else read_python_batch(p) for p in paths]
        test = Pixels(*parts.pop())
        whole = Pixels(np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts]))
        # no checksum of single binary files is published: those were unpacked from a verified archive
        warnings = differing([p for p in paths if not p.suffix], self.batches)
        kept = int(CIFAR_HELD_OUT * len(test))
        note = (
            f"The {len(whole):,} training images are the victim's; of the test images the first {kept:,} are held out, "
            f"the other {len(test) - kept:,} are public."
        )
        return assemble(self.name, (whole, test[kept:], test[:kept]), self.classes, note=note, warnings=warnings)


def refuse_other_shape(name: str, own: Shape, wanted: Shape | None) -> None:
    """Raise DataError where a model wants another shape than the set's own."""
    if wanted is not None and wanted != own:
        raise DataError(
            f"the images of {name} are {'x'.join(map(str, own))}, but the model takes {'x'.join(map(str, wanted))}: "
            "choose a data set that fits, or a folder of images, which is resized."
        )


def find_folder(name: str, root: Path, folders: tuple[str, ...], stems: list[str], suffixes: tuple[str, ...]) -> Path:
    """The first of ``folders`` below ``root`` that holds every file; raises DataError with what is missing."""
    missing = ""
    for folder in folders:
        home = root / folder
        lacking = [s for s in stems if not any((home / (s + suffix)).is_file() for suffix in suffixes)]
        if not lacking:
            return home
        if len(lacking) < len(stems):
            missing = f" ({home} lacks {', '.join(lacking)})"
    raise DataError(
        f"{name} is not in {root}{missing}: run `splitward data fetch {name}`, or say where it is with --data-dir or "
        "SPLITWARD_DATA."
    )


def differing(paths: list[Path], official: dict[str, str]) -> list[str]:
    """A warning for the files that are not the official ones, byte for byte."""
    changed = [p.name for p in paths if p.name in official and not matches(p, official[p.name])]
    unknown = [p.name for p in paths if p.name not in official]
    text = []
    if changed:
        text.append(
            f"{', '.join(changed)} in {paths[0].parent} differ from the official files (checksum); used anyway."
        )
    if unknown:
        text.append(f"{', '.join(unknown)} in {paths[0].parent} could not be compared with the official files.")
    return text
