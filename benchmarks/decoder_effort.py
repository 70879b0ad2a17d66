"""What more effort buys the black-box decoder: more steps, a larger network, fresh images in place of kept ones.

    python benchmarks/decoder_effort.py --data cifar10 --at ReLU22 --steps 4000,9000

trains ``inverse-network`` at effort thorough (unless ``--width`` or ``--depth`` say otherwise) on an undefended cut and
appends a row for each number of steps to ``results/decoder-effort.json``. ``--kept`` asks the device once, and learns
from those answers for as long as it takes; without it a part of every batch is asked anew in long trainings. MNIST or
CIFAR-10 must lie under SPLITWARD_DATA.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import platform
import time
from pathlib import Path
from typing import Any

import torch
from undefended import MODELS, attacked

from splitward.attacks import _asking
from splitward.audit.environment import environment
from splitward.audit.suite import configure
from splitward.core.run import Run

FILE = Path(__file__).parent.parent / "results" / "decoder-effort.json"
SAMPLES = 100


def trained(options: argparse.Namespace, steps: int) -> dict[str, Any]:
    """One training: what it was, and both metrics of what it recovers."""
    run, entry = Run(0), configure("inverse-network", "thorough", 1)
    fields = {"steps": steps, "laps": 1, "width": options.width, "depth": options.depth}
    attack = dataclasses.replace(entry.attack, **{k: v for k, v in fields.items() if v is not None})
    start = time.perf_counter()
    outcome, reached = attacked(options.data, options.at, dataclasses.replace(entry, attack=attack), run, SAMPLES)
    where = environment(run.device)
    return {
        "dataset": options.data, "cut": options.at, "images": "kept" if options.kept else "renewed", "steps": steps,
        "stopped": max(step for points in outcome.trace.values() for step, _ in points),
        "width": attack.width, "depth": attack.depth, "batch": attack.batch, **reached,
        "seconds": round(time.perf_counter() - start), "version": where.splitward, "commit": where.commit,
        "machine": f"{platform.machine()}, {where.device}, torch {torch.__version__}",
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="cifar10", choices=tuple(MODELS))
    parser.add_argument("--at", default="ReLU22")
    parser.add_argument("--steps", default="4000", help="several: separated by commas")
    parser.add_argument("--width", type=int)
    parser.add_argument("--depth", type=int)
    parser.add_argument("--kept", action="store_true", help="learn from the same images all the time")
    parser.add_argument("-o", "--out", type=Path, default=FILE)
    options = parser.parse_args()
    if options.kept:
        _asking.OFTEN = math.inf  # type: ignore[assignment]
    for steps in (int(word) for word in options.steps.split(",")):
        rows: list[dict[str, Any]] = json.loads(options.out.read_text()) if options.out.exists() else []
        rows.append(trained(options, steps))
        options.out.write_text(json.dumps(rows, indent=1) + "\n")
        print(json.dumps(rows[-1]), flush=True)


if __name__ == "__main__":
    main()
