"""``splitward audit``: attack a cut and say what came of it."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from splitward.audit.settings import AuditSettings
    from splitward.record.schema import Record

Option = typer.Option


def audit_command(
    file: Annotated[
        Path | None, typer.Argument(metavar="[AUDIT.toml]", help="Settings; options override them.")
    ] = None,
    model: Annotated[str | None, Option("--model", help="Zoo name, module:factory, a .pt2 file or a folder.")] = None,
    data: Annotated[str | None, Option("--data", help="Data set of the catalogue, or a folder of images.")] = None,
    at: Annotated[
        list[str] | None, Option("--at", help="The cut: its last layer on the edge. Several: a sweep.")
    ] = None,
    defence: Annotated[list[str] | None, Option("--defence", help="kind:level[@input]; several act in order.")] = None,
    attacks: Annotated[str | None, Option("--attacks", help="Names, threat models, or all; with commas.")] = None,
    samples: Annotated[int | None, Option("--samples", help="Secrets to attack. [default: 100]")] = None,
    observations: Annotated[
        str | None, Option("--observations", help="Times each secret is seen; several: a sweep. [default: 1]")
    ] = None,
    seed: Annotated[int | None, Option("--seed", help="Every random draw follows from it. [default: 0]")] = None,
    effort: Annotated[str | None, Option("--effort", help="quick, standard or thorough. [default: standard]")] = None,
    released: Annotated[
        str | None, Option("--released", help="Released anyway: none, label, probabilities, logits. [default: label]")
    ] = None,
    query_budget: Annotated[
        str | None, Option("--query-budget", help="Queries of a black-box attacker, or all; several: a sweep.")
    ] = None,
    from_wire: Annotated[Path | None, Option("--from-wire", help="Attack a recording of `splitward edge`.")] = None,
    public: Annotated[
        str | None,
        Option("--public", help="What attackers hold: same-distribution, same-set, noise, or another data set."),
    ] = None,
    public_samples: Annotated[int | None, Option("--public-samples", help="Public images attackers hold.")] = None,
    unlike: Annotated[
        str | None, Option("--unlike", help="Secrets unlike the public data: rotated,inverted,shuffled,faces.")
    ] = None,
    attack_seeds: Annotated[
        int | None, Option("--attack-seeds", help="Times each attack is repeated with other draws. [default: 1]")
    ] = None,
    normalise: Annotated[str | None, Option("--normalise", help="MEAN:STD of a model that declares none.")] = None,
    input: Annotated[str | None, Option("--input", help="CxHxW of a model that declares none.")] = None,
    weights: Annotated[Path | None, Option("--weights", help="A safetensors file for the model.")] = None,
    data_dir: Annotated[Path | None, Option("--data-dir", help="Where data sets lie. [env: SPLITWARD_DATA]")] = None,
    trust: Annotated[bool | None, Option("--trust", help="Load a .pt2 file, which may run its author's code.")] = None,
    judge: Annotated[
        bool | None,
        Option("--judge/--no-judge", help="What a network trained on public images still recognises. [default: judge]"),
    ] = None,
    out: Annotated[Path | None, Option("--out", help="Folder of the run; an unfinished one is gone on with.")] = None,
    redact: Annotated[bool | None, Option("--redact", help="Keep the numbers, drop the pixels.")] = None,
    as_json: Annotated[bool, Option("--json", help="One JSON document on standard output, nothing else.")] = False,
    max_ssim: Annotated[float | None, Option("--max-ssim", help="Gate: leakage at most this SSIM.")] = None,
    max_excess: Annotated[float | None, Option("--max-excess", help="Gate: excess leakage at most this.")] = None,
    min_accuracy: Annotated[float | None, Option("--min-accuracy", help="Gate: defended accuracy, 0 to 1.")] = None,
) -> int:
    """Attack a cut model as the strongest honest attacker would, and give a verdict.

    Exit status: 0 a verdict and every gate kept; 1 a gate broken, or no attack that can be believed; 2 wrong input.
    """
    from splitward.audit.settings import read_settings

    given: dict[str, Any] = dict(locals())
    settings = read_settings(file, {k: v for k, v in given.items() if k not in {"file", "as_json", "read_settings"}})
    return run_and_show(settings, as_json, shlex.join(["splitward", *sys.argv[1:]]))


def run_and_show(settings: AuditSettings, as_json: bool, command: str) -> int:
    """Run the settings, print the outcome, write the report; returns the exit status."""
    from splitward.audit.sweep import run_settings
    from splitward.cli.progress import Bars
    from splitward.cli.tables import print_records
    from splitward.record.gates import gate
    from splitward.record.store import redact
    from splitward.report import render

    def say(text: str) -> None:
        if not as_json or sys.stderr.isatty():
            typer.echo(f"splitward: {text}", err=True)

    with Bars() as progress:
        done = list(run_settings(settings, progress, command, say))
    if settings.redact:
        done = [(folder, redact(folder)) for folder, _ in done]
    report = render(settings.folder, settings.folder / "report.html")
    records = [record for _, record in done]
    gates = [gate(r, settings.max_ssim, settings.max_excess, settings.min_accuracy) for r in records]
    if as_json:
        typer.echo(_document(records))
    else:
        print_records(done, gates, report)
    for results in gates:
        for result in results:
            if not result.kept:
                typer.echo(f"splitward: {result.sentence}", err=True)
    believed = all(r.verdict is not None for r in records)
    return 0 if believed and all(g.kept for results in gates for g in results) else 1


def _document(records: list[Record]) -> str:
    if len(records) == 1:
        return records[0].model_dump_json(indent=1)
    return '{"records": [' + ",\n".join(r.model_dump_json(indent=1) for r in records) + "]}"
