"""``docs/threats-runtime.md`` promises nothing without a test that there is."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PAGE = ROOT / "docs" / "threats-runtime.md"
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in PAGE.read_text().splitlines()
    if line.startswith("|") and not line.startswith(("| it can", "| they can", "| ---"))
]


def named(text):
    """(file, test) of each test that is named; the file is the one named last before it."""
    file, found = "", []
    for word in re.findall(r"`(tests/[\w/]+\.py|test_\w+)`", text):
        if word.startswith("tests/"):
            file = word
        else:
            found.append((file, word))
    return found


def held_by(file):
    return {node.name for node in ast.parse((ROOT / file).read_text()).body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: (row[1] or row[0])[:60])
def test_every_promise_names_a_test_that_there_is(row):
    assert len(row) == 3
    found = named(" ".join(row))
    for file, test in found:
        assert file, f"{test} is named without its file"
        assert test in held_by(file)
    if row[1]:
        assert found or row[2] == "the record"


def test_no_test_of_the_page_is_named_outside_of_its_tables():
    assert len(named(PAGE.read_text())) == sum(len(named(" ".join(row))) for row in ROWS)
