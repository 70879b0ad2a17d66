"""``splitward cuts``: where a model can be cut, what crosses there, and what each side then holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

    from splitward.core.spec import TensorSpec
    from splitward.split import Cut

_MERE_RESHAPES = frozenset({
    "flatten", "view", "reshape", "transpose", "permute", "contiguous", "squeeze", "unsqueeze", "unflatten", "clone",
    "movedim", "dropout", "expand", "slice",
})  # fmt: skip
"""Operators after which the same numbers cross: shown dim."""


def cuts_command(
    model: Annotated[str, typer.Argument(metavar="M", help="Zoo name, module:factory, a .pt2 file or a folder.")],
    input: Annotated[str | None, typer.Option("--input", help="CxHxW of a model that declares none.")] = None,
    normalise: Annotated[
        str | None, typer.Option("--normalise", help="MEAN:STD of a model that declares none.")
    ] = None,
    trust: Annotated[bool, typer.Option("--trust", help="Load a .pt2 file, which may run its author's code.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON document on standard output, nothing else.")
    ] = False,
) -> None:
    """List every place where a model can be cut, what crosses there, and the edge's share of the work."""
    import torch

    from splitward.models.zoo import load_model, parse_shape
    from splitward.split import cuts

    victim = load_model(model, trust=trust, normalise=normalise, input=parse_shape(input) if input else None)
    found = cuts(victim.model, torch.rand(1, *victim.input.shape, generator=torch.Generator().manual_seed(0)))
    if as_json:
        _print_json(model, victim.input, found)
        return
    from rich.console import Console

    Console().print(render(model, victim.input, found))


def _print_json(model: str, spec: TensorSpec, found: Sequence[Cut]) -> None:
    import dataclasses
    import json

    document = {
        "model": model,
        "input": dataclasses.asdict(spec),
        "cuts": [dataclasses.asdict(cut) for cut in found],
    }
    typer.echo(json.dumps(document, indent=1, allow_nan=False))


def render(model: str, spec: TensorSpec, found: Sequence[Cut]) -> RenderableType:
    """The table, readable at 100 columns: bold where less crosses than at every cut before, dim where the same
    numbers cross in another shape."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    title = f"{model}, input {spec} ({spec.bytes_per_sample:,} bytes)"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    longest = min(max((len(cut.name) for cut in found), default=0), 42)
    table.add_column("cut after", overflow="fold", min_width=longest)  # a name is to be copied: in one piece
    table.add_column("what crosses, for one sample", overflow="fold", max_width=67 - longest)
    for heading in ("bytes", "ops on\nthe edge", "params on\nthe edge"):
        table.add_column(heading, justify="right", no_wrap=True)
    least: float = float("inf")
    for cut in found:
        style = "dim" if cut.operation in _MERE_RESHAPES else ""
        if not cut.refused and cut.bytes_per_sample < least:
            least, style = cut.bytes_per_sample, "bold"
        share = (_share(cut.edge_flops, cut.total_flops), _share(cut.edge_parameters, cut.total_parameters))
        row = (_crossing(cut), f"{cut.bytes_per_sample:,}", *share)
        table.add_row(Text(cut.name), *row, style="red" if cut.refused else style)
    return Group(table, Text(), *_legend(found))


def _crossing(cut: Cut) -> Text:
    """``2 × 17x32, 17x64``; types only where they are not float32."""
    from rich.text import Text

    if cut.leaks_input:
        return Text("refused: the raw input itself")
    if cut.refused:
        return Text(f"refused: {cut.refused}")
    counted: dict[str, int] = {}
    for tensor in cut.activation:
        shape = "x".join(map(str, tensor.shape)) or "one number"
        name = shape if tensor.dtype == "float32" else f"{shape} {tensor.dtype}"
        counted[name] = counted.get(name, 0) + 1
    return Text(", ".join(name if n == 1 else f"{n} × {name}" for name, n in counted.items()))


def _share(part: int, whole: int) -> str:
    """A share in per cent that is 0 or 100 only where it is exactly that."""
    if not whole:
        return "–"
    share = 100 * part / whole
    if 0 < share < 0.1 or 99.9 < share < 100:
        return "<0.1 %" if share < 1 else ">99.9 %"
    return f"{share:.1f} %"


def _legend(found: Sequence[Cut]) -> list[Text]:
    from rich.text import Text

    if not found:
        return [Text("There is no place to cut: the model computes nothing from its input.")]
    last = found[-1]
    lines = [
        Text(f"{last.total_flops / 1e6:,.2f} million operations a sample, {last.total_parameters:,} parameters. "),
        Text.from_markup("float32 unless another type is named. ")
        + Text("Bold", style="bold")
        + Text(": less crosses than at every cut before. ")
        + Text("Dim", style="dim")
        + Text(": the same numbers in another shape."),
    ]
    refused = [cut for cut in found if cut.leaks_input]
    if refused:
        lines.append(Text(f"{len(refused)} of {len(found)} refused: {refused[0].refused}", style="red"))
    return lines
