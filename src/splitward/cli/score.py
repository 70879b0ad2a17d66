"""``splitward score``: add a metric to finished runs from their stored images, without attacking again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from splitward.record.rescore import Measure
    from splitward.record.schema import Record


def score_command(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, or a folder of run folders (a sweep).")],
    metric: Annotated[str, typer.Option("--metric", help="A metric of `splitward list metrics`.")],
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON document on standard output, nothing else.")
    ] = False,
) -> None:
    """Add a metric to a finished run from its stored reconstructions, without attacking again."""
    from splitward.core.registry import discover, find
    from splitward.record.rescore import rescore
    from splitward.record.schema import Scale
    from splitward.record.store import load, runs_in

    folders = runs_in(run)
    if metric in discover("judgement"):
        scored = _judged_already(folders, metric)
    else:
        plugin = find("metric", metric)
        scale = Scale(unit=plugin.unit, higher_is_closer=plugin.higher_is_closer)
        scored = [
            rescore(load(folder), metric, _measure(plugin()), scale) for folder in folders
        ]  # all, before any is saved
        for folder, record in zip(folders, scored, strict=True):
            record.save(folder)
    if as_json:
        _print_json(folders, scored, metric)
    else:
        _print_tables(folders, scored, metric)


def _judged_already(folders: list[Path], judgement: str) -> list[Record]:
    """The records, where the audit made the judgement; raises UsageError where it did not: its judge is not kept."""
    from splitward.core.errors import UsageError
    from splitward.record.store import load

    records = [load(folder) for folder in folders]
    for folder, record in zip(folders, records, strict=True):
        if record.judge is None or judgement not in record.judge.judgements:
            told = record.no_judge or (record.judge.left_out.get(judgement, "") if record.judge else "")
            why = f" (there: {told.rstrip('.')})" if told else ""
            raise UsageError(
                f"{judgement!r} asks a judge, a network that an audit trains on public images and {folder} does not "
                f"hold{why}: audit again with --judge."
            )
    return records


def _measure(plugin: Any) -> Measure:
    """The metric as a function of numpy arrays."""
    import torch

    def measure(guess: Any, truth: Any) -> Any:
        return plugin(torch.from_numpy(guess), torch.from_numpy(truth)).double().cpu().numpy()

    return measure


def _print_json(folders: list[Path], scored: list[Record], metric: str) -> None:
    import json

    runs = [
        {
            "run": str(folder),
            "floors": [{"name": f.name, **_estimate(f.metrics.get(metric))} for f in record.floors],
            "trials": [
                {"attack": t.attack, "threat_model": t.threat_model, "adaptive": t.adaptive, "status": t.status}
                | _estimate(t.metrics.get(metric))
                for t in record.trials
            ],
        }
        for folder, record in zip(folders, scored, strict=True)
    ]
    typer.echo(json.dumps({"metric": metric, "runs": runs}, indent=1, allow_nan=False))


def _estimate(estimate: Any) -> dict[str, Any]:
    """Not scored is not zero: null."""
    return {"estimate": None if estimate is None else estimate.model_dump()}


def _print_tables(folders: list[Path], scored: list[Record], metric: str) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    for folder, record in zip(folders, scored, strict=True):
        unit = record.scale(metric).unit
        table = Table(title=escape(str(folder)), title_justify="left")
        for heading in ("", "knows", metric + (f", {unit}" if unit else ""), "95 %", "worst tenth"):
            table.add_column(heading, no_wrap=True)
        for part in record.scored:
            e = part.metrics.get(metric)
            name, knows = _named(part)
            cells = ("–", "", "") if e is None else (f"{e.mean:.3g}", f"{e.low:.3g} to {e.high:.3g}", f"{e.worst:.3g}")
            table.add_row(escape(name), knows, *cells)
        console.print(table)


def _named(part: Any) -> tuple[str, str]:
    if hasattr(part, "attack"):
        return f"{part.attack} ({part.threat_model})", "the defence" if part.adaptive else "no defence"
    return f"floor {part.name}", "no activation"
