"""From costs and profiles to numbers: the problem that is solved."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from statistics import NormalDist

from splitward.core.errors import UsageError
from splitward.plan.costs import BYTES, Costs
from splitward.plan.latency import all_ms
from splitward.plan.problem import Crossing, Problem, mask, members
from splitward.plan.profiles import Device, Network, Quantity

CLOUD_ONLY, EDGE_ONLY = "cloud-only", "edge-only"


@dataclass(frozen=True)
class Setting:
    """Where the model is to run. ``device`` or ``cloud`` None: as measured in the costs.

    ``wire``: data type of what crosses; the image of cloud-only is sent as 8-bit pixels, the result as float32.
    ``count_tail``: the radio's tail is paid for every inference. ``uplink_mbit_per_s`` replaces the network's.
    """

    costs: Costs
    device: Device | None
    cloud: Device | None
    network: Network
    wire: str = "float32"
    batch: int = 1
    arrivals_per_s: float = 0.0
    count_tail: bool = False
    uplink_mbit_per_s: float | None = None
    round_trip_ms: float | None = None

    @property
    def uplink(self) -> float:
        """Mbit/s, before lost packets are sent again."""
        return self.uplink_mbit_per_s or self.network.uplink_mbit_per_s.value

    @property
    def knows_energy(self) -> bool:
        """Whether the device's power is known."""
        return self.device is not None and self.device.active_w is not None

    @property
    def knows_price(self) -> bool:
        """Whether the cloud's price is known."""
        return self.cloud is not None and self.cloud.usd_per_hour is not None

    def problem(self) -> Problem:
        """The numbers. Raises UsageError where a profile cannot give them."""
        costs, link, each = self.costs, self.network, BYTES[self.wire] * self.batch
        edge = all_ms(costs, self.device, self.batch)
        watt = _value(self.device.active_w) if self.device else 0.0
        down = link.downlink_mbit_per_s.value
        if self.uplink <= 0 or down <= 0:
            raise UsageError(f"the network {link.title!r} has no bandwidth; it must be above 0.")
        kept = 1 - min(_value(link.loss), 0.99)
        tail = _value(link.tail_mj) if self.count_tail else 0.0
        cloud = self.cloud
        names = list(costs.weights)
        index = {name: i for i, name in enumerate(names)}
        number = math.prod(costs.input)
        return Problem(
            edge_ms=tuple(edge),
            cloud_ms=tuple(all_ms(costs, cloud, self.batch)),
            edge_mj=tuple(ms * watt for ms in edge),
            crossings=self._crossings(each),
            input_bytes=number * self.batch,
            result_bytes=sum(4 * v.elements for v in costs.values if v.output) * self.batch,
            round_trip_ms=link.round_trip_ms.value if self.round_trip_ms is None else self.round_trip_ms,
            up_ms_per_byte=8e-3 / (self.uplink * kept),
            down_ms_per_byte=8e-3 / (down * kept),
            up_mj_per_byte=_radio(self.uplink, link.uplink_mw_per_mbit_per_s, link.base_mw) / kept,
            down_mj_per_byte=_radio(down, link.downlink_mw_per_mbit_per_s, link.base_mw) / kept,
            message_mj=tail,
            usd_per_cloud_ms=_value(cloud.usd_per_hour) / 3.6e6 / self.batch if cloud else 0.0,
            usd_per_byte=_value(link.usd_per_gb) / 1e9 / self.batch,
            arrivals_per_ms=self.arrivals_per_s / 1e3 / self.batch,
            weights=tuple(tuple(index[w] for w in o.weights) for o in costs.operations),
            weight_bytes=tuple(costs.weights[name] for name in names),
            scratch_bytes=tuple(o.scratch_bytes * self.batch for o in costs.operations),
            held_bytes=2 * 4 * number * self.batch,  # the pixels, and the pixels normalised
            exact_bytes={
                mask(range(c.last + 1)): c.elements * each
                for c in costs.cuts
                if not c.refused and c.last + 1 < len(costs.operations)
            },
        )

    def _crossings(self, each: int) -> tuple[Crossing, ...]:
        return tuple(
            Crossing(
                v.producer,
                v.consumers,
                v.elements * each,
                output=v.output,
                forbidden=v.raw or bool(v.refused),
                memory=v.bytes * self.batch,
                storage=v.storage,
            )
            for v in self.costs.values
        )

    def with_uplink(self, mbit_per_s: float) -> Setting:
        """The same on a link of another bandwidth."""
        return replace(self, uplink_mbit_per_s=mbit_per_s)

    def name(self, chosen: int) -> str:
        """A choice's name: that of its cut, or of the operations that send something, joined by ``+``."""
        operations = self.costs.operations
        if not chosen or chosen + 1 == 1 << len(operations):
            return EDGE_ONLY if chosen else CLOUD_ONLY
        named = {mask(range(c.last + 1)): c.name for c in self.costs.cuts}
        if chosen in named:
            return named[chosen]
        sending = {c.producer for c in self.costs.values if c.output or any(not chosen >> v & 1 for v in c.consumers)}
        return "+".join(operations[v].name for v in members(chosen) if v in sending)

    def quantities(self) -> dict[str, Quantity]:
        """Every constant with its source."""
        parts = {"device": self.device, "cloud": self.cloud, "network": self.network}
        return {f"{part}.{n}": q for part, p in parts.items() if p for n, q in p.quantities().items()}


def _value(quantity: Quantity | None) -> float:
    return quantity.value if quantity else 0.0


def _radio(mbit: float, slope: Quantity, base: Quantity) -> float:
    """Millijoules a byte: (base + slope * rate) milliwatts for 8 bits at the rate."""
    return (base.value + slope.value * mbit) * 8e-6 / mbit


def effective_uplink(network: Network, trace: list[float] | None, percentile: float | None) -> float | None:
    """The bandwidth to plan for, in Mbit/s; None: the network's own.

    A choice's latency and energy are linear in 1 / bandwidth. So its mean over a trace is its value at the trace's
    harmonic mean, and what it keeps in ``percentile`` % of cases its value at the bandwidth exceeded in as many.
    Without a trace the bandwidth is lognormal around the profile's value, with the profile's ``spread``.
    """
    if percentile is not None and not 0 < percentile < 100:
        raise UsageError(f"--percentile {percentile:g} lies outside 0 to 100; write for example 95.")
    if trace:
        if percentile is None:
            return len(trace) / sum(1 / b for b in trace)
        return sorted(trace)[min(int(len(trace) * (1 - percentile / 100)), len(trace) - 1)]
    if percentile is None:
        return None
    spread = _value(network.spread)
    if not spread:
        raise UsageError(f"--percentile needs a trace or a spread, and the network {network.title!r} has none.")
    return network.uplink_mbit_per_s.value * math.exp(-spread * NormalDist().inv_cdf(percentile / 100))
