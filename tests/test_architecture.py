"""The rules of the house: who may import whom, how long files are, and what stays free of torch."""

import ast
import json
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest

from record.factory import make_record
from splitward.record import store

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "splitward"
FILES = sorted(SOURCE.rglob("*.py"))
PACKAGES = {p.parent.name for p in SOURCE.glob("*/__init__.py")}
LINES, FUNCTION_LINES = 400, 60


def python(code, *arguments):
    """The standard output of ``code`` in a fresh interpreter."""
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_import_rules_hold():
    lint = Path(sys.executable).with_name("lint-imports")
    if not lint.exists():
        pytest.skip("import-linter is not installed; `make test` installs it")
    done = subprocess.run([lint, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_package_is_in_the_import_rules():
    """A new package must be forbidden to core, and its place against attacks, defences and metrics be said."""
    rules = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    forbidden = {
        source: {m.removeprefix("splitward.") for m in rule["forbidden_modules"]}
        for rule in rules
        if rule["type"] == "forbidden"
        for source in rule["source_modules"]
    }
    assert forbidden["splitward.core"] == PACKAGES - {"core"}
    apart = {"core", "attacks", "defences", "metrics"}
    for package in ("attacks", "defences", "metrics"):
        assert forbidden[f"splitward.{package}"] == PACKAGES - apart
    for package in ("record", "report"):
        assert "torch" in forbidden[f"splitward.{package}"]


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_files_and_functions_are_short(path):
    text = path.read_text()
    assert len(text.splitlines()) <= LINES
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            assert length <= FUNCTION_LINES, f"{node.name} in line {node.lineno} has {length} lines"


def test_importing_the_package_loads_no_torch():
    code = "import sys, splitward; dir(splitward); print([m for m in ('torch', 'numpy') if m in sys.modules])"
    assert python(code).strip() == "[]"


HELP = """
import contextlib, io, sys
from splitward.cli.main import main
with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.suppress(SystemExit):
    main([*sys.argv[1:], "--help"])
assert "Usage" in out.getvalue(), out.getvalue()
print([m for m in ("torch", "sklearn", "skimage", "plotly", "scipy") if m in sys.modules])
"""


def test_help_loads_no_torch(capsys):
    start = time.perf_counter()
    assert python(HELP).strip() == "[]"
    seconds = time.perf_counter() - start
    with capsys.disabled():
        print(f" [splitward --help: {seconds:.2f} s]", end="")


def test_the_help_of_every_command_loads_no_torch():
    code = """
import contextlib, io, json, sys
import typer.main
from splitward.cli.main import app, main
group = typer.main.get_command(app)
for name, command in group.commands.items():
    for words in [[name], *([name, sub] for sub in getattr(command, "commands", {}))]:
        with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.suppress(SystemExit):
            main([*words, "--help"])
        assert "Usage" in out.getvalue(), words
print(json.dumps([sorted(group.commands), "torch" in sys.modules]))
"""
    commands, torch = json.loads(python(code))
    assert not torch
    assert {"audit", "compare", "cuts", "data", "demo", "list", "report", "score", "train"} <= set(commands)


NO_TORCH = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "pytorch_msssim", "sklearn", "skimage"):
            raise ModuleNotFoundError(f"{name} is not installed here", name=name)

sys.meta_path.insert(0, Refuse())
from splitward.cli.main import main
main(sys.argv[1:])
"""


@pytest.mark.parametrize("count", [1, 2], ids=["one run", "a sweep"])
def test_report_renders_where_torch_is_not_installed(tmp_path, count):
    for number in range(count):
        record, tensors = make_record()
        store.save(record, tmp_path / f"run{number}" if count > 1 else tmp_path, tensors)
    python(NO_TORCH, "report", str(tmp_path), "-o", str(tmp_path / "out.html"))
    assert "rmle" in (tmp_path / "out.html").read_text()


def test_compare_works_where_torch_is_not_installed(tmp_path):
    for name in ("before", "after"):
        record, tensors = make_record()
        store.save(record, tmp_path / name, tensors)
    assert "rmle" in python(NO_TORCH, "compare", str(tmp_path / "before"), str(tmp_path / "after"))


def test_the_refusal_of_torch_above_refuses(tmp_path):
    code = NO_TORCH.replace("main(sys.argv[1:])", "import torch")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "torch is not installed here" in done.stderr
