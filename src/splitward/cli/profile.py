"""``splitward profile``: what a model costs, operation by operation and cut by cut."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

if TYPE_CHECKING:
    from rich.console import RenderableType

    from splitward.plan.costs import Costs
    from splitward.plan.profiles import Device

Option = typer.Option
Measure: TypeAlias = "Callable[[Costs, int, int], Costs]"
"""From costs, repetitions and threads to the costs with timings."""


def profile_command(
    model: Annotated[str, typer.Argument(metavar="M", help="Zoo name, module:factory, a .pt2 file or a folder.")],
    device: Annotated[
        str | None, Option("--device", help="Model the latency for this profile. [default: measure it here]")
    ] = None,
    out: Annotated[Path | None, Option("--out", help="Write the costs, for `splitward plan` and `calibrate`.")] = None,
    repetitions: Annotated[int, Option("--repetitions", help="Passes over the model.")] = 30,
    threads: Annotated[int, Option("--threads", help="0: all of this machine.")] = 1,
    input: Annotated[str | None, Option("--input", help="CxHxW of a model that declares none.")] = None,
    normalise: Annotated[str | None, Option("--normalise", help="MEAN:STD of a model that declares none.")] = None,
    trust: Annotated[bool, Option("--trust", help="Load a .pt2 file, which may run its author's code.")] = False,
    as_json: Annotated[bool, Option("--json", help="One JSON document on standard output, nothing else.")] = False,
) -> None:
    """Count operations, weights, bytes and memory of a model, and measure or model its latency."""
    import os

    from splitward.core.errors import UsageError
    from splitward.plan import costs as files
    from splitward.plan import profiles

    if threads < 0:
        raise UsageError(f"--threads {threads} is negative; write 1, or 0 for all.")
    chosen = profiles.device(device) if device else None
    found, measure = costs_of(model, input, normalise, trust)
    if chosen is None:
        found = measure(found, repetitions, threads or os.cpu_count() or 1)
    if out is not None:
        files.save(found, out)
    if as_json:
        typer.echo(_document(found, chosen))
    else:
        from rich.console import Console

        Console().print(render(found, chosen))


def costs_of(
    model: str, input: str | None, normalise: str | None, trust: bool, data: str | None = None
) -> tuple[Costs, Measure]:
    """The costs of a model as the command line names it, without timings, and what adds them.

    ``data``: what its weights were trained on, where records have to be of the same weights.
    """
    import torch

    from splitward.audit.world import weights_hash
    from splitward.models.zoo import load_model, parse_shape
    from splitward.split.costs import costs
    from splitward.split.cuts import Positions

    shape = parse_shape(input) if input else None
    victim = load_model(model, data=data, trust=trust, normalise=normalise, input=shape)
    pixels = torch.rand(1, *victim.input.shape, generator=torch.Generator().manual_seed(0))
    positions = Positions.of(victim.model, pixels)

    def measure(found: Costs, repetitions: int, threads: int) -> Costs:
        from splitward.split.measure import timed

        return timed(found, positions, pixels, repetitions, threads)

    found = costs(positions, model).model_copy(update={"weights_sha256": weights_hash(victim.model)})
    return found, measure


def _document(found: Costs, device: Device | None) -> str:
    import json

    from splitward.plan.latency import all_ms
    from splitward.plan.table import per_cut

    data = found.model_dump(mode="json")
    for operation, ms in zip(data["operations"], all_ms(found, device), strict=True):
        operation["latency_ms"] = ms
    data["latency_source"] = "modelled" if device else "measured"
    data["cut_costs"] = [vars(row) for row in per_cut(found, device)]
    return json.dumps(data, indent=1, allow_nan=False)


def render(found: Costs, device: Device | None) -> RenderableType:
    """The table: one row a cut."""
    from rich.box import SIMPLE
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    from splitward.plan import units
    from splitward.plan.table import per_cut

    said = f"modelled for {device.title}" if device else f"measured: {found.engine}, {found.threads} thread(s)"
    table = Table(title=f"{found.model}: {said}", title_justify="left", box=SIMPLE, pad_edge=False)
    table.add_column("cut after", no_wrap=True)
    for heading in ("Mflop", "weights", "ms (10-90 %)", "edge ms", "edge memory", "cloud memory", "sent"):
        table.add_column(heading, justify="right", overflow="fold")
    for row in per_cut(found, device):
        table.add_row(
            row.name, f"{row.flops / 1e6:.2f}", units.size(row.weight_bytes), f"{row.latency_ms:.3f} {row.spread}",
            f"{row.edge_ms:.2f}", units.size(row.edge_memory_bytes), units.size(row.cloud_memory_bytes),
            units.size(row.wire_bytes["float32"]), style="red" if row.refused else "",
        )  # fmt: skip
    total = sum(o.flops for o in found.operations)
    lines = [f"{total / 1e6:,.2f} million operations, {units.size(sum(found.weights.values()))} of weights, a sample."]
    return Group(table, *map(Text, lines))
