"""Cut by cut, what both sides hold: the table of ``splitward profile``."""

from __future__ import annotations

from dataclasses import dataclass

from splitward.plan.costs import BYTES, Costs
from splitward.plan.latency import all_ms
from splitward.plan.problem import mask
from splitward.plan.profiles import Device, network
from splitward.plan.setting import Setting


@dataclass(frozen=True)
class CutRow:
    """``flops``, ``weight_bytes``, ``latency_ms``, ``spread``: of the last operation on the edge."""

    name: str
    kind: str
    flops: int
    weight_bytes: int
    latency_ms: float
    spread: str
    edge_flops: int
    edge_weight_bytes: int
    edge_ms: float
    cloud_ms: float
    edge_memory_bytes: int
    cloud_memory_bytes: int
    wire_bytes: dict[str, int]
    refused: str


def per_cut(costs: Costs, device: Device | None) -> list[CutRow]:
    """One row a named cut. ``device`` None: as measured."""
    problem = Setting(costs, device, device, network("ethernet")).problem()
    each = all_ms(costs, device)
    found = []
    for cut in costs.cuts:
        last, chosen = costs.operations[cut.last], mask(range(cut.last + 1))
        timing = last.timing if device is None else None
        found.append(
            CutRow(
                cut.name,
                last.kind,
                last.flops,
                sum(costs.weights[w] for w in last.weights),
                each[cut.last],
                f"({timing.low_ms:.3f}-{timing.high_ms:.3f})" if timing else "",
                sum(o.flops for o in costs.operations[: cut.last + 1]),
                problem.weights_of(chosen),
                sum(each[: cut.last + 1]),
                sum(each[cut.last + 1 :]),
                problem.memory(chosen),
                problem.cloud_memory(chosen),
                {name: cut.elements * size for name, size in BYTES.items()},
                cut.refused,
            )
        )
    return found
