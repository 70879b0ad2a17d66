"""How long an operation takes on a device: modelled from its profile, or as it was measured."""

from __future__ import annotations

import math

from splitward.core.errors import UsageError
from splitward.plan.costs import Costs, Operation
from splitward.plan.profiles import Device, Fit, Quantity

MEASURED = "measured"
"""In place of a device's name: the timings in the cost file."""


def features(operation: Operation, costs: Costs) -> dict[str, float]:
    """What the latency of an operation is explained by, for one sample."""
    return {
        "flops": operation.flops,
        "input_bytes": operation.input_bytes,
        "output_bytes": operation.output_bytes,
        "weight_bytes": sum(costs.weights[w] for w in operation.weights),
    }


def modelled_ms(operation: Operation, costs: Costs, device: Device, batch: int = 1) -> float:
    """Milliseconds for ``batch`` samples by the device's profile; weights are read once for all of them.

    Raises UsageError where the profile says nothing of its kind.
    """
    if operation.kind == "view":
        return 0.0
    found = features(operation, costs)
    if operation.kind in device.fits:
        scaled = {k: v if k == "weight_bytes" else v * batch for k, v in found.items()}
        return predict(device.fits[operation.kind], scaled)
    memory = device.memory_gb_per_s
    rates: dict[str, Quantity] = dict(device.gflop_per_s)  # type: ignore[arg-type]
    rate = rates.get(operation.kind) or rates.get("convolution")
    if not (rate and rate.value) and not (memory and memory.value):
        raise UsageError(
            f"the profile {device.title!r} has no fit, rate or memory bandwidth for operations of the kind "
            f"{operation.kind}, as {operation.name} is; add one of them."
        )
    compute = batch * found["flops"] / (rate.value * 1e6) if rate and rate.value else 0.0
    moved = found["weight_bytes"]
    if operation.flops:  # element-wise operators are fused with what feeds them: kernels of inference engines do that
        moved += batch * (found["input_bytes"] + found["output_bytes"])
    transfer = moved / (memory.value * 1e6) if memory and memory.value else 0.0
    return (device.overhead_ms.value if device.overhead_ms else 0.0) + max(compute, transfer)


def predict(fit: Fit, found: dict[str, float]) -> float:
    """Milliseconds by a regression; never below zero."""
    constant, *slopes = fit.coefficients
    values = [found[name] for name in fit.features]
    if fit.form == "logarithmic":
        return math.exp(constant + sum(s * math.log1p(v) for s, v in zip(slopes, values, strict=True)))
    return max(0.0, constant + sum(s * v for s, v in zip(slopes, values, strict=True)))


def all_ms(costs: Costs, device: Device | None, batch: int = 1) -> list[float]:
    """Milliseconds of every operation; ``device`` None: as measured. Raises UsageError where nothing was."""
    if device is not None:
        return [modelled_ms(o, costs, device, batch) for o in costs.operations]
    if not costs.measured:
        raise UsageError(
            f"the costs of {costs.model} hold no timings; measure with `splitward profile --out`, or name a device."
        )
    if batch > 1:
        raise UsageError("timings were taken for one sample at a time; leave --batch away, or name a device.")
    return [o.timing.median_ms if o.timing else 0.0 for o in costs.operations]
