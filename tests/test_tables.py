"""The tables of the documentation come from the files in ``results``, and from nowhere else."""

import importlib.util
import json
from pathlib import Path

import pytest

DOCS = Path(__file__).parent.parent / "docs"


@pytest.fixture(scope="module")
def tables():
    spec = importlib.util.spec_from_file_location("_tables", DOCS / "_tables.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def reached(**more):
    return {
        "attack": "inverse-network", "query_budget": 1000, "queries": 998, "public": 15000, "public_from": "noise",
        "ssim": 0.9012, "ssim_low": 0.88, "ssim_high": 0.92, "psnr_db": 20.34, "psnr_db_low": 20.0,
        "psnr_db_high": 21.0, "floor_ssim": 0.1, "samples": 100, "effort": "standard",
    } | more  # fmt: skip


def compared(holds, rule="depth"):
    side = {"cut": "conv1", "threat_model": "white-box", "attack": "rmle", "observations": 1}
    return {
        "rule": rule, "dataset": "mnist", "defence": "none", "less": side | {"cut": "fc1"}, "more": side,
        "difference": -0.1 if not holds else 0.1, "low": -0.2, "high": -0.05, "holds": holds,
    }  # fmt: skip


def test_numbers_stand_where_they_were_measured(tables, tmp_path):
    (tmp_path / "query-budget.json").write_text(json.dumps([reached(), reached(query_budget=None)]))
    (tmp_path / "auxiliary-data.json").write_text(json.dumps([reached()]))
    (tmp_path / "monotonicity.json").write_text(
        json.dumps({"comparisons": [compared(True), compared(False), compared(True, "knowledge")]})
    )
    text = tables.fill("a\n\n<!-- table: query-budget -->\n\nb\n\n<!-- table: auxiliary-data -->", tmp_path)
    assert text.startswith("a\n\n| attack | queries allowed |")
    assert "| inverse-network | 1,000 | 998 | 0.901 (0.880 to 0.920) | 20.3 (20.0 to 21.0) | 0.100 | 100 |" in text
    assert "| any number |" in text
    assert "| `noise` | 15,000 | 0.901" in text
    text = tables.fill("<!-- table: monotonicity -->", tmp_path)
    assert "| depth | mnist | 2 | 1 |" in text
    assert "| knowledge | mnist | 1 | 0 |" in text
    assert "| white-box at conv1: `rmle` | white-box at fc1: `rmle` | -0.1000 (-0.2000 to -0.0500) |" in text


def test_what_was_not_measured_is_said(tables, tmp_path):
    assert "Not measured: there is no `results/monotonicity.json`" in tables.fill(
        "<!-- table: monotonicity -->", tmp_path
    )


def test_every_place_in_the_pages_has_its_table(tables):
    found = {m for page in DOCS.glob("*.md") for m in tables.PLACE.findall(page.read_text())}
    assert found == set(tables.TABLES)
    for page in DOCS.glob("*.md"):
        assert "<!-- table:" not in tables.fill(page.read_text())


def test_strength_stands_beside_what_was_published(tables):
    row = {
        "dataset": "mnist", "cut": "ReLU2", "threat_model": "white-box", "attack": "prior-guided", "psnr_db": 60.0,
        "psnr_low_db": 59.0, "psnr_high_db": 61.0, "ssim": 0.99, "ssim_low": 0.98, "ssim_high": 1.0, "exact_share": 0.4,
        "floor_psnr_db": 12.0, "floor_ssim": 0.3, "samples": 100, "effort": "thorough", "believable": True,
    }  # fmt: skip
    text = tables.by_strength([row, row | {"threat_model": "query-free"}, row | {"cut": "conv2"}])
    assert "15.10 / 0.600" in text
    assert "8.03 / 0.323" in text
    assert "| – |" in text
    assert "40%" in text


def test_bounds_say_how_many_directions_survive(tables):
    row = {
        "dataset": "mnist", "cut": "ReLU2", "pixels": 784, "numbers": 1024, "rank_low": 290, "rank_high": 360,
        "resolved": 300.5, "condition": 2100.0, "reached": None, "samples": 3,
    }  # fmt: skip
    text = tables.by_rank([row, row | {"reached": 0.0004}])
    assert "290 to 360" in text
    assert "0.0004" in text
