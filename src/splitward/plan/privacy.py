"""What is known of the leakage at a cut under a defence: from audit records only, never interpolated."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

from splitward.core.errors import RecordError, UsageError
from splitward.record import gates, store
from splitward.record.schema import Record, ThreatModel
from splitward.record.sentences import listing
from splitward.record.verdict import leaks_at_least

Target = tuple[str, str]
"""A cut and a defence."""

EFFORTS = ("quick", "standard", "thorough")
"""Rising."""


@dataclass(frozen=True)
class Evidence:
    """What a record says. ``excess``: what the gate holds against its limit; None where there is no such number.

    ``believable``: the gate may pass it. ``why``: why not, where it may not. ``basis``: effort, secrets and data.
    ``at_least``: what is known to leak whether or not a verdict can be believed.
    """

    accuracy: float | None
    undefended: float | None
    excess: float | None
    believable: bool
    why: str = ""
    folder: str = ""
    basis: str = ""
    at_least: float | None = None


@dataclass(frozen=True)
class Asked:
    """What a record must be of to say anything; None: any. ``effort``: at least this one."""

    model: str
    wire: str = "float32"
    weights_sha256: str = ""
    data: str | None = None
    effort: str | None = None

    def met(self, record: Record) -> bool:
        """Whether the record is of it. Weights are compared where both hashes are known."""
        target = record.target
        if target.model.name != self.model or target.quantisation != self.wire:
            return False
        hashes = {self.weights_sha256, target.model.weights_sha256} - {""}
        if len(hashes) > 1 or self.data not in (None, target.data.name):
            return False
        return self.effort is None or _rank(record.effort) >= _rank(self.effort)


def evidence(record: Record, folder: str = "") -> Evidence:
    """A record as the planner reads it, by the same rule as the gate ``--max-excess``, and only of all attackers."""
    result = gates.gate(record, max_excess=1.0)[0]
    measured = record.target.accuracy
    lacking = tuple(model for model in get_args(ThreatModel) if model not in record.threat_models)
    why = f"it holds no {listing(lacking)} attack" if lacking else "" if result.kept else result.sentence
    return Evidence(
        measured.defended if measured else None,
        measured.undefended if measured else None,
        result.value,
        not why,
        why,
        folder,
        f"effort {record.effort}, {record.samples} secrets of {record.target.data.name}",
        leaks_at_least(record),
    )


def read(folders: Iterable[Path], asked: Asked) -> dict[Target, Evidence]:
    """Evidence of every finished run in the folders that is of what was asked; together where there are several.

    Other records say nothing here. Raises UsageError for a folder without runs.
    """
    found: dict[Target, Evidence] = {}
    for folder in folders:
        try:
            runs = [(run, store.load(run)) for run in store.runs_below(folder)]
        except RecordError as error:
            raise UsageError(f"{str(error).rstrip('.')}; --runs takes folders of `splitward audit --out`.") from error
        for run, record in runs:
            if not asked.met(record):
                continue
            target, said = (record.target.cut.name, record.target.defence), evidence(record, str(run))
            held = found.get(target)
            found[target] = said if held is None else _together(said, held)
    return found


def _together(one: Evidence, other: Evidence) -> Evidence:
    """The larger excess and the lower accuracy; believable only where both are."""
    worse = max(one, other, key=lambda e: -1.0 if e.excess is None else e.excess)
    return replace(
        worse,
        accuracy=min((e.accuracy for e in (one, other) if e.accuracy is not None), default=None),
        believable=one.believable and other.believable,
        at_least=max((e.at_least for e in (one, other) if e.at_least is not None), default=None),
        why=next((e.why for e in (worse, one, other) if not e.believable), ""),
    )


def _rank(effort: str) -> int:
    return EFFORTS.index(effort) if effort in EFFORTS else -1
