"""White-box inversion in one batch against the papers' loop of one image at a time, LeNet-5 cut at ReLU2, in one run.

The loop does what the papers' scripts do, one image after the other. Beside it: the same iterations as one batch, and
ours with more and more steps until it reaches what the loop reached, then until it reaches the best published value.
Ours is timed with its preparation on public images, and its number of steps is settled on public images too. MNIST is
used where SPLITWARD_DATA has it, else the embedded digits.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from dataclasses import dataclass

import torch
from torch import Tensor

import splitward as sw
from splitward.audit.grant import grant
from splitward.audit.loop import Settings, cast, world_of
from splitward.audit.suite import configure
from splitward.audit.world import World
from splitward.core.errors import DataError
from splitward.core.registry import find
from splitward.core.run import Run

PUBLISHED_DB = 15.10
"""White-box, MNIST at ReLU2 (ACSAC19 table 3)."""
STEPS = (5, 10, 20, 40, 80, 160, 400)
TUNED = 50
"""Public images on which the number of steps is settled."""
MARGIN_DB = 0.5


@dataclass(frozen=True)
class Rate:
    """Images per second, and how good they are."""

    images: float
    psnr: float
    steps: int
    count: int

    def show(self, label: str) -> None:
        print(f"{label:<40} {self.steps} steps {self.images:8.2f} images/s {self.psnr:6.2f} dB (n = {self.count})")


def measured(invert: object, sent: tuple[Tensor, ...], size: int) -> tuple[Tensor, float]:
    start = time.perf_counter()
    parts = [invert(tuple(s[i : i + size] for s in sent)) for i in range(0, len(sent[0]), size)]  # type: ignore[operator]
    return torch.cat(parts), time.perf_counter() - start


def rate_of(preset: str, steps: int | None, count: int, size: int, world: World, truth: Tensor, run: Run) -> Rate:
    """Invert ``truth[:count]`` in batches of ``size``; the preparation counts where all is one batch."""
    entry = configure(preset, "standard", 1)
    attack = entry.attack if steps is None else dataclasses.replace(entry.attack, steps=steps)
    knowledge = grant(entry.kind, world, run.child("grant"))
    sent = tuple(part[:, None] for part in knowledge.query(truth[:count]))  # type: ignore[attr-defined]
    start = time.perf_counter()
    invert = attack.prepare(knowledge, run.child("attack"))
    ready = time.perf_counter() - start
    guess, seconds = measured(invert, sent, size)
    reached = float(find("metric", "psnr")()(guess, truth[:count]).mean())
    return Rate(count / (seconds + (ready if size == count else 0)), reached, attack.steps, count)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--batch", type=int, default=500, help="images of the batched runs")
    arguments.add_argument("--loop", type=int, default=10, help="images of the loop")
    options = arguments.parse_args()
    name = "mnist"
    try:
        data = sw.load_data(name)
    except DataError:
        name, data = "digits", sw.load_data("digits")
    victim = sw.load_model("lenet5", data=name)
    halves = sw.split(victim.model, data.public.images[:2], at="ReLU2")
    settings, run = Settings(samples=min(options.batch, len(data.held_out))), Run(0)
    roles = cast(data.held_out, data.public, settings, run.device)
    world = world_of(sw.Target(halves), roles, settings, run.device)
    truth, count = roles.secrets.images, len(roles.secrets)
    fresh = data.public.images[-TUNED:].to(run.device)
    print(f"{name}, {victim.name} at ReLU2, {run.device}, {torch.get_num_threads()} threads")
    rate_of("rmle", 1, 8, 8, world, truth, run)  # warm up
    loop = rate_of("rmle:scripts", None, options.loop, 1, world, truth, run)
    loop.show("scripts, one image at a time")
    batch = rate_of("rmle:scripts", None, count, count, world, truth, run)
    batch.show("scripts, one batch")
    print(f"  {batch.images / loop.images:.1f} times the loop's images per second")
    for goal, what in ((loop.psnr, "the loop's"), (PUBLISHED_DB, "the best published")):
        steps = next(n for n in STEPS if rate_of("rmle", n, TUNED, TUNED, world, fresh, run).psnr >= goal + MARGIN_DB)
        ours = rate_of("rmle", steps, count, count, world, truth, run)
        ours.show(f"ours, to {what} {goal:.2f} dB")
        assert ours.psnr >= goal, f"{ours.psnr:.2f} dB do not reach {goal:.2f} dB"
        print(f"  {ours.images / loop.images:.1f} times the loop's images per second")
    full = rate_of("rmle", None, count, count, world, truth, run)
    full.show("ours, standard effort")
    print(f"  {full.images / loop.images:.1f} times the loop's images per second")


if __name__ == "__main__":
    main()
