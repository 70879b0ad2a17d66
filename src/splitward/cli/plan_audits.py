"""Audits that a plan asks for: the cheapest candidates first, until the choice is certain."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from splitward.plan.choice import Plan, Row
    from splitward.plan.privacy import Evidence, Target


def audit_missing(found: Plan, known: dict[Target, Evidence], given: dict[str, Any]) -> Plan:
    """The plan with what the audits found; every audit is kept in a folder of its own and can be gone on with."""
    from splitward.core.errors import UsageError
    from splitward.plan import choice

    if given["data"] is None or given["model"] is None:
        raise UsageError("--audit needs --model M and --data D: what is audited, and on what.")
    while (row := _next(found, given["audit"], known)) is not None:
        known[(row.name, row.defence)] = _audit(row, given)
        found = choice.plan(found.setting, found.wanted, known)
    return found


def root(given: dict[str, Any]) -> Path:
    """The folder of the audits: the first of --runs, or one that is named after what is audited."""
    from splitward.audit.settings import slug

    named: list[Path] = given["runs"] or []
    return named[0] if named else Path("runs") / slug(f"plan-{given['model']}-{given['data']}-{given['effort']}")


def _next(found: Plan, how: str, known: dict[Target, Evidence]) -> Row | None:
    from splitward.plan.choice import next_to_audit

    if how == "needed" and (found.wanted.max_excess is not None or found.wanted.min_accuracy is not None):
        return next_to_audit(found)
    named = {c.name for c in found.setting.costs.cuts}
    waiting = [r for r in found.rows if r.choice and r.name in named and (r.name, r.defence) not in known]
    if how == "needed":  # no limit asks for it: only what was chosen is looked at
        return found.best if found.best in waiting else None
    return min(waiting, key=lambda r: r.value, default=None)


def _audit(row: Row, given: dict[str, Any]) -> Evidence:
    from splitward.audit.settings import AuditSettings, slug
    from splitward.audit.sweep import run_settings
    from splitward.cli.progress import Bars
    from splitward.plan.privacy import evidence

    settings = AuditSettings(
        model=given["model"], data=given["data"], at=(row.name,), effort=given["effort"], samples=given["samples"],
        defence=() if row.defence == "none" else tuple(row.defence.split("+")), input=given["input"],
        trust=given["trust"], judge=False, out=root(given) / slug(f"{row.name}-{row.defence}-{given['effort']}"),
    )  # fmt: skip
    if sys.stderr.isatty() or not given["as_json"]:
        typer.echo(f"splitward: auditing {row.name}, defence {row.defence}", err=True)
    with Bars() as progress:
        ((folder, record),) = run_settings(settings, progress, shlex.join(["splitward", *sys.argv[1:]]))
    return evidence(record, str(folder))
