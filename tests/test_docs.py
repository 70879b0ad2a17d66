"""The documentation is true: its code runs, its commands parse, its settings are accepted, its tutorials install."""

import ast
import contextlib
import doctest
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
import types
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
import typer.main

from splitward.audit.settings import read_settings
from splitward.cli.main import app
from splitward.core import registry
from splitward.record import checks, schema

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
LANGUAGES = {"python", "console", "toml", "text"}
FENCE = re.compile(r"^```([^\n`]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"(?<!`)`(splitward [a-z][^`]*)`(?!`)")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: Path
    line: int
    language: str
    text: str

    def __str__(self):
        return f"{self.page.name}:{self.line}"


def blocks(page):
    """Every fenced block of a page but MyST directives, in order."""
    text = page.read_text()
    found = []
    for match in FENCE.finditer(text):
        info = match[1].strip()
        if not info.startswith("{"):
            found.append(Block(page, text.count("\n", 0, match.start()) + 1, info, match[2]))
    return found


ALL = [block for page in PAGES for block in blocks(page)]


def of(language):
    return [b for b in ALL if b.language == language]


def test_every_block_says_what_it_is():
    """A bare fence or an unknown language would escape the tests of this file."""
    assert len(PAGES) > 10
    assert len(of("python")) > 10
    for block in ALL:
        assert block.language in LANGUAGES, f"{block}: ```{block.language}"


@contextlib.contextmanager
def own_plugins():
    """What is registered inside is forgotten afterwards."""
    for kind in registry.PACKAGES:
        registry.discover(kind)
    before = {kind: dict(known) for kind, known in registry._plugins.items()}
    try:
        yield
    finally:
        for kind, known in before.items():
            registry._plugins[kind].clear()
            registry._plugins[kind].update(known)


def run_page(page):
    """Run the python blocks of a page in order, in one namespace; a block of ``>>>`` lines is a doctest."""
    module = types.ModuleType("page_" + page.stem.replace("-", "_"))
    sys.modules[module.__name__] = module  # dataclasses look their module up
    try:
        for block in blocks(page):
            if block.language != "python":
                continue
            if block.text.startswith(">>>"):
                test = doctest.DocTestParser().get_doctest(
                    block.text, module.__dict__, page.name, str(page), block.line
                )
                runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
                runner.run(test, clear_globs=False)
                assert runner.failures == 0, f"{block}: see the output above"
            else:
                exec(compile("\n" * block.line + block.text, str(page), "exec"), module.__dict__)
    finally:
        del sys.modules[module.__name__]


@pytest.mark.parametrize(
    "page", [p for p in PAGES if any(b.language == "python" for b in blocks(p))], ids=lambda p: p.stem
)
def test_the_code_of_a_page_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SPLITWARD_DATA", str(tmp_path))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # these are small tensors; several threads on a busy machine wait for one another
    try:
        with own_plugins():
            run_page(page)
    finally:
        torch.set_num_threads(threads)


def commands(block):
    """The command lines of a console block: what follows ``$ ``, with continued lines joined."""
    text = block.text.replace("\\\n", " ")
    return [line[2:] for line in text.splitlines() if line.startswith("$ ")]


def resolve(words):
    """The command that ``splitward ...`` names, its name, and the words that follow it."""
    command, name, rest = typer.main.get_command(app), words[0], words[1:]
    while hasattr(command, "commands") and rest and not rest[0].startswith("-"):
        assert rest[0] in command.commands, f"there is no command {rest[0]!r}"
        command, name, rest = command.commands[rest[0]], rest[0], rest[1:]
    return command, name, [word for word in rest if word != "--debug"]


def refuse_unless_parsed(line):
    """Raise where ``splitward ...`` has a command, an option or an argument that does not exist."""
    command, name, rest = resolve(shlex.split(line, comments=True))
    if not {"-h", "--help", "--version"} & set(rest):
        command.make_context(name, rest)


@pytest.mark.parametrize("block", of("console"), ids=str)
def test_commands_exist(block):
    lines = commands(block)
    assert lines, "a console block shows its commands after `$ `"
    for line in lines:
        for part in re.split(r"\s(?:&&|\|\||\||;)\s|\s>\s\S+", re.sub(r"^([A-Z_]+=\S+ )+", "", line)):
            words = shlex.split(part, comments=True)
            if not words:
                continue
            if words[0] == "splitward":
                refuse_unless_parsed(part)
            elif words[0] == "make":
                targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
                assert set(words[1:]) <= set(targets), part
            elif words[0] == "python":
                assert any(w == "-m" or (ROOT / w).exists() for w in words[1:]), part
            else:
                assert words[0] in {"git", "cd", "pip", "export", "echo", "test"}, part


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_commands_and_options_named_in_the_text_exist(page):
    text = FENCE.sub("", page.read_text())
    commands = list(walk(typer.main.get_command(app)))
    every = {o for command in commands for p in command.params for o in (*p.opts, *p.secondary_opts)}
    for quoted in INLINE.findall(text):
        command, _, rest = resolve([word for word in quoted.split() if word not in ("...", "[KIND]")])
        known = {option for parameter in command.params for option in parameter.opts} | {"-h", "--help", "--version"}
        assert {word for word in rest if word.startswith("-")} <= known, quoted
    for option in re.findall(r"`(--[a-z][a-z-]+)", text):
        assert option in every, option


def walk(command):
    """A command and all commands below it."""
    yield command
    for below in getattr(command, "commands", {}).values():
        yield from walk(below)


@pytest.mark.parametrize("line", ["audit --modle x", "attack", "data fech mnist", "cuts", "audit a.toml b.toml"])
def test_a_command_that_does_not_exist_is_noticed(line):
    with pytest.raises(Exception, match=r"--modle|no command|[Mm]issing|unexpected"):
        refuse_unless_parsed(f"splitward {line}")


@pytest.mark.parametrize("block", of("toml"), ids=str)
def test_settings_are_settings(block, tmp_path):
    values = tomllib.loads(block.text)
    if "project" in values:
        groups = values["project"]["entry-points"]
        assert set(groups) <= {f"splitward.{package}" for package in registry.PACKAGES.values()}
    else:
        file = tmp_path / "AUDIT.toml"
        file.write_text(block.text)
        settings = read_settings(file, {})
        assert settings.chains


@pytest.mark.slow
def test_the_pages_build_without_a_warning(tmp_path):
    for module in ("sphinx", "furo", "myst_parser"):
        pytest.importorskip(module)
    words = ["-W", "--keep-going", "-q", "-b", "html", "docs", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", *words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "index.html").exists()


# --- record.md ---

PARTS = [
    part
    for part in vars(schema).values()
    if isinstance(part, type) and issubclass(part, schema.Part) and part is not schema.Part
]


@pytest.mark.parametrize("part", PARTS, ids=lambda p: p.__name__)
def test_every_field_of_the_record_is_described(part):
    """Each part has a section headed by its class name; the first column of its table is its fields, in order."""
    text = (ROOT / "docs" / "record.md").read_text()
    sections = re.split(r"^#+ ", text, flags=re.MULTILINE)[1:]
    section = next((s for s in sections if f"`{part.__name__}`" in s.splitlines()[0]), None)
    assert section is not None, f"record.md has no section headed by `{part.__name__}`"
    assert re.findall(r"^\| `([a-z_0-9]+)` \|", section, re.MULTILINE) == list(part.model_fields)


def test_every_check_is_described():
    """The names that the source of the checks gives are the first column of the table in threat-models.md."""
    tree = ast.parse(Path(checks.__file__).read_text())
    named = [n.value for n in ast.walk(tree) if isinstance(n, ast.keyword) and n.arg == "name"]
    named += [n.args[0] for n in ast.walk(tree) if isinstance(n, ast.Call) and ast.unparse(n.func) in ("_ok", "_rises")]
    for statement in ast.walk(tree):
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name | ast.Tuple):
            pair = isinstance(statement.targets[0], ast.Tuple) and isinstance(statement.value, ast.Tuple)
            targets = statement.targets[0].elts if pair else [statement.targets[0]]
            values = statement.value.elts if pair else [statement.value]
            named += [v for t, v in zip(targets, values, strict=True) if ast.unparse(t) == "name"]
    names = {n.value for n in named if isinstance(n, ast.Constant)}
    section = (ROOT / "docs" / "threat-models.md").read_text().partition("## Checks")[2]
    assert set(re.findall(r"^\| `([a-z-]+)` \|", section, re.MULTILINE)) == names


# --- the tutorials, as plugins of a third party ---

TUTORIALS = {
    "adding-an-attack": ("attacks", "attack", "linear-inverse"),
    "adding-a-defence": ("defences", "defence", "rounding"),
    "adding-a-hardening": ("hardening", "hardening", "sparse-code"),
    "adding-a-metric": ("metrics", "metric", "correlation"),
    "adding-a-data-set": ("data", "dataset", "scans"),
}


@pytest.fixture(scope="session")
def installed(tmp_path_factory):
    """A folder with the tutorial files, each as its page prints it, installed as one package with entry points."""
    folder = tmp_path_factory.mktemp("site")
    groups = []
    for page, (group, _, name) in TUTORIALS.items():
        block = next(b for b in blocks(ROOT / "docs" / f"{page}.md") if b.language == "python")
        file = re.match(r"# (\w+)\.py\n", block.text)
        assert file, f"{block}: the tutorial's file begins with its name as a comment"
        (folder / f"{file[1]}.py").write_text(block.text)
        groups.append(f"[splitward.{group}]\n{name} = {file[1]}\n")
    about = folder / "tutorials-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: tutorials\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("\n".join(groups))
    return folder


def splitward(folder, *arguments, cwd):
    """Standard output of the command line in a process where ``folder`` is installed."""
    environment = {**os.environ, "PYTHONPATH": str(folder), "SPLITWARD_DATA": str(cwd), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "splitward", *arguments],
        cwd=cwd, env=environment, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode in (0, 1), done.stderr
    return done


def test_the_tutorials_are_listed(installed, tmp_path):
    listed = json.loads(splitward(installed, "list", "--json", cwd=tmp_path).stdout)
    names = {(row["kind"], row["name"]) for row in listed}
    assert names >= {(kind, name) for _, kind, name in TUTORIALS.values()}
    attack = next(row for row in listed if row["name"] == "linear-inverse")
    assert attack["holds"] == "black-box"
    assert attack["summary"]
    text = splitward(installed, "list", "attacks", cwd=tmp_path).stdout
    assert "linear-inverse" in text


def test_the_tutorials_run_in_an_audit_and_appear_in_its_report(installed, tmp_path):
    """Attack, defence and metric: one file each, and nothing else is touched."""
    command = (
        "audit --model lenet5 --data digits --at ReLU2 --defence rounding:2 --attacks linear-inverse "
        "--samples 30 --released none --effort quick --out run --json"
    )
    done = splitward(installed, *command.split(), cwd=tmp_path)
    record = schema.Record.model_validate_json(done.stdout)
    assert [(t.attack, t.adaptive, t.status) for t in record.trials] == [
        ("linear-inverse", False, "ok"), ("linear-inverse", True, "ok"),
    ]  # fmt: skip
    assert all(t.control and t.control.recovered for t in record.trials)
    assert record.verdict is not None
    assert record.verdict.attack == "linear-inverse"
    assert "correlation" in record.trials[0].metrics
    assert record.target.defence == "rounding:2"
    splitward(installed, "report", "run", "-o", "again.html", cwd=tmp_path)
    report = (tmp_path / "again.html").read_text()
    assert "linear-inverse" in report
    assert "rounding" in report


@pytest.mark.slow
def test_the_tutorial_attack_keeps_the_contract(installed):
    """The contract tests of all attacks, over the tutorial's."""
    environment = {**os.environ, "PYTHONPATH": str(installed), "OMP_NUM_THREADS": "1"}
    words = ["-q", "-p", "no:cacheprovider", "tests/attacks/test_contract.py", "-k", "linear-inverse"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *words],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:]
    assert re.search(r"[1-9]\d* passed", done.stdout)
