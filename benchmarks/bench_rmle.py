"""Batched rMLE against a loop of one image at a time, LeNet-5 cut at ReLU2, in one run.

The loop does what the papers' scripts do: the same iterations, one image after the other. Both invert the same
activations; MNIST is used where SPLITWARD_DATA has it, else the embedded digits.
"""

from __future__ import annotations

import argparse
import time

import torch
from torch import Tensor

import splitward as sw
from splitward.audit.grant import grant
from splitward.audit.loop import Settings, cast, world_of
from splitward.audit.suite import configure
from splitward.core.errors import DataError
from splitward.core.registry import find
from splitward.core.run import Run


def measured(invert: object, sent: tuple[Tensor, ...], size: int) -> tuple[Tensor, float]:
    start = time.perf_counter()
    parts = [invert(tuple(s[i : i + size] for s in sent)) for i in range(0, len(sent[0]), size)]  # type: ignore[operator]
    return torch.cat(parts), time.perf_counter() - start


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--batch", type=int, default=100, help="images of the batched run")
    arguments.add_argument("--loop", type=int, default=4, help="images of the loop")
    options = arguments.parse_args()
    name = "mnist"
    try:
        data = sw.load_data(name)
    except DataError:
        name, data = "digits", sw.load_data("digits")
    victim = sw.load_model("lenet5", data=name)
    halves = sw.split(victim.model, data.public.images[:2], at="ReLU2")
    settings, run = Settings(samples=options.batch), Run(0)
    roles = cast(data.held_out, data.public, settings, run.device)
    world = world_of(sw.Target(halves), roles, settings, run.device)
    psnr = find("metric", "psnr")()
    truth = roles.secrets.images
    print(f"{name}, {victim.name} at ReLU2, {run.device}, {torch.get_num_threads()} threads")
    rates = {}
    for label, preset, size, count in (
        ("scripts, one image at a time", "rmle:scripts", 1, options.loop),
        ("scripts, one batch", "rmle:scripts", options.batch, options.batch),
        ("ours, one batch", "rmle", options.batch, options.batch),
    ):
        entry = configure(preset, "standard", 1)
        knowledge = grant(entry.kind, world, run.child("grant"))
        start = time.perf_counter()
        invert = entry.attack.prepare(knowledge, run.child("attack"))
        ready = time.perf_counter() - start
        sent = tuple(part[:, None] for part in knowledge.query(truth[:count]))  # type: ignore[attr-defined]
        invert(tuple(part[:1] for part in sent))  # warm up
        guess, seconds = measured(invert, sent, size)
        rates[label] = count / (seconds + (ready if size > 1 else 0))
        reached = float(psnr(guess, truth[:count]).mean())
        print(f"{label:<30} {entry.attack.steps} steps  {rates[label]:8.2f} images/s  {reached:5.2f} dB  (n = {count})")
    loop = rates["scripts, one image at a time"]
    for label in ("scripts, one batch", "ours, one batch"):
        print(f"{label}: {rates[label] / loop:.1f} times the loop's images per second")


if __name__ == "__main__":
    main()
