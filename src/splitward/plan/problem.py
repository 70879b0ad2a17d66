"""The choice as numbers: what every operation costs on either side, what crosses, and what a choice comes to."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

Objective = Literal["latency", "energy", "throughput", "money"]


@dataclass(frozen=True)
class Crossing:
    """A tensor that is paid once where its producer is on the edge and any consumer is not.

    ``output``: the model returns it; the cloud needs it too unless everything is on the edge. ``forbidden``: the raw
    input, or what the wire does not carry.
    """

    producer: int
    consumers: tuple[int, ...]
    bytes: float
    output: bool = False
    forbidden: bool = False
    memory: int = 0
    storage: int = 0

    def leaves(self, held: list[bool]) -> bool:
        """Whether somebody else than these operations needs it."""
        return (self.output and self.producer >= 0) or not all(held[v] for v in self.consumers)


@dataclass(frozen=True)
class Problem:
    """Everything in milliseconds, millijoules, bytes, for one batch; dollars for one inference.

    ``crossings``: in them operations are numbered in an order in which they can run. Cloud-only sends ``input_bytes``;
    unless everything is on the edge, ``result_bytes`` come back and one round trip is waited for. Energy counts what
    the device takes above idle. ``arrivals_per_ms``: batches that reach the cloud from all devices, whose halves it
    works off one by one: the mean wait is that of an M/D/1 queue, rho * service / (2 (1 - rho)).
    """

    edge_ms: tuple[float, ...]
    cloud_ms: tuple[float, ...]
    edge_mj: tuple[float, ...]
    crossings: tuple[Crossing, ...]
    input_bytes: float
    result_bytes: float = 0.0
    round_trip_ms: float = 0.0
    up_ms_per_byte: float = 0.0
    down_ms_per_byte: float = 0.0
    up_mj_per_byte: float = 0.0
    down_mj_per_byte: float = 0.0
    message_mj: float = 0.0
    usd_per_cloud_ms: float = 0.0
    usd_per_byte: float = 0.0
    arrivals_per_ms: float = 0.0
    weights: tuple[tuple[int, ...], ...] = ()  # of each operation: indices into weight_bytes
    weight_bytes: tuple[int, ...] = ()
    scratch_bytes: tuple[int, ...] = ()
    held_bytes: int = 0  # of the input, on the edge
    exact_bytes: dict[int, float] = field(default_factory=dict, hash=False)  # closed set -> what crosses

    @property
    def size(self) -> int:
        """How many operations there are."""
        return len(self.edge_ms)

    @property
    def everything(self) -> int:
        """The set that is all on the edge. Sets are bit masks: bit ``i`` is operation ``i``."""
        return (1 << self.size) - 1

    @cached_property
    def needs(self) -> tuple[int, ...]:
        """Of each operation, the operations that it takes values from, as a set."""
        needs = [0] * self.size
        for crossing in self.crossings:
            if crossing.producer >= 0:
                for consumer in crossing.consumers:
                    needs[consumer] |= 1 << crossing.producer
        return tuple(needs)

    def closed(self, chosen: int) -> bool:
        """Whether nothing on the edge needs what is computed on the cloud."""
        return all(not (self.needs[v] & ~chosen) for v in members(chosen))

    def sent(self, chosen: int) -> list[Crossing]:
        """What crosses for a choice, cloud-only apart."""
        if chosen == self.everything:
            return []
        held = flags(chosen, self.size)
        return [c for c in self.crossings if (c.producer < 0 or held[c.producer]) and c.leaves(held)]

    def refused(self, chosen: int) -> bool:
        """Whether the raw input, or what the wire does not carry, would cross; cloud-only sends the input by design."""
        return chosen != 0 and any(c.forbidden for c in self.sent(chosen))

    def evaluate(self, chosen: int) -> Choice:
        """What a closed set on the edge comes to."""
        rest = self.everything & ~chosen
        return self.choice(
            chosen,
            sum(self.edge_ms[v] for v in members(chosen)),
            sum(self.cloud_ms[v] for v in members(rest)),
            sum(self.edge_mj[v] for v in members(chosen)),
            sum(c.bytes for c in self.sent(chosen)),
            self.memory(chosen),
        )

    def choice(
        self, chosen: int, edge_ms: float, cloud_ms: float, edge_mj: float, crossing: float, memory: int = 0
    ) -> Choice:
        """A choice from its sums; ``crossing``: bytes of what crosses by ``crossings``."""
        alone = chosen == self.everything
        up = 0.0 if alone else self.input_bytes if chosen == 0 else self.exact_bytes.get(chosen, crossing)
        down = 0.0 if alone else self.result_bytes
        transmission = up * self.up_ms_per_byte + down * self.down_ms_per_byte
        radio = up * self.up_mj_per_byte + down * self.down_mj_per_byte
        return Choice(
            edge=chosen,
            edge_ms=edge_ms,
            transmission_ms=transmission + (0.0 if alone else self.round_trip_ms),
            cloud_ms=cloud_ms + _wait(cloud_ms, self.arrivals_per_ms),
            edge_mj=edge_mj,
            transmission_mj=radio + (0.0 if alone else self.message_mj),
            wire_bytes=up,
            edge_memory_bytes=memory,
            usd=cloud_ms * self.usd_per_cloud_ms + (up + down) * self.usd_per_byte,
            link_ms=transmission,
            busy_ms=cloud_ms,
        )

    def weights_of(self, chosen: int) -> int:
        """Bytes of the weights that a set needs; shared ones once."""
        if not self.weights:
            return 0
        return sum(self.weight_bytes[w] for w in {w for v in members(chosen) for w in self.weights[v]})

    def memory(self, chosen: int) -> int:
        """Peak bytes on the edge: weights, the input, and the tensors that are alive at the fullest moment."""
        return self._peak(chosen) + self.weights_of(chosen) + (self.held_bytes if chosen else 0)

    def cloud_memory(self, chosen: int) -> int:
        """The same for the other side; what was received is held throughout."""
        rest = self.everything & ~chosen
        received = sum(c.memory for c in self.sent(chosen)) if chosen else self.held_bytes
        return self._peak(rest) + self.weights_of(rest) + (received if rest else 0)

    @cached_property
    def _owners(self) -> dict[int, int]:
        """Of each storage, the operation that allocates it (-1: it is the input's)."""
        owners: dict[int, int] = {}
        for c in self.crossings:
            owners.setdefault(c.storage, c.producer)
        return owners

    def _peak(self, inside: int) -> int:
        """The most bytes alive at once while one side runs: its own tensors until their last use, what leaves to the
        end. What it was handed is counted by the caller."""
        made: dict[int, list[Crossing]] = {}
        ends: dict[int, float] = {}
        held = flags(inside, self.size)
        for c in self.crossings:
            owner = self._owners[c.storage]
            if owner >= 0 and held[owner] and held[c.producer]:
                made.setdefault(c.producer, []).append(c)
                end = math.inf if c.leaves(held) else max(c.consumers, default=c.producer)
                ends[c.storage] = max(ends.get(c.storage, -1), end)
        alive: dict[int, int] = {}
        total = peak = 0
        finished: dict[float, list[int]] = {}
        for storage, end in ends.items():
            finished.setdefault(end, []).append(storage)
        for v in members(inside):
            for c in made.get(v, ()):
                if c.storage not in alive:
                    alive[c.storage] = c.memory
                    total += c.memory
            peak = max(peak, total + (self.scratch_bytes[v] if self.scratch_bytes else 0))
            total -= sum(alive[s] for s in finished.get(v, ()) if s in alive)
        return peak


def members(chosen: int) -> list[int]:
    """The operations in a set, in order.

    >>> members(0b1101)
    [0, 2, 3]
    """
    return [v for v, bit in enumerate(bin(chosen)[:1:-1]) if bit == "1"]


def mask(operations: Iterable[int]) -> int:
    """The set of these operations.

    >>> mask([0, 2, 3])
    13
    """
    chosen = 0
    for v in operations:
        chosen |= 1 << v
    return chosen


def flags(chosen: int, size: int) -> list[bool]:
    """For each operation whether it is in the set."""
    return [bit == "1" for bit in f"{chosen:0{size}b}"[::-1]]


def _wait(service: float, arrivals: float) -> float:
    load = service * arrivals
    if load >= 1:
        return math.inf
    return load * service / (2 * (1 - load))


@dataclass(frozen=True)
class Choice:
    """What one closed set of operations on the edge comes to. ``link_ms``: without the round trip's delay."""

    edge: int
    edge_ms: float
    transmission_ms: float
    cloud_ms: float
    edge_mj: float
    transmission_mj: float
    wire_bytes: float
    edge_memory_bytes: int
    usd: float
    link_ms: float
    busy_ms: float

    @property
    def latency_ms(self) -> float:
        """End to end."""
        return self.edge_ms + self.transmission_ms + self.cloud_ms

    @property
    def energy_mj(self) -> float:
        """On the device, above idle."""
        return self.edge_mj + self.transmission_mj

    @property
    def bottleneck_ms(self) -> float:
        """The slowest stage of a pipeline: edge, link, cloud. Its inverse is the throughput."""
        return max(self.edge_ms, self.link_ms, self.busy_ms)

    def objective(self, weights: Weights) -> float:
        """What is minimised."""
        value = 0.0
        for name, factor in weights.items():
            value += (
                factor
                * {
                    "latency": self.latency_ms,
                    "energy": self.energy_mj,
                    "throughput": self.bottleneck_ms,
                    "money": self.usd * 1e6,
                }[name]
            )
        return value


Weights = dict[Objective, float]
"""Of latency in ms, energy in mJ, the pipeline's slowest stage in ms, dollars a million inferences."""


@dataclass(frozen=True)
class Limits:
    """Upper limits; None: there is none."""

    latency_ms: float | None = None
    energy_mj: float | None = None
    edge_memory_bytes: float | None = None
    wire_bytes: float | None = None

    def excess(self, choice: Choice) -> dict[str, tuple[float, float]]:
        """What a choice breaks: the limit's name, the value and the limit."""
        found: dict[str, tuple[float, float]] = {}
        for name in ("latency_ms", "energy_mj", "edge_memory_bytes", "wire_bytes"):
            limit = getattr(self, name)
            value = getattr(choice, name)
            if limit is not None and value > limit * (1 + 1e-12):
                found[name] = (value, limit)
        if math.isinf(choice.cloud_ms):
            found["cloud"] = (math.inf, math.inf)
        return found
