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
    """What a claim needs is not there; the message says what."""


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


def trainings(rows: Sequence[Row], decibels: float, similarity: float, points: float = 5.0) -> str:
    """One sentence: published points against the mean over several trainings of the network.

    ``points``: of accuracy, within which it counts as met.
    """
    levels: dict[tuple[str, float], list[Row]] = {}
    for row in rows:
        if row["study"] == "victims" and row.get("published"):
            levels.setdefault((row["defence"], row["level"]), []).append(row)
    if not levels:
        return ""
    met, kept, worst = 0, 0, (0.0, "")
    order: dict[str, list[tuple[float, float]]] = {}
    for (kind, level), found in levels.items():
        told = found[0]["published"]
        apart = {
            ours: sum(r[ours] for r in found) / len(found) - told[theirs]
            for ours, theirs in (("psnr_db", "psnr_db"), ("ssim_paper", "ssim"), ("accuracy", "accuracy"))
        }
        met += abs(apart["psnr_db"]) <= decibels and abs(apart["ssim_paper"]) <= similarity
        kept += 100 * abs(apart["accuracy"]) <= points
        order.setdefault(kind, []).append((told["accuracy"], told["accuracy"] + apart["accuracy"]))
        worst = max(worst, (abs(apart["psnr_db"]), f"{kind} {level:g}" if level else "no defence"))
    alike = all([a for _, a in sorted(pairs)] == sorted(a for _, a in pairs) for pairs in order.values())
    count = max(len(found) for found in levels.values())
    return (
        f"Averaged over {count} trainings of the network by the papers' own recipe, {met} of {len(levels)} points on "
        f"the activation are met within {decibels:g} dB and {similarity:g} SSIM and {kept} within {points:g} points of "
        f"accuracy, and accuracies are in {'the same' if alike else 'another'} order; the largest difference in PSNR "
        f"is {worst[0]:.1f} dB ({worst[1]})."
    )


def difference(rows: Sequence[Row], decibels: float, similarity: float) -> str:
    """One sentence: how many of the published points are met, and where the largest difference is."""
    pairs = [row for row in rows if row.get("published") and row["psnr_db"] is not None]
    if not pairs:
        return "Nothing was published for these settings, or nothing was run."

    def misses(row: Row) -> tuple[float, float]:
        return row["psnr_db"] - row["published"]["psnr_db"], row["ssim_paper"] - row["published"]["ssim"]

    met = sum(abs(misses(r)[0]) <= decibels and abs(misses(r)[1]) <= similarity for r in pairs)
    above = sum(misses(r)[0] >= 0 for r in pairs)
    worst = max(pairs, key=lambda r: abs(misses(r)[0]))
    place = f"{worst['data']} at {worst['layer']}" + (f", {worst['setting']}" if worst["setting"] else "")
    if worst["defence"] != "none":
        place += f", {worst['defence']} {worst['level']:g} on the {worst['applied_to']}"
    return (
        f"Of {len(pairs)} published points {met} are met within {decibels:g} dB and {similarity:g} SSIM, and at "
        f"{above} "
        f"our run of the papers' attack recovers at least as much; the largest difference in PSNR is "
        f"{misses(worst)[0]:+.1f} dB ({place})."
    )
