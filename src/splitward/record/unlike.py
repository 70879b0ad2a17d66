"""What a record's secrets unlike the public data say: leakage, or the prior's imagination? Pure functions."""

from __future__ import annotations

from splitward.record import sentences
from splitward.record.schema import Record, Unlike
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


def line(record: Record, unlike: Unlike) -> str:
    """What came back of one kind: the strongest attack against the stronger floor; empty where nothing was scored."""
    other = as_record(record, unlike)
    metric = metric_of(other)
    found = answers(other, metric) if metric else []
    floor = stronger_floor(other, metric, found[0].trial.observations) if metric and found else None
    if metric is None or floor is None:
        return ""
    trial, base = found[0].trial, floor.metrics[metric].mean
    count = int(recovered(trial.per_sample, floor.per_sample).sum())
    return (
        f"{sentences.value(metric, found[0].mean)} ({trial.attack}, {trial.threat_model}), where "
        f"{sentences.floor_source(floor)} gives {sentences.figure(metric, base)}; "
        f"{count} of {unlike.samples} come back recognisable."
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
