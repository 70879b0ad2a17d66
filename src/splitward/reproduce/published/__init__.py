"""The published numbers, read from the tables beside this file; ``README.md`` says where they come from."""

from __future__ import annotations

import csv
from functools import cache
from importlib import resources
from typing import Any

Row = dict[str, Any]


def _number(text: str) -> str | float:
    try:
        return float(text)
    except ValueError:
        return text


@cache
def table(name: str) -> tuple[Row, ...]:
    """The rows of ``name``.csv; numbers as floats, lines that begin with # left out."""
    text = (resources.files(__name__) / f"{name}.csv").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return tuple({key: _number(value) for key, value in row.items()} for row in csv.DictReader(lines))


def find(name: str, **wanted: Any) -> Row | None:
    """The row of ``name``.csv with these values; None where there is none."""
    return next((row for row in table(name) if all(row[key] == value for key, value in wanted.items())), None)


def defended(data: str, layer: str, defence: str, applied_to: str, level: float) -> Row | None:
    """A point of figures 6 to 13: accuracy, PSNR in dB, SSIM in the papers' variant."""
    return find("defence_curves", dataset=data, split_layer=layer, defence=defence, applied_to=applied_to, level=level)


def attacked(source: str, data: str, layer: str, setting: str) -> Row | None:
    """A point of an ACSAC19 table."""
    return find("published_tables", source=f"ACSAC19 {source}", dataset=data, split_layer=layer, setting=setting)


TABLES = {"white-box": "table 3", "black-box": "table 4", "query-free": "table 6", "reconstruction": "table 8"}
"""The study that an audit belongs to -> the table of ACSAC19 that it repeats."""


def of_need(study: str, data: str, layer: str, setting: str, defence: tuple[str, str, float]) -> Row | None:
    """What the papers report where this audit was run: psnr_db, ssim, perhaps accuracy, and the source; or None."""
    if study in TABLES:
        row, source = attacked(TABLES[study], data, layer, setting), f"ACSAC19 {TABLES[study]}"
    elif study == "layers":
        row, source = find("figure15", split_layer=layer), "IoTJ20 figure 15, read off the bars"
    elif study in ("defence", "victims"):
        kind, applied_to, level = defence
        row = defended(data, layer, "dropout" if kind == "none" else kind, applied_to, level)
        source = "IoTJ20 figures 9, 10 and 13, from the authors' logs"
    else:
        return None
    if row is None:
        return None
    return {key: row[key] for key in ("psnr_db", "ssim", "accuracy") if key in row} | {"source": source}
