"""Every example in a docstring is run."""

import doctest
import importlib
from pathlib import Path

import pytest

import splitward

SOURCE = Path(splitward.__file__).parent
MODULES = sorted(
    ".".join(["splitward", *path.relative_to(SOURCE).with_suffix("").parts]).removesuffix(".__init__")
    for path in SOURCE.rglob("*.py")
    if ">>> " in path.read_text() and path.name != "__main__.py"
)


def test_there_are_examples():
    assert len(MODULES) > 5


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    module = importlib.import_module(name)
    results = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert results.attempted > 0
    assert results.failed == 0
