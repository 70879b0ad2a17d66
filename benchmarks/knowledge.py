"""What an attacker's means are worth: leakage by its number of queries, and by the images that it holds.

    python benchmarks/knowledge.py

audits LeNet-5 on MNIST at ReLU2, without a defence, with 100, 1,000, 10,000 and any number of queries, then with
images of the victim's own training set, of the same distribution, of another one (the embedded digits) and with noise
only. It writes ``results/query-budget.json`` and ``results/auxiliary-data.json`` and prints both tables. What was
audited already is read, not run again. MNIST must lie under SPLITWARD_DATA.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from splitward.audit.settings import AuditSettings
from splitward.audit.sweep import run_settings
from splitward.record.schema import Estimate, Record, Trial
from splitward.record.store import load
from splitward.record.verdict import stronger_floor

RESULTS = Path(__file__).parent.parent / "results"
BUDGETS = (100, 1_000, 10_000, None)
KINDS = ("same-set", "same-distribution", "digits", "noise")


def records(name: str, options: argparse.Namespace, **more: Any) -> list[Record]:
    """The records of one sweep; a finished one is read."""
    out = options.out / "runs" / f"knowledge-{name}-{options.effort}-{options.samples}"
    settings = AuditSettings(
        model="lenet5", data=options.data, at=("ReLU2",), attacks=(options.attacks,), samples=options.samples,
        effort=options.effort, judge=False, out=out, **more,
    )  # fmt: skip
    finished = [folder.parent for folder in sorted(out.glob("**/record.json"))]
    if len(finished) == len(settings.query_budget):
        return [load(folder) for folder in finished]
    return [record for _, record in run_settings(settings, command=command())]


def command() -> str:
    """As it was typed."""
    return " ".join(["python benchmarks/knowledge.py", *sys.argv[1:]])


def spread(name: str, found: Estimate) -> dict[str, float]:
    """An estimate with its interval."""
    return {name: round(found.mean, 4), f"{name}_low": round(found.low, 4), f"{name}_high": round(found.high, 4)}


def row(record: Record, trial: Trial) -> dict[str, Any]:
    """One attack of one record."""
    floor = stronger_floor(record, "ssim", trial.observations)
    return {
        "dataset": record.target.data.name, "cut": record.target.cut.name, "defence": record.target.defence,
        "attack": trial.attack, "threat_model": trial.threat_model, "query_budget": record.query_budget,
        "queries": trial.queries, "public_from": record.target.data.public_from, "public": record.target.data.public,
        **spread("ssim", trial.metrics["ssim"]), **spread("psnr_db", trial.metrics["psnr"]),
        "floor": floor.name if floor else None, "floor_ssim": round(floor.metrics["ssim"].mean, 4) if floor else None,
        "believable": trial.believable, "samples": record.samples, "seed": record.seed, "effort": record.effort,
        "commit": record.environment.commit, "command": record.command or command(),
    }  # fmt: skip


def write(name: str, found: list[Record], options: argparse.Namespace) -> None:
    """The rows of some records, into a file and onto standard output."""
    rows = [row(r, t) for r in found for t in r.trials if t.metrics]
    rows.sort(key=lambda one: (one["attack"], one["query_budget"] is None, one["query_budget"] or 0))
    (options.out / f"{name}.json").write_text(json.dumps(rows, indent=1) + "\n")
    print(f"\n{name}")
    for one in rows:
        budget = "any" if one["query_budget"] is None else f"{one['query_budget']:,}"
        print(
            f"{one['attack']:>16} {budget:>7} queries ({one['queries']:,} used), {one['public']:>6,} images, "
            f"{one['public_from']:<17} {one['ssim']:.3f} [{one['ssim_low']:.3f}, {one['ssim_high']:.3f}] "
            f"{one['psnr_db']:.1f} dB, floor {one['floor_ssim']:.3f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--effort", default="standard", choices=("quick", "standard", "thorough"))
    parser.add_argument("--samples", type=int, default=100)
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--attacks", default="inverse-network")
    parser.add_argument("--public-samples", type=int, default=None)
    parser.add_argument("--only", choices=("queries", "images"), default=None, help="one of the two tables")
    parser.add_argument("-o", "--out", type=Path, default=RESULTS, help="a folder")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    held = {"public_samples": options.public_samples}
    if options.only != "images":
        write("query-budget", records("queries", options, query_budget=BUDGETS, **held), options)
    if options.only != "queries":
        by_kind = [r for kind in KINDS for r in records(f"public-{kind}", options, public=kind, **held)]
        write("auxiliary-data", by_kind, options)


if __name__ == "__main__":
    main()
