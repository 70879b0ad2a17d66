"""One attack on one undefended cut of a shipped network: for scripts that try an attack's own settings."""

from __future__ import annotations

from typing import Any

from torch import nn

import splitward as sw
from splitward.audit.bench import Bench, Outcome
from splitward.audit.loop import Settings, cast, world_of
from splitward.audit.scoring import measure
from splitward.audit.suite import Entry
from splitward.core.run import Run

MODELS = {"mnist": "lenet5", "cifar10": "cifar-cnn"}


def attacked(
    dataset: str,
    at: str,
    entry: Entry,
    run: Run,
    samples: int,
    model: nn.Module | None = None,
    public: int | None = None,
) -> tuple[Outcome, dict[str, Any]]:
    """What an attack made of the secrets, and both metrics of it.

    ``model``: in place of the shipped weights. ``public``: so many public images; all, where None.
    """
    data, name, settings = sw.load_data(dataset), MODELS[dataset], Settings(samples=samples)
    victim = sw.load_model(name, data=dataset).model if model is None else model
    roles = cast(data.held_out, data.public[slice(0, public)], settings, run.device)
    target = sw.Target(sw.split(victim, data.public.images[:2], at=at), model=name)
    world = world_of(target, roles, settings, run.device)
    outcome = Bench(run, roles.secrets).attack(entry, world, world)
    scores, _ = measure(outcome.guess, roles.secrets.images)
    return outcome, {
        "psnr_db": round(scores["psnr"].mean, 2), "ssim": round(scores["ssim"].mean, 4),
        "ssim_paper": round(scores["ssim-paper"].mean, 4), "samples": samples, "public": len(roles.public),
    }  # fmt: skip
