"""Plugins of others: found by their entry points, and named where they fail."""

import os
import subprocess
import sys

import pytest


@pytest.fixture
def installed(tmp_path):
    """A function that installs a distribution with one attack plugin, made of ``code``, and lists the attacks."""

    def install(code):
        (tmp_path / "their_plugin.py").write_text(code)
        facts = tmp_path / "their_package-1.0.dist-info"
        facts.mkdir()
        (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: their-package\nVersion: 1.0\n")
        (facts / "entry_points.txt").write_text("[splitward.attacks]\ntheirs = their_plugin:Theirs\n")
        return subprocess.run(
            [sys.executable, "-m", "splitward", "list", "attacks"],
            env={**os.environ, "PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, check=False,
        )  # fmt: skip

    return install


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("import a_module_that_is_not_there", "a_module_that_is_not_there"),
        ("Other = 1", "has no attribute 'Theirs'"),
        ("1 / 0", "division by zero"),
    ],
)
def test_a_plugin_that_cannot_be_loaded_is_one_sentence(installed, code, why):
    done = installed(code)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "'their-package'" in done.stderr
    assert why in done.stderr


def test_a_plugin_that_can_be_loaded_is_listed(installed):
    code = (
        "from splitward.core.knowledge import QueryFree\nfrom splitward.core.registry import register\n"
        "@register('attack')\nclass Theirs:\n    '''Does nothing.'''\n    name = 'theirs'\n"
        "    def prepare(self, knowledge: QueryFree, run):\n        return lambda activations: None\n"
    )
    done = installed(code)
    assert done.returncode == 0, done.stderr
    assert "theirs" in done.stdout
