"""How strong the attacks are: the strongest of each threat model at each cut, beside the floors, as one table.

    python benchmarks/attack_strength.py --effort thorough

attacks undefended networks, writes ``results/attack-strength.json`` and prints the table. A row that is there already,
for the same effort and number of samples, is kept; ``--again`` measures it anew. MNIST and CIFAR-10 must lie under
SPLITWARD_DATA. The query-free attackers' networks are of another architecture than the victim's, and their public
images are none of those that it was trained on.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from pathlib import Path
from typing import Any

import torch

import splitward as sw
from splitward.record.nesting import STRENGTH, may_run
from splitward.record.schema import Data, Floor, Record, ThreatModel, Trial
from splitward.report.evidence import Evidence

FILE = Path(__file__).parent.parent / "results" / "attack-strength.json"
CUTS = {
    "mnist": ("lenet5", ("conv1", "ReLU2")),
    "cifar10": ("cifar-cnn", ("conv11", "ReLU22", "ReLU32")),
}
UNSEEING = "no-public-data"
"""The attack of one who holds no picture: a row of its own, where it is named."""
ATTACKS = "rmle,prior-guided,inverse-network,shadow-model"
HEADINGS = ("dataset", "cut", "threat_model", "attack", "psnr_db", "ssim", "exact_share", "floor_psnr_db", "floor_ssim")


def exact_share(record: Record, trial: Trial) -> float:
    """The share of images of which every 8-bit pixel came back."""
    guess, truth = record.tensors[trial.tensor or ""], record.tensors["secrets"]
    return float(((guess * 255).round() == (truth * 255).round()).reshape(len(truth), -1).all(1).mean())


def row(record: Record, threat_model: ThreatModel, command: str) -> dict[str, Any] | None:
    """The strongest attack that one threat model may run, by SSIM, both of its numbers, and the strongest floor."""
    may = [t for t in record.trials if may_run(threat_model, t.threat_model) and "ssim" in t.metrics]
    trials = [t for t in may if t.attack != UNSEEING] or may
    if not trials:
        return None
    best = max(trials, key=lambda t: (t.metrics["ssim"].mean, t.metrics["psnr"].mean))
    floor = Evidence(record, {}, "").floor
    assert isinstance(floor, Floor)
    return {
        "dataset": record.target.data.name,
        "cut": record.target.cut.name,
        "threat_model": threat_model,
        "attack": best.attack,
        "psnr_db": round(best.metrics["psnr"].mean, 2),
        "psnr_low_db": round(best.metrics["psnr"].low, 2),
        "psnr_high_db": round(best.metrics["psnr"].high, 2),
        "ssim": round(best.metrics["ssim"].mean, 4),
        "ssim_low": round(best.metrics["ssim"].low, 4),
        "ssim_high": round(best.metrics["ssim"].high, 4),
        "exact_share": exact_share(record, best),
        "believable": best.believable,
        "samples": record.samples,
        "seconds": round(best.seconds),
        "floor": f"{floor.name} ({floor.released})" if floor.kind == "allowed" else floor.name,
        "floor_psnr_db": round(floor.metrics["psnr"].mean, 2),
        "floor_ssim": round(floor.metrics["ssim"].mean, 4),
        "effort": record.effort,
        "command": command,
        "version": record.environment.splitward,
        "commit": record.environment.commit,
        "machine": f"{platform.machine()}, {record.environment.device}, {record.environment.threads} threads, "
        f"torch {torch.__version__}",
    }


def cell(one: dict[str, Any]) -> tuple[str, str, bool, str]:
    """Of the table, that a row is in."""
    return one["dataset"], one["cut"], one["attack"] == UNSEEING, one["threat_model"]


def show(rows: list[dict[str, Any]]) -> None:
    """The table on standard output."""
    print(" ".join(f"{h:>15}" for h in HEADINGS))
    for one in rows:
        print(" ".join(f"{one[h]!s:>15.15}" for h in HEADINGS))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--effort", default="thorough", choices=("quick", "standard", "thorough"))
    parser.add_argument("--samples", type=int, default=100)
    parser.add_argument("--data", default=None, help="one data set only")
    parser.add_argument("--at", default=None, help="one cut only")
    parser.add_argument("--attacks", default=ATTACKS)
    parser.add_argument("--again", action="store_true", help="measure rows anew that are there already")
    parser.add_argument("-o", "--out", type=Path, default=FILE)
    options = parser.parse_args()
    rows: list[dict[str, Any]] = json.loads(options.out.read_text()) if options.out.exists() else []
    for dataset, (model, cuts) in CUTS.items():
        for at in cuts:
            if options.data not in (None, dataset) or options.at not in (None, at):
                continue
            unseeing = options.attacks == UNSEEING
            here = [r for r in rows if cell(r)[:3] == (dataset, at, unseeing)]
            known = [r for r in here if r["effort"] == options.effort and r["samples"] == options.samples]
            if known and not options.again:
                continue
            print(f"{dataset} {at} ...", file=sys.stderr, flush=True)
            data, victim = sw.load_data(dataset), sw.load_model(model, data=dataset)
            target = sw.Target(sw.split(victim.model, data.public.images[:2], at=at), model=model)
            command = f"python benchmarks/attack_strength.py --effort {options.effort} --data {dataset} --at {at}"
            command += "" if options.attacks == ATTACKS else f" --attacks {options.attacks}"
            record = sw.audit(
                target, options.attacks, secrets=data.held_out, public=data.public, samples=options.samples,
                effort=options.effort, released="logits", data=Data(name=dataset),
                out=options.out.parent / "runs" / f"strength-{dataset}-{at}-{options.effort}{'-unseeing' * unseeing}",
            )  # fmt: skip
            models: tuple[ThreatModel, ...] = ("query-free",) if unseeing else STRENGTH
            new = [found for name in models if (found := row(record, name, command)) is not None]
            rows = [r for r in rows if cell(r) not in map(cell, new)] + new
            options.out.parent.mkdir(exist_ok=True)
            options.out.write_text(json.dumps(rows, indent=1) + "\n")
    show(rows)


if __name__ == "__main__":
    main()
