"""The first thing on the page: what was found, as a badge and a plain sentence; for one target and for a sweep."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from splitward.record.schema import Record
from splitward.record.verdict import finding
from splitward.report import wording
from splitward.report.evidence import Evidence

BADGES = {
    "recovered": "The input is recovered",
    "partial": "The input leaks",
    "none-found": "No leak found at this effort",
    "undefined": "Undefined: the floor is too high",
    "missing": "No verdict",
}
"""Level of a headline -> what its badge says. None of them says that something is safe."""


@dataclass(frozen=True)
class Headline:
    """``level``: a key of BADGES, for its colour and icon. ``detail``: what follows the sentence, in smaller type."""

    level: str
    badge: str
    sentence: str
    detail: str = ""
    remark: str = ""


def headline(evidence: Evidence) -> Headline:
    """The verdict of one record; without one, that there is none and why."""
    record, verdict = evidence.record, evidence.record.verdict
    if verdict is None:
        why = record.no_verdict or "No attack of this record can be believed."
        remark = f"{unfinished(record)} Until there is a verdict, rely on no number below.".strip()
        return Headline("missing", BADGES["missing"], "There is no verdict.", why, remark)
    level = "undefined" if verdict.excess is None else verdict.finding
    return Headline(level, BADGES[level], verdict.sentence, remark=unfinished(record))


def title_of(records: Sequence[Record]) -> str:
    """The title of the page: what was audited, as far as all the records share it."""
    target = records[0].target
    if len(records) == 1:
        defence = wording.defence_title(target.defence)
        what = f"{target.model.name} on {target.data.name}, cut at {target.cut.name}, with {defence}"
    elif len({(r.target.model.name, r.target.data.name) for r in records}) == 1:
        what = f"{target.model.name} on {target.data.name}: {len(records)} targets"
    else:
        what = f"{len(records)} targets"
    return f"What the cloud can make of {what}"


def unfinished(record: Record) -> str:
    """What to say of a record whose audit has not come to its end; empty for a complete one."""
    if record.status == "complete":
        return ""
    return "The audit has not finished; the same command with the same --out folder resumes it."


def sweep_headline(evidences: Sequence[Evidence]) -> Headline:
    """One sentence over several targets: how many leak, and which of them leaks least at which accuracy.

    A target without a verdict leaks all the same if an attack recovered its input.
    """
    levels = [headline(e).level for e in evidences]
    counts = {level: levels.count(level) for level in BADGES}
    found = [finding(e.record) if level == "missing" else level for e, level in zip(evidences, levels, strict=True)]
    leaking = found.count("recovered") + found.count("partial")
    total = len(evidences)
    if leaking == total:
        level = "recovered" if found.count("recovered") == total else "partial"
        start = f"Every one of the {total} audited targets leaks the input."
    elif leaking:
        level, start = "partial", f"{leaking} of {total} audited targets leak the input."
    elif counts["none-found"]:
        level, start = (
            "none-found",
            f"No leak was found at this effort by this suite on {counts['none-found']} of {total} targets.",
        )
    else:
        level, start = "missing", f"None of the {total} targets has a verdict that can be relied on."
    badge = BADGES["missing"] if level == "missing" else f"{leaking} of {total} leak"
    least = _least(evidences)
    open_questions = counts["missing"] + counts["undefined"]
    remark = (
        f"Without a defined verdict: {open_questions} of {total}; see there."
        if open_questions and level != "missing"
        else ""
    )
    return Headline(level, badge, start, least, remark)


def _least(evidences: Sequence[Evidence]) -> str:
    """Which target leaks least, against its floor, and what it costs."""
    judged = [e for e in evidences if e.record.verdict and e.record.verdict.excess is not None]
    if len(judged) < 2:
        return ""
    best = min(judged, key=lambda e: e.record.verdict.excess if e.record.verdict and e.record.verdict.excess else 0.0)
    verdict, target = best.record.verdict, best.record.target
    if verdict is None:
        return ""
    words = best.words()
    cost = f", at a task accuracy of {100 * target.accuracy.defended:.1f} %" if target.accuracy else ""
    naive = best.estimate(best.naive)
    missed = f" An attacker who does not know of it reaches {words.format(naive.mean)}." if naive else ""
    return (
        f"The least leaks with {wording.defence_title(target.defence)} at {target.cut.name}: {words.title} "
        f"{words.format(verdict.leakage)} against a floor of {words.format(verdict.floor)}{cost}.{missed}"
    )
