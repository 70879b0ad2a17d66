"""The defences of a device, in numpy: the same random maps as ``splitward.defences``, drawn for a deployment.

**Randomness.** Every release has a ChaCha20 keystream of its own. Its key is 32 fresh bytes of the operating system,
or, *keyed*, HMAC-SHA256(the device's key, what is sent of which input): the same input always gets the same noise, so
that asking again releases nothing new. Who does not hold the key cannot tell the stream from random bits (ChaCha20 and
HMAC being what they are taken to be); who holds it and guesses an input can subtract the noise.

**From bits to noise.** 52 random bits make a uniform number, strictly between 0 and 1. Normals are Box and Muller's,
Laplace variables signed logarithms, both in double precision; a normal never exceeds 8.6 standard deviations, a Laplace
variable 37 scales. The low bits of a sum of floating-point numbers betray which clean value it is made of (Mironov, CCS
2012; for normals Jin et al., S&P 2022). So the sum is rounded to a multiple of the power of two next to level / 2^20
before it leaves: each multiple but those of the far tails stands for 2^30 values of the noise and more. That removes
the known attack; it is no proof of differential privacy, for which a discrete mechanism would be due. Nothing here runs
in constant time.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from numpy.typing import NDArray

from splitward.core.errors import DefenceError
from splitward.runtime import codes

Array = NDArray[np.generic]
Doubles = NDArray[np.float64]
Position = Literal["input", "wire"]

KEY_BYTES = 32
GRID = 20
"""Noise is rounded to a multiple of the power of two next to level / 2^GRID."""
LARGEST_SCALE = 1e6
JOINT = r"(?<![0-9.][eE])\+"  # a plus sign, but not that of 1e+06


class Stream:
    """Uniform and other variables from one ChaCha20 keystream; two streams of one key give the same numbers."""

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"a stream's key has {len(key)} bytes; {KEY_BYTES} are due.")
        self._cipher = Cipher(algorithms.ChaCha20(key, bytes(16)), None).encryptor()

    def uniform(self, shape: tuple[int, ...]) -> Doubles:
        """Strictly between 0 and 1, odd multiples of 2^-53."""
        words = np.frombuffer(self._cipher.update(bytes(8 * math.prod(shape))), "<u8").reshape(shape)
        numbers: Doubles = ((words >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52
        return numbers

    def normal(self, shape: tuple[int, ...]) -> Doubles:
        """Mean 0, standard deviation 1 (Box and Muller, 1958)."""
        count = math.prod(shape)
        radius, angle = self.uniform((2, (count + 1) // 2))
        radius, angle = np.sqrt(-2 * np.log(radius)), 2 * np.pi * angle
        pairs: Doubles = np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])
        return pairs[:count].reshape(shape)

    def laplace(self, shape: tuple[int, ...]) -> Doubles:
        """Mean 0, scale 1: a logarithm with a random sign."""
        size, side = self.uniform((2, *shape))
        signed: Doubles = np.where(side < 0.5, 1.0, -1.0) * np.log(size)
        return signed


@dataclass(frozen=True)
class Noise:
    """One defence: ``kind:level[@input]``, as ``splitward.core.defence_text`` writes it."""

    kind: str
    level: float
    position: Position

    def sample(self, clean: Array, stream: Stream) -> Array:
        """What is sent for ``clean``, of the same shape and type; integers and booleans pass unchanged."""
        if not np.issubdtype(clean.dtype, np.floating) or self.level == 0:
            return clean
        return KINDS[self.kind](clean, self.level, stream)


def _dropout(clean: Array, level: float, stream: Stream) -> Array:
    return np.where(stream.uniform(clean.shape) >= level, clean, clean.dtype.type(0))


def _dropout_rescaled(clean: Array, level: float, stream: Stream) -> Array:
    return _dropout(clean * clean.dtype.type(1 / (1 - level)), level, stream)  # type: ignore[operator]


def _gaussian(clean: Array, level: float, stream: Stream) -> Array:
    return _added(clean, level, stream.normal(clean.shape))


def _laplace(clean: Array, level: float, stream: Stream) -> Array:
    return _added(clean, level, stream.laplace(clean.shape))


def _clip(clean: Array, level: float, _stream: Stream) -> Array:
    norm = float(np.linalg.norm(clean.astype(np.float64)))
    return clean if norm <= level else clean * clean.dtype.type(level / norm)  # type: ignore[operator]


def _quantise(clean: Array, level: float, _stream: Stream) -> Array:
    return codes.restore(codes.nearest(clean, int(level)), int(level))


def _added(clean: Array, level: float, noise: Doubles) -> Array:
    grid = 2.0 ** (math.floor(math.log2(level)) - GRID)
    sent: Array = (np.rint((clean.astype(np.float64) + level * noise) / grid) * grid).astype(clean.dtype)
    return sent


KINDS: dict[str, Callable[[Array, float, Stream], Array]] = {
    "clip": _clip,
    "dropout": _dropout,
    "dropout-rescaled": _dropout_rescaled,
    "gaussian": _gaussian,
    "laplace": _laplace,
    "quantise": _quantise,
}
"""The kinds that a device can draw; each is that of ``splitward.defences``."""
WITHOUT_CHANCE = ("clip", "quantise")


def parse(text: str) -> tuple[Noise, ...]:
    """``none``, or defences joined by ``+``. Raises DefenceError for anything that this device cannot draw.

    >>> parse("dropout:0.6+gaussian:0.5@input")[1]
    Noise(kind='gaussian', level=0.5, position='input')
    """
    return () if text.strip() == "none" else tuple(_parse_one(word.strip()) for word in re.split(JOINT, text))


def _parse_one(text: str) -> Noise:
    match = re.fullmatch(r"([a-z-]+):([0-9.eE+-]+)(?:@(input|wire))?", text)
    if match is None:
        raise DefenceError(f"{text!r} is no defence: write kind:level or kind:level@input, such as dropout:0.6.")
    kind, level, position = match[1], _number(match[2]), match[3]
    if kind not in KINDS:
        raise DefenceError(f"this device cannot draw the defence {kind!r}; it draws {', '.join(KINDS)}.")
    if not _takes(kind, level):
        raise DefenceError(f"the level of {text!r} lies outside of what {kind} takes.")
    return Noise(kind, level, "input" if position == "input" else "wire")


def _takes(kind: str, level: float) -> bool:
    if kind == "quantise":
        return level in range(1, codes.MOST_BITS + 1)
    if kind == "clip":
        return 0 < level <= LARGEST_SCALE
    return 0 <= level < 1 if kind.startswith("dropout") else 0 <= level <= LARGEST_SCALE


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


class Draws:
    """The defence of one cut. ``key`` None: fresh randomness of the operating system for each release.

    ``context``: what the noise is for (the bundle, the cut); another context gets other noise.
    """

    def __init__(self, text: str, key: bytes | None = None, context: bytes = b"") -> None:
        self.channels = parse(text)
        self._key, self._context = key, context

    @property
    def repeats(self) -> bool:
        """Whether an input that is sent again is sent as the same numbers: keyed noise, or none at all."""
        return self._key is not None or all(c.level == 0 or c.kind in WITHOUT_CHANCE for c in self.channels)

    def streams(self, inputs: Sequence[Array]) -> list[Stream]:
        """A stream for each input."""
        if self._key is None:
            return [Stream(os.urandom(KEY_BYTES)) for _ in inputs]
        return [Stream(digest(self._key, b"noise", self._context, identity(one))) for one in inputs]

    def at(self, position: Position, values: Array, streams: Sequence[Stream]) -> Array:
        """One draw of the defences at ``position`` for ``values`` (N, *shape), row by row."""
        acting = [c for c in self.channels if c.position == position]
        if not acting:
            return values
        rows = []
        for row, stream in zip(values, streams, strict=True):
            sent: Array = np.asarray(row)
            for channel in acting:
                sent = channel.sample(sent, stream)
            rows.append(sent)
        return np.stack(rows)


def identity(pixels: Array) -> bytes:
    """What makes an input the same: its type, its shape and every byte of it."""
    head = f"{pixels.dtype.str}{pixels.shape}".encode()
    return hashlib.sha256(head + np.ascontiguousarray(pixels).tobytes()).digest()


def digest(key: bytes, *parts: bytes) -> bytes:
    """HMAC-SHA256 over parts, each with its length before it."""
    framed = b"".join(len(part).to_bytes(8, "little") + part for part in parts)
    return hmac.digest(key, framed, "sha256")
