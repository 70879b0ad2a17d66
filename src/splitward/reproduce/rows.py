"""Rows: what a record says, one attack or floor a row, beside what was published; plain values, as in the JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from splitward.record.schema import Estimate, Floor, Record, Trial
from splitward.reproduce.need import Need, parsed
from splitward.reproduce.published import of_need

Row = dict[str, Any]
LIKE = "like the public images"
METRICS = {"psnr": "psnr_db", "ssim": "ssim", "ssim-paper": "ssim_paper"}
"""The record's metrics as rows name them; the published SSIM is the papers' variant."""


TOLD = ("study", "data", "layer", "setting", "defence", "applied_to", "attack", "secrets")
"""What names an audit that is missed."""


class Undecided(Exception):  # noqa: N818 - it is an answer, not a mistake
    """What a claim needs is not there; the message says what. ``evidence``: what is there all the same."""

    def __init__(self, message: str, evidence: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.evidence = tuple(evidence)


class Rows:
    """Rows that can be searched."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows = list(rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def where(self, **wanted: Any) -> Rows:
        """Those with these values; a tuple stands for any of its values."""

        def fits(row: Row) -> bool:
            return all(row.get(k) in v if isinstance(v, tuple) else row.get(k) == v for k, v in wanted.items())

        return Rows([row for row in self.rows if fits(row)])

    def some(self, **wanted: Any) -> Rows:
        """As ``where``; raises Undecided where there is none."""
        found = self.where(**wanted)
        if not len(found):
            named = ", ".join(f"{k.replace('_', ' ')} {wanted[k]}" for k in TOLD if k in wanted)
            raise Undecided(f"an audit was not run, or failed: {named}")
        return found

    def one(self, **wanted: Any) -> Row:
        """The first such row; raises Undecided where there is none."""
        return self.some(**wanted).rows[0]

    def strongest(self, **wanted: Any) -> Row:
        """The one with the highest SSIM; raises Undecided where there is none."""
        return max(self.some(**wanted), key=lambda row: (row["ssim"], row["psnr_db"]))


def rows_of(need: Need, record: Record) -> list[Row]:
    """A row for each floor and each trial; the papers' own attack, a need's first, stands beside what was published."""
    published = of_need(need.study, need.data, need.at, need.setting, parsed(need.defence))
    rows = [_row(need, record, floor) for floor in record.floors]
    for trial in record.trials:
        row = _row(need, record, trial)
        if published and trial.attack == need.attackers[0].name and not trial.adaptive:
            row["published"] = published
        rows.append(row)
    for kind in record.unlike:
        rows += [_row(need, record, part) | {"secrets": kind.name} for part in kind.scored]
    return rows


def _row(need: Need, record: Record, part: Trial | Floor) -> Row:
    kind, applied_to, level = parsed(need.defence)
    accuracy = record.target.accuracy
    row: Row = {
        "study": need.study, "data": need.data, "layer": need.at, "setting": need.setting, "defence": kind,
        "applied_to": applied_to, "level": level, "images": record.samples, "seed": record.seed, "victim": need.victim,
        "secrets": LIKE,
        "accuracy": accuracy.defended if accuracy else None, "accuracy_images": accuracy.n if accuracy else 0,
        "undefended_accuracy": accuracy.undefended if accuracy else None,
    }  # fmt: skip
    if isinstance(part, Floor):
        row |= {"attack": f"floor {part.name}", "threat_model": "no activation", "knows_defence": False, "status": "ok"}
        row |= {"seconds": round(part.seconds, 2)}
    else:
        row |= {
            "attack": part.attack, "threat_model": part.threat_model, "status": part.status, "reason": part.reason,
            "knows_defence": part.adaptive, "believable": part.believable, "converged": part.converged,
            "seconds": round(part.seconds, 2), "settings": len(part.parameters), "steps": part.parameters.get("steps"),
        }  # fmt: skip
    for metric, name in METRICS.items():
        row |= _numbers(name, part.metrics.get(metric))
    return row


def _numbers(name: str, estimate: Estimate | None) -> Row:
    if estimate is None:
        return {name: None}
    return {
        name: round(estimate.mean, 4), f"{name}_low": round(estimate.low, 4), f"{name}_high": round(estimate.high, 4),
    }  # fmt: skip


def decimals(value: float, digits: int, sign: str = "") -> str:
    """A number as text, with a minus sign where it is not zero; ``sign``: "+" for one on every number.

    >>> decimals(-0.004, 2), decimals(-1.26, 1), decimals(2, 1, "+")
    ('0.00', '\N{MINUS SIGN}1.3', '+2.0')
    """
    return f"{round(value, digits) + 0.0:{sign}.{digits}f}".replace("-", "\N{MINUS SIGN}")


KINDS = {"gaussian": "Gaussian noise", "laplace": "Laplace noise", "dropout": "dropout"}


def defended(row: Row) -> str:
    """A row's defence and place as text.

    >>> defended({"defence": "gaussian", "level": 0.8, "applied_to": "input"})
    'Gaussian noise 0.8 on the input'
    """
    if row["defence"] == "none":
        return "no defence"
    return f"{KINDS[row['defence']]} {row['level']:g} on the {row['applied_to']}"


Tolerance = tuple[float, float]
APART = "What absolute noise costs depends on the scale of the activations, which the papers do not give."
POINTS = 5.0
"""Of accuracy, within which the mean over several trainings counts as met."""


def compared(rows: Sequence[Row], tolerance: Tolerance) -> list[Row]:
    """Our run of the papers' attack beside every point that was published, once for each point and victim.

    ``met``: within ``tolerance``, dB and SSIM in the papers' variant. ``trainings``: over how many trainings of the
    network this is the mean; 0 is the shipped network. For several, ``met_accuracy`` says the same of accuracy.
    """
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        if row.get("published") and row["psnr_db"] is not None:
            key = (row["study"] == "victims", row["layer"], row["setting"], defended(row))
            groups.setdefault(key, []).append(row)
    found = []
    for (several, *_), group in groups.items():
        told = group[0]["published"]
        ours = {name: _mean(group, name) for name in ("psnr_db", "ssim_paper", "accuracy")}
        met = abs(ours["psnr_db"] - told["psnr_db"]) <= tolerance[0]
        met = met and abs(ours["ssim_paper"] - told["ssim"]) <= tolerance[1]
        one = {key: group[0][key] for key in ("data", "layer", "setting", "defence", "level", "applied_to", "images")}
        one |= ours | {"published": told, "met": met, "trainings": len(group) if several else 0}
        if several:
            one["met_accuracy"] = 100 * abs(ours["accuracy"] - told["accuracy"]) <= POINTS
        found.append(one)
    return found


def _mean(rows: Sequence[Row], name: str) -> Any:
    values = [row[name] for row in rows]
    return None if None in values else round(sum(values) / len(values), 4)


def place(point: Row) -> str:
    """Where a point lies, as text."""
    named = f"{point['layer']}, {point['setting']}" if point["setting"] else f"at {point['layer']}"
    return named if point["defence"] == "none" else f"{named}, {defended(point)}"


def trainings(rows: Sequence[Row], tolerance: Tolerance) -> str:
    """One sentence: published points against the mean over several trainings of the network."""
    points = [point for point in compared(rows, tolerance) if point["trainings"]]
    if not points:
        return ""
    order: dict[str, list[tuple[float, float]]] = {}
    for point in points:
        order.setdefault(point["defence"], []).append((point["published"]["accuracy"], point["accuracy"]))
    alike = all([a for _, a in sorted(pairs)] == sorted(a for _, a in pairs) for pairs in order.values())
    apart = [
        f"{defended(p)}: {100 * p['accuracy']:.1f} % where {100 * p['published']['accuracy']:.1f} % are published"
        for p in points
        if not p["met_accuracy"]
    ]
    text = (
        f"Averaged over {max(p['trainings'] for p in points)} trainings of the network by the papers' own recipe, "
        f"{sum(p['met'] for p in points)} of {len(points)} points on the activation are met within {tolerance[0]:g} dB "
        f"and {tolerance[1]:g} SSIM, {sum(p['met_accuracy'] for p in points)} within {POINTS:g} points of accuracy, "
        f"and accuracies are in {'the same' if alike else 'another'} order"
    )
    return text + (f"; accuracy lies apart at {'; '.join(apart)}. {APART}" if apart else ".")


def difference(rows: Sequence[Row], tolerance: Tolerance, cause: str) -> str:
    """One sentence: how many of the published points are met, where the largest difference is, and its cause."""
    points = [point for point in compared(rows, tolerance) if not point["trainings"]]
    if not points:
        return "Nothing was published for these settings, or nothing was run."
    met = sum(point["met"] for point in points)
    worst = max(points, key=lambda p: abs(p["psnr_db"] - p["published"]["psnr_db"]))
    apart = decimals(worst["psnr_db"] - worst["published"]["psnr_db"], 1, "+")
    text = (
        f"{met} of {len(points)} published points are met within {tolerance[0]:g} dB and {tolerance[1]:g} SSIM; the "
        f"largest difference in PSNR is {apart} dB ({place(worst)})"
    )
    return text + ("." if met == len(points) or not cause else f", because {cause}.")
