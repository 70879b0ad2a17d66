"""What is known of the leakage at a cut under a defence: from audit records only, never interpolated."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from splitward.core.errors import RecordError, UsageError
from splitward.record import gates, store
from splitward.record.schema import Record

Target = tuple[str, str]
"""A cut and a defence."""


@dataclass(frozen=True)
class Evidence:
    """What a record says. ``excess``: what the gate holds against its limit; None where there is no such number.

    ``believable``: the gate may pass it. ``why``: why not, where it may not.
    """

    accuracy: float | None
    undefended: float | None
    excess: float | None
    believable: bool
    why: str = ""
    folder: str = ""


def evidence(record: Record, folder: str = "") -> Evidence:
    """A record as the planner reads it, by the same rule as the gate ``--max-excess``."""
    result = gates.gate(record, max_excess=1.0)[0]
    measured = record.target.accuracy
    return Evidence(
        measured.defended if measured else None,
        measured.undefended if measured else None,
        result.value,
        result.kept or (result.value is not None and result.value > 1),
        "" if result.kept else result.sentence,
        folder,
    )


def read(folders: Iterable[Path], model: str, wire: str = "float32") -> dict[Target, Evidence]:
    """Evidence of every finished run in the folders that is of this model; the larger excess where there are several.

    Records of another model or another quantisation say nothing here. Raises UsageError for a folder without runs.
    """
    found: dict[Target, Evidence] = {}
    for folder in folders:
        try:
            runs = [(run, store.load(run)) for run in store.runs_in(folder)]
        except RecordError as error:
            raise UsageError(f"{str(error).rstrip('.')}; --runs takes folders of `splitward audit --out`.") from error
        for run, record in runs:
            if record.target.model.name != model or record.target.quantisation != wire:
                continue
            target, said = (record.target.cut.name, record.target.defence), evidence(record, str(run))
            held = found.get(target)
            if held is None or _worse(said, held):
                found[target] = said
    return found


def _worse(one: Evidence, other: Evidence) -> bool:
    if one.believable != other.believable:
        return one.believable
    return (one.excess or 0.0) > (other.excess or 0.0)
