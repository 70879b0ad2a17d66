"""Pictures for a page: PNG data URIs from pixels in [0, 1], and which samples to show.

A PNG is forty lines of zlib, so that a report needs no imaging library (Pillow is in the laboratory's extra only).
"""

from __future__ import annotations

import base64
import struct
import zlib

import numpy as np
from numpy.typing import NDArray

LARGEST_SIDE = 80
"""Pixels: larger pictures are averaged down to at most this side; a page of hundreds of pictures stays small."""

WORST_SHOWN = 3
"""How many of the shown samples are the best recovered ones; the others are evenly spaced in the ranking."""

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_COLOUR_TYPE = {1: 0, 3: 2}  # PNG specification (ISO 15948), table 11.1: greyscale, truecolour


def data_uri(pixels: NDArray[np.floating]) -> str:
    """A ``data:image/png`` URI of one image (C, H, W) in [0, 1], C 1 or 3 (any other: the mean over channels, grey)."""
    return "data:image/png;base64," + base64.b64encode(png(to_bytes(shrink(pixels)))).decode("ascii")


def to_bytes(pixels: NDArray[np.floating]) -> NDArray[np.uint8]:
    """(C, H, W) in [0, 1] to (H, W, C) in 0..255; not-a-number becomes black, values outside are clipped."""
    if pixels.shape[0] not in _COLOUR_TYPE:
        pixels = pixels.mean(axis=0, keepdims=True)
    finite = np.nan_to_num(pixels, nan=0.0, posinf=1.0, neginf=0.0)
    levels: NDArray[np.uint8] = np.rint(np.clip(finite, 0, 1) * 255).astype(np.uint8)
    return levels.transpose(1, 2, 0)


def shrink(pixels: NDArray[np.floating], largest: int = LARGEST_SIDE) -> NDArray[np.floating]:
    """Average whole blocks of (C, H, W) until no side exceeds ``largest``; rests at the border are cut off."""
    _, height, width = pixels.shape
    step = -(-max(height, width) // largest)
    if step <= 1:
        return pixels
    down, across = min(step, height), min(step, width)
    rows, columns = height // down, width // across
    blocks = pixels[:, : rows * down, : columns * across].reshape(-1, rows, down, columns, across)
    averaged: NDArray[np.floating] = blocks.mean(axis=(2, 4))
    return averaged


def png(pixels: NDArray[np.uint8]) -> bytes:
    """The PNG file of (H, W, C) bytes, C 1 or 3. The same pixels give the same bytes."""
    height, width, channels = pixels.shape
    header = struct.pack(">IIBBBBB", width, height, 8, _COLOUR_TYPE[channels], 0, 0, 0)
    # Each line is predicted from the one above (filter type 2, "up") or not at all (0), whichever packs tighter.
    flat = pixels.reshape(height, width * channels)
    above = np.vstack([np.zeros((1, width * channels), np.uint8), flat[:-1]])
    packed = (_packed(flat, 0), _packed(flat - above, 2))
    return _SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", min(packed, key=len)) + _chunk(b"IEND", b"")


def _packed(lines: NDArray[np.uint8], filter_type: int) -> bytes:
    marked = np.hstack([np.full((len(lines), 1), filter_type, np.uint8), lines])
    return zlib.compress(marked.tobytes(), 9)


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def ranked(scores: NDArray[np.floating], higher_is_closer: bool = True) -> NDArray[np.intp]:
    """Sample indices, the best recovered (worst for the owner of the secrets) first; ties keep their order.

    >>> [int(i) for i in ranked(np.array([0.2, 0.9, 0.5]))]
    [1, 2, 0]
    """
    return np.argsort(-scores if higher_is_closer else scores, kind="stable")


def shown_ranks(samples: int, columns: int, worst: int = WORST_SHOWN) -> list[int]:
    """Which ranks (from 0) to show: the ``worst`` first ones, then evenly spaced ones up to the last.

    >>> shown_ranks(100, 8)
    [0, 1, 2, 21, 41, 60, 80, 99]
    >>> shown_ranks(4, 8)
    [0, 1, 2, 3]
    """
    if samples <= columns:
        return list(range(samples))
    if columns <= worst:
        return list(range(columns))
    rest = np.linspace(worst - 1, samples - 1, columns - worst + 1)[1:]
    return list(range(worst)) + [round(float(r)) for r in rest]
