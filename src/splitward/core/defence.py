"""Defences as channels, and their composition.

A defence is a random map on the device, before the wire. What an adaptive attacker knows of it is its description (kind
and level), never its draws. A defence is its own description, unless it names another one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

from torch import Generator, Tensor

from splitward.core.errors import DefenceError

Position = Literal["input", "wire"]


class Channel(Protocol):
    """One defence at one place: ``input`` (after the normalisation, inside the edge) or ``wire``.

    Optional method: ``description() -> Channel``, what an adaptive attacker is handed in its stead, at the same
    position (a hardware noise source, say, described by ``gaussian``). Without it a channel describes itself.

    Optional attributes, on which certificates rest (without them a channel has none):

    ``information``: of noise that is added independently to each entry and does not depend on it, Fisher's information
    about that entry (1/level^2 for normal and for Laplace noise of scale ``level``).
    ``expansion``: the largest factor by which any single draw of the map enlarges the distance of two clean values.
    ``radius``: the Euclidean norm of what leaves the map, at most, for one tensor of one sample.
    ``bits``: what leaves the map is one of 2^bits values, for each entry of a tensor of floating-point numbers.
    ``draws``: False of a map without randomness, which sends the same for the same input every time.

    Optional method: ``width(sent) -> float``, of a channel that hides nothing and only rounds, as the form on the wire
    does: the standard deviation of its error. Attackers without the defence know of it all the same.
    """

    name: ClassVar[str]

    @property
    def level(self) -> float:
        """Its strength, in the unit that the kind defines."""

    @property
    def position(self) -> Position:
        """Where it acts."""

    def sample(self, clean: Tensor, generator: Generator) -> Tensor:
        """A fresh draw of what is sent for ``clean`` (N, *shape); integers and booleans pass unchanged."""

    def log_density(self, sent: Tensor, clean: Tensor, tolerance: float) -> Tensor | None:
        """log p(sent | clean) up to a constant, (N,), differentiable in ``clean``; None where there is only a sampler.

        Point masses (no noise; an entry that survived dropout) are widened to a normal of standard deviation
        ``tolerance``.
        """


def point_mass_log_density(sent: Tensor, clean: Tensor, tolerance: float) -> Tensor:
    """Per entry: the density of "sent is clean", widened by ``tolerance``: -(sent - clean)^2 / (2 tolerance^2)."""
    return -((sent - clean) ** 2) / (2 * tolerance**2)


@dataclass(frozen=True)
class Chain:
    """Defences in the order in which they act. The empty chain is "no defence"."""

    channels: tuple[Channel, ...] = ()

    def __str__(self) -> str:
        return "+".join(spec(c) for c in self.channels) or "none"

    def __bool__(self) -> bool:
        return bool(self.channels)

    @property
    def draws(self) -> bool:
        """Whether anything in it is random."""
        return any(getattr(c, "draws", True) for c in self.channels)

    def at(self, position: Position) -> Chain:
        """The part of the chain that acts at ``position``."""
        return Chain(tuple(c for c in self.channels if c.position == position))

    def rounding(self) -> Chain:
        """The part of the chain that only rounds."""
        return Chain(tuple(c for c in self.channels if hasattr(c, "width")))

    def description(self) -> Chain:
        """What an adaptive attacker is handed: the description of each channel.

        Raises DefenceError where one acts at another position than the channel that it describes.
        """
        return Chain(tuple(_described(c) for c in self.channels))

    def sample(self, clean: Tensor, generator: Generator) -> Tensor:
        """One draw through every channel in turn; integers and booleans pass unchanged."""
        if not clean.is_floating_point():
            return clean
        for channel in self.channels:
            clean = channel.sample(clean, generator)
        return clean

    def log_density(self, sent: Tensor, clean: Tensor, tolerance: float) -> Tensor | None:
        """As Channel.log_density; the empty chain is a point mass; None where channels compose to no closed form.

        Channels that only round widen the ``tolerance`` of the others by the width of their error.
        """
        if rounding := self.rounding().channels:
            wider = math.hypot(tolerance, *(getattr(c, "width")(sent) for c in rounding))  # noqa: B009 - it is optional
            return Chain(tuple(c for c in self.channels if c not in rounding)).log_density(sent, clean, wider)
        if not self.channels:
            return point_mass_log_density(sent, clean, tolerance).flatten(1).sum(1)
        return self.channels[0].log_density(sent, clean, tolerance) if len(self.channels) == 1 else None


def _described(channel: Channel) -> Channel:
    told: Channel = getattr(channel, "description", lambda: channel)()
    if told.position != channel.position:
        raise DefenceError(
            f"{spec(channel)} acts at {channel.position!r} and is described as {spec(told)}, which acts at "
            f"{told.position!r}: describe it at the place where it acts."
        )
    return told


def spec(channel: Channel) -> str:
    """The text of a defence as the command line writes it: ``kind:level[@input]``."""
    return f"{channel.name}:{channel.level:g}" + ("@input" if channel.position == "input" else "")
