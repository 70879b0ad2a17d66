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
from splitward.reproduce.rows import Row, Rows, Tolerance
from splitward.reproduce.scales import Scale, Study


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
    """``needs``: its audits on one data set. ``draw``: an SVG, or None where there is nothing to draw. ``remark``:
    what there is to see, a sentence. ``cause``: of the difference on one data set, which a sentence ends with.
    ``tolerance``: dB and SSIM within which a published point counts as met. ``listed``: the targets that list the
    same points, where this one does not.
    """

    name: str
    title: str
    source: str
    needs: Callable[[Scale, str], Sequence[Need]]
    draw: Callable[[Found], str | None]
    remark: str = ""
    cause: Callable[[Study], str] | None = None
    data: tuple[str, ...] = DATA
    claims: Sequence[Claim] = field(default_factory=tuple)
    tolerance: dict[str, Tolerance] = field(default_factory=lambda: {"mnist": (1.5, 0.06), "cifar10": (2.0, 0.08)})
    made: Callable[[], list[Row]] | None = None  # rows that need no audit
    listed: tuple[str, ...] = ()
    sentence: Callable[[Found], str] | None = None  # on the difference, where rows are not compared one by one


@cache
def targets() -> dict[str, Target]:
    """Every target, by name, in the papers' order."""
    package = importlib.import_module("splitward.reproduce.targets")
    found: list[Target] = []
    for info in pkgutil.iter_modules(package.__path__):
        if not info.name.startswith("_"):
            found.append(importlib.import_module(f"{package.__name__}.{info.name}").TARGET)

    return {target.name: target for target in sorted(found, key=lambda target: place(target.name))}


def place(name: str) -> tuple[bool, int]:
    """Of a target in the papers' order: tables, then figures.

    >>> sorted(["figure-10", "figure-2", "table-8"], key=place)
    ['table-8', 'figure-2', 'figure-10']
    """
    return name.startswith("figure"), int(name.rsplit("-", 1)[1])


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
