"""Nothing is unpickled: what would do it is looked for in every file of ours, and only what is named here is let be.

What would happen to a pickle that is sent, signed or saved in the place of something else is tried in
``runtime/test_no_pickle_runs.py``.
"""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "splitward"

MODULES = {
    "pickle", "_pickle", "pickletools", "marshal", "shelve", "dill", "cloudpickle", "jsonpickle", "multiprocessing",
    "torch.package", "torch.multiprocessing",
}  # fmt: skip
CALLS = {
    "torch.export.load", "torch.jit.load", "torch.hub.load", "torch.hub.load_state_dict_from_url", "joblib.load",
    "joblib.Parallel", "yaml.load", "yaml.load_all", "yaml.full_load", "yaml.unsafe_load", "yaml.unsafe_load_all",
    "pandas.read_pickle", "numpy.lib.format.read_array",
}  # fmt: skip
SAFE_BY = {"torch.load": ("weights_only", True), "numpy.load": ("allow_pickle", False)}
"""Calls that are safe with this argument, written out."""

ALLOWED = {
    (
        "data/cifar.py",
        "pickle",
    ): "CIFAR-10 is published as pickles: an unpickler that gives nothing but arrays of bytes reads them",
    ("models/foreign.py", "torch.export.load"): "the user's .pt2 file, under --trust only",
    ("audit/isolation.py", "multiprocessing"): "between the audit and the process that it started itself",
    ("audit/workers.py", "joblib.Parallel"): "between audits and the process that started them itself",
}


def suspects(text):
    """(line, what) for each import and each call in ``text`` by which something may be unpickled."""
    tree, names, found = ast.parse(text), {}, []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for one in node.names:
                names[one.asname or one.name.split(".")[0]] = one.name if one.asname else one.name.split(".")[0]
                found.append((node.lineno, one.name))
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for one in node.names:
                names[one.asname or one.name] = f"{node.module}.{one.name}"
                found.append((node.lineno, f"{node.module}.{one.name}"))
    imports = [(line, m) for line, name in found for m in MODULES if name == m or name.startswith(f"{m}.")]
    return imports + [
        (node.lineno, name)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and (name := dotted(node.func, names)) and unsafe(node, name)
    ]


def dotted(node, names):
    """``np.load`` as ``numpy.load``, by the imports of its file; "" for what no import begins."""
    if isinstance(node, ast.Name):
        return names.get(node.id, node.id if node.id == "__import__" else "")
    if isinstance(node, ast.Attribute) and (before := dotted(node.value, names)):
        return f"{before}.{node.attr}"
    return ""


def unsafe(node, name):
    if name in SAFE_BY:
        argument, due = SAFE_BY[name]
        held = [k.value for k in node.keywords if k.arg == argument]
        return not (held and isinstance(held[0], ast.Constant) and held[0].value is due)
    by_name = name in ("__import__", "importlib.import_module") and node.args and isinstance(node.args[0], ast.Constant)
    return name in CALLS or (by_name and node.args[0].value in MODULES)


def test_nothing_of_ours_unpickles_but_what_is_named():
    found = {
        (str(path.relative_to(SOURCE)), what)
        for path in sorted(SOURCE.rglob("*.py"))
        for _, what in suspects(path.read_text())
    }
    assert found == set(ALLOWED)


def test_edge_and_cloud_need_no_leave():
    assert not [name for name, _ in ALLOWED if name.startswith(("runtime/", "record/", "report/", "cli/"))]


@pytest.mark.parametrize(
    "text",
    [
        "import pickle", "from pickle import loads", "import marshal as m", "import shelve, json", "import cloudpickle",
        "def f():\n    from dill import load", "from torch.multiprocessing import Queue",
        "import torch\ntorch.load(p)", "import torch as t\nt.load(p, weights_only=False)",
        "from torch import load as read\nread(p)", "import torch\ntorch.load(p, weights_only=w)",
        "import torch.export\ntorch.export.load(p)", "from torch import export\nexport.load(p)",
        "import numpy as np\nnp.load(p, allow_pickle=True)", "import numpy as np\nnp.load(p)",
        "import joblib\njoblib.load(p)", "import yaml\nyaml.load(p, Loader=yaml.Loader)",
        "import importlib\nimportlib.import_module('pickle')", "__import__('pickle').loads(b)",
    ],
)  # fmt: skip
def test_what_would_unpickle_is_seen(text):
    assert suspects(text)


@pytest.mark.parametrize(
    "text",
    [
        '"""import pickle; torch.load(p)"""', "# import pickle", "x = 'pickle.loads'", "def read_pickle(): ...",
        "import torch\ntorch.load(p, weights_only=True)", "import numpy as np\nnp.load(p, allow_pickle=False)",
        "import yaml\nyaml.safe_load(p)", "import json\njson.load(p)", "program.load(p)",
    ],
)  # fmt: skip
def test_what_only_speaks_of_it_is_not(text):
    assert not suspects(text)
