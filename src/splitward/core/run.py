"""One run of one piece of work: its device, its random streams, its progress and its loss trace."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch

from splitward.core.errors import AttackError

Trace = dict[str, list[tuple[int, float]]]
"""Loss by phase of an attack: (step, loss) pairs."""


class Progress(Protocol):
    """Where long work says how far it is."""

    def start(self, description: str, total: int | None) -> None:
        """A new piece of work begins."""

    def advance(self, steps: int = 1, note: str = "") -> None:
        """``steps`` more are done."""

    def finish(self) -> None:
        """The piece of work is done."""


class Silent:
    """Progress that nobody watches."""

    def start(self, description: str, total: int | None) -> None:
        """Says nothing."""

    def advance(self, steps: int = 1, note: str = "") -> None:
        """Says nothing."""

    def finish(self) -> None:
        """Says nothing."""


Workshop = Callable[[Any, Any], tuple[Any, Trace]]
"""From an attack and what its user knows to a prepared inverter, perhaps one that somebody else asked for before."""


def derive_seed(seed: int, role: str) -> int:
    """A seed for one role: the first 63 bits of SHA-256 of seed and role; no role can compute another's.

    >>> derive_seed(0, "wire-noise") != derive_seed(0, "attack/rmle")
    True
    """
    digest = hashlib.sha256(f"{seed}/{role}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def best_device() -> torch.device:
    """The GPU where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def supports_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 convolutions are done by the hardware rather than emulated."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    probes = (getattr(torch.cpu, f"_is_{unit}_supported", None) for unit in ("avx512_bf16", "amx_tile"))
    return any(probe() for probe in probes if probe is not None)


@dataclass
class Run:
    """Seed, device, effort, progress and trace. There is no global seed: every draw names its stream."""

    seed: int = 0
    device: torch.device = field(default_factory=best_device)
    progress: Progress = field(default_factory=Silent)
    trace: Trace = field(default_factory=dict)
    workshop: Workshop | None = None

    def prepared(self, attack: Any, knowledge: Any) -> Any:
        """The inverter of another attack, which this one builds on; its trace is added to this run's.

        Inside an audit it is the very one that the audit prepares for that attack, made once for all who ask.
        """
        if self.workshop is not None:
            inverter, trace = self.workshop(attack, knowledge)
        else:
            run = self.child(f"attack/{attack.name}")
            inverter = attack.prepare(knowledge, run)
            trace = run.trace
        self.trace.update({f"{attack.name}/{phase}": points for phase, points in trace.items()})
        return inverter

    def child(self, role: str) -> Run:
        """A run for ``role``, with an empty trace, whose streams tell nothing of this run's streams."""
        return Run(derive_seed(self.seed, role), self.device, self.progress)

    def stream(self, role: str) -> torch.Generator:
        """An independent generator on this run's device, the same for the same seed and role."""
        return torch.Generator(self.device).manual_seed(derive_seed(self.seed, role))

    @contextmanager
    def constructing(self, role: str) -> Iterator[None]:
        """Inside, layer constructors (which draw from the global generator) draw from ``role``'s seed instead."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(self.seed, role))
            yield

    def record_loss(self, phase: str, step: int, loss: float) -> None:
        """Add a point to the loss trace; raises AttackError for a loss that is not finite."""
        if not math.isfinite(loss):
            raise AttackError(f"the loss of {phase!r} is {loss} at step {step}: the attack diverged.")
        self.trace.setdefault(phase, []).append((step, loss))
