"""What `splitward harden` reaches: runs its studies and collects what they wrote into results/hardening.json; those of
methods side by side, which two attacks judge, into results/hardening-methods.json.

    python benchmarks/hardening.py --runs FOLDER [--study mnist ...] [--collect]

Each study is one command, which the file names; an interrupted one goes on from its folder. A study that was not run is
left out of the file, or kept as it was; ``--collect`` runs nothing, and takes what the folders hold, which may be a
study whose judgement is not over. MNIST must lie under SPLITWARD_DATA; the X-rays are a folder of images with
``train``, ``val`` and ``test``, named by ``--xrays``, and a network of one's own with its weights by ``--own``.
"""

from __future__ import annotations

import argparse
import json
import shlex
from pathlib import Path
from typing import Any

from splitward.hardening.document import Document
from splitward.hardening.harden import run_settings
from splitward.hardening.settings import read_settings
from splitward.record import store

FILE = Path(__file__).parent.parent / "results" / "hardening.json"
BESIDE = ("methods", "edge-only")
"""Studies of the other file."""
STUDIES: dict[str, dict[str, Any]] = {
    "digits": {
        "model": "lenet5", "data": "digits", "at": ("ReLU2",), "effort": "quick", "max_accuracy_drop": 2.0,
        "methods": ("bottleneck:8+collapse:1+quantise:1",), "steps": 600, "batch": 64, "samples": 60,
    },
    "mnist": {
        "model": "lenet5", "data": "mnist", "at": ("ReLU2",), "effort": "quick", "max_accuracy_drop": 0.5,
        "observations": "1,20", "samples": 100, "steps": 1200,
        "methods": ("bottleneck:12+collapse:0.3+quantise:1",),
    },
    "methods": {
        "model": "lenet5", "data": "mnist", "at": ("ReLU2",), "effort": "quick", "max_accuracy_drop": 0.5,
        "samples": 100, "attacks": "prior-guided,inverse-network", "curves": True, "finalists": 16,
        "methods": (
            "bottleneck:12+collapse:0.3+quantise:1", *(f"distance-correlation:{level}" for level in (1, 3, 10)),
            *(f"learned-noise:{level}+gaussian:1" for level in (0.03, 0.1, 0.3)),
            *(f"channel-pruning:{share}+adversary:1" for share in (0.3, 0.6, 0.9)),
            *(f"adversary:{level}" for level in (0.3, 1, 3)),
            *(f"fisher:{level}+gaussian:0.25" for level in (0.05, 0.5, 5)),
        ),
    },
    "edge-only": {
        "model": "lenet5", "data": "mnist", "at": ("ReLU2",), "effort": "quick", "max_accuracy_drop": 0.5,
        "trains": "edge", "samples": 100, "attacks": "prior-guided,inverse-network", "finalists": 4,
        "methods": ("collapse:1", "collapse:10", "collapse:100", "bottleneck:12+collapse:0.3"),
    },
    "deployed": {
        "model": "lenet5", "data": "mnist", "at": ("ReLU2",), "effort": "quick", "max_accuracy_drop": 0.5,
        "trains": "edge", "observations": "1,20", "samples": 100, "steps": 1200, "methods": ("signs:12+collapse:0.3",),
    },
    "cifar": {
        "model": "cifar-cnn", "data": "cifar10", "at": ("ReLU22", "pool3"), "effort": "quick", "max_accuracy_drop": 1.0,
        "observations": "1,20", "samples": 100, "steps": 300, "finalists": 1,
        "attacks": "prior-guided,rmle,inverse-network,shadow-model",
        "methods": ("bottleneck:16+collapse:0.3+quantise:1",),
    },
    "faces": {
        "model": "lenet5", "data": "faces", "at": ("ReLU2",), "effort": "quick", "max_accuracy_drop": 2.0,
        "methods": ("bottleneck:1+collapse:1+quantise:1",), "samples": 40, "steps": 400, "batch": 16,
    },
    "xrays": {"input": "1x28x28", "at": ("layer2",), "max_accuracy_drop": 2.0, "effort": "quick"},
}  # fmt: skip


def command_of(given: dict[str, Any]) -> str:
    """A study as the command line writes it."""
    words = ["splitward", "harden"]
    for name, value in given.items():
        option = "--method" if name == "methods" else f"--{name.replace('_', '-')}"
        for item in value if isinstance(value, tuple) else (value,):
            words += [option] if item is True else [option, str(item)]
    return shlex.join(words)


def kept(document: Document, folder: Path) -> dict[str, Any]:
    """What the file of results keeps of a study: the document, and what each attack of its audits reached."""
    reached = []
    for point in document.judged:
        for seen in point.seen:
            record = store.load(folder / seen.record)
            floor = {f.name: round(f.metrics["ssim"].mean, 4) for f in record.floors}
            for trial in (t for t in record.trials if t.status == "ok"):
                reached.append({
                    "recipe": point.recipe, "at": point.at, "observations": seen.observations, "attack": trial.attack,
                    "threat_model": trial.threat_model, "adaptive": trial.adaptive, "believable": trial.believable,
                    "ssim": round(trial.metrics["ssim"].mean, 4), "psnr_db": round(trial.metrics["psnr"].mean, 2),
                    "identification": round(trial.metrics["identification"].mean, 4), "floor_ssim": floor,
                })  # fmt: skip
    return {**document.model_dump(mode="json", exclude={"format", "version"}), "reached": reached}


def keep(name: str, document: Document, folder: Path) -> None:
    """Put a study into its file, whatever else has been put there."""
    file = FILE.with_name("hardening-methods.json") if name in BESIDE else FILE
    found = json.loads(file.read_text()) if file.is_file() else {}
    found[name] = kept(document, folder)
    file.write_text(json.dumps(found, indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--study", action="append", choices=list(STUDIES))
    parser.add_argument("--collect", action="store_true")
    parser.add_argument("--xrays", type=Path)
    parser.add_argument("--own", nargs=2, metavar=("MODULE:FACTORY", "WEIGHTS"))
    options = parser.parse_args()
    for name in options.study or STUDIES:
        folder = options.runs / name
        if options.collect:
            if (folder / "hardening.json").is_file():
                keep(name, Document.model_validate_json((folder / "hardening.json").read_text()), folder)
            continue
        given = dict(STUDIES[name])
        if name == "xrays":
            if options.xrays is None or options.own is None:
                continue
            model, weights = options.own
            given = {"model": model, "weights": weights, "data": str(options.xrays), **given}
        settings = read_settings({**given, "out": folder})
        document = run_settings(settings, command=command_of(given), say=print)
        print(f"{name}: {document.sentence}")
        keep(name, document, folder)


if __name__ == "__main__":
    main()
