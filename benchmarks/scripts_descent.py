"""What keeps the papers' descent from its published recoveries on CIFAR-10: the weights, or its own constants?

    python benchmarks/scripts_descent.py

runs rMLE as in the released scripts (``rmle:scripts``, all 5,000 iterations, ten images) on the CIFAR CNN: at conv11 on
the trained network and on the same one before any training, at ReLU22 on the trained one with the scripts' weight of
the total variation and with a hundredth of it. It writes ``results/scripts-descent.json``, a row as it is done; a row
that is there already is kept. CIFAR-10 must lie under SPLITWARD_DATA.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import json
import platform
from pathlib import Path
from typing import Any

import torch
from torch import nn
from undefended import attacked

import splitward as sw
from splitward.audit.suite import configure
from splitward.core.run import Run

FILE = Path(__file__).parent.parent / "results" / "scripts-descent.json"
ITERATIONS, IMAGES, PUBLIC = 5000, 10, 500
STUDIES: tuple[tuple[str, str, float | None], ...] = (
    ("conv11", "trained", None), ("conv11", "untrained", None), ("ReLU22", "trained", None), ("ReLU22", "trained", 0.1),
)  # fmt: skip
"""Cut, network, and the weight of the total variation where it is not the scripts'."""


def untrained(model: nn.Module) -> nn.Module:
    """A copy with the weights that the framework starts a training from."""
    copied = copy.deepcopy(model)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for module in copied.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                module.reset_parameters()
    return copied


def condition(model: nn.Module) -> float:
    """Largest singular value of the first layer's weights over the smallest."""
    first = next(m for m in model.modules() if isinstance(m, nn.Conv2d))
    values = torch.linalg.svdvals(first.weight.detach().flatten(1))
    return float(values[0] / values[-1])


def descend(at: str, model: nn.Module, smoothness: float | None) -> dict[str, Any]:
    """Both metrics of the descent, and the first layer's condition."""
    entry = configure("rmle:scripts", "quick", 1)
    fields = {"steps": ITERATIONS} | ({} if smoothness is None else {"smoothness_weight": smoothness})
    entry = dataclasses.replace(entry, attack=dataclasses.replace(entry.attack, **fields))
    outcome, reached = attacked("cifar10", at, entry, Run(0), IMAGES, model, PUBLIC)
    return {
        "condition": round(condition(model), 1), **reached, "iterations": ITERATIONS, "seconds": round(outcome.seconds),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--out", type=Path, default=FILE)
    options = parser.parse_args()
    rows: list[dict[str, Any]] = json.loads(options.out.read_text()) if options.out.exists() else []
    trained = sw.load_model("cifar-cnn", data="cifar10").model
    for at, network, smoothness in STUDIES:
        named = {"cut": at, "network": network, "smoothness_weight": smoothness}
        if any(named.items() <= row.items() for row in rows):
            continue
        model = trained if network == "trained" else untrained(trained)
        machine = f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}"
        rows.append(named | descend(at, model, smoothness) | {"version": sw.__version__, "machine": machine})
        options.out.write_text(json.dumps(rows, indent=1) + "\n")
        print(json.dumps(rows[-1]), flush=True)


if __name__ == "__main__":
    main()
