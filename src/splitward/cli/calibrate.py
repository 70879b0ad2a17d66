"""``splitward calibrate``: a device profile from timings taken on the device."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def calibrate_command(
    measured: Annotated[list[Path], typer.Argument(help="Files of `splitward profile --out`, written on the device.")],
    out: Annotated[Path | None, typer.Option("--out", help="The profile, as YAML, for --device.")] = None,
    title: Annotated[str, typer.Option("--title", help="What the device is called.")] = "a calibrated device",
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON document on standard output, nothing else.")
    ] = False,
) -> None:
    """Fit a regression for each kind of operation to measured latencies, and say how well it predicts."""
    from splitward.core.errors import UsageError
    from splitward.plan import costs
    from splitward.plan.calibrate import as_yaml, calibrate, errors

    held = [costs.load(path) for path in measured]
    profile = calibrate(held, title)
    if out is not None:
        try:
            out.write_text(as_yaml(profile), encoding="utf-8")
        except OSError as error:
            raise UsageError(f"{out} cannot be written: {error.strerror}.") from error
    if as_json:
        typer.echo(profile.model_dump_json(indent=1))
        return
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=SIMPLE, pad_edge=False)
    table.add_column("kind")
    for heading in ("operations", "form", "explained by", "error on unseen ones"):
        table.add_column(heading, justify="right")
    for kind, fit in profile.fits.items():
        table.add_row(kind, str(fit.samples), fit.form, ", ".join(fit.features) or "its mean", f"{fit.error:.0%}")
    console = Console()
    console.print(table)
    for cost in held:
        sums = errors(profile, cost).values()
        predicted, seen = sum(p for p, _ in sums), sum(m for _, m in sums)
        console.print(f"{cost.model}: {predicted:.2f} ms predicted, {seen:.2f} ms measured, the whole model.")
