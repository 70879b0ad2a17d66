"""Does an attacker who is given more ever reach less? Every such comparison over the cuts of a network, as one table.

    python benchmarks/monotonicity.py --effort quick

audits every cut of LeNet-5 on MNIST and the papers' cuts of the CIFAR CNN without a defence, and some of them under
dropout and Gaussian noise, with one draw of each secret and with five. It writes every comparison of
``splitward.record.monotone`` to ``results/monotonicity.json`` and prints those that are violated. A cell that was
audited already is read, not run again; ``--minutes`` begins no new cell after so many. MNIST and CIFAR-10 must lie
under SPLITWARD_DATA; cells of a data set that is not there can be left out by ``--data``.

    python benchmarks/monotonicity.py --runs RUNS

compares the records that lie in a folder, at any depth, in place of auditing anything.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import splitward as sw
from splitward.audit.bench import Bench
from splitward.audit.loop import Settings, cast
from splitward.audit.settings import slug
from splitward.core.errors import RecordError
from splitward.core.run import Run
from splitward.record.compare import describe
from splitward.record.monotone import Ordering, Side, orderings
from splitward.record.schema import Data, Record
from splitward.record.store import load, runs_below

FILE = Path(__file__).parent.parent / "results" / "monotonicity.json"
ATTACKS = "rmle,prior-guided,inverse-network,model-reconstruction,shadow-model"
DEFENCES, DRAWS = ("dropout:0.6", "gaussian:1"), (1, 5)


@dataclass(frozen=True)
class Matrix:
    """The cuts of one victim: all without a defence, ``defended`` under each of DEFENCES with each of DRAWS."""

    model: str
    cuts: tuple[str, ...]  # none: all that there are
    defended: tuple[str, ...]


MATRICES = {
    "digits": Matrix("lenet5", (), ("ReLU2",)),
    "mnist": Matrix("lenet5", (), ("ReLU2", "fc1act")),
    "cifar10": Matrix(
        "cifar-cnn",
        ("conv11", "conv12", "ReLU12", "pool1", "conv22", "ReLU22", "pool2", "ReLU32", "fc1", "fc2"),
        ("ReLU22",),
    ),
}


def cells(matrix: Matrix, cuts: Sequence[str]) -> list[tuple[str, str, int]]:
    """(cut, defence, observations): what is not defended first."""
    bare = [(at, "none", 1) for at in matrix.cuts or cuts]
    return bare + [(at, d, k) for at in matrix.defended for k in DRAWS for d in DEFENCES]


def measure(dataset: str, options: argparse.Namespace, until: float) -> Iterator[Record]:
    """The records of one data set's matrix, those of earlier runs included."""
    matrix = MATRICES[dataset]
    data, victim = sw.load_data(dataset), sw.load_model(matrix.model, data=dataset)
    public = data.public if options.public is None else data.public[: options.public]
    cuts = [cut.name for cut in sw.cuts(victim.model, data.public.images[:2]) if not cut.leaks_input]
    run = Run(0)
    secrets = cast(data.held_out, public, Settings(samples=options.samples), run.device).secrets
    benches: dict[tuple[str, int], Bench] = {}  # a naive attacker's work serves every defence of a cut
    for at, defence, k in cells(matrix, cuts):
        if options.at is not None and at not in options.at:
            continue
        asked = "" if options.attacks == ATTACKS else f"-{options.attacks}"
        name = slug(f"{dataset}-{at}-{defence}-k{k}-{options.effort}-{options.samples}-of-{len(public)}{asked}")
        folder = options.out.parent / "runs" / "monotonicity" / name
        if (folder / "record.json").exists():
            yield load(folder)
            continue
        if time.monotonic() > until:
            continue
        print(f"{dataset} {at}, {defence}, k = {k} ...", file=sys.stderr, flush=True)
        target = sw.Target(
            sw.split(victim.model, public.images[:2], at=at), sw.defence(defence), model=matrix.model
        )  # fmt: skip
        if (at, k) not in benches:
            benches = {(at, k): Bench(run, secrets)}
        yield sw.audit(
            target, options.attacks, secrets=data.held_out, public=public, samples=options.samples, observations=k,
            effort=options.effort, released="none", judge=False, data=Data(name=dataset), out=folder, run=run,
            bench=benches[at, k],
        )  # fmt: skip


def side(one: Side) -> dict[str, Any]:
    """One attacker of a comparison."""
    trial = one.answer.trial
    return {
        "cut": one.record.target.cut.name, "threat_model": one.threat_model, "attack": trial.attack,
        "knows_defence": trial.adaptive, "observations": trial.observations,
        "believable": trial.believable, one.answer.metric: round(one.answer.mean, 4),
    }  # fmt: skip


def row(found: Ordering) -> dict[str, Any]:
    """A comparison as the file keeps it."""
    target = found.stronger.record.target
    return {
        "rule": found.rule, "dataset": target.data.name, "model": target.model.name, "defence": target.defence,
        "less": side(found.weaker), "more": side(found.stronger),
        "difference": round(found.gap.mean, 5), "low": round(found.gap.low, 5), "high": round(found.gap.high, 5),
        "paired": found.gap.paired, "samples": found.stronger.record.samples, "holds": found.holds,
    }  # fmt: skip


def about(record: Record) -> dict[str, Any]:
    """What a record is of."""
    return {
        "target": describe(record), "samples": record.samples, "public": record.target.data.public,
        "effort": record.effort, "seed": record.seed, "commit": record.environment.commit,
    }  # fmt: skip


def show(rows: Sequence[dict[str, Any]]) -> None:
    """What is violated, on standard output."""
    for one in (r for r in rows if not r["holds"]):
        less, more = (f"{s['cut']} {s['threat_model']} {s['attack']}" for s in (one["less"], one["more"]))
        size = f"{one['difference']:+.4f} [{one['low']:+.4f}, {one['high']:+.4f}]"
        print(f"{one['rule']:>12} {one['dataset']}, {one['defence']}: {more} below {less} by {size}")
    print(f"{len(rows)} comparisons, {sum(not r['holds'] for r in rows)} violated beyond the 95 % interval")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--effort", default="quick", choices=("quick", "standard", "thorough"))
    parser.add_argument("--samples", type=int, default=100)
    parser.add_argument("--public", type=int, default=None, help="so many public images only")
    parser.add_argument("--attacks", default=ATTACKS)
    parser.add_argument("--data", nargs="+", default=["mnist", "cifar10"], choices=MATRICES)
    parser.add_argument("--at", nargs="+", default=None, help="some cuts only")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no new cell after so many")
    parser.add_argument("--runs", nargs="+", type=Path, default=[], help="folders of records to compare instead")
    parser.add_argument("-o", "--out", type=Path, default=FILE)
    options = parser.parse_args()
    until = time.monotonic() + 60 * options.minutes
    if options.runs:
        try:
            records = [
                load(run) for run in sorted({run for folder in options.runs for run in runs_below(folder.resolve())})
            ]
        except RecordError as error:
            raise SystemExit(str(error)) from error
    else:
        records = [r for dataset in options.data for r in measure(dataset, options, until)]
    rows = [row(found) for found in orderings(records)]
    runs = [about(r) for r in records]
    command = "python " + " ".join(["benchmarks/monotonicity.py", *sys.argv[1:]])
    options.out.parent.mkdir(exist_ok=True)
    options.out.write_text(json.dumps({"command": command, "runs": runs, "comparisons": rows}, indent=1) + "\n")
    show(rows)


if __name__ == "__main__":
    main()
