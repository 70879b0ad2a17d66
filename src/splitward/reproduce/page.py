"""The document as a page, in Markdown for the documentation and in HTML: every number comes from the document."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from splitward.reproduce.need import DATA_NAMES

VERDICTS = (
    "holds",
    "holds only against an attacker who does not know the defence",
    "does not hold",
    "could not be decided",
)


def markdown(document: dict[str, Any], figures: str) -> str:
    """The body of *What the paper says, and what is so*. ``figures``: where the figures' folder lies, for links."""
    return _environment().get_template("page.md.j2").render(**_context(document), figures=figures)


def html(document: dict[str, Any], folder: Path) -> str:
    """The page with the figures of ``folder`` in it."""
    style = (resources.files("splitward.report") / "templates" / "style.css").read_text(encoding="utf-8")
    drawings = {
        name: Markup((folder / target["figure"]).read_text(encoding="utf-8"))
        for name, target in document["targets"].items()
        if target["figure"]
    }
    template = _environment(escape=True).get_template("page.html.j2")
    return template.render(**_context(document), style=Markup(style), drawings=drawings)


def _context(document: dict[str, Any]) -> dict[str, Any]:
    counts = {verdict: sum(c["verdict"] == verdict for c in document["claims"]) for verdict in VERDICTS}
    return {"document": document, "counts": counts, "shown": shown, "numbered": _numbered}


def shown(target: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of a table: those of the papers' own attack, beside what was published."""
    return [row for row in target["rows"] if row.get("published") and row.get("psnr_db") is not None]


def _numbered(value: float | None, digits: int) -> str:
    """A number, or a dash.

    >>> _numbered(None, 2)
    '–'
    """
    return "–" if value is None else f"{value:.{digits}f}"


def _environment(escape: bool = False) -> Environment:
    return Environment(
        loader=PackageLoader("splitward.reproduce", "templates"),
        autoescape=escape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
