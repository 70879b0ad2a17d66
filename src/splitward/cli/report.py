"""``splitward report``: one self-contained HTML file from a run folder, without torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report_command(
    run: Annotated[Path, typer.Argument(help="A run folder, or a folder of run folders (a sweep).")],
    output: Annotated[Path | None, typer.Option("-o", "--output", help="The file; RUN/report.html by default.")] = None,
) -> None:
    """Render the report of a run: one HTML file that needs no network."""
    from splitward.report.html import render

    path = render(run, output or run / "report.html")
    typer.echo(f"{path} ({path.stat().st_size / 1e6:.1f} MB)")
