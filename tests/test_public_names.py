"""The public names: sorted, complete, documented, and not hidden by the subpackages of the same name."""

import ast
import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import splitward as sw

CONTRACT = {"Target", "attacks", "audit", "cuts", "defence", "load", "report", "split"}
"""What scripts rely on since the first release."""


def test_all_is_sorted_and_without_repetition():
    assert sw.__all__ == sorted(set(sw.__all__))


def test_all_is_complete():
    assert set(sw.__all__) == {"__version__", "SplitwardError", *sw._HOMES}
    assert set(sw.__all__) >= CONTRACT
    assert dir(sw) == sw.__all__


@pytest.mark.parametrize("name", sw.__all__)
def test_every_name_is_there_and_documented(name):
    value = getattr(sw, name)
    if name == "__version__":
        assert value.count(".") == 2
        return
    assert callable(value)
    assert inspect.getdoc(value)
    assert "To be written" not in inspect.getdoc(value)


@pytest.mark.parametrize("name", sorted(n for n in sw.__all__ if n != "__version__"))
def test_public_methods_and_parameters_are_documented(name):
    value = getattr(sw, name)
    if inspect.isclass(value):
        for attribute, member in vars(value).items():
            if not attribute.startswith("_") and (inspect.isfunction(member) or isinstance(member, property)):
                assert inspect.getdoc(member), f"{name}.{attribute} has no docstring"
    if inspect.isfunction(value):
        hints = value.__annotations__
        assert set(inspect.signature(value).parameters) | {"return"} <= set(hints), f"{name} lacks type hints"


def test_what_type_checkers_see_is_what_is_looked_up():
    """The names under TYPE_CHECKING come from the modules of ``_HOMES`` (or are re-exported by their package)."""
    tree = ast.parse(Path(sw.__file__).read_text())
    block = next(n for n in tree.body if isinstance(n, ast.If) and ast.unparse(n.test) == "TYPE_CHECKING")
    seen = {}
    for statement in block.body:
        assert isinstance(statement, ast.ImportFrom)
        for alias in statement.names:
            seen[alias.asname or alias.name] = (statement.module, alias.name)
    assert set(seen) == set(sw._HOMES)
    for name, (module, attribute) in seen.items():
        assert getattr(importlib.import_module(module), attribute) is getattr(sw, name), name


def test_no_subpackage_hides_a_public_name():
    """``splitward.split`` is a package and a function: whatever was imported first, ``sw.split`` is the function."""
    code = (
        "import splitward.split, splitward.audit, splitward.report, splitward.attacks, splitward.data\n"
        "import splitward.audit.loop\n"
        "import splitward as sw\n"
        "assert not [n for n in ('split', 'audit', 'report', 'attacks') if not callable(getattr(sw, n))]\n"
        "from splitward import split\n"
        "from splitward.split import halves\n"
        "assert callable(split) and halves.split is split\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
