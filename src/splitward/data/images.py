"""Image files as the pixels of a model, for data sets and for devices alike. Free of torch.

Every image is turned as its EXIF data say, made grey or colour as the model wants, laid on white where it is
transparent, resized (bilinear, with antialiasing) so that its shorter side fills the model's input, and its centre is
cut out. 16-bit grey images keep their upper 8 bits.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from splitward.core.errors import DataError
from splitward.data.pixels import Shape, fit

SUFFIXES = frozenset(
    ".bmp .gif .jpeg .jpg .pbm .pgm .png .pnm .ppm .tif .tiff .webp".split()  # noqa: SIM905 - easier to read
)
MAX_PIXELS = 64_000_000
"""A larger image is refused before it is decoded: a small file can unpack to gigabytes."""


def read_image(path: Path, shape: Shape) -> npt.NDArray[np.uint8]:
    """One image file as (C, H, W). Raises DataError for what is none, naming it."""
    return fit(decode(path, shape), shape)


def images_in(folder: Path) -> list[Path]:
    """The image files of a folder and of those below it, hidden ones left out, in order. Raises DataError."""
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}; name one with images.")
    return sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and p.name[0] != "." and p.is_file())


def frames(stream: BinaryIO, shape: Shape) -> Iterator[npt.NDArray[np.uint8]]:
    """Binary netpbm images (P5 grey, P6 colour; 8 bits), one after the other, as cameras' tools pipe them: (C, H, W).

    Raises DataError for anything else, and for one that is cut off.
    """
    while magic := stream.read(2):
        if magic not in (b"P5", b"P6"):
            raise DataError(
                "standard input holds no frames: binary netpbm (P5 or P6) is due, such as ffmpeg's image2pipe."
            )
        width, height, largest = (_number(stream) for _ in range(3))
        if not 0 < width * height <= MAX_PIXELS or largest != 255:
            raise DataError(f"a frame of {width}x{height} pixels up to {largest} was refused: 8 bits are due.")
        channels = 1 if magic == b"P5" else 3
        data = stream.read(width * height * channels)
        if len(data) != width * height * channels:
            raise DataError("standard input ends within a frame.")
        pixels = np.frombuffer(data, np.uint8).reshape((height, width) if channels == 1 else (height, width, 3))
        yield fit(Image.fromarray(pixels), shape)


def _number(stream: BinaryIO) -> int:
    """The next number of a netpbm header, and the white space after it; comments are skipped."""
    digits, byte = b"", stream.read(1)
    while byte.isspace() or byte == b"#":
        if byte == b"#":
            while byte not in (b"\n", b""):
                byte = stream.read(1)
        byte = stream.read(1)
    while byte.isdigit() and len(digits) < 9:
        digits, byte = digits + byte, stream.read(1)
    if not digits or not byte.isspace():
        raise DataError("standard input holds a frame whose header is none of netpbm's.")
    return int(digits)


def opened(path: Path) -> Image.Image:
    """The image with its header read; raises DataError for a broken or a giant one."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own limit follows
            image = Image.open(path)
    except Image.DecompressionBombError:
        raise DataError(f"{path} was refused: it unpacks to more than {MAX_PIXELS:,} pixels.") from None
    except Exception as error:  # decoders raise many kinds
        raise DataError(f"{path} is no image that can be read: {_said(error, path)}.") from None
    if image.width * image.height > MAX_PIXELS:
        raise DataError(f"{path} was refused: it has {image.width}x{image.height} pixels, more than {MAX_PIXELS:,}.")
    return image


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Whatever a decoder raises becomes a DataError that names the file."""
    try:
        yield
    except DataError:
        raise
    except Exception as error:
        raise DataError(f"{path} is a broken image: {_said(error, path)}.") from None


def decode(path: Path, shape: Shape) -> Image.Image:
    """The whole image, upright, without transparency, 8 bits a channel."""
    with naming(path), opened(path) as image:
        upright = ImageOps.exif_transpose(image)
        if upright.mode.startswith("I"):
            deep = np.asarray(upright.convert("I"))
            return Image.fromarray((deep.clip(0, 65535) >> 8).astype(np.uint8))
        if upright.mode == "F":
            raise DataError(f"{path} holds floating-point numbers, whose range is not known: save it with 8 bits.")
        if "A" in upright.getbands() or "transparency" in upright.info:
            coloured = upright.convert("RGBA")
            return Image.alpha_composite(Image.new("RGBA", coloured.size, "white"), coloured)
        return upright.convert("L" if shape[0] == 1 else "RGB")


def _said(error: Exception, path: Path) -> str:
    """A decoder's error without the path, which the message has already."""
    text = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
    return "its format is not known" if "cannot identify image file" in text else text.replace(str(path), "it")
