"""A recipe as text: hardenings and defences, joined by ``+``, such as ``bottleneck:8+collapse:1+quantise:1``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from splitward.core.defence import Chain
from splitward.core.defence_text import JOINT, parse_defence
from splitward.core.errors import DefenceError
from splitward.core.hardening import Companion, Hardening, Inserted, Setting
from splitward.core.registry import discover
from splitward.core.run import Run


@dataclass(frozen=True)
class Recipe:
    """Hardenings in the order in which they stand at the cut, then the defences of the device."""

    hardenings: tuple[Hardening, ...]
    chain: Chain

    def __str__(self) -> str:
        parts = [f"{h.name}:{h.level:g}" for h in self.hardenings]
        return "+".join([*parts, *([str(self.chain)] if self.chain else [])]) or "none"

    @property
    def method(self) -> str:
        """The names of its hardenings."""
        return "+".join(h.name for h in self.hardenings) or "fine-tuning"

    def inserted(self, shape: tuple[int, ...]) -> list[Inserted | None]:
        """What each hardening inserts, None for those that insert nothing; ``shape`` is what crosses without them.

        Raises DefenceError where one does not fit what crosses.
        """
        import torch

        made: list[Inserted | None] = []
        for hardening in self.hardenings:
            insert: Any = getattr(hardening, "insert", None)
            pair: Inserted | None = insert(shape) if insert is not None else None
            if pair is not None:
                with torch.no_grad():
                    shape = tuple(pair.edge(torch.zeros(1, *shape)).shape[1:])
            made.append(pair)
        return made

    def companions(self, settings: list[Setting], run: Run) -> list[Companion]:
        """What each hardening does at every step; nothing for those that only insert."""
        found = []
        for number, (hardening, setting) in enumerate(zip(self.hardenings, settings, strict=True)):
            make: Any = getattr(hardening, "companion", None)
            if make is not None:
                found.append(make(setting, run.child(f"{number}/{hardening.name}")))
        return found


def parse_recipe(text: str) -> Recipe:
    """``kind:level`` parts joined by ``+``; a part that names no hardening is a defence. ``none`` is plain fine-tuning.

    Raises DefenceError for anything else.

    >>> recipe = parse_recipe("bottleneck:8+collapse:1+quantise:1")
    >>> recipe.method, str(recipe.chain)
    ('bottleneck+collapse', 'quantise:1')
    """
    if text.strip() == "none":
        return Recipe((), Chain())
    known = discover("hardening")
    hardenings: list[Hardening] = []
    defences = []
    for word in re.split(JOINT, text):
        kind, _, level = word.strip().partition(":")
        if kind not in known:
            defences.append(_defence(word, known))
            continue
        try:
            hardenings.append(known[kind](float(level)))
        except ValueError:
            raise DefenceError(
                f"the level of {word.strip()!r} is not a number: write kind:level, such as {kind}:1."
            ) from None
    return Recipe(tuple(hardenings), Chain(tuple(defences)))


def _defence(word: str, hardenings: dict[str, Any]) -> Any:
    try:
        return parse_defence(word)
    except DefenceError as error:
        raise DefenceError(f"{error} Hardenings are {', '.join(hardenings)}.") from None
