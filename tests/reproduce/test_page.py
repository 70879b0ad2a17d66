"""The committed document, its figures and its page say the same."""

import json
import re
from pathlib import Path

import pytest

from splitward.reproduce import page
from splitward.reproduce.draw import WIDTH
from splitward.reproduce.rows import Rows
from splitward.reproduce.run import unique, words
from splitward.reproduce.scales import scale_named
from splitward.reproduce.target import Found, targets

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "results"
FIGURES = sorted((RESULTS / "figures").glob("*.svg"))
COLUMN_PT = 85 / 25.4 * 72


@pytest.fixture(scope="module")
def document():
    return json.loads((RESULTS / "reproduction.json").read_text())


@pytest.fixture(scope="module")
def rows(document):
    """Every row once, in the order of the targets."""
    every = [row for name in targets() for row in document["targets"][name]["rows"]]
    return Rows([*{json.dumps(row, sort_keys=True): row for row in every}.values(), *document["yardsticks"]])


def found(document, rows, target):
    """What a target is drawn from, but for pictures."""
    scale, data = scale_named(document["scale"]), tuple(document["targets"][target.name]["data"])
    needs = unique(need for name in target.data for need in target.needs(scale, name))
    return Found(scale, rows, needs, lambda need: None, data)


def test_the_page_is_rebuilt_from_the_committed_document(document):
    """Every claim and every figure is on the page; a number that is changed in the document is changed on the page."""
    text = page.markdown(document, "figures")
    for claim in document["claims"]:
        assert claim["claim"] in text
        assert all(evidence in text for evidence in claim["evidence"])
        assert text.count(f"({claim['id']})=") == 1
    assert set(document["targets"]) == set(targets())
    for one in (*document["targets"].values(), *document["claims"]):
        if one["figure"]:
            assert (RESULTS / one["figure"]).is_file()
            assert f"(figures/{one['figure'].split('/')[-1]})" in text
    document = json.loads(json.dumps(document))
    document["claims"][0]["evidence"] = ["a sentence that was not there"]
    document["targets"]["table-3"]["points"][0]["psnr_db"] = 77.7
    changed = page.markdown(document, "figures")
    assert "a sentence that was not there" in changed
    assert "/ 77.7 |" in changed
    assert page.html(document, RESULTS).startswith("<!doctype html>")


def test_every_link_of_the_page_has_its_place(document):
    text = page.markdown(document, "figures")
    assert {*re.findall(r"\]\(#([^)]+)\)", text)} <= {*re.findall(r"^\(([^)]+)\)=$", text, re.MULTILINE)}


def test_targets_stand_in_the_papers_order(document):
    headings = re.findall(r"^### ((?:Table|Figure) \d+):", page.markdown(document, "figures"), re.MULTILINE)
    assert headings == [page._titled(name) for name in targets()]


def test_no_result_is_typed_by_hand():
    """Outside of code, the text that is written by hand has no decimals and no numbers with a unit."""
    text = re.sub(r"```.*?```|`[^`]*`", "", (ROOT / "docs" / "reproduction.md").read_text(), flags=re.DOTALL)
    assert re.findall(r"\d+\.\d+|\d+ ?(?:dB|%|images|points|SSIM)", text) == []


@pytest.mark.parametrize("claim", [c for t in targets().values() for c in t.claims], ids=lambda c: c.id)
def test_claims_are_what_the_committed_rows_say(document, rows, claim):
    written = next(one for one in document["claims"] if one["id"] == claim.id)
    judged = claim.judged(rows)
    assert {key: written[key] for key in judged} == judged
    if claim.draw is not None:
        assert (RESULTS / written["figure"]).read_text() == claim.draw(rows)


@pytest.mark.parametrize("target", targets().values(), ids=lambda t: t.name)
def test_figures_and_words_are_what_the_committed_rows_say(document, rows, target):
    """Figures of pictures need the records; theirs are compared by what is written in them."""
    written, svg = document["targets"][target.name], (RESULTS / "figures" / f"{target.name}.svg").read_text()
    told = words(target, found(document, rows, target), written["rows"])
    assert {key: written[key] for key in told} == told
    if "<image" not in svg:
        assert target.draw(found(document, rows, target)) == svg


@pytest.mark.parametrize("path", FIGURES, ids=lambda path: path.stem)
def test_figures_are_legible_in_a_column(path):
    """One width, and no text below 6 pt in a column of 85 mm."""
    svg = path.read_text()
    assert f'viewBox="0 0 {WIDTH} ' in svg
    assert min(map(int, re.findall(r'font-size="(\d+)"', svg))) / WIDTH * COLUMN_PT >= 6
