"""What really crossed: of a record whose attackers saw the bytes of a recording."""

from __future__ import annotations

from typing import Literal

from splitward.record.part import Finite, Part


class Tell(Part):
    """Whether an eavesdropper, who sees no content, guesses the class of a picture from one number of its message.

    ``accuracy``: of the nearest ``neighbours`` among the other messages, ``chance``: of naming the commonest class.
    ``p``: how often the classes in a random order are guessed as well.
    """

    quantity: Literal["bytes", "ms"]
    accuracy: Finite
    chance: Finite
    p: Finite
    n: int
    neighbours: int


class Wire(Part):
    """A recording of ``splitward edge --record``, and what its sizes and times give away.

    Sizes are those of messages, without the framing of HTTP/2 and TLS. Times are the device's own: from the input to
    the answer.
    """

    recording_sha256: str
    encoding: str  # of the first tensor: "", "fp16", "int8", with "+zstd" where it was compressed
    keyed: bool
    messages: int
    resent: int  # of them, those whose bytes were sent more than once
    bytes_min: int
    bytes_max: int
    bytes_spread: Finite  # standard deviation
    ms_min: Finite
    ms_max: Finite
    ms_spread: Finite
    tells: tuple[Tell, ...] = ()  # empty where pictures carry no classes, or messages several pictures
