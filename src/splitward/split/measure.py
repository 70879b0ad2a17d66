"""What an operation takes on this machine: latency node by node, and the memory that the allocator hands out."""

from __future__ import annotations

import contextlib
import os
import platform
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn
from torch.fx.node import map_aggregate
from torch.profiler import ProfilerActivity, profile, record_function

from splitward.core.errors import UsageError
from splitward.plan.costs import Costs, Timing
from splitward.split.costs import positions_of
from splitward.split.cuts import Positions
from splitward.split.flow import Flow


@contextlib.contextmanager
def threads(number: int) -> Iterator[None]:
    """Run on so many threads, and put it back."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def timed(costs: Costs, positions: Positions, pixels: Tensor, repetitions: int = 30, number: int = 1) -> Costs:
    """The costs with the median and the spread of every operation's latency, one sample at a time, eager.

    ``pixels``: one sample (1, ...) of what the model takes. The normalisation counts to the first operation. Each
    repetition runs the whole graph once, so that caches are as cold as in use; the first two are not counted.
    """
    if repetitions < 3:
        raise UsageError(f"{repetitions} repetitions have no spread; ask for 3 or more.")
    flow = Flow(positions.program)
    runs: dict[int, list[float]] = defaultdict(list)
    with threads(number), torch.inference_mode():
        for repetition in range(repetitions + 2):
            sums = _run(positions, flow, pixels)
            if repetition >= 2:
                for position, seconds in sums.items():
                    runs[position].append(1e3 * seconds)
        scratch = _scratch(positions, flow, pixels)
    operations = tuple(
        operation.model_copy(update={"timing": _timing(runs[position]), "scratch_bytes": scratch.get(position, 0)})
        for position, operation in enumerate(costs.operations)
    )
    machine = platform.processor() or platform.machine()
    return costs.model_copy(
        update={
            "operations": operations, "engine": f"torch {torch.__version__}, eager", "machine": machine,
            "threads": number,
        }
    )  # fmt: skip


def _run(
    positions: Positions, flow: Flow, pixels: Tensor, named: Callable[[int], record_function] | None = None
) -> dict[int, float]:
    """One pass over the graph: seconds of each position. Values are dropped after their last use, as in a half."""
    program, clock = positions.program, time.perf_counter
    where = positions_of(flow)
    sums: dict[int, float] = defaultdict(float)
    start = clock()
    env: dict[fx.Node, Any] = {program.input: positions.normalise(pixels)}
    sums[0] += clock() - start
    left = {node: len(node.users) for node in program.graph.nodes}
    for node in program.graph.nodes:
        if node.op == "get_attr":
            env[node] = program.tensors[str(node.target)]
        elif node.op in ("call_function", "call_module"):
            args, kwargs = map_aggregate((node.args, node.kwargs), lambda a: env[a] if isinstance(a, fx.Node) else a)
            target = program.modules[str(node.target)] if node.op == "call_module" else node.target
            position = where.get(node, 0)
            with named(position) if named else contextlib.nullcontext():
                start = clock()
                env[node] = target(*args, **kwargs)
                sums[position] += clock() - start
            del args, kwargs
        for source in node.all_input_nodes:
            left[source] -= 1
            if not left[source]:
                del env[source]
    return sums


def _timing(values: list[float]) -> Timing:
    low, median, high = (float(np.percentile(values, p)) for p in (10, 50, 90))
    return Timing(median_ms=median, low_ms=low, high_ms=high, repetitions=len(values))


def _scratch(positions: Positions, flow: Flow, pixels: Tensor) -> dict[int, int]:
    """Of each position, the most bytes that it held beyond its results: workspaces, reordered copies, indices."""
    with _allocations() as seen:
        _run(positions, flow, pixels, lambda position: record_function(f"{_MARK}{position}"))
    events = _events(seen)
    spans = sorted(
        (e.start_ns(), e.end_ns(), int(e.name()[len(_MARK) :])) for e in events if e.name().startswith(_MARK)
    )
    changes = [(e.start_ns(), e.nbytes()) for e in events if e.name() == "[memory]"]
    found: dict[int, int] = defaultdict(int)
    for start, end, position in spans:
        held = peak = 0
        for _, size in sorted(c for c in changes if start <= c[0] <= end):
            held += size
            peak = max(peak, held)
        found[position] = max(found[position], peak - max(held, 0))
    return found


_MARK = "splitward position "


@contextlib.contextmanager
def _allocations() -> Iterator[profile]:
    """Everything that torch's CPU allocator does."""
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        yield seen


def _events(seen: profile) -> list[Any]:
    assert seen.profiler is not None
    assert seen.profiler.kineto_results is not None
    return list(seen.profiler.kineto_results.events())


def peak_bytes(module: nn.Module, *inputs: Any) -> int:
    """The most that torch's CPU allocator had handed out at once while ``module`` ran, beyond what it held before."""
    with torch.inference_mode():
        module(*inputs)
        with _allocations() as seen:
            result = module(*inputs)
    del result
    held = peak = 0
    events = [e for e in _events(seen) if e.name() == "[memory]"]
    for event in sorted(events, key=lambda e: e.start_ns()):
        held += event.nbytes()
        peak = max(peak, held)
    return peak
