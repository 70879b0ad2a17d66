"""From a recipe to a weights file that says how it was made."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from splitward._version import __version__
from splitward.core.errors import ModelError
from splitward.core.run import Run
from splitward.data.dataset import Dataset
from splitward.models.training import NAMED, RECIPES, Recipe, train
from splitward.models.zoo import build, declared_input, with_normalisation


def make_weights(
    spec: str,
    data: Dataset,
    out: Path,
    *,
    run: Run,
    epochs: int | None = None,
    command: str = "",
    recipe: str | None = None,
) -> dict[str, Any]:
    """Train the model ``spec`` (a zoo name or ``package.module:factory``) on ``data.train`` and write ``out``.

    Weights are drawn and shuffled by ``run.child("train")`` alone. ``recipe``: a name of ``training.NAMED``, in place
    of the model's own. ``epochs`` replaces the recipe's. The accuracy is
    measured on ``data.held_out``. Returns the provenance, which the file's metadata hold as JSON under ``trained``;
    nothing is written before the training is over, and never half a file. Raises ModelError.
    """
    if not data.classes:
        raise ModelError(f"{data.name} has no classes to train on: use a data set with labels.")
    chosen = _recipe(spec, data.name, recipe, epochs)
    work = run.child("train")
    network = build(spec, len(data.classes), work, "initialisation")
    shape = data.shape
    if (wanted := declared_input(network)) is not None and wanted != shape:
        raise ModelError(
            f"{spec} takes images {'x'.join(map(str, wanted))}, but those of {data.name} are "
            f"{'x'.join(map(str, shape))}: choose a set that fits."
        )
    model = with_normalisation(network, spec, None, shape[0])
    outcome = train(model, data.train, data.held_out, chosen, work)
    provenance = {
        "model": spec,
        "data": data.name,
        "classes": len(data.classes),
        "command": command,
        "seed": run.seed,
        "epochs": chosen.epochs,
        "accuracy": round(outcome.accuracy, 6),
        "test_samples": outcome.test_samples,
        "train_samples": outcome.train_samples,
        "seconds": round(outcome.seconds, 1),
        "losses": [round(loss, 5) for loss in outcome.losses],
        "recipe": asdict(chosen),
        **machine(work.device),
    }
    write_weights(network, out, provenance)
    return provenance


def _recipe(spec: str, data: str, named: str | None, epochs: int | None) -> Recipe:
    if named is not None and named not in NAMED:
        raise ModelError(f"there is no recipe {named!r}; known are {', '.join(NAMED)}.")
    recipe = NAMED[named] if named else RECIPES.get((spec, data), Recipe())
    if epochs is None:
        return recipe
    if epochs < 1:
        raise ModelError(f"a training takes at least 1 epoch, not {epochs}.")
    return replace(recipe, epochs=epochs)


def machine(device: torch.device) -> dict[str, str | int]:
    """What the numbers of a training depend on besides seed and recipe."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else _processor()
    return {
        "device": device.type,
        "machine": name,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "splitward": __version__,
    }


def _processor() -> str:
    """The processor's own name where the system tells it, else its architecture."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def refuse_unwritable(out: Path) -> None:
    """Raise ModelError where ``out`` cannot become a file: said before a long training, not after it."""
    if out.is_dir():
        raise ModelError(f"{out} is a folder; name a file, such as {out / 'weights.safetensors'}.")
    home = next(folder for folder in (out.absolute().parent, *out.absolute().parents) if folder.exists())
    if not home.is_dir() or not os.access(home, os.W_OK):
        raise ModelError(f"nothing can be written to {home}; name another weights file with --out.")


def write_weights(network: nn.Module, out: Path, provenance: Mapping[str, Any]) -> None:
    """The state dictionary of ``network`` as float32 safetensors with its provenance; all of it or nothing."""
    state: dict[str, Tensor] = {
        key: value.detach().cpu().contiguous().clone(memory_format=torch.contiguous_format)
        for key, value in network.state_dict().items()
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(f".{out.name}.{os.getpid()}.part")
    try:
        save_file(state, part, metadata={"format": "pt", "trained": json.dumps(provenance)})
        part.chmod(0o644)  # safetensors makes files that only their owner can read
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)
