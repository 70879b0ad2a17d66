"""The tables of ``defence-curves.md``, from ``results/defence-curves.json``: no figure in them is typed by hand."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from _tables import RESULTS, markdown

PLACE = "<!-- defence-curves -->"
NAMES = {"mnist": "LeNet-5 on MNIST", "cifar10": "The CIFAR CNN on CIFAR-10"}
HEADINGS = (
    "defence", "seen", "accuracy, %", "naive, SSIM (95 %)", "by", "adaptive, SSIM (95 %)", "by", "PSNR, dB", "floor",
)  # fmt: skip

Row = dict[str, Any]


def fill(text: str, results: Path = RESULTS) -> str:
    """``text`` with what was measured in the place that is marked for it, or that nothing was."""
    file = results / "defence-curves.json"
    rows = json.loads(file.read_text(encoding="utf-8")) if file.exists() else []
    found = [section(name, [row for row in rows if row["dataset"] == name], results) for name in NAMES]
    return text.replace(PLACE, "\n\n".join(found))


def section(dataset: str, rows: Sequence[Row], results: Path = RESULTS) -> str:
    """The figure, what protects, and all points of one data set."""
    heading = f"## {NAMES[dataset]}"
    if not rows:
        return f"{heading}\n\n*Not measured: `results/defence-curves.json` has no point of it.*"
    one = rows[0]
    undefended = f"{100 * one['accuracy_undefended']:.1f} % without a defence"
    about = (
        f"Cut at `{one['cut']}`; {one['samples']} secrets; accuracy from {one['accuracy_samples']:,} held-out images, "
        f"{undefended}. Effort: {one['effort']}. {'. '.join(measured(rows))}."
    )
    figure = results / f"defence-curves-{dataset}.svg"
    picture = f"![Leakage against accuracy: {NAMES[dataset]}](../results/{figure.name})\n\n" if figure.exists() else ""
    return f"{heading}\n\n{about}\n\n{picture}{verdict(rows)}\n\n{table(rows)}"


def measured(rows: Sequence[Row]) -> list[str]:
    """How points were measured: a phrase for each version and machine, and how often its secrets are seen."""
    found: dict[str, set[str]] = {}
    for row in rows:
        found.setdefault(f"by version {row['version']} at {row['commit']} on {row['machine']}", set()).add(times(row))
    return [f"Seen {' and '.join(sorted(seen, reverse=True))}: measured {how}" for how, seen in found.items()]


MARGIN = 0.02
"""Of SSIM."""


def floor(row: Row) -> float:
    """The stronger floor, in SSIM."""
    return max(float(row["floor_allowed_ssim"]), float(row["floor_prior_ssim"]))


def protects(row: Row) -> bool:
    """Whether no attack that can be believed, naive or adaptive, stands above the floor: nor its upper limit by MARGIN.

    Who knows the defence may ignore it.
    """
    highest = max(row["adaptive_ssim_high"], row["naive_ssim_high"])
    return bool(row["adaptive_believable"]) and highest <= floor(row) + MARGIN


def verdict(rows: Sequence[Row]) -> str:
    """One sentence: at which points an attacker who knows the defence gets no more than the floor."""
    safe = [row for row in rows if protects(row)]
    if not safe:
        return f"At none of the {len(rows)} points does the adaptive attack come down to the floor: nothing protects."
    told = "; ".join(f"{spec(row)} seen {times(row)} ({100 * row['accuracy']:.1f} % accuracy)" for row in safe)
    return f"No attack stands above the undefended device's floor at {len(safe)} of {len(rows)} points: {told}."


def spec(row: Row) -> str:
    """A defence as the command line writes it."""
    return f"`{row['defence']}:{row['level']:g}{'@input' if row['where'] == 'input' else ''}`"


def times(row: Row) -> str:
    """How often each secret is seen."""
    return "once" if row["observations"] == 1 else f"{row['observations']} times"


def table(rows: Sequence[Row]) -> str:
    """Every point."""
    return markdown(
        HEADINGS,
        [
            [spec(row), times(row), f"{100 * row['accuracy']:.1f}", spread(row, "naive"), attack(row, "naive"),
             spread(row, "adaptive"), attack(row, "adaptive"), f"{row['adaptive_psnr_db']:.1f}", f"{floor(row):.2f}"]
            for row in rows
        ],
    )  # fmt: skip


def spread(row: Row, knows: str) -> str:
    """A mean with its 95 % interval."""
    mean, low, high = (row[f"{knows}_ssim{end}"] for end in ("", "_low", "_high"))
    return f"{mean:.2f} ({low:.2f} to {high:.2f})"


def attack(row: Row, knows: str) -> str:
    """The attack's name, and whether it is to be doubted."""
    return f"`{row[f'{knows}_attack']}`" + ("" if row[f"{knows}_believable"] else " (not believable)")
