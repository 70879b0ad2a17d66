"""A sketch of many cuts under several defences: cheap audits, whose leakage is what leaks *at least*.

One attack, the black-box one: a decoder for all defences of a cut (``Bench.panel``), gone once through its training.
The white-box attack costs most at the deeper cuts of a large network, and the query-free one, which is weaker, where
the cloud half is deep. A record says who attacked, and a plan relies on no verdict of a part of the attackers.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from splitward.audit.bench import Bench
from splitward.audit.loop import Settings, audit, cast
from splitward.audit.settings import AuditSettings, slug
from splitward.audit.suite import Entry, configure
from splitward.audit.sweep import load_scene
from splitward.audit.target import Target
from splitward.audit.workers import side_by_side
from splitward.core.defence_text import parse_chain
from splitward.core.run import Run
from splitward.record import store
from splitward.record.schema import Record
from splitward.split.halves import export

DECODER = {"steps": 600, "batch": 40, "width": 32, "laps": 1}
"""Of the decoders of a cut's defences, together."""
EFFORT = "quick"


def attack() -> Entry:
    """The one attack of a sketch."""
    entry = configure("inverse-network", EFFORT, 1)
    return dataclasses.replace(entry, attack=dataclasses.replace(entry.attack, **DECODER))


class Sketch:
    """A data set and a network: secrets, and floors that are made once for all cuts; records go below ``out``."""

    def __init__(self, settings: AuditSettings, out: Path) -> None:
        self.scene, self.out, self.run = load_scene(settings), out, Run(settings.seed)
        self.samples = settings.samples
        numbers = Settings(samples=settings.samples, seed=settings.seed, effort=EFFORT)
        self.roles = cast(self.scene.dataset.held_out, self.scene.public, numbers, self.run.device)
        self.exported = export(self.scene.victim.model, self.scene.public.images[:2])
        self.floors: dict[str, Any] = {}

    def cut(self, at: str, defences: Sequence[str], command: str = "") -> list[Path]:
        """Audit one cut under these defences; returns the folders. Those that have a record are left as they are."""
        folders = [self.out / slug(f"{at}-{text}") for text in defences]
        due = [(f, parse_chain(text)) for f, text in zip(folders, defences, strict=True) if not finished(f)]
        panel = tuple(chain for _, chain in due if chain)
        bench = Bench(self.run, self.roles.secrets, panel=panel if len(panel) > 1 else (), floors=self.floors)
        victim = self.scene.victim
        halves = self.exported.split(at)  # one device for all: what it computes is computed once
        for folder, chain in due:
            target = Target(halves, chain, model=victim.name, source=victim.source, trained=victim.trained)
            audit(
                target, [attack()], secrets=self.scene.dataset.held_out, public=self.scene.public, samples=self.samples,
                seed=self.run.seed, effort=EFFORT, out=folder, run=self.run, bench=bench, data=self.scene.data,
                command=command, judge=False,
            )  # fmt: skip
        return folders


def finished(folder: Path) -> bool:
    """Whether its record is there."""
    return (folder / store.RECORD).is_file()


def sketch(
    settings: AuditSettings, waiting: Mapping[str, Sequence[str]], out: Path, command: str = "", workers: int = 1
) -> Iterator[tuple[Path, Record]]:
    """Every record of every cut with its defences, each (folder, record) as its cut is done.

    ``settings``: model, data, secrets and seed; the attacks and their effort are the sketch's own. ``workers``:
    processes that take one cut each at a time, on a share of the processor's threads.
    """
    calls = [(settings, out, at, defences, command) for at, defences in waiting.items()]
    done = side_by_side(_cut, calls, workers) if min(workers, len(calls)) > 1 else (_cut(*call) for call in calls)
    for folders in done:
        for folder in folders:
            yield folder, store.load(folder)


@cache
def _sketch(settings: AuditSettings, out: Path) -> Sketch:
    """One for all cuts of a process."""
    return Sketch(settings, out)


def _cut(settings: AuditSettings, out: Path, at: str, defences: Sequence[str], command: str) -> list[Path]:
    return _sketch(settings, out).cut(at, defences, command)
