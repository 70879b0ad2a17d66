"""``splitward compare``: what got better or worse between two runs, as a table and as a gate. Without torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from splitward.record.compare import Comparison

COLOURS = {"better": "green", "worse": "red", "changed": "yellow", "same": "dim", "": "default"}


def compare_command(
    first: Annotated[Path, typer.Argument(metavar="RUN", help="The run before: a run folder, or a sweep's folder.")],
    second: Annotated[Path, typer.Argument(metavar="RUN", help="The run after.")],
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON document on standard output, nothing else.")
    ] = False,
) -> int:
    """Say in one table what got better or worse between two runs.

    Exit status: 0 no worse; 1 the second leaks more beyond the intervals, or lost its verdict; 2 wrong input.
    """
    from splitward.record.compare import compare, match
    from splitward.record.store import load, runs_in

    runs = [[load(folder) for folder in runs_in(path)] for path in (first, second)]
    found = [compare(a, b) for a, b in match(*runs)]
    if as_json:
        _print_json(found)
    else:
        _print_tables(found)
    return int(any(c.worse for c in found))


def _print_json(found: list[Comparison]) -> None:
    import dataclasses
    import json

    document = {"worse": any(c.worse for c in found), "comparisons": [dataclasses.asdict(c) for c in found]}
    typer.echo(json.dumps(document, indent=1, allow_nan=False))


def _print_tables(found: list[Comparison]) -> None:
    from rich.console import Console
    from rich.markup import escape

    console = Console()
    for comparison in found:
        console.print(_table(comparison))
        for note in comparison.notes:
            console.print(f"  [yellow]![/] {escape(note)}", highlight=False)
        console.print(f"  [bold]{escape(comparison.sentence)}[/]\n", highlight=False)


def _table(comparison: Comparison) -> Table:
    from rich.markup import escape
    from rich.table import Table

    same = comparison.first == comparison.second
    title = comparison.first if same else f"{comparison.first}  →  {comparison.second}"
    table = Table(title=escape(title), title_justify="left")
    table.add_column("", no_wrap=True)
    for heading in ("before", "after", "change"):
        table.add_column(heading, justify="right", overflow="fold")
    table.add_column("")
    for row in comparison.rows:
        change = "" if row.change is None else f"{row.change:+.3f}"
        colour = COLOURS[row.judgement]
        cells = [escape(_cell(value)) for value in (row.name, row.before, row.after)]
        table.add_row(*cells, change, f"[{colour}]{row.judgement}[/]")
    return table


def _cell(value: float | str | None) -> str:
    return "–" if value is None else f"{value:.3f}" if isinstance(value, float) else value
