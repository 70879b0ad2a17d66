"""Which noise of a chain of defences a bound can rest on."""

from __future__ import annotations

import math
from dataclasses import dataclass

from splitward.core.defence import Chain, Channel, Position, spec
from splitward.core.errors import BoundError


@dataclass(frozen=True)
class Noise:
    """Additive noise at one place, and what acts there before it.

    ``variance``: the inverse of its information about an entry before all that; after Stam's inequality (1959) those of
    several noises add. What acts *after* it needs no account: information cannot grow (data processing).
    ``radius``: the Euclidean norm of one tensor just before the noise, at most.
    """

    position: Position
    before: tuple[Channel, ...]
    noises: tuple[Channel, ...]
    variance: float
    radius: float = math.inf

    def __str__(self) -> str:
        return "+".join(spec(c) for c in self.noises)


def additive(chain: Chain, position: Position) -> Noise:
    """The first noise of the chain at ``position``. Raises BoundError where there is none to rest a bound on."""
    channels = chain.at(position).channels
    before: list[Channel] = []
    expansion, radius = 1.0, math.inf
    for index, channel in enumerate(channels):
        if _information(channel) is not None:
            noises = channels[index:]
            run = [c for i, c in enumerate(noises) if all(_information(b) is not None for b in noises[: i + 1])]
            total = sum(1 / (_information(c) or math.inf) for c in run)
            if not total > 0:
                raise BoundError(f"{spec(channel)} adds no noise.")
            return Noise(position, tuple(before), tuple(run), total / expansion**2, radius)
        stretch = getattr(channel, "expansion", None)
        if not any(_information(later) is not None for later in channels[index + 1 :]):
            break
        if not isinstance(stretch, float | int) or not 0 < stretch < math.inf:
            raise BoundError(f"{spec(channel)} acts before any noise, and how far it can stretch is not known.")
        expansion *= stretch
        radius = min(radius * stretch, float(getattr(channel, "radius", math.inf)))
        before.append(channel)
    what = " and ".join(dict.fromkeys(c.name for c in channels))
    raise BoundError(f"{what} adds no noise with a density." if what else "there is no noise at that place.")


def bits_a_number(chain: Chain) -> int | None:
    """Bits that tell the values of a number on the wire apart, at most; None where nothing counts them.

    What acts after the counting is no more than a function of it, or noise.
    """
    return min((int(c.bits) for c in chain.at("wire").channels if hasattr(c, "bits")), default=None)


def _information(channel: Channel) -> float | None:
    found = getattr(channel, "information", None)
    return float(found) if isinstance(found, float | int) else None


def noises(chain: Chain) -> tuple[Noise, ...]:
    """The noises on the input and on the wire. Raises BoundError where there is neither, with the reason."""
    if not chain:
        raise BoundError("there is no defence.")
    found, reasons = [], []
    positions: tuple[Position, ...] = ("input", "wire")
    for position in positions:
        try:
            noise = additive(chain, position)
            if position == "wire":
                _refuse_before_the_edge(chain)
            found.append(noise)
        except BoundError as error:
            reasons += [str(error)] if chain.at(position) else []
    if not found:
        raise BoundError(" ".join(dict.fromkeys(reasons)))
    return tuple(found)


def _refuse_before_the_edge(chain: Chain) -> None:
    """On the input, only noise may act before noise on the wire: the edge is differentiated at what it receives."""
    for channel in chain.at("input").channels:
        if _information(channel) is None:
            raise BoundError(f"{spec(channel)} acts on the input before the edge, where a bound follows noise only.")
