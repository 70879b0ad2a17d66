"""Quantities as people write them, and back: ``200 ms``, ``64 MB``, ``5 Mbit/s``."""

from __future__ import annotations

import math
import re

from splitward.core.errors import UsageError

UNITS: dict[str, dict[str, float]] = {
    "time": {"ms": 1.0, "s": 1e3, "us": 1e-3, "min": 6e4},  # to ms
    "energy": {"mJ": 1.0, "J": 1e3, "uJ": 1e-3, "kJ": 1e6},  # to mJ
    "size": {
        "B": 1.0, "kB": 1e3, "MB": 1e6, "GB": 1e9, "KiB": 2.0**10, "MiB": 2.0**20, "GiB": 2.0**30,
    },  # to bytes
    "bandwidth": {"bit/s": 1e-6, "kbit/s": 1e-3, "Mbit/s": 1.0, "Gbit/s": 1e3},  # to Mbit/s
    "rate": {"/s": 1.0, "/min": 1 / 60, "/h": 1 / 3600},  # to 1/s
}  # fmt: skip
"""What is measured -> unit -> its size in the unit that the planner computes in."""

_EXAMPLES = {"time": "200 ms", "energy": "500 mJ", "size": "64 MB", "bandwidth": "5 Mbit/s", "rate": "10 /s"}
_NUMBER = re.compile(r"\s*([-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?)\s*(\S*)\s*")


def parse(text: str, what: str, option: str, *, positive: bool = True) -> float:
    """The quantity in ms, mJ, bytes, Mbit/s or per second. Raises UsageError of one sentence that names ``option``.

    >>> parse("0.2 s", "time", "--latency")
    200.0
    """
    units, example = UNITS[what], _EXAMPLES[what]
    found = _NUMBER.fullmatch(text)
    try:
        number = float(found[1]) if found else math.nan
    except ValueError:
        number = math.nan
    if found is None or math.isnan(number):
        raise UsageError(f"{option} {text!r} is no {what}; write for example {example!r}.")
    if found[2] not in units:
        unit = f"the unit {found[2]!r}" if found[2] else "no unit"
        raise UsageError(f"{option} {text!r} has {unit}, and a {what} is in {', '.join(units)}; write {example!r}.")
    if number < 0 or (positive and number == 0):
        least = "above 0" if positive else "0 or more"
        raise UsageError(f"{option} {text!r} is {'negative' if number < 0 else 'zero'}; it must be {least}.")
    if not math.isfinite(number * units[found[2]]):
        raise UsageError(f"{option} {text!r} is not finite; write for example {example!r}.")
    return number * units[found[2]]


def size(number: float) -> str:
    """Bytes for people.

    >>> size(84_000_000)
    '84 MB'
    """
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if number >= scale:
            return f"{number / scale:.3g} {unit}"
    return f"{number:.0f} B"


def time(ms: float) -> str:
    """Milliseconds for people.

    >>> time(1234.5)
    '1.23 s'
    """
    return f"{ms / 1e3:.3g} s" if ms >= 999.5 else f"{ms:.3g} ms"


def energy(mj: float) -> str:
    """Millijoules for people; NaN: not known."""
    if math.isnan(mj):
        return "unknown energy"
    return f"{mj / 1e3:.3g} J" if mj >= 999.5 else f"{mj:.3g} mJ"
