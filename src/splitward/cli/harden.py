"""``splitward harden``: a defence that holds, for a model, its data and what its user can afford."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import RenderableType

    from splitward.hardening.document import Document, Judged
    from splitward.hardening.settings import HardenSettings

Option = typer.Option
CUT = "edge"
"""The name of the cut between saved halves, as in ``models.joined``."""

Model = Annotated[str, Option("--model", help="Zoo name, module:factory, a .pt2 file or a folder.")]
Data = Annotated[str, Option("--data", help="Data set of the catalogue, or a folder with class folders.")]
At = Annotated[list[str], Option("--at", help="The cut: its last layer on the edge. Several: searched together.")]
Points = Annotated[
    float | None, Option("--max-accuracy-drop", help="Points of per cent that may be lost. [default: 1.0]")
]
EdgeCost = Annotated[
    float | None, Option("--max-edge-cost", help="Operations on the edge, as a multiple. [default: 1.25]")
]
Bytes = Annotated[int | None, Option("--max-bytes", help="Bytes on the wire for one sample.")]
Excess = Annotated[float | None, Option("--max-excess", help="Excess leakage, upper 95 % limit.")]
Method = Annotated[
    list[str] | None, Option("--method", help="A recipe, such as bottleneck:8+quantise:1; several. [default: all]")
]
Trains = Annotated[str | None, Option("--trains", help="Which half learns: both, edge or cloud. [default: both]")]
Effort = Annotated[str | None, Option("--effort", help="quick, standard or thorough. [default: standard]")]
Times = Annotated[
    str | None, Option("--observations", help="Times each secret is seen; several with commas. [default: 1]")
]
Released = Annotated[
    str | None, Option("--released", help="Released anyway: none, label, probabilities, logits. [default: label]")
]
AuditEffort = Annotated[str | None, Option("--audit-effort", help="Of the attacks that judge. [default: --effort]")]
Attacks = Annotated[str | None, Option("--attacks", help="Of the judgement: names, threat models, or all.")]
Samples = Annotated[int | None, Option("--samples", help="Secrets of each audit. [default: by effort]")]
Steps = Annotated[int | None, Option("--steps", help="Of the last round of training. [default: by effort]")]
Finalists = Annotated[
    int | None, Option("--finalists", help="Candidates that are judged by the audit. [default: by effort]")
]
Batch = Annotated[int | None, Option("--batch", help="Images of a training step. [default: 128]")]
Curves = Annotated[
    bool | None,
    Option("--curves/--no-curves", help="Audit the papers' noise and dropout beside. [default: not if quick]"),
]
Seed = Annotated[int | None, Option("--seed", help="Every random draw follows from it. [default: 0]")]
Normalise = Annotated[str | None, Option("--normalise", help="MEAN:STD of a model that declares none.")]
Input = Annotated[str | None, Option("--input", help="CxHxW of a model that declares none.")]
Weights = Annotated[Path | None, Option("--weights", help="A safetensors file for the model.")]
DataDir = Annotated[Path | None, Option("--data-dir", help="Where data sets lie. [env: SPLITWARD_DATA]")]
Trust = Annotated[bool | None, Option("--trust", help="Load a .pt2 file, which may run its author's code.")]
Out = Annotated[Path | None, Option("--out", help="Folder of the run; an unfinished one is gone on with.")]
Json = Annotated[bool, Option("--json", help="One JSON document on standard output, nothing else.")]


def harden_command(
    model: Model, data: Data, at: At, max_accuracy_drop: Points = None, max_edge_cost: EdgeCost = None,
    max_bytes: Bytes = None, max_excess: Excess = None, method: Method = None, trains: Trains = None,
    effort: Effort = None, observations: Times = None, released: Released = None,
    audit_effort: AuditEffort = None, attacks: Attacks = None,
    samples: Samples = None, steps: Steps = None, finalists: Finalists = None, batch: Batch = None,
    curves: Curves = None, seed: Seed = None, normalise: Normalise = None, input: Input = None,
    weights: Weights = None, data_dir: DataDir = None, trust: Trust = None, out: Out = None, as_json: Json = False,
) -> int:  # fmt: skip
    """Search for halves whose activation tells an attacker little more than the answer, and attack them in earnest.

    Exit status: 0 something keeps the limits with a believable verdict; 1 nothing does; 2 wrong input.
    """
    from splitward.hardening.settings import read_settings

    given: dict[str, Any] = dict(locals())
    given["methods"] = given.pop("method") or None
    settings = read_settings({k: v for k, v in given.items() if k not in {"as_json", "read_settings"}})

    return run_and_show(settings, as_json, shlex.join(["splitward", *sys.argv[1:]]))


def run_and_show(settings: HardenSettings, as_json: bool, command: str) -> int:
    """Search, judge, print the outcome and write the report; returns the exit status."""
    from splitward.cli.progress import Bars
    from splitward.hardening.harden import RECOMMENDED, run_settings
    from splitward.report.front import write

    def say(text: str) -> None:
        typer.echo(f"splitward: {text}", err=True)

    with Bars() as progress:
        document = run_settings(settings, progress, command, say)
    page = write(document.model_dump(mode="json"), settings.folder)
    if as_json:
        typer.echo(document.model_dump_json(indent=1))
    else:
        from rich.console import Console

        Console().print(render(document))
        if document.recommended is not None:
            place, defence = settings.folder / RECOMMENDED, document.judged[document.recommended].defence
            typer.echo(f"halves: {place}")
            again = ["splitward", "audit", "--model", str(place), "--data", settings.data, "--at", CUT]
            typer.echo(f"to audit them again: {shlex.join([*again, '--defence', defence])}")
        typer.echo(f"report: {page}")
    return 0 if document.recommended is not None else 1


def render(document: Document) -> RenderableType:
    """The judged points, and the sentence."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(title=f"{document.model} on {document.data}", title_justify="left", box=None, pad_edge=False)
    table.add_column("judged", overflow="fold")
    for heading in ("cut", "lost points", "k", "excess", "(upper)", "bytes", "edge"):
        table.add_column(heading, justify="right", no_wrap=True)
    for index, point in enumerate(document.judged):
        style = "bold" if index == document.recommended else "" if point.front else "dim"
        for first, row in enumerate(_rows(point)):
            table.add_row(Text(point.recipe.replace("+", "+\n") if not first else ""), *row, style=style)
    note = "Bold: recommended. Dim: not on the front of accuracy, excess, bytes and edge cost."
    return Group(table, Text(), Text(note), Text(document.sentence))


def _rows(point: Judged) -> list[tuple[str, ...]]:
    drop = point.drop_points
    lost = f"{drop.mean:.2f} [{drop.low:.2f}, {drop.high:.2f}]"
    rows: list[tuple[str, ...]] = []
    for n, seen in enumerate(point.seen):
        excess, upper = (f"{value:.3f}" if value is not None else "–" for value in (seen.excess, seen.upper))
        if seen.excess is None and seen.at_least is not None:
            excess = f"≥ {seen.at_least:.3f}"
        rest = (f"{point.cost.wire_bytes:,}", f"{point.cost.edge_cost:.2f}x") if not n else ("", "")
        rows.append((point.at if not n else "", lost if not n else "", str(seen.observations), excess, upper, *rest))
    return rows
