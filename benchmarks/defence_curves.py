"""Leakage against accuracy under the papers' defences: attackers who know of them beside attackers who do not.

    python benchmarks/defence_curves.py --data mnist --observations 1

attacks LeNet-5 at ReLU2 (MNIST) and the CIFAR CNN at ReLU22 under dropout, Gaussian and Laplace noise at five levels
each, on the activation and on the input, writes ``results/defence-curves.json`` after each point, and draws one figure
for each data set beside it. Curves can be measured apart (``--curve``, ``-o``) and be put together (``--merge``). A
point that is there already, for the same effort and samples, is kept; ``--again`` measures it anew. MNIST and CIFAR-10
must lie under SPLITWARD_DATA.

The decoders of the five levels of a curve learn together (``Bench.panel``). The floors are those of the undefended
device, no lower than under a defence: to come down to them is the least that a protection must do. The figures are
drawn anew from the file in any case.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import platform
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from defence_curves_figure import draw

import splitward as sw
from splitward.audit.bench import Bench
from splitward.audit.environment import environment
from splitward.audit.floors import Release, floors, run_floor
from splitward.audit.loop import Settings, cast, world_of
from splitward.audit.scoring import measure
from splitward.audit.suite import Entry, configure
from splitward.audit.world import World, accuracy
from splitward.core.defence_text import parse_chain
from splitward.core.run import Run
from splitward.core.settling import converged
from splitward.record.schema import Estimate

FILE = Path(__file__).parent.parent / "results" / "defence-curves.json"
KINDS = {
    "dropout": (0.1, 0.3, 0.5, 0.7, 0.9),
    "gaussian": (0.2, 0.5, 1.0, 2.0, 5.0),
    "laplace": (0.2, 0.5, 1.0, 2.0, 5.0),
}
"""Levels from the weakest to the strongest of the papers' (0.1 to 0.9; 0.1 to 5)."""
PLACES = {"activation": "", "input": "@input"}
CURVES = {
    f"{kind}{end}": tuple(f"{kind}:{level:g}{end}" for level in levels)
    for kind, levels in KINDS.items()
    for end in PLACES.values()
}
"""The defences of each curve."""
ACCURACY = 2000
"""Held-out images on which accuracy is measured, at most."""


@dataclass(frozen=True)
class Study:
    """A data set's network and cut, how hard it is attacked, and by whom."""

    model: str
    at: str
    steps: int  # of the decoders that learn together
    batch: int
    width: int
    samples: int
    naive: tuple[str, ...]
    adaptive: tuple[str, ...]

    @property
    def effort(self) -> str:
        """In words."""
        return (
            f"{self.steps} steps of {self.batch} images, width {self.width}, for the decoders of five levels together; "
            "other attacks as at effort quick"
        )


STUDIES = {
    "mnist": Study(
        "lenet5", "ReLU2", 600, 40, 32, 50,
        ("rmle:scripts", "inverse-network"), ("rmle", "prior-guided", "inverse-network"),
    ),
    "cifar10": Study("cifar-cnn", "ReLU22", 600, 40, 32, 50, ("inverse-network",), ("inverse-network",)),
}  # fmt: skip


class Laboratory:
    """One data set seen ``observations`` times: what is prepared once for all its points."""

    def __init__(self, dataset: str, study: Study, observations: int) -> None:
        self.dataset, self.study, self.k = dataset, study, observations
        data, victim = sw.load_data(dataset), sw.load_model(study.model, data=dataset)
        halves = sw.split(victim.model, data.public.images[:2], at=study.at)
        settings = Settings(samples=study.samples, observations=observations)
        self.run = Run(0)
        roles = cast(data.held_out, data.public, settings, self.run.device)
        world = world_of(sw.Target(halves, model=study.model), roles, settings, self.run.device)
        self.world = dataclasses.replace(world, others=None)  # nobody here looks at other users' traffic
        self.held_out = roles.held_out[slice(0, ACCURACY)]
        self.bench = Bench(self.run, roles.secrets)

    def entry(self, name: str) -> Entry:
        """An attack as this study configures it."""
        entry = configure(name, "quick", self.k)
        if name in ("inverse-network", "prior-guided"):
            fields = {"steps": self.study.steps, "laps": 1, "batch": self.study.batch, "width": self.study.width}
            return dataclasses.replace(entry, attack=dataclasses.replace(entry.attack, **fields))
        return entry

    def floors(self) -> dict[str, Any]:
        """The two floors of a figure: of public images, and of the label."""
        world = dataclasses.replace(self.world, observations=1)
        release = Release(world, self.bench.secrets, "label", self.run)
        reached = [found for name, f in floors("quick", 1) if (found := run_floor(name, f, release)) is not None]
        scores = {o.name: measure(o.guess, self.bench.secrets.images)[0] for o in reached}
        result: dict[str, Any] = {}
        for kind in ("prior", "allowed"):
            name, best = max(
                ((n, s) for n, s in scores.items() if n.startswith(kind)), key=lambda pair: pair[1]["ssim"].mean
            )
            result[f"floor_{kind}"] = name
            result[f"floor_{kind}_psnr_db"] = round(best["psnr"].mean, 2)
            result[f"floor_{kind}_ssim"] = round(best["ssim"].mean, 4)
        return result

    def accuracy(self, world: World) -> float:
        """Of the task, one fresh draw of the defence for each image."""
        return round(accuracy(world, self.held_out, self.run.stream("accuracy")), 4)

    def attacked(self, name: str, believed: World, true: World) -> dict[str, Any]:
        """One attack's numbers, and whether it can be believed."""
        entry = self.entry(name)
        outcome = self.bench.attack(entry, believed, true)
        scores, _ = measure(outcome.guess, self.bench.secrets.images)
        sound = all(converged(points) for points in outcome.trace.values())
        return {
            "attack": name,
            "threat_model": entry.kind.label,
            **numbers(scores),
            "believable": sound and self.bench.control(entry, true).recovered,
            "seconds": round(outcome.seconds),
            "queries": outcome.queries,
        }

    def point(self, spec: str, floor: dict[str, Any], command: str) -> dict[str, Any]:
        """Everything about one defence."""
        true = dataclasses.replace(self.world, chain=parse_chain(spec))
        naive = [self.attacked(name, true.undefended(), true) for name in self.study.naive]
        adaptive = [self.attacked(name, true, true) for name in self.study.adaptive]
        about = environment(self.run.device)
        return {
            **identity(self.dataset, self.study, spec, self.k),
            "accuracy": self.accuracy(true),
            "accuracy_undefended": self.accuracy(true.undefended()),
            "accuracy_samples": len(self.held_out),
            **summary("naive", naive),
            **summary("adaptive", adaptive),
            "trials": [{"knows": "naive", **t} for t in naive] + [{"knows": "defence", **t} for t in adaptive],
            **floor,
            "command": command,
            "version": about.splitward,
            "commit": about.commit,
            "machine": f"{platform.machine()}, {about.device}, {about.threads} threads, torch {torch.__version__}",
        }


def numbers(scores: dict[str, Estimate]) -> dict[str, float]:
    """Mean and 95 % interval over images of both metrics."""
    psnr, ssim = scores["psnr"], scores["ssim"]
    found = {"psnr_db": psnr.mean, "psnr_low_db": psnr.low, "psnr_high_db": psnr.high}
    found |= {"ssim": ssim.mean, "ssim_low": ssim.low, "ssim_high": ssim.high}
    return {name: round(value, 2 if "db" in name else 4) for name, value in found.items()}


def summary(knows: str, trials: list[dict[str, Any]]) -> dict[str, Any]:
    """The strongest of some attacks by SSIM, its fields named after what the attacker knows.

    >>> summary("naive", [{"attack": "a", "ssim": 0.1}, {"attack": "b", "ssim": 0.2}])
    {'naive_attack': 'b', 'naive_ssim': 0.2}
    """
    best = max(trials, key=lambda trial: trial["ssim"])
    return {f"{knows}_{name}": value for name, value in best.items()}


def identity(dataset: str, study: Study, spec: str, observations: int) -> dict[str, Any]:
    """What tells a point from all others, and what it must have been measured with to be kept."""
    kind, _, rest = spec.partition(":")
    level, _, place = rest.partition("@")
    return {
        "dataset": dataset, "cut": study.at, "defence": kind, "where": place or "activation", "level": float(level),
        "observations": observations, "samples": study.samples, "effort": study.effort,
    }  # fmt: skip


def same(row: dict[str, Any], point: dict[str, Any], names: tuple[str, ...] = ()) -> bool:
    """Whether a row is of this point: all that identifies it is the same, or only the fields of ``names``."""
    return all(row.get(name) == point[name] for name in names or point)


PLACE = ("dataset", "cut", "defence", "where", "level", "observations")
"""The fields of a point of the figure; a row of another effort is replaced."""


def write(file: Path, rows: list[dict[str, Any]]) -> None:
    """The rows in the order of the figure, whatever the order in which they were measured."""
    file.parent.mkdir(exist_ok=True)
    rows.sort(key=lambda row: [row[name] for name in PLACE])
    file.write_text(json.dumps(rows, indent=1) + "\n")


def missing(rows: list[dict[str, Any]], dataset: str, study: Study, observations: int) -> list[str]:
    """The defences whose points are not among ``rows``, or were measured with another effort."""
    specs = [spec for curve in CURVES.values() for spec in curve]
    points = {spec: identity(dataset, study, spec, observations) for spec in specs}
    return [spec for spec, point in points.items() if not any(same(row, point) for row in rows)]


def measured(
    dataset: str, study: Study, observations: int, rows: list[dict[str, Any]], options: argparse.Namespace
) -> list[dict[str, Any]]:
    """The rows, and those that were missing; each is written as soon as it is there."""
    curves = [curve for name, curve in CURVES.items() if options.curve in (None, name)]
    wanted = {spec for curve in curves for spec in curve}
    left = [s for s in missing([] if options.again else rows, dataset, study, observations) if s in wanted]
    if not left:
        return rows
    laboratory = Laboratory(dataset, study, observations)
    floor = laboratory.floors()
    command = f"python benchmarks/defence_curves.py --data {dataset} --observations {observations}"
    for curve in curves:
        laboratory.bench.panel = tuple(parse_chain(spec) for spec in curve)
        for spec in (spec for spec in curve if spec in left):
            start = time.perf_counter()
            row = laboratory.point(spec, floor, command)
            rows = [r for r in rows if not same(r, row, PLACE)] + [row]
            write(options.out, rows)
            took = time.perf_counter() - start
            told = f"naive {row['naive_ssim']:.2f}, adaptive {row['adaptive_ssim']:.2f} ({took:.0f} s)"
            print(f"{dataset} k={observations} {spec}: {told}", file=sys.stderr, flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default=None, choices=tuple(STUDIES), help="one data set only")
    parser.add_argument("--observations", type=int, default=None, choices=(1, 20), help="one number only")
    parser.add_argument("--curve", default=None, choices=tuple(CURVES), help="one curve only")
    parser.add_argument("--merge", type=Path, nargs="+", default=[], help="take over the points of other files")
    parser.add_argument("--again", action="store_true", help="measure points anew that are there already")
    parser.add_argument("--draw", action="store_true", help="draw the figures only")
    parser.add_argument("-o", "--out", type=Path, default=FILE)
    options = parser.parse_args()
    rows: list[dict[str, Any]] = json.loads(options.out.read_text()) if options.out.exists() else []
    for file in options.merge:
        more = json.loads(file.read_text())
        rows = [row for row in rows if not any(same(row, other, PLACE) for other in more)] + more
        write(options.out, rows)
    for dataset, study in STUDIES.items():
        for k in (1, 20):
            wanted = options.data in (None, dataset) and options.observations in (None, k)
            if wanted and not options.draw and not options.merge:
                rows = measured(dataset, study, k, rows, options)
    for dataset in STUDIES:
        here = [row for row in rows if row["dataset"] == dataset]
        if here:
            (options.out.parent / f"defence-curves-{dataset}.svg").write_text(draw(dataset, here))


if __name__ == "__main__":
    main()
