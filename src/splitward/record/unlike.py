"""What a record's secrets unlike the public data say: leakage, or the prior's imagination? Pure functions."""

from __future__ import annotations

from dataclasses import dataclass

from splitward.record import sentences
from splitward.record.schema import Floor, Record, Trial, Unlike
from splitward.record.statistics import recovered
from splitward.record.verdict import answers, finding, metric_of, stronger_floor

TITLES = {
    "rotated": "rotated by 90 degrees",
    "inverted": "inverted, black for white",
    "shuffled": "pixels shuffled",
    "faces": "faces",
}


def title(name: str) -> str:
    """A kind of secrets in words; one that a newer splitward made goes by its own name."""
    return TITLES.get(name, name)


def as_record(record: Record, unlike: Unlike) -> Record:
    """The same audit on these secrets instead of its own; without verdict and checks, which are about its own."""
    update = {
        "samples": unlike.samples, "floors": unlike.floors, "trials": unlike.trials, "unlike": (), "checks": (),
        "verdict": None, "no_verdict": "",
    }  # fmt: skip
    return record.model_copy(update=update)


@dataclass(frozen=True)
class Outcome:
    """What the strongest attack made of one kind, against the stronger floor."""

    metric: str
    leakage: float
    trial: Trial
    floor: Floor
    recovered: int  # strictly: see record.statistics.recovered
    samples: int

    @property
    def base(self) -> float:
        """The floor's mean."""
        return self.floor.metrics[self.metric].mean


def outcome(record: Record, unlike: Unlike) -> Outcome | None:
    """The outcome of one kind; None where nothing was scored."""
    other = as_record(record, unlike)
    metric = metric_of(other)
    found = answers(other, metric) if metric else []
    floor = stronger_floor(other, metric, found[0].trial.observations) if metric and found else None
    if metric is None or floor is None:
        return None
    trial = found[0].trial
    count = int(recovered(trial.per_sample, floor.per_sample).sum())
    return Outcome(metric, found[0].mean, trial, floor, count, unlike.samples)


def line(found: Outcome) -> str:
    """An outcome in one sentence."""
    return (
        f"{sentences.value(found.metric, found.leakage)} ({found.trial.attack}, {found.trial.threat_model}), where "
        f"{sentences.floor_source(found.floor)} gives {sentences.figure(found.metric, found.base)}; "
        f"{found.recovered} of {found.samples} come back recognisable."
    )


def brief(found: Outcome) -> str:
    """An outcome in a few words."""
    return (
        f"{sentences.value(found.metric, found.leakage)} (floor {sentences.figure(found.metric, found.base)}), "
        f"{found.recovered} of {found.samples} recognisable"
    )


def meaning(record: Record) -> str:
    """What all kinds together mean, in plain words; empty where none was tried."""
    findings = {u.name: finding(as_record(record, u)) for u in record.unlike}
    back, some, none = ([n for n, f in findings.items() if f == k] for k in ("recovered", "partial", "none-found"))
    said = []
    if back or some:
        parts = [f"they do come back ({_listed(back)})"] if back else []
        parts += [f"more of them comes back than any floor reaches ({_listed(some)})"] if some else []
        said.append(
            f"Nothing in the public data looks like these images. Where {', or '.join(parts)}, it is the activation "
            "that leaks, and not the attacker who imagines what such pictures look like."
        )
    if none and finding(record) == "none-found":
        said.append(f"No attack beats a floor there either ({_listed(none)}).")
    elif none:
        said.append(
            f"No attack beats a floor ({_listed(none)}): what comes back of the secrets themselves may owe much "
            "to what the attacker knows of such pictures."
        )
    return " ".join(said)


def _listed(names: list[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last
