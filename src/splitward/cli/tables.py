"""Records as tables for the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from splitward.record import games, nesting, sentences, unlike
from splitward.record.verdict import metric_of

if TYPE_CHECKING:
    from splitward.record.gates import GateResult
    from splitward.record.schema import Estimate, Record

MARK = {"failure": "[red]✗[/]", "warning": "[yellow]![/]", "note": "[blue]·[/]", "ok": "[green]✓[/]"}


def interval(estimate: Estimate | None) -> str:
    """``0.88 [0.86, 0.90]``."""
    if estimate is None:
        return "–"
    return f"{estimate.mean:.2f} [dim]\\[{estimate.low:.2f}, {estimate.high:.2f}][/]"


def mean(estimate: Estimate | None) -> str:
    """One decimal."""
    return "–" if estimate is None else f"{estimate.mean:.1f}"


def trials_table(record: Record) -> Table:
    """Floors and trials of one record, floors first."""
    target = record.target
    table = Table(
        title=f"{target.model.name} at {target.cut.name}, defence {target.defence}{sentences.seen(record)}",
        title_justify="left",
        box=SIMPLE,
        pad_edge=False,
    )
    for heading in ("", "knows", "SSIM [95 %]", "dB", "apart", "sound"):
        table.add_column(heading, no_wrap=heading != "", justify="left" if heading in ("", "knows") else "right")
    for floor in record.floors:
        named = floor.name + (f" ({floor.released})" if floor.kind == "allowed" else "")
        told = floor.metrics.get("identification")
        table.add_row(
            f"[dim]floor {named}[/]", "[dim]no cut[/]", interval(floor.metrics.get("ssim")),
            mean(floor.metrics.get("psnr")), f"{told.mean:.0%}" if told else "–", "",
        )  # fmt: skip
    held = ""
    for trial in record.trials:
        if trial.threat_model != held:
            held = trial.threat_model
            table.add_section()
            table.add_row(f"[bold]{held}[/]")
        believes = "defence" if trial.adaptive else "naive" if target.defence != "none" else "–"
        named = f"  {trial.attack}" + (f", again ({trial.repetition})" if trial.repetition else "")
        if trial.status != "ok":
            table.add_row(named, believes, f"[red]{trial.status}[/]", "", "", "")
            continue
        told = trial.metrics.get("identification")
        table.add_row(
            named, believes, interval(trial.metrics.get("ssim")), mean(trial.metrics.get("psnr")),
            f"{told.mean:.0%}" if told else "–", "yes" if trial.believable else "[yellow]no[/]",
        )  # fmt: skip
    return table


def borrowed(record: Record) -> list[str]:
    """Threat models whose best attack is one of a weaker threat model, which they may run as well: a line each."""
    metric = metric_of(record)
    found = nesting.reach(record, metric).values() if metric else ()
    return [
        f"a {r.threat_model} attacker may run {r.answer.trial.attack} as well, and reaches "
        f"{sentences.value(r.answer.metric, r.answer.mean)}"
        for r in found
        if r.borrowed
    ]


def beyond(record: Record) -> list[str]:
    """The candidate game, and each kind of secrets unlike the public data: a line each."""
    lines = [said] if (said := games.brief(record)) else []
    found = ((u.name, unlike.outcome(record, u)) for u in record.unlike)
    return lines + [f"unlike the public data, {name}: {unlike.brief(outcome)}" for name, outcome in found if outcome]


def print_records(
    done: Sequence[tuple[Path, Record]], gates: Sequence[Sequence[GateResult]], report: Path | None
) -> None:
    """Every record's table, verdict and checks; then the gates and where the report lies."""
    from splitward.record import meaning
    from splitward.record.checks import check_sweep

    console = Console()
    for (_, record), results in zip(done, gates, strict=True):
        console.print(trials_table(record))
        if wire := record.target.wire:
            told = (
                f"{wire.messages} messages ({wire.encoding or 'plain'}), {wire.bytes_min:,} to {wire.bytes_max:,} bytes"
            )
            console.print(f"  attacked was what crossed: {told}", highlight=False)
        if record.target.accuracy is not None:
            a = record.target.accuracy
            console.print(f"  task accuracy {a.defended:.1%} ({a.undefended:.1%} without the defence, n = {a.n:,})")
        for said in (*borrowed(record), *beyond(record)):
            console.print(f"  {said}", highlight=False, soft_wrap=True)
        for check in record.checks:
            if check.level in ("warning", "failure"):
                console.print(f"  {MARK[check.level]} {check.message}", highlight=False)
        for sentence in meaning.sentences(record):
            console.print(f"  {sentence}", highlight=False)
        if record.certificate and record.certificate.statements:
            console.print(f"  {record.certificate.statements[0]}", highlight=False, markup=False)
        said = record.verdict.sentence if record.verdict else f"No verdict: {record.no_verdict}"
        console.print(f"  [bold]{said}[/]", highlight=False)
        for result in results:
            console.print(f"  gate {result.name}: {'kept' if result.kept else '[red]broken[/]'}", highlight=False)
        console.print()
    if len(done) > 1:
        for check in check_sweep([record for _, record in done]):
            if check.level in ("warning", "failure"):
                console.print(f"{MARK[check.level]} {check.message}", highlight=False)
    if report is not None:
        console.print(f"Report: {report}", highlight=False, soft_wrap=True)
