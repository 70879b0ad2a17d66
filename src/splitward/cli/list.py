"""``splitward list``: the plugins."""

from __future__ import annotations

from typing import Annotated

import typer


def list_command(
    kind: Annotated[
        str | None, typer.Argument(help="attack(s), floor, defence, hardening, metric, judgement, dataset, model.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")] = False,
) -> None:
    """List what is installed: attacks, floors, defences, hardenings, metrics, judgements, data sets, models."""
    import json

    from rich.console import Console
    from rich.table import Table

    from splitward.core.errors import RegistryError
    from splitward.core.registry import PACKAGES, discover, summary

    wanted = [kind] if kind is None or kind in PACKAGES else [kind.rstrip("s")]
    if kind is not None and wanted[0] not in PACKAGES:
        raise RegistryError(f"there is no plugin kind {kind!r}; the kinds are {', '.join(sorted(PACKAGES))}.")
    kinds = list(PACKAGES) if kind is None else [str(wanted[0])]
    rows = [
        {"kind": k, "name": name, "holds": _holds(k, plugin), "summary": summary(plugin), "presets": _presets(plugin)}
        for k in kinds
        for name, plugin in discover(k).items()
    ]
    if as_json:
        typer.echo(json.dumps(rows, indent=1))
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("kind", "name", "needs", "what it is"):
        table.add_column(heading, no_wrap=heading != "what it is")
    for row in rows:
        presets = f" (presets: {', '.join(row['presets'])})" if row["presets"] else ""
        table.add_row(str(row["kind"]), str(row["name"]), str(row["holds"]), f"{row['summary']}{presets}")
    Console().print(table)


def _holds(kind: str, plugin: object) -> str:
    if kind != "attack":
        return ""
    from typing import Any, cast

    from splitward.core.protocols import threat_model

    return threat_model(cast("Any", plugin)).label


def _presets(plugin: object) -> list[str]:
    return list(getattr(plugin, "presets", {}))
