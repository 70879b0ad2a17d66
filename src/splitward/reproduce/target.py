"""A target: one table or figure of the papers. ``targets/`` holds one file for each."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splitward.core.errors import UsageError
from splitward.record.schema import Record
from splitward.reproduce.claims import Claim
from splitward.reproduce.need import DATA, Need
from splitward.reproduce.rows import Row, Rows
from splitward.reproduce.scales import Scale


@dataclass(frozen=True)
class Found:
    """What a target is drawn from: the rows of all audits, its own needs, their records, and the data that was run."""

    scale: Scale
    rows: Rows
    needs: Sequence[Need]
    load: Callable[[Need], Record | None]
    data: tuple[str, ...] = DATA

    def pictures(self, need: Need, attack: str, adaptive: bool = False) -> NDArray[Any] | None:
        """What came back, (N, C, H, W) in [0, 1]; "secrets" gives the originals. None where there is nothing."""
        record = self.load(need)
        if record is None:
            return None
        if attack == "secrets":
            return np.asarray(record.tensors["secrets"])
        for trial in record.trials:
            if trial.attack == attack and trial.adaptive == adaptive and trial.tensor and trial.status == "ok":
                return np.asarray(record.tensors[trial.tensor])
        return None


@dataclass(frozen=True)
class Target:
    """``needs``: its audits on one data set. ``draw``: an SVG, or None where there is nothing to draw. ``cause``:
    of the difference, a sentence. ``tolerance``: dB and SSIM within which a published point counts as met.
    """

    name: str
    title: str
    source: str
    needs: Callable[[Scale, str], Sequence[Need]]
    draw: Callable[[Found], str | None]
    cause: str
    data: tuple[str, ...] = DATA
    claims: Sequence[Claim] = field(default_factory=tuple)
    tolerance: dict[str, tuple[float, float]] = field(
        default_factory=lambda: {"mnist": (1.5, 0.06), "cifar10": (2.0, 0.08)}
    )
    made: Callable[[], list[Row]] | None = None  # rows that need no audit
    sentence: Callable[[Found], str] | None = None  # on the difference, where rows are not compared one by one


@cache
def targets() -> dict[str, Target]:
    """Every target, by name, in the papers' order."""
    package = importlib.import_module("splitward.reproduce.targets")
    found: list[Target] = []
    for info in pkgutil.iter_modules(package.__path__):
        if not info.name.startswith("_"):
            found.append(importlib.import_module(f"{package.__name__}.{info.name}").TARGET)

    def order(target: Target) -> tuple[bool, int]:
        return target.name.startswith("figure"), int(target.name.rsplit("-", 1)[1])

    return {target.name: target for target in sorted(found, key=order)}


def choose(names: Sequence[str], without: Sequence[str] = ()) -> list[Target]:
    """The targets that are asked for; "all", or no name, stands for every one.

    Raises UsageError for a name that there is not, and where nothing is left.
    """
    known = targets()
    for name in (*names, *without):
        if name != "all" and name not in known:
            raise UsageError(f"there is no target {name!r}: it is one of all, {', '.join(known)}.")
    wanted = list(known) if not names or "all" in names else [n for n in known if n in names]
    chosen = [known[name] for name in wanted if name not in without]
    if not chosen:
        raise UsageError("every target that was asked for is left out as well: leave out fewer.")
    return chosen
