"""The curves of leakage against accuracy: which points are measured, and how they are drawn and told."""

import dataclasses
import importlib.util
import json
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from splitward.core.defence_text import parse_chain

ROOT = Path(__file__).parent.parent


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def figure():
    return load(ROOT / "benchmarks" / "defence_curves_figure.py")


@pytest.fixture(scope="module")
def script(figure):
    return load(ROOT / "benchmarks" / "defence_curves.py")


@pytest.fixture(scope="module")
def page():
    load(ROOT / "docs" / "_tables.py")
    return load(ROOT / "docs" / "_curves.py")


def points(script, dataset="mnist", **more):
    """A row for each point of a figure, made up: the leakage falls with the level."""
    study, rows = script.STUDIES[dataset], []
    for k in (1, 20):
        for curve in script.CURVES.values():
            for place, spec in enumerate(curve):
                trial = {"attack": "rmle", "ssim": 0.9 - 0.1 * place, "ssim_low": 0.85 - 0.1 * place}
                trial |= {"ssim_high": 0.95 - 0.1 * place, "psnr_db": 20.0 - place, "believable": True}
                rows.append(
                    script.identity(dataset, study, spec, k) | script.summary("naive", [trial])
                    | script.summary("adaptive", [trial]) | {"accuracy": 0.99 - 0.05 * place, "accuracy_samples": 2000}
                    | {"accuracy_undefended": 0.99, "floor_allowed_ssim": 0.3, "floor_prior_ssim": 0.2}
                    | {"version": "0", "commit": "c", "machine": "m"} | more
                )  # fmt: skip
    return rows


def test_the_levels_span_the_papers(script):
    chains = [parse_chain(spec) for curve in script.CURVES.values() for spec in curve]
    assert len(set(map(str, chains))) == len(chains) == 3 * 2 * 5
    assert {len(curve) for curve in script.CURVES.values()} == {5}
    assert script.KINDS["dropout"][-1] == 0.9
    assert script.KINDS["gaussian"][-1] == script.KINDS["laplace"][-1] == 5


def test_points_that_are_there_are_kept_and_others_measured(script):
    study, rows = script.STUDIES["mnist"], points(script)
    assert script.missing(rows, "mnist", study, 1) == []
    assert script.missing(rows[1:], "mnist", study, 1) == [script.CURVES["dropout"][0]]
    assert len(script.missing(rows, "cifar10", script.STUDIES["cifar10"], 1)) == 30
    harder = dataclasses.replace(study, steps=9999)
    assert len(script.missing(rows, "mnist", harder, 20)) == 30


def test_the_strongest_attack_is_the_point(script):
    found = script.summary("naive", [{"attack": "a", "ssim": 0.1}, {"attack": "b", "ssim": 0.2}])
    assert found == {"naive_attack": "b", "naive_ssim": 0.2}


def test_curves_that_were_measured_apart_are_put_together(script, tmp_path, monkeypatch):
    whole, two = tmp_path / "whole.json", tmp_path / "two.json"
    rows = points(script)
    script.write(whole, rows[:10])
    newer = [row | {"version": "1"} for row in rows[5:15]]
    script.write(two, newer)
    monkeypatch.setattr(sys, "argv", ["defence_curves.py", "--merge", str(two), "-o", str(whole)])
    script.main()
    found = json.loads(whole.read_text())
    assert len(found) == 15
    assert sorted(row["version"] for row in found) == ["0"] * 5 + ["1"] * 10
    assert (tmp_path / "defence-curves-mnist.svg").exists()


def test_rows_are_written_in_one_order(script, tmp_path):
    rows = points(script)
    script.write(tmp_path / "one.json", rows[::-1])
    script.write(tmp_path / "two.json", rows)
    assert (tmp_path / "one.json").read_text() == (tmp_path / "two.json").read_text()


def test_a_figure_has_every_curve_point_and_floor_and_names_its_axes(script, figure):
    root = ET.fromstring(figure.draw("mnist", points(script)))
    names = [element.tag.rpartition("}")[2] for element in root.iter()]
    assert names.count("polyline") == 6 * 4
    assert names.count("circle") == 6 * 2 * 5 + 2  # and two in the legend
    text = " ".join(element.text or "" for element in root.iter())
    assert text.count("task accuracy (%)") == 6
    assert "SSIM of the strongest attack" in text
    assert "floor: the label alone" in text


def test_curves_fall_to_the_left_and_stay_in_their_chart(script, figure):
    root = ET.fromstring(figure.draw("mnist", points(script)))
    line = next(e for e in root.iter() if e.tag.endswith("polyline")).get("points")
    places = [tuple(map(float, pair.split(","))) for pair in line.split()]
    assert [x for x, _ in places] == sorted((x for x, _ in places), reverse=True)
    assert [y for _, y in places] == sorted(y for _, y in places)
    assert all(0 <= x <= figure.WIDTH and 0 <= y <= figure.HEIGHT for x, y in places)


def test_a_defence_protects_only_where_a_believable_adaptive_attack_touches_the_floor(script, page):
    rows = points(script)
    assert "At none" in page.verdict(rows)
    low = {"adaptive_ssim_high": 0.31, "naive_ssim_high": 0.28}
    assert "At none" in page.verdict([rows[1] | low | {"adaptive_ssim_low": 0.2, "adaptive_ssim_high": 0.4}])
    assert "At none" in page.verdict([rows[1] | low | {"naive_ssim_high": 0.4}])  # who knows may ignore it
    assert "At none" in page.verdict([rows[1] | low | {"adaptive_believable": False}])
    touched = [rows[0] | {"adaptive_ssim_high": 0.99}, rows[1] | low]
    assert "1 of 2 points: `dropout:0.3` seen once" in page.verdict(touched)


def test_the_page_is_filled_from_the_file_or_says_that_nothing_was_measured(script, page, tmp_path):
    text = (ROOT / "docs" / "defence-curves.md").read_text()
    assert page.fill(text, tmp_path).count("Not measured") == 2
    (tmp_path / "defence-curves.json").write_text(json.dumps(points(script)))
    filled = page.fill(text, tmp_path)
    assert filled.count("Not measured") == 1
    assert page.PLACE not in filled
    assert filled.count("\n| `") == 60
    assert "| `gaussian:5@input` | 20 times | 79.0 |" in filled
