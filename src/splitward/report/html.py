"""From records to one self-contained HTML file: no network, no script that is needed, no font of its own."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import tempfile
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from splitward._version import __version__
from splitward.core.errors import RecordError
from splitward.record import store
from splitward.record.checks import check_sweep
from splitward.record.schema import Record
from splitward.report import facts, games, grid, queries, sweep, view, wording
from splitward.report.evidence import Evidence
from splitward.report.headline import headline, sweep_headline, title_of

OPEN_TARGETS = 3
"""A sweep of more targets folds their sections, so that the overview stays an overview."""


Run = Path | str | Record
"""A run folder, a folder of run folders (a sweep), or a record in memory."""


def render(runs: Run | Sequence[Run], output: Path | str) -> Path:
    """Write the report of one record or of several to ``output`` (whose folder is made) and return its path.

    A report with pictures shows private inputs and is readable by its owner only, as the pictures' own file is. Raises
    RecordError where there is no record, one that cannot be read, or nowhere to write.
    """
    chosen = [runs] if isinstance(runs, Path | str | Record) else list(runs)
    evidences = [evidence for run in chosen for evidence in _evidences(run)]
    if not evidences:
        raise RecordError("there is nothing to report: name a run folder.")
    output = Path(output)
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        _write(output, page_of(evidences), private=any(e.pictures for e in evidences))
    except OSError as error:
        raise RecordError(f"the report cannot be written to {output}: {error.strerror or error}.") from error
    return output


def _evidences(run: Run) -> list[Evidence]:
    if isinstance(run, Record):
        return [Evidence(run, dict(run.tensors), "")]
    return [_load(folder) for folder in store.runs_in(run)]


def _load(folder: Path) -> Evidence:
    record = store.load(folder)
    kept = not record.redacted and (folder / store.TENSORS).is_file()
    return Evidence(record, dict(record.tensors) if kept else {}, folder.name)


def _write(path: Path, page: str, private: bool) -> None:
    """Beside its place first, then renamed: a reader sees the old report or the new one, whole."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(page)
        if not private:
            Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise


def page_of(evidences: Sequence[Evidence]) -> str:
    """The page. The same records give the same page, byte for byte."""
    evidences = sweep.ordered(evidences)
    views = [view.target_view(e, f"target-{i}") for i, e in enumerate(evidences, 1)]
    columns = grid.columns_for(sum(grid.rows_of(e) for e in evidences))
    several = len(views) > 1
    context = {
        "views": views,
        "several": several,
        "headline": sweep_headline(evidences) if several else headline(evidences[0]),
        "grids": {v.anchor: grid.target_grid(v.evidence, columns) for v in views},
        "glances": {v.anchor: grid.glance(v.evidence) for v in views},
        "overview_grid": grid.sweep_grid(evidences) if several else None,
        "thumbnails": grid.thumbnails(evidences) if several else None,
        "overview_scale": view.scale_of(evidences),
        "panels": sweep.panels(views) if several else [],
        "budgets": queries.curves(evidences) if several else [],
        "sweep_checks": check_sweep([e.record for e in evidences]) if several else (),
        "open_targets": len(views) <= OPEN_TARGETS,
        "title": title_of([e.record for e in evidences]),
        "first": views[0].record,
        "version": __version__,
        "card": facts.card([e.record for e in evidences]),
        "data_sets": facts.data_sets([e.record for e in evidences]),
    }
    environment = _environment()
    return environment.get_template("report.html.j2").render(context, **_assets())


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("splitward.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(wording=wording, view=view, facts=facts, scale=games.SCALE)
    environment.filters["upper_first"] = lambda text: text[:1].upper() + text[1:]
    return environment


def _assets() -> dict[str, Any]:
    """Style and script, and the policy by which a browser refuses everything that the page does not bring itself."""
    folder = resources.files("splitward.report") / "templates"
    style, script = ((folder / name).read_text(encoding="utf-8") for name in ("style.css", "print.js"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    return {"style": Markup(style), "script": Markup(script), "policy": policy}
