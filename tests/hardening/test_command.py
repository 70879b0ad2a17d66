"""The command from end to end: a hardened model that goes through everything else; and a user's own network."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from splitward.cli.main import main
from splitward.hardening.document import Document
from splitward.record import store

OWN = """
import torch.nn.functional as F
from torch import nn


class Block(nn.Module):
    def __init__(self, given, made):
        super().__init__()
        self.conv1 = nn.Conv2d(given, made, 3, 2, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(made)
        self.conv2 = nn.Conv2d(made, made, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(made)
        self.short = nn.Conv2d(given, made, 1, 2)

    def forward(self, x):
        return F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))) + self.short(x))


class SmallResNet(nn.Module):
    input = (1, 28, 28)

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 8, 3, 1, 1)
        self.layer1 = Block(8, 16)
        self.layer2 = Block(16, 32)
        self.head = nn.Linear(32, 10)

    def forward(self, x):
        return self.head(self.layer2(self.layer1(F.relu(self.stem(x)))).mean((2, 3)))


def make():
    return SmallResNet()
"""


def run(folder, *words):
    """Exit status and standard output of the command in a fresh process."""
    source = Path(__file__).parents[2] / "src"
    environment = {**os.environ, "PYTHONPATH": f"{source}{os.pathsep}{folder}", "SPLITWARD_DATA": str(folder)}
    done = subprocess.run(
        [sys.executable, "-m", "splitward", *words], cwd=folder, env=environment, capture_output=True, text=True,
        check=False, timeout=1800,
    )  # fmt: skip
    assert done.returncode in (0, 1), done.stderr
    return done.returncode, done.stdout


@pytest.mark.slow
def test_a_hardened_lenet_goes_through_everything_else(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = ["harden", "--model", "lenet5", "--data", "digits", "--at", "ReLU2", "--effort", "quick", "--samples", "30"]
    words += ["--method", "bottleneck:8+collapse:1+quantise:1", "--max-accuracy-drop", "10", "--out", "run", "--json"]
    with pytest.raises(SystemExit) as ended:
        main([*words, "--steps", "800", "--batch", "64"])
    found = Document.model_validate_json(capsys.readouterr().out)
    hardened = found.judged[0]
    assert ended.value.code == (0 if found.recommended is not None else 1)
    assert hardened.cost.wire_bytes == 1
    assert 1 < hardened.cost.edge_cost < 1.25
    record = store.load(tmp_path / "run" / hardened.seen[0].record)
    assert record.target.model.trained["recipe"] == "bottleneck:8+collapse:1+quantise:1"
    assert record.target.model.trained["from"]["weights_sha256"] == found.weights_sha256
    plain = found.judged[1]
    assert plain.seen[0].excess > 0.5
    best = max(t.metrics["ssim"].mean for t in record.trials if t.status == "ok")
    open_cut = store.load(tmp_path / "run" / plain.seen[0].record)
    assert best < max(t.metrics["ssim"].mean for t in open_cut.trials if t.status == "ok") - 0.2
    place = str(tmp_path / "run" / hardened.halves)
    for again in (["cuts", place], ["profile", place, "--repetitions", "1"]):
        with pytest.raises(SystemExit) as ended:
            main(again)
        assert ended.value.code == 0
    audit = ["audit", "--model", place, "--data", "digits", "--at", "edge", "--defence", "quantise:1"]
    with pytest.raises(SystemExit) as ended:
        main([*audit, "--attacks", "rmle", "--samples", "20", "--effort", "quick", "--out", "again", "--json"])
    assert ended.value.code in (0, 1)
    assert store.load(tmp_path / "again").target.model.trained["defence"] == "quantise:1"
    export = ["export", "again", "--key", "tls/signing.key", "--out", "bundles", "--without-verdict"]
    for last in (["certs", "tls"], export):
        with pytest.raises(SystemExit) as ended:
            main(last)
        assert ended.value.code == 0
    assert (tmp_path / "bundles" / "edge").is_dir()


def test_where_several_tensors_cross_is_one_sentence(tmp_path, monkeypatch, capsys):
    (tmp_path / "forked.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    words = [
        "harden",
        "--model",
        "forked:make",
        "--data",
        "digits",
        "--at",
        "layer1.conv1",
        "--out",
        str(tmp_path / "run"),
    ]
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert "harden where one float32 tensor crosses" in " ".join(said.split())
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_network_of_ones_own_is_hardened_by_one_command(tmp_path, digits):
    """A residual network on a folder of images, with an honest verdict either way, within 30 minutes."""
    (tmp_path / "mine.py").write_text(OWN)
    for number, (pixels, label) in enumerate(zip(digits.pixels[0].images, digits.pixels[0].labels, strict=True)):
        place = tmp_path / "images" / str(label)
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.asarray(pixels[0])).save(place / f"{number}.png")
    train = ["train", "mine:make", "--data", "images", "--epochs", "12", "--out", "mine.safetensors"]
    assert run(tmp_path, *train)[0] == 0
    start = time.monotonic()
    words = ["harden", "--model", "mine:make", "--weights", "mine.safetensors", "--data", "images", "--at", "layer1"]
    words += ["--effort", "quick", "--json"]
    status, out = run(tmp_path, *words, "--samples", "30", "--batch", "32", "--steps", "200", "--out", "run")
    assert time.monotonic() - start < 1800
    found = Document.model_validate_json(out)
    assert {t.method.split("+")[0] for t in found.tried} >= {"bottleneck", "channels", "fisher", "learned-noise"}
    assert all(not t.failed for t in found.tried)
    assert status == (0 if found.recommended is not None else 1)
    assert found.sentence
    assert (tmp_path / "run" / "recommended").exists() == (found.recommended is not None)
    assert json.loads((tmp_path / "run" / "hardening.json").read_text())["judged"]
