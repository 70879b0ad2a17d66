"""What a report states of a record beside the numbers: provenance, what the attackers had, checks, doubts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from splitward.record.schema import Check, Data, Record, Trial
from splitward.report import wording
from splitward.report.grid import THREAT_MODELS


@dataclass(frozen=True)
class Fact:
    """A name and what is to be said of it."""

    name: str
    text: str


def card(records: Sequence[Record]) -> list[Fact]:
    """What the attackers had, over all targets: queries, observations, public images and what is released anyway."""
    trials = [t for r in records for t in r.trials]
    public = dict.fromkeys((r.target.data.public, wording.public_title(r.target.data)) for r in records)
    released = dict.fromkeys(wording.released_title(r.floors) for r in records)
    facts = [
        Fact("Public images", " or ".join(f"{n:,} {source}" for n, source in sorted(public))),
        Fact("Secrets attacked", " or ".join(f"{n:,}" for n in sorted({r.samples for r in records}))),
        Fact(
            "Observations of each secret (k)",
            ", ".join(str(k) for k in sorted({t.observations for t in trials})) or "none",
        ),
        Fact("Released anyway", " or ".join(released) + " of each secret (the allowed floor knows it)"),
    ]
    for threat in THREAT_MODELS:
        queries = [t.queries for t in trials if t.threat_model == threat and t.status != "skipped"]
        if queries:
            facts.append(
                Fact(f"Queries to the device, {threat}", f"{max(queries):,} at most" if max(queries) else "none")
            )
    return facts


def provenance(record: Record) -> list[Fact]:
    """What somebody needs who wants the same numbers."""
    target, machine = record.target, record.environment
    model, data, cut = target.model, target.data, target.cut
    crossing = " and ".join(f"{'×'.join(map(str, t.shape))} {t.dtype}" for t in target.activation)
    sent = f", {cut.activation_bytes:,} bytes" if cut.activation_bytes else ""
    packages = "".join(f", {name} {version}" for name, version in sorted(machine.packages.items()))
    source = f" ({model.source})" if model.source else ""
    facts = {
        "Made": record.created,
        "Seed, effort": f"{record.seed}, {record.effort}",
        "Attacks asked for": ", ".join(record.asked),
        "Model": f"{model.name}, {model.parameters:,} parameters{source}",
        "Weights, SHA-256": model.weights_sha256,
        "Data": f"{data.name}: {data.train:,} training, {data.public:,} public, {record.samples:,} attacked",
        "Cut": f"after {cut.name}; {crossing}{sent} cross for each image",
        "Share of the work on the device": _share(cut.edge_flops, cut.total_flops),
        "Defence, precision": f"{target.defence}, {target.quantisation}",
        "Suite": record.verdict.suite if record.verdict else "",
        "Versions": f"splitward {machine.splitward}, Python {machine.python}{packages}",
        "Commit": machine.commit or "",
        "Machine": f"{machine.device}, {machine.platform}, {machine.threads} threads",
    }
    return [Fact(name, text) for name, text in facts.items() if text]


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.0f} % of {whole:,} operations" if whole else ""


def data_sets(records: Sequence[Record]) -> list[Data]:
    """The data sets about which there is something to say, each once."""
    found = {r.target.data.name: r.target.data for r in records}
    return [d for d in found.values() if d.note or d.degrees_of_freedom]


def by_level(checks: Sequence[Check]) -> list[Check]:
    """The gravest first; their own order within a level."""
    return sorted(checks, key=lambda c: ("failure", "warning", "note", "ok").index(c.level))


def doubt(trial: Trial) -> str:
    """Why a trial is not believed."""
    reasons = []
    if trial.reason:
        reasons.append(trial.reason)
    if trial.converged is False:
        reasons.append("its loss still falls")
    if trial.control is None:
        reasons.append("it had no positive control")
    elif not trial.control.recovered:
        reasons.append(trial.control.reason or "it did not recover its positive control")
    return "; ".join(dict.fromkeys(reasons)) or "the audit does not rely on it"


def parameters_text(parameters: dict[str, Any]) -> str:
    """``steps 500, learning_rate 0.01``."""
    return ", ".join(f"{name} {value}" for name, value in parameters.items())
