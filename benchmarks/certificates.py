"""What is proved of LeNet-5 on MNIST under Gaussian noise, and what repetitions and near-identical frames give away.

    python benchmarks/certificates.py [--part bounds] [--part repeats] [--cut ReLU2] [--how fresh] [--times 16]

writes ``results/certificates.json`` and its figure; rows that are not asked for are kept. *Bounds*: at ReLU2 and
pool2, for standard deviations 0.1 to 5 on the activation and k = 1 and 20, beside the strongest measured attack of
``results/defence-curves.json`` where that has the point. *Repeats*: a decoder that is trained on the device's own
answers (the inverse network) is given k observations of each secret: with fresh noise, with keyed noise (the same for
every repetition), and of k frames, each the secret shifted by up to a pixel either way and up to 5 % brighter or
darker, with fresh noise. The secret, not a frame, is what it must return. The decoder knows how its observations come
about.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import torch
from certificates_figure import draw
from torch import Generator, Tensor

import splitward as sw
from splitward.attacks.inverse_network import InverseNetwork
from splitward.audit.environment import environment
from splitward.audit.grant import grant
from splitward.audit.loop import Settings as AuditOf
from splitward.audit.loop import cast, world_of
from splitward.audit.scoring import measure
from splitward.audit.target import Target
from splitward.audit.world import World, observe
from splitward.bounds import candidates
from splitward.bounds.certify import Settings, certify
from splitward.core.defence import Chain, Channel
from splitward.core.defence_text import parse_chain
from splitward.core.knowledge import BlackBox
from splitward.core.run import Run, derive_seed
from splitward.record.certificate import any_mse, unbiased_mse

RESULTS = Path(__file__).parent.parent / "results"
FILE, FIGURE, CURVES = (RESULTS / n for n in ("certificates.json", "certificates.svg", "defence-curves.json"))
CUTS, LEVELS, COUNTS = ("ReLU2", "pool2"), (0.1, 0.2, 0.5, 1.0, 2.0, 5.0), (1, 20)
DITHERS = (0.03, 0.1)
NOISE, TIMES, MANY = 2.0, (1, 4, 16), 1000
SECRETS, SAMPLES = 100, 16
AT_ONCE = 1000
"""Observations that are inverted at once."""


@dataclass(frozen=True)
class Keyed:
    """Normal noise that a key and what is sent decide; the description is plain normal noise."""

    name: ClassVar[str] = "keyed"
    level: float
    position: str = "wire"

    def sample(self, clean: Tensor, generator: Generator) -> Tensor:  # noqa: ARG002 - the key decides
        draws = []
        for row in clean:
            seed = derive_seed(0, "a device's key" + hashlib.sha256(row.numpy().tobytes()).hexdigest())
            draws.append(torch.randn(row.shape, generator=Generator().manual_seed(seed)))
        return clean + self.level * torch.stack(draws)

    def log_density(self, sent: Tensor, clean: Tensor, tolerance: float) -> None:  # noqa: ARG002 - a sampler only
        return None


@dataclass(frozen=True)
class Frames:
    """Another frame of the same scene at every draw: up to ``level`` pixels aside, and up to 5 % brighter or darker."""

    name: ClassVar[str] = "frames"
    level: float
    position: str = "input"

    def sample(self, clean: Tensor, generator: Generator) -> Tensor:
        most, black = int(self.level), -1.0
        moves = torch.randint(-most, most + 1, (len(clean), 2), generator=generator)
        gains = 0.95 + 0.1 * torch.rand(len(clean), generator=generator)
        frames = [x.roll(m.tolist(), (1, 2)) for x, m in zip(clean, moves, strict=True)]
        return (torch.stack(frames) - black) * gains[:, None, None, None] + black

    def log_density(self, sent: Tensor, clean: Tensor, tolerance: float) -> None:  # noqa: ARG002 - a sampler only
        return None


def origin() -> dict[str, str]:
    """Where and by what a row was measured."""
    here = environment(torch.device("cpu"))
    command = " ".join(["python", "benchmarks/certificates.py", *sys.argv[1:]])
    return {"command": command, "version": here.splitward, "commit": here.commit or "", "machine": here.device}


def bounds(data: Any, victim: Any, cuts: Sequence[str]) -> list[dict[str, Any]]:
    """The rows of the first part; the edge is differentiated once a cut, since that is the same under any noise."""
    rows = []
    curves = json.loads(CURVES.read_text()) if CURVES.exists() else []
    images = data.held_out.images
    for at in cuts:
        edge = sw.split(victim.model, data.public.images[:2], at=at).edge
        made = {
            dither: certify(
                edge, parse_chain("gaussian:1"), images, Run(0).stream(f"bounds/{at}"), Settings(1, dither, SAMPLES)
            )
            for dither in DITHERS
        }
        some = images[torch.randperm(len(images), generator=Run(0).stream("list"))[: candidates.MOST]]
        with torch.no_grad():
            clean, flat = edge(some).flatten(1), some.flatten(1)
        for level in LEVELS:
            for k in COUNTS:
                mean, low = candidates.normal(clean, flat, level / math.sqrt(k), Run(0).stream("list/draws"))
                measured = [
                    c for c in curves
                    if (c["dataset"], c["cut"], c["defence"], c["where"], c["level"], c["observations"])
                    == ("mnist", at, "gaussian", "activation", level, k)
                ]  # fmt: skip
                one = made[DITHERS[-1]]
                rows.append({
                    "part": "bounds", "cut": at, "defence": f"gaussian:{level:g}", "observations": k,
                    "dfil_upper": one.trace / level**2, "unbiased_mse": unbiased_mse(one, k, level**2),
                    "any_mse": {f"{d:g}": any_mse(c, k, level**2) for d, c in made.items()},
                    "candidates": len(some), "candidates_mse": mean, "candidates_mse_low": low,
                    "attack": measured[0]["adaptive_attack"] if measured else None,
                    "attack_psnr_db": measured[0]["adaptive_psnr_db"] if measured else None,
                    "samples": SAMPLES, "self_check": one.self_check, "seed": 0, **origin(),
                })  # fmt: skip
    return rows


def chains() -> dict[str, tuple[Chain, tuple[int, ...]]]:
    """What is sent, and how often."""
    fresh = parse_chain(f"gaussian:{NOISE:g}").channels
    keyed: tuple[Channel, ...] = (Keyed(NOISE),)  # type: ignore[arg-type,unused-ignore]
    frames: tuple[Channel, ...] = (Frames(1.0), *fresh)  # type: ignore[arg-type,unused-ignore]
    return {"fresh": (Chain(fresh), TIMES), "keyed": (Chain(keyed), (1, MANY)), "frames": (Chain(frames), TIMES)}


def attacked(world: World, secrets: Tensor, settings: InverseNetwork, seed: int, again: int) -> list[float]:
    """Squared error per secret of a decoder trained on this world's answers; the last is seen ``again`` as often."""
    run = Run(0).child(f"repeats/{seed}")
    known = grant(BlackBox, world, run)
    assert isinstance(known, BlackBox)
    inverter = settings.prepare(known, run)
    guesses = []
    for part in observe(world, secrets, run.stream("sent"))[0].split(max(1, AT_ONCE // (1 + again))):
        repeated = part[:, -1:].expand(-1, again, *part.shape[2:])
        guesses.append(inverter((torch.cat([part, repeated], 1),)))
    return measure(torch.cat(guesses), secrets)[1]["mse"]


def repeats(
    data: Any, victim: Any, steps: int, only: list[str] | None, times: list[int] | None
) -> list[dict[str, Any]]:
    """The rows of the second part, or those ``only`` of some manners and ``times``."""
    halves, rows = sw.split(victim.model, data.public.images[:2], at="ReLU2"), []
    settings = AuditOf(SECRETS)
    roles = cast(data.held_out, data.public, settings, torch.device("cpu"))
    for how, (chain, counts) in chains().items():
        for k in counts:
            if how not in (only or [how]) or k not in (times or [k]):
                continue
            world = replace(world_of(Target(halves), roles, settings, torch.device("cpu")), chain=chain)
            # Keyed noise repeats itself: two draws are made, seen to be equal, and the second stands for the others.
            drawn = min(k, 2) if how == "keyed" else k
            world = replace(world, observations=drawn, others=None)
            if how == "keyed" and k > 1:
                first = observe(world, roles.secrets.images, Run(0).stream("twice"))[0]
                assert torch.equal(first[:, 0], first[:, 1])
            attack = replace(
                InverseNetwork(observations=drawn if how != "keyed" else 1), steps=steps, laps=1, width=32, batch=32
            )
            print(f"{how}, k = {k} ...", file=sys.stderr, flush=True)
            errors = torch.tensor(attacked(world, roles.secrets.images, attack, 0, k - drawn))
            resampled = errors[torch.randint(len(errors), (2000, len(errors)), generator=Run(0).stream("bootstrap"))]
            low, high = resampled.mean(1).quantile(torch.tensor([0.025, 0.975], dtype=errors.dtype)).tolist()
            rows.append({
                "part": "repeats", "cut": "ReLU2", "defence": f"gaussian:{NOISE:g}", "how": how, "observations": k,
                "mse": float(errors.mean()), "mse_low": low, "mse_high": high, "secrets": SECRETS, "steps": steps,
                "attack": "inverse-network", "seed": 0, **origin(),
            })  # fmt: skip
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", action="append", choices=["bounds", "repeats"])
    parser.add_argument("--cut", action="append", choices=CUTS, help="of the first part")
    parser.add_argument("--how", action="append", choices=["fresh", "keyed", "frames"], help="of the second part")
    parser.add_argument("--times", action="append", type=int, help="observations of the second part")
    parser.add_argument("--steps", type=int, default=300, help="training steps of a decoder of the second part")
    parser.add_argument("-o", "--out", type=Path, default=FILE)
    options = parser.parse_args()
    parts = options.part or ["bounds", "repeats"]
    data, victim = sw.load_data("mnist"), sw.load_model("lenet5", data="mnist")
    kept: list[dict[str, Any]] = json.loads(options.out.read_text()) if options.out.exists() else []
    new = bounds(data, victim, options.cut or CUTS) if "bounds" in parts else []
    new += repeats(data, victim, options.steps, options.how, options.times) if "repeats" in parts else []
    found = {key(row): row for row in [*kept, *new]}
    rows = [found[k] for k in sorted(found)]
    options.out.write_text(json.dumps(rows, indent=1) + "\n")
    options.out.with_suffix(".svg").write_text(draw(rows))


def key(row: dict[str, Any]) -> tuple[Any, ...]:
    """What a row is of; rows are sorted by it."""
    order = CUTS.index(row["cut"])
    return row["part"], order, row.get("how", ""), float(row["defence"].partition(":")[2]), row["observations"]


if __name__ == "__main__":
    main()
