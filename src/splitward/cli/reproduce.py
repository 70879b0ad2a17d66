"""``splitward reproduce``: the papers' tables and figures, beside their published numbers."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

Option = typer.Option


def reproduce_command(
    target: Annotated[
        list[str] | None, typer.Argument(metavar="[TARGET]...", help="table-3, figure-9, ..., or all. [default: all]")
    ] = None,
    without: Annotated[list[str] | None, Option("--without", help="A target that is left out.")] = None,
    data: Annotated[list[str] | None, Option("--data", help="mnist or cifar10; both where none is named.")] = None,
    scale: Annotated[str, Option("--scale", help="quick, or full: the papers' own size.")] = "quick",
    out: Annotated[Path, Option("--out", help="Folder; audits that are there are not run again.")] = Path(
        "runs/reproduction"
    ),
    data_dir: Annotated[Path | None, Option("--data-dir", help="Where data sets lie. [env: SPLITWARD_DATA]")] = None,
    workers: Annotated[
        int | None, Option("--workers", help="Audits at a time. [default: one a processor, 4 at most; 1 on a GPU]")
    ] = None,
    as_json: Annotated[bool, Option("--json", help="One JSON document on standard output, nothing else.")] = False,
) -> int:
    """Reproduce the papers' tables and figures, and give a verdict for every claim."""
    from splitward.cli.progress import Bars, audits_at_once
    from splitward.core.errors import UsageError
    from splitward.reproduce.need import DATA
    from splitward.reproduce.run import PAGE, reproduce
    from splitward.reproduce.scales import scale_named
    from splitward.reproduce.target import choose

    sized, chosen = scale_named(scale), choose(target or [], without or [])
    for name in data or ():
        if name not in DATA:
            raise UsageError(f"there is no data set {name!r} in the papers: it is one of {', '.join(DATA)}.")

    if workers is not None and workers < 1:
        raise UsageError(f"--workers {workers} is below 1; write for example 2.")

    def say(text: str) -> None:
        if not as_json or sys.stderr.isatty():
            typer.echo(f"splitward: {text}", err=True)

    command = shlex.join(["splitward", *sys.argv[1:]])
    with Bars() as progress:
        document = reproduce(
            chosen, sized, out, data or DATA, data_dir, progress, command, say, workers or audits_at_once()
        )
    if as_json:
        typer.echo(json.dumps(document, indent=1))
    else:
        _print(document, out / PAGE)
    return 0


def _print(document: dict[str, Any], page: Path) -> None:
    for name, target in document["targets"].items():
        typer.echo(
            f"{name:<10} {target['status']:<9} {target['audits']:>3}/{target['audits_due']:<3} {target['title']}"
        )
    typer.echo("")
    for claim in document["claims"]:
        typer.echo(f"{claim['verdict']}: {claim['claim']} ({claim['section']})")
    typer.echo(f"\nThe page: {page}")
