"""A plan as JSON, and the chosen cut as settings that ``splitward audit`` takes."""

from __future__ import annotations

import json
import math
from typing import Any

from splitward.plan import explain, uncertainty
from splitward.plan.choice import Plan, Row, next_to_audit
from splitward.plan.setting import CLOUD_ONLY, EDGE_ONLY

SCHEMA_VERSION = 1


def document(plan: Plan) -> dict[str, Any]:
    """The whole plan; infinite numbers are null. ``choice``: the name in ``cuts`` (with ``choice_defence``)."""
    setting, wanted, best = plan.setting, plan.wanted, plan.best
    limits = {
        "latency_ms": wanted.limits.latency_ms,
        "energy_mj": wanted.limits.energy_mj,
        "edge_memory_bytes": wanted.limits.edge_memory_bytes,
        "wire_bytes": wanted.limits.wire_bytes,
        "min_accuracy": wanted.min_accuracy,
        "max_excess": wanted.max_excess,
    }
    return {
        "schema_version": SCHEMA_VERSION,
        "model": setting.costs.model,
        "device": setting.device.title if setting.device else f"measured on {setting.costs.machine}",
        "cloud": setting.cloud.title if setting.cloud else f"measured on {setting.costs.machine}",
        "network": setting.network.title,
        "uplink_mbit_per_s": setting.uplink,
        "wire": setting.wire,
        "batch": setting.batch,
        "arrivals_per_s": setting.arrivals_per_s,
        "latency_source": {
            "edge": "modelled" if setting.device else "measured", "cloud": "modelled" if setting.cloud else "measured",
        },
        "cuts": [_row(row, setting.batch) for row in plan.rows],
        "choice": best.name if best else None,
        "choice_defence": best.defence if best else None,
        "objective": explain.objective_text(wanted.weights),
        "limits": {name: limit for name, limit in limits.items() if limit is not None},
        "proven": plan.solved and plan.solution.proven,
        "method": plan.solution.method if plan.solved else None,
        "believable": plan.believable,
        "certain": next_to_audit(plan) is None,
        "sentences": explain.sentences(plan),
        "flips": [vars(f) for f in uncertainty.flips(plan)],
        "sensitivity": [vars(s) | {"regret": _finite(s.regret)} for s in uncertainty.sensitivity(plan)],
        "constants": {name: q.model_dump() for name, q in setting.quantities().items()},
    }  # fmt: skip


def _row(row: Row, batch: int) -> dict[str, Any]:
    choice = row.choice
    found: dict[str, Any] = {
        "name": row.name, "defence": row.defence, "feasible": row.feasible, "reasons": list(row.reasons.values()),
        "accuracy": row.accuracy, "excess": row.excess, "excess_at_least": row.at_least,
        "audited": row.audited, "audit": row.basis, "front": row.front, "paper_advice": row.advice,
    }  # fmt: skip
    if choice is None:
        empty: dict[str, Any] = {"latency_ms": None, "energy_mj": None, "edge_memory_bytes": None, "wire_bytes": None}
        return found | empty
    return found | {
        "latency_ms": {
            "edge": choice.edge_ms, "transmission": choice.transmission_ms, "cloud": _finite(choice.cloud_ms),
        },
        "energy_mj": (
            None if math.isnan(choice.edge_mj) else {"edge": choice.edge_mj, "transmission": choice.transmission_mj}
        ),
        "edge_memory_bytes": choice.edge_memory_bytes,
        "wire_bytes": choice.wire_bytes,
        "throughput_per_s": 1e3 * batch / choice.bottleneck_ms if choice.bottleneck_ms else None,
        "usd_per_million": _finite(choice.usd * 1e6),
        "objective": _finite(row.value),
    }  # fmt: skip


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def audit_settings(plan: Plan, data: str | None) -> str:
    """The choice as an AUDIT.toml; a comment where there is nothing to audit."""
    best = plan.best
    heads = [f"# {text}" for text in explain.sentences(plan)[:2]]
    if best is None or best.name not in {c.name for c in plan.setting.costs.cuts}:
        alone = best is None or best.name in (EDGE_ONLY, CLOUD_ONLY)
        why = "there is no cut in it" if alone else "it cuts several branches at different depths"
        return "\n".join([*heads, f"# There is nothing to audit: {why}.", ""])
    lines = [f"model = {json.dumps(plan.setting.costs.model)}", f"at = {json.dumps([best.name])}"]
    if data:
        lines.insert(1, f"data = {json.dumps(data)}")
    if best.defence != "none":
        lines.append(f"defence = {json.dumps(best.defence.split('+'))}")
    if plan.wanted.max_excess is not None:
        lines.append(f"max_excess = {plan.wanted.max_excess}")
    if plan.wanted.min_accuracy is not None:
        lines.append(f"min_accuracy = {plan.wanted.min_accuracy}")
    return "\n".join([*heads, *lines, ""])
