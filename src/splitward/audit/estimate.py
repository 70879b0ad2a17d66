"""Before a long run: what it will take, modelled from short probes of each attack on this machine."""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass

from splitward.audit.grant import grant
from splitward.audit.loop import plan
from splitward.audit.suite import Entry
from splitward.audit.world import World, observe
from splitward.core.errors import SplitwardError
from splitward.core.run import Run, Silent

PROBED = 5
"""Steps of a probe, less one of its base."""
FEW_SECRETS, FEW_PUBLIC = 30, 500
"""Below these an interval is wide, and a learned attack weaker than it would be with a real attacker's data."""


@dataclass(frozen=True)
class Estimate:
    """Modelled time and memory of an audit; ``high_s`` with planted controls and every lap, ``low_s`` without."""

    low_s: float
    high_s: float
    memory_bytes: int
    unprobed: tuple[str, ...]
    warnings: tuple[str, ...]

    def __str__(self) -> str:
        span = (
            f"{_spoken(self.low_s)} to {_spoken(self.high_s)}"
            if self.high_s > 1.2 * self.low_s
            else _spoken(self.low_s)
        )
        without = f" (without {', '.join(self.unprobed)})" if self.unprobed else ""
        return f"modelled: {span}{without}, about {max(self.memory_bytes, 2**28) / 2**30:.1f} GiB of memory"


def _spoken(seconds: float) -> str:
    return (
        f"{seconds:.0f} s"
        if seconds < 90
        else f"{seconds / 60:.0f} min"
        if seconds < 5400
        else f"{seconds / 3600:.1f} h"
    )


def laps(entry: Entry) -> dict[str, int]:
    """How often at most each of an attack's trainings is gone through, by the field (``laps``, ``..._laps``)."""
    named = {n: v for n, v in entry.parameters.items() if n == "laps" or n.endswith("_laps")}
    return {name: value for name, value in named.items() if isinstance(value, int) and value > 0}


def probe(entry: Entry, world: World, samples: int) -> float | None:
    """Modelled seconds to prepare ``entry`` and invert ``samples`` activations; None where it has no count of steps.

    Each field named like ``steps`` is run at one and at a few steps on a small part of the public data, once through
    (``laps`` is 1), and the difference is scaled to its value. What does not scale with steps (a closed-form start on
    all public data) is underestimated.
    """
    if not dataclasses.is_dataclass(entry.attack) or isinstance(entry.attack, type):
        return None
    counts = {
        f.name: value
        for f in dataclasses.fields(entry.attack)
        if "steps" in f.name and isinstance(value := getattr(entry.attack, f.name), int) and value > 0
    }
    once = dict.fromkeys(laps(entry), 1)
    if not counts:
        return None
    few = dataclasses.replace(world, public=world.public[slice(0, 256)], others=None)
    sent = observe(few, world.public.images[:samples], Run(0, world.public.images.device).stream("probe"))
    run = Run(0, world.public.images.device, Silent())

    def timed(**fields: int) -> float:
        attack = dataclasses.replace(entry.attack, **{name: min(1, n) for name, n in counts.items()} | once | fields)
        start = time.perf_counter()
        attack.prepare(grant(entry.kind, few, run), run.child("probe"))(sent)
        return time.perf_counter() - start

    try:
        timed()  # warm up
        base = timed()
        return base + sum(
            max(0.0, timed(**{name: 1 + PROBED}) - base) / PROBED * (count - 1) for name, count in counts.items()
        )
    except SplitwardError:
        return None


def estimate(entries: list[Entry], world: World, samples: int) -> Estimate:
    """What the trials and controls of ``entries`` on ``world`` will take."""
    low = high = 0.0
    unprobed = []
    for entry in entries:
        seconds = probe(entry, world, samples)
        if seconds is None:
            unprobed.append(entry.name)
            continue
        # The naive trial is the undefended control, so one preparation each; a planted control is one more.
        trials = sum(1 for e, _ in plan([entry], bool(world.chain)) if e is entry)
        low, high = low + seconds * trials, high + seconds * (trials + 1) * max(laps(entry).values(), default=1)
    activation = sum(s.bytes_per_sample for s in world.activation)
    memory = 2 * len(world.public) * (world.input.bytes_per_sample + activation) + 16 * samples * activation
    warnings = []
    if samples < FEW_SECRETS:
        warnings.append(f"{samples} secrets are few: below {FEW_SECRETS} the intervals say little.")
    if len(world.public) < FEW_PUBLIC:
        warnings.append(
            f"{len(world.public)} public images are few: with {FEW_PUBLIC} or more, learned attacks are much stronger."
        )
    return Estimate(low, high, memory, tuple(unprobed), tuple(warnings))
