"""Seconds until the strong inverse network reaches 24 dB on held-out images, LeNet-5 cut at ReLU2.

The attack is prepared anew with more and more steps until it is there, so the time printed is that of a whole
preparation, closed form and queries included. The small decoder of the papers' scripts is trained in the same run in
plain float32, for ``--epochs`` (all of its 50), with its own time and PSNR. MNIST is used where SPLITWARD_DATA has it,
else the digits.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from typing import Any

import torch

import splitward as sw
from splitward.audit.grant import grant
from splitward.audit.loop import Settings, cast, world_of
from splitward.audit.suite import configure
from splitward.audit.world import World, observe
from splitward.core.errors import DataError
from splitward.core.knowledge import Samples
from splitward.core.registry import find
from splitward.core.run import Run

GOAL_DB = 24.0


def trained(attack: Any, kind: Any, world: World, secrets: Samples, run: Run) -> tuple[float, float]:
    """Seconds to prepare, and PSNR on the secrets."""
    start = time.perf_counter()
    invert = attack.prepare(grant(kind, world, run.child("grant")), run.child("attack"))
    seconds = time.perf_counter() - start
    sent = observe(world, secrets.images, run.stream("wire"))
    return seconds, float(find("metric", "psnr")()(invert(sent), secrets.images).mean())


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--epochs", type=int, default=50, help="of the scripts' 50")
    options = arguments.parse_args()
    name = "mnist"
    try:
        data = sw.load_data(name)
    except DataError:
        name, data = "digits", sw.load_data("digits")
    victim = sw.load_model("lenet5", data=name)
    halves = sw.split(victim.model, data.public.images[:2], at="ReLU2")
    settings, run = Settings(samples=100), Run(0)
    roles = cast(data.held_out, data.public, settings, run.device)
    world = world_of(sw.Target(halves), roles, settings, run.device)
    print(f"{name}, {len(data.public):,} public images, {run.device}, {torch.get_num_threads()} threads, n = 100")
    ours = configure("inverse-network", "standard", 1)
    mine = 0.0
    for steps in (25, 50, 100, 200, 400, 800, ours.attack.steps):
        attack = dataclasses.replace(ours.attack, steps=steps, laps=1)
        seconds, reached = trained(attack, ours.kind, world, roles.secrets, run)
        print(f"ours, {steps} steps: {seconds:.1f} s, {reached:.2f} dB")
        if reached >= GOAL_DB:
            mine = seconds
            print(f"ours reaches {GOAL_DB:g} dB in {seconds:.1f} s")
            break
    theirs = configure("inverse-network:scripts", "standard", 1)
    attack = dataclasses.replace(theirs.attack, epochs=options.epochs)
    seconds, reached = trained(attack, theirs.kind, world, roles.secrets, run)
    print(f"scripts' recipe, {options.epochs} of 50 epochs: {seconds:.1f} s, {reached:.2f} dB")
    if mine:
        print(f"that takes {seconds / mine:.1f} times as long")


if __name__ == "__main__":
    main()
