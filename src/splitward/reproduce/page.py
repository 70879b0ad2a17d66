"""The document as a page, in Markdown for the documentation and in HTML: every number comes from the document."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from splitward.reproduce.need import DATA_NAMES
from splitward.reproduce.rows import decimals, defended
from splitward.reproduce.target import place

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
    drawings = {name: _drawing(folder, target) for name, target in document["targets"].items() if target["figure"]}
    proofs = {claim["id"]: _drawing(folder, claim) for claim in document["claims"] if claim["figure"]}
    template = _environment(escape=True).get_template("page.html.j2")
    return template.render(**_context(document), style=Markup(style), drawings=drawings, proofs=proofs)


def _drawing(folder: Path, one: dict[str, Any]) -> Markup:
    return Markup((folder / one["figure"]).read_text(encoding="utf-8"))


def _context(document: dict[str, Any]) -> dict[str, Any]:
    return {
        "document": document,
        "targets": dict(sorted(document["targets"].items(), key=lambda one: place(one[0]))),
        "counts": {verdict: sum(c["verdict"] == verdict for c in document["claims"]) for verdict in VERDICTS},
        "drawn": [claim for claim in document["claims"] if claim["figure"]],
        "names": DATA_NAMES,
        "titled": _titled, "listed": listed, "setting": _setting, "met": _met, "both": _both,
        "accuracies": _accuracies, "exact": _exact,
    }  # fmt: skip


def listed(name: str, target: dict[str, Any]) -> list[dict[str, Any]]:
    """The points that stand below a target: all of a table's, and those of a figure that are missed."""
    return [p for p in target["points"] if name.startswith("table") or _met(p) != "yes"]


def _met(point: dict[str, Any]) -> str:
    """What of a published point is met.

    >>> _met({"met": True, "met_accuracy": False})
    'all but accuracy'
    """
    accuracy = point.get("met_accuracy", True)
    return "all but accuracy" if point["met"] and not accuracy else "yes" if point["met"] else "no"


def _setting(point: dict[str, Any]) -> str:
    """The papers' name of it, or the defence; and of how many trainings it is the mean."""
    several = f", mean of {point['trainings']} trainings" if point["trainings"] else ""
    return (point["setting"] or defended(point)) + several


SPELT = {"mnist": "MNIST", "cifar10": "CIFAR-10", "laplace": "Laplace"}


def _titled(name: str) -> str:
    """A name as a heading.

    >>> _titled("figure-9"), _titled("hidden-on-cifar10")
    ('Figure 9', 'Hidden on CIFAR-10')
    """
    first, *others = (SPELT.get(word, word) for word in name.split("-"))
    return " ".join([first[:1].upper() + first[1:], *others])


def _both(point: dict[str, Any], published: str, ours: str, digits: int) -> str:
    """The published number, then ours.

    >>> _both({"published": {"ssim": 0.51}, "ssim_paper": 0.523}, "ssim", "ssim_paper", 2)
    '0.51 / 0.52'
    """
    return f"{decimals(point['published'][published], digits)} / {decimals(point[ours], digits)}"


def _accuracies(point: dict[str, Any]) -> str:
    """The same of accuracy in per cent, where it was published."""
    told = point["published"].get("accuracy")
    return "" if told is None or point["accuracy"] is None else f"{100 * told:.1f} / {100 * point['accuracy']:.1f} %"


def _exact(points: list[dict[str, Any]]) -> bool:
    """Whether any accuracy was published."""
    return any(_accuracies(point) for point in points)


def _environment(escape: bool = False) -> Environment:
    return Environment(
        loader=PackageLoader("splitward.reproduce", "templates"),
        autoescape=escape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
