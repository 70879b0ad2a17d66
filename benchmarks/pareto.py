"""Audits of every cut of a shipped network under several defences: what ``splitward plan --runs`` draws a front from.

    python benchmarks/pareto.py --data cifar10 --runs DIR

writes one record into DIR for each cut and defence, and leaves alone those that are there. It is cheaper than a sweep
of ``splitward audit`` at effort quick, which takes a day and more of two cores for the CIFAR network: the black-box
decoders of a cut's defences learn together (``Bench.panel``) and go once through their training, the white-box attack,
whose cost grows with the depth of the edge, is made at the first cuts only, and the query-free one, which is weaker and
costs most where the cloud half is deep, not at all. A record says who attacked, and speaks of no others.
Several processes can share a DIR: each takes the next cut that no other has taken.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
from pathlib import Path
from typing import Any

import splitward as sw
from splitward.audit.bench import Bench
from splitward.audit.loop import Settings, audit, cast
from splitward.audit.settings import AuditSettings, slug
from splitward.audit.suite import Entry, configure
from splitward.audit.sweep import Scene, load_scene
from splitward.core.defence_text import parse_chain
from splitward.core.run import Run
from splitward.split.halves import export

MODELS = {"mnist": "lenet5", "cifar10": "cifar-cnn"}
DEFENCES = ("none", "dropout:0.3", "dropout:0.6", "gaussian:0.5", "gaussian:1")
DECODER = {"steps": 600, "batch": 40, "width": 32, "laps": 1}
"""Of the decoders of a cut's defences, together."""
EFFORT = "quick"
WHITE_BOX = 5
"""The first so many cuts are attacked with the device's weights, too."""


def entries(place: int) -> list[Entry]:
    """The attacks at the cut that is the ``place``-th from the input, from 0."""
    names = ["prior-guided", "inverse-network"] if place < WHITE_BOX else ["inverse-network"]
    made = [configure(name, EFFORT, 1) for name in names]
    return [dataclasses.replace(entry, attack=dataclasses.replace(entry.attack, **DECODER)) for entry in made]


class Laboratory:
    """A data set and its network: secrets, and floors that are made once for all cuts."""

    def __init__(self, data: str, samples: int, runs: Path) -> None:
        self.scene: Scene = load_scene(AuditSettings(model=MODELS[data], data=data, at=("-",)))
        self.samples, self.runs = samples, runs
        self.run = Run(0)
        settings = Settings(samples=samples, effort=EFFORT)
        self.roles = cast(self.scene.dataset.held_out, self.scene.public, settings, self.run.device)
        self.exported = export(self.scene.victim.model, self.scene.public.images[:2])
        self.floors: dict[str, Any] = {}

    def folder(self, at: str, defence: str) -> Path:
        """Where a record goes."""
        return self.runs / slug(f"{at}-{defence}")

    def missing(self, at: str, defences: list[str]) -> list[str]:
        """Those without a record."""
        return [d for d in defences if not (self.folder(at, d) / "record.json").exists()]

    def cut(self, at: str, defences: list[str], command: str) -> None:
        """Audit one cut under these defences."""
        chains = [parse_chain(text) for text in defences]
        panel = tuple(chain for chain in chains if chain)
        bench = Bench(self.run, self.roles.secrets, panel=panel if len(panel) > 1 else (), floors=self.floors)
        halves, victim = self.exported.split(at), self.scene.victim
        chosen = entries([c.name for c in self.exported.cuts()].index(at))
        for text, chain in zip(defences, chains, strict=True):
            begun = time.perf_counter()
            target = sw.Target(halves, chain, model=victim.name, source=victim.source, trained=victim.trained)
            audit(
                target, chosen, secrets=self.scene.dataset.held_out, public=self.scene.public, samples=self.samples,
                effort=EFFORT, out=self.folder(at, text), run=self.run, bench=bench, data=self.scene.data,
                command=command, judge=False,
            )  # fmt: skip
            took = time.perf_counter() - begun
            print(f"{time.strftime('%X')} {at} {text}: {took:.0f} s", file=sys.stderr, flush=True)


def take(runs: Path, at: str) -> bool:
    """Whether this process is the first to take a cut."""
    try:
        (runs / f"taken-{slug(at)}").mkdir(parents=True)
    except FileExistsError:
        return False
    return True


def main() -> None:
    """Audit what is missing, and say how long each took."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", choices=list(MODELS), required=True)
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--at", nargs="*", help="cuts, in this order; all, where none is named")
    parser.add_argument("--defences", nargs="*", default=list(DEFENCES))
    parser.add_argument("--samples", type=int, default=60)
    given = parser.parse_args()
    laboratory = Laboratory(given.data, given.samples, given.runs)
    for at in given.at or [cut.name for cut in laboratory.exported.cuts()]:
        missing = laboratory.missing(at, given.defences)
        if not missing or not take(given.runs, at):
            continue
        try:
            laboratory.cut(at, missing, " ".join(["python", *sys.argv]))
        finally:
            (given.runs / f"taken-{slug(at)}").rmdir()


if __name__ == "__main__":
    main()
