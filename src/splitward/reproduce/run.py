"""The whole reproduction: run what is missing, then rows, figures, claims, one JSON and one page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from splitward._version import __version__
from splitward.core.errors import UsageError
from splitward.core.run import Progress
from splitward.record import files
from splitward.record.schema import Record
from splitward.reproduce import page
from splitward.reproduce.claims import MARGIN_DB, MARGIN_SSIM, Claim
from splitward.reproduce.laboratory import Laboratory
from splitward.reproduce.need import DATA, DATA_NAMES, Need
from splitward.reproduce.rows import LIKE, METRICS, Row, Rows, compared, difference, rows_of, trainings
from splitward.reproduce.scales import Scale
from splitward.reproduce.target import Found, Target, targets

DOCUMENT, PAGE, FIGURES = "reproduction.json", "index.html", "figures"
SCHEMA_VERSION = 1


def reproduce(
    chosen: Sequence[Target],
    scale: Scale,
    out: Path,
    data: Sequence[str] = DATA,
    data_dir: Path | None = None,
    progress: Progress | None = None,
    command: str = "",
    say: Callable[[str], None] | None = None,
    workers: int = 1,
) -> dict[str, Any]:
    """Run the audits that ``chosen`` need on ``data`` and are not below ``out`` yet; write and return the document.

    Audits of earlier runs into ``out`` at the same scale are used too. Raises a SplitwardError of one sentence for data
    that is missing or a folder that cannot be written to.
    """
    laboratory = Laboratory(scale, out, data_dir, progress)
    needs = unique(
        need for target in chosen for name in target.data if name in data for need in target.needs(scale, name)
    )
    if say is not None:
        there = sum(laboratory.finished(need) for need in needs)
        say(f"{len(chosen)} targets need {len(needs)} audits, of which {there} are there")
    for name in dict.fromkeys(need.data for need in needs):
        laboratory.keep_yardsticks(name)
    for _ in laboratory.run(needs, workers):
        pass
    return document(chosen, laboratory, command)


def unique(needs: Any) -> list[Need]:
    """In their order, each once."""
    return list(dict.fromkeys(needs))


def document(chosen: Sequence[Target], laboratory: Laboratory, command: str) -> dict[str, Any]:
    """What the finished audits say, written beside them: JSON, figures and the page."""
    scale, out = laboratory.scale, laboratory.out
    (out / FIGURES).mkdir(parents=True, exist_ok=True)
    everything = unique(n for t in targets().values() for name in t.data for n in t.needs(scale, name))
    records = {need: record for need in everything if (record := laboratory.load(need)) is not None}
    _of_one_victim(records, out)
    by_need = {need: rows_of(need, record) for need, record in records.items()}
    yardsticks = _yardsticks(laboratory)
    rows = Rows([row for found in by_need.values() for row in found] + yardsticks)
    for target in targets().values():
        rows.rows += target.made() if target.made else []
    written: dict[str, Any] = {}
    for target in chosen:
        own = unique(n for name in target.data for n in target.needs(scale, name))
        there = tuple(name for name in target.data if any(n.data == name and n in by_need for n in own))
        found = Found(scale, rows, own, records.get, there)
        written[target.name] = _target(
            target, found, [r for n in own if n in by_need for r in by_need[n]], by_need, out
        )
    asked = unique(n for t in chosen for name in t.data for n in t.needs(scale, name))
    judged = [_claim(claim, target, rows, out) for target in chosen for claim in target.claims]
    whole = {
        "schema_version": SCHEMA_VERSION, "splitward": __version__, "command": command, "scale": scale.name,
        "created": datetime.now(UTC).isoformat(timespec="seconds"), "images": scale.images,
        "audits": sum(need in by_need for need in asked), "audits_due": len(asked),
        "versions": sorted({_version(record) for record in records.values()}),
        "environment": next(iter(records.values())).environment.model_dump(mode="json") if records else {},
        "targets": written, "claims": judged, "yardsticks": yardsticks,
        "margins": {"psnr_db": MARGIN_DB, "ssim": MARGIN_SSIM},
    }  # fmt: skip
    files.write_json(out / DOCUMENT, whole)
    (out / PAGE).write_text(page.html(whole, out), encoding="utf-8")
    return whole


def _version(record: Record) -> str:
    """What a record was made with."""
    return f"{record.environment.splitward} {(record.environment.commit or '')[:9]}".strip()


def _of_one_victim(records: Mapping[Need, Record], out: Path) -> None:
    """Raises UsageError where records of one data set are of networks with different weights."""
    hashes: dict[tuple[str, int], set[str]] = {}
    for need, record in records.items():
        hashes.setdefault((need.data, need.victim), set()).add(record.target.model.weights_sha256)
    for (name, _), found in hashes.items():
        if len(found) > 1:
            raise UsageError(
                f"the records below {out} attack {len(found)} different networks on {name}; one reproduction has one: "
                "move the older records away, or write --out to another folder."
            )


def _target(
    target: Target, found: Found, own: list[Row], by_need: dict[Need, list[Row]], out: Path
) -> dict[str, Any]:  # fmt: skip
    rows = own or (target.made() if target.made else [])
    done = sum(need in by_need for need in found.needs)
    status = "complete" if rows and done == len(found.needs) else "partial" if rows else "left out"
    drawn = target.draw(found) if rows and (done > 1 or not found.needs) else None  # one point is no figure
    svg = out / FIGURES / f"{target.name}.svg"
    if drawn is not None:
        svg.write_text(drawn, encoding="utf-8")
    else:
        svg.unlink(missing_ok=True)
    told = words(target, found, rows) if status == "complete" else {"difference": [], "remark": "", "points": []}
    return {
        "title": target.title, "source": target.source, "status": status, "scale": found.scale.name, "rows": rows,
        "audits": done, "audits_due": len(found.needs), "data": list(found.data),
        "figure": f"{FIGURES}/{target.name}.svg" if drawn is not None else None, "listed": list(target.listed), **told,
    }  # fmt: skip


def words(target: Target, found: Found, rows: Sequence[Row]) -> dict[str, Any]:
    """What the page says of a target whose audits are complete."""
    sentences = [target.sentence(found)] if target.sentence else []
    points: list[Row] = []
    for name in () if target.sentence else found.data:
        here, tolerance = [row for row in rows if row["data"] == name], target.tolerance[name]
        cause = target.cause(found.scale.study(name)) if target.cause else ""
        sentences.append(f"{DATA_NAMES[name]}: {difference(here, tolerance, cause)}")
        sentences += filter(None, [trainings(here, tolerance)])
        points += compared(here, tolerance)
    return {"difference": sentences, "remark": target.remark, "points": [] if target.listed else points}


def _claim(claim: Claim, target: Target, rows: Rows, out: Path) -> dict[str, Any]:
    """Judged, with the figure of its evidence and the target that it is told with."""
    svg = out / FIGURES / f"claim-{claim.id}.svg"
    if claim.draw is not None:
        svg.write_text(claim.draw(rows), encoding="utf-8")
    figure = f"{FIGURES}/{svg.name}" if claim.draw is not None else None
    return claim.judged(rows) | {"target": target.name, "figure": figure}


def _yardsticks(laboratory: Laboratory) -> list[Row]:
    """Pictures that need no activation, of every data set that was read."""
    rows = []
    for data in DATA:
        path = laboratory.yardsticks_file(data)
        scores = files.read_json(path) if path.is_file() else {}
        for guess in sorted(scores):
            numbers = {name: round(scores[guess][metric], 4) for metric, name in METRICS.items()}
            rows.append(
                {"study": "yardsticks", "data": data, "attack": guess, "threat_model": "no activation", "secrets": LIKE}
                | {"images": laboratory.scale.images}
                | numbers
            )
    return rows
