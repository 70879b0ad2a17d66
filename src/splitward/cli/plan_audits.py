"""Audits that a plan asks for: the cheapest candidates first, until the choice is certain."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from splitward.audit.settings import AuditSettings
    from splitward.plan.choice import Plan, Row
    from splitward.plan.privacy import Evidence, Target


def audit_missing(found: Plan, known: dict[Target, Evidence], given: dict[str, Any]) -> Plan:
    """The plan with what the audits found; every audit is kept in a folder of its own and can be gone on with."""
    from splitward.core.errors import UsageError
    from splitward.plan import choice

    if given["data"] is None or given["model"] is None:
        raise UsageError("--audit needs --model M and --data D: what is audited, and on what.")
    if given["audit"] == "sketch":
        return choice.plan(found.setting, found.wanted, known | _sketched(_waiting(found, known), given))
    if given["audit"] == "all":
        for cut, chains in _waiting(found, known).items():
            known |= _audits(cut, chains, given)
        return choice.plan(found.setting, found.wanted, known)
    while (row := _next(found, known)) is not None:
        known |= _audits(row.name, [row.defence], given)
        found = choice.plan(found.setting, found.wanted, known)
    return found


def root(given: dict[str, Any]) -> Path:
    """The folder of the audits: the first of --runs, or one that is named after what is audited."""
    from splitward.audit.settings import slug

    named: list[Path] = given["runs"] or []
    depth = "sketch" if given["audit"] == "sketch" else given["effort"]
    return named[0] if named else Path("runs") / slug(f"plan-{given['model']}-{given['data']}-{depth}")


def _named(found: Plan, known: Mapping[Target, Evidence]) -> list[Row]:
    """Rows that an audit can be made of and has not been."""
    named = {c.name for c in found.setting.costs.cuts}
    return [r for r in found.rows if r.choice and r.name in named and (r.name, r.defence) not in known]


def _next(found: Plan, known: Mapping[Target, Evidence]) -> Row | None:
    from splitward.plan.choice import next_to_audit

    if found.wanted.max_excess is not None or found.wanted.min_accuracy is not None:
        return next_to_audit(found)
    return found.best if found.best in _named(found, known) else None  # no limit asks: only what was chosen


def _waiting(found: Plan, known: Mapping[Target, Evidence]) -> dict[str, list[str]]:
    """Every cut with the defences that are not audited at it, from the cheapest cut on."""
    waiting: dict[str, list[str]] = {}
    for row in sorted(_named(found, known), key=lambda r: r.value):
        waiting.setdefault(row.name, []).append(row.defence)
    return waiting


def _settings(given: dict[str, Any], **more: Any) -> AuditSettings:
    """The settings of audits, checked: UsageError says what is wrong with what was given."""
    from splitward.audit.settings import read_settings

    return read_settings(None, {name: given[name] for name in ("model", "data", "samples", "input", "trust")} | more)


def _sketched(waiting: Mapping[str, Sequence[str]], given: dict[str, Any]) -> dict[Target, Evidence]:
    """Cheap audits of every cut, several at a time."""
    from splitward.audit.sketch import sketch
    from splitward.cli.progress import Bars, audits_at_once
    from splitward.plan.privacy import evidence

    if not waiting:
        return {}
    settings = _settings(given, at=tuple(waiting))
    found = {}
    command = shlex.join(["splitward", *sys.argv[1:]])
    with Bars() as progress:
        progress.start("sketch of every cut", sum(map(len, waiting.values())))
        for folder, record in sketch(settings, waiting, root(given), command, audits_at_once()):
            found[(record.target.cut.name, record.target.defence)] = evidence(record, str(folder))
            progress.advance(1, f"{record.target.cut.name}, defence {record.target.defence}")
            if not sys.stderr.isatty() and not given["as_json"]:
                typer.echo(f"splitward: audited {record.target.cut.name}, defence {record.target.defence}", err=True)
        progress.finish()
    return found


def _audits(cut: str, chains: Sequence[str], given: dict[str, Any]) -> dict[Target, Evidence]:
    """Audits of one cut; an attacker who does not know which defence there is, is prepared once for all of them."""
    from splitward.audit.settings import slug
    from splitward.audit.sweep import run_settings
    from splitward.cli.progress import Bars
    from splitward.plan.privacy import evidence

    named = f"{cut}-{'-'.join(chains) if len(chains) < 4 else len(chains)}-{given['effort']}"
    settings = _settings(
        given, at=(cut,), effort=given["effort"], defences=tuple(chains), judge=False, out=root(given) / slug(named)
    )
    if sys.stderr.isatty() or not given["as_json"]:
        typer.echo(f"splitward: auditing {cut}, defence {', '.join(chains)}", err=True)
    found = {}
    with Bars() as progress:
        for folder, record in run_settings(settings, progress, shlex.join(["splitward", *sys.argv[1:]])):
            found[(cut, record.target.defence)] = evidence(record, str(folder))
    return found
