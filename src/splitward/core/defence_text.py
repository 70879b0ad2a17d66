"""How a defence is written: ``kind:level[@input]``, several joined by ``+``, or ``none``. The inverse of ``str``."""

from __future__ import annotations

import re
from collections.abc import Iterable

from splitward.core.defence import Chain, Channel
from splitward.core.errors import DefenceError, RegistryError
from splitward.core.registry import find

FORM = "write kind:level or kind:level@input, such as dropout:0.6 or gaussian:0.5@input"
JOINT = r"(?<![0-9.][eE])\+"  # a plus sign, but not that of 1e+06


def parse_defence(text: str) -> Channel:
    """``kind:level[@input|@wire]`` to a defence; raises DefenceError for anything else, an unknown kind included.

    >>> parse_defence("gaussian:0.5@input")
    Gaussian(level=0.5, position='input')
    """
    body, at, position = text.strip().partition("@")
    kind, colon, level = body.strip().partition(":")
    if not kind or not colon or not level.strip():
        raise DefenceError(f"{text!r} is no defence: {FORM}.")
    if at and position.strip() not in ("input", "wire"):
        raise DefenceError(f"{text!r} acts at an unknown position {position.strip()!r}: use @input or @wire (default).")
    try:
        number = float(level)
    except ValueError:
        raise DefenceError(f"the level of {text!r} is not a number: {FORM}.") from None
    try:
        make = find("defence", kind.strip())
    except RegistryError as error:
        raise DefenceError(str(error)) from None
    channel: Channel = make(number, position.strip() or "wire")
    return channel


def parse_chain(text: str | Iterable[str]) -> Chain:
    """Defences in the order in which they act: ``"a+b"``, a list of them, or ``none``.

    >>> str(parse_chain(["dropout:0.2", "gaussian:1+laplace:0.5@input"]))
    'dropout:0.2+gaussian:1+laplace:0.5@input'
    >>> str(parse_chain("none"))
    'none'
    """
    parts = [text] if isinstance(text, str) else list(text)
    words = [word for part in parts for word in re.split(JOINT, part)]
    if len(words) == 1 and words[0].strip() == "none":
        return Chain()
    return Chain(tuple(parse_defence(word) for word in words))
