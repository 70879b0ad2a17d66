"""Whatever is wrong: one sentence on standard error, exit status 2, no traceback, and nothing finished is lost."""

import gzip
import json
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from splitward.cli.main import main

AUDIT = ["audit", "--model", "lenet5", "--data", "digits", "--at", "ReLU2", "--effort", "quick", "--samples", "20"]


class Bomb:
    """A pickle that writes a file when it is loaded."""

    def __reduce__(self):
        return (Path.write_text, (Path("bomb-went-off"), "boom"))


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder of things that are wrong, in which the command runs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SPLITWARD_DATA", str(tmp_path / "data"))
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("a file")
    folder = tmp_path / "broken"
    folder.mkdir()
    for i in range(8):
        Image.fromarray(np.full((30, 30), i * 20, np.uint8)).save(folder / f"{i}.png")
    (folder / "8.png").write_bytes(b"not a picture")
    few = tmp_path / "few"
    few.mkdir()
    Image.fromarray(np.zeros((30, 30), np.uint8)).save(few / "0.png")
    mnist = tmp_path / "data" / "mnist"
    mnist.mkdir(parents=True)
    for name, count in (("train", 60000), ("t10k", 10000)):
        with gzip.open(mnist / f"{name}-images-idx3-ubyte.gz", "wb") as f:
            f.write(struct.pack(">HBBIII", 0, 8, 3, count, 28, 28) + bytes(1000))
        with gzip.open(mnist / f"{name}-labels-idx1-ubyte.gz", "wb") as f:
            f.write(struct.pack(">HBBI", 0, 8, 1, count) + bytes(count))
    cifar = tmp_path / "data" / "cifar-10-batches-py"
    cifar.mkdir()
    for name in [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]:
        (cifar / name).write_bytes(pickle.dumps({b"data": Bomb(), b"labels": [0]}))
    save_file({"x": torch.zeros(3)}, tmp_path / "other.safetensors")
    (tmp_path / "rubbish.safetensors").write_bytes(b"\xff" * 64)
    (tmp_path / "rubbish.pt2").write_bytes(b"rubbish")
    (tmp_path / "bad.toml").write_text("model = [")
    (tmp_path / "unknown.toml").write_text('model="lenet5"\ndata="digits"\nat="ReLU2"\ncolour="red"\n')
    (tmp_path / "type.toml").write_text('model="lenet5"\ndata="digits"\nat="ReLU2"\nsamples="many"\n')
    (tmp_path / "both.toml").write_text(
        'model="lenet5"\ndata="digits"\nat="ReLU2"\ndefence="dropout:0.1"\ndefences=["none","dropout:0.2"]\n'
    )
    run = tmp_path / "run"
    run.mkdir()
    (run / "record.json").write_text('{"schema_version": 99}')
    torn = tmp_path / "torn"
    torn.mkdir()
    (torn / "record.json").write_text('{"schema_')
    used = tmp_path / "used"
    used.mkdir()
    (used / "audit.json").write_text(json.dumps({"model": "another"}))
    (used / "precious").write_text("finished work")
    return tmp_path


def audit(**changes):
    """The arguments of a small audit, with some options exchanged (None: left away)."""
    words = list(AUDIT)
    for name, value in changes.items():
        option = f"--{name.replace('_', '-')}"
        if option in words:
            at = words.index(option)
            del words[at : at + 2]
        if value is not None:
            words += [option, value]
    return words


HARDEN = ["harden", "--model", "lenet5", "--data", "digits", "--at", "ReLU2", "--effort", "quick"]
HERE = "cli.victims"  # tests/ is on the path
CASES = {
    "no such command": ["attack"],
    "no such option": ["audit", "--modle", "lenet5"],
    "audit of nothing": ["audit"],
    "no model": audit(model=None),
    "no data": audit(data=None),
    "no cut": audit(at=None),
    "unknown model": audit(model="lenet6"),
    "unknown data set": audit(data="mnits"),
    "folder that is not there": audit(data="./nowhere"),
    "a file for a folder": audit(data="./file"),
    "empty folder": audit(data="./empty"),
    "folder with a broken picture": audit(data="./broken", weights=None),
    "folder with too few pictures": audit(data="./few"),
    "data that was not fetched": audit(data="fashion-mnist"),
    "truncated IDX": audit(data="mnist"),
    "hostile CIFAR pickle": audit(model="cifar-cnn", data="cifar10"),
    "unknown cut": audit(at="ReLU9"),
    "cut that leaks the input": audit(model=f"{HERE}:Leaky", at="fc1"),
    "unknown defence": audit(defence="droput:0.5"),
    "defence without level": audit(defence="dropout"),
    "level that is no number": audit(defence="dropout:much"),
    "dropout of one": audit(defence="dropout:1"),
    "negative dropout": audit(defence="dropout:-0.1"),
    "negative noise": audit(defence="gaussian:-1"),
    "noise that is NaN": audit(defence="gaussian:nan"),
    "infinite noise": audit(defence="laplace:inf"),
    "unknown position": audit(defence="dropout:0.5@cloud"),
    "unknown attack": audit(attacks="rmel"),
    "unknown preset": audit(attacks="rmle:nature"),
    "no attack": audit(attacks=","),
    "no samples": audit(samples="0"),
    "samples that are no number": audit(samples="many"),
    "more secrets than there are": audit(samples="100000"),
    "no observations": audit(observations="0"),
    "negative seed": audit(seed="-1"),
    "unknown effort": audit(effort="heroic"),
    "unknown release": audit(released="everything"),
    "negative budget": audit(query_budget="-5"),
    "budget that is no number": audit(query_budget="100,few"),
    "public images of nothing": audit(public="nowhere"),
    "more public images than there are": audit(public_samples="1000000"),
    "gate out of range": audit(max_excess="3"),
    "model that cannot be exported": audit(model=f"{HERE}:NotExportable"),
    "module that is not there": audit(model="no.such.module:factory"),
    "factory that is not there": audit(model=f"{HERE}:nothing"),
    "factory that raises": audit(model=f"{HERE}:broken_factory"),
    "weights that are NaN": audit(model=f"{HERE}:Spoilt", at="fc1"),
    "weights of another model": audit(weights="other.safetensors"),
    "weights that are rubbish": audit(weights="rubbish.safetensors"),
    "weights that are not there": audit(weights="nowhere.safetensors"),
    "pt2 without trust": audit(model="rubbish.pt2"),
    "pt2 that is rubbish": [*audit(model="rubbish.pt2"), "--trust"],
    "images too small for SSIM": audit(model=f"{HERE}:TooSmall", at="fc1"),
    "normalisation that is none": audit(normalise="half"),
    "normalisation by zero": audit(normalise="0.5:0"),
    "input shape that is none": audit(input="28"),
    "TOML that is not there": ["audit", "nowhere.toml"],
    "TOML that is broken": ["audit", "bad.toml"],
    "TOML with an unknown setting": ["audit", "unknown.toml"],
    "TOML with a wrong type": ["audit", "type.toml"],
    "TOML with two kinds of defences": ["audit", "both.toml"],
    "out of another audit": audit(out="used"),
    "out that is a file": audit(out="file"),
    "cuts of nothing": ["cuts"],
    "cuts of an unknown model": ["cuts", "lenet6"],
    "cuts with a wrong shape": ["cuts", "lenet5", "--input", "1x2"],
    "report of nothing": ["report", "nowhere"],
    "report of an empty folder": ["report", "empty"],
    "report of a newer record": ["report", "run"],
    "report of a torn record": ["report", "torn"],
    "compare with nothing": ["compare", "run", "nowhere"],
    "score of nothing": ["score", "nowhere", "--metric", "ssim"],
    "list of an unknown kind": ["list", "weapons"],
    "train an unknown model": ["train", "lenet6", "--data", "digits"],
    "train on unknown data": ["train", "lenet5", "--data", "mnits"],
    "harden nothing": ["harden"],
    "harden an unknown model": [*HARDEN, "--model", "lenet6"],
    "harden at an unknown cut": [*HARDEN, "--at", "ReLU9"],
    "harden by an unknown method": [*HARDEN, "--method", "botleneck:8"],
    "harden by a level that is no number": [*HARDEN, "--method", "bottleneck:few"],
    "harden with a method that is out of range": [*HARDEN, "--method", "bottleneck:0"],
    "harden a folder without classes": [*HARDEN, "--data", "./few"],
    "harden an unknown half": [*HARDEN, "--trains", "middle"],
    "harden with more secrets than there are": [*HARDEN, "--samples", "100000"],
    "harden into another audit": [*HARDEN, "--out", "used"],
    "a folder that holds no halves": audit(model="empty"),
    "quantisation by half a bit": audit(defence="quantise:0.5"),
    "fetch an unknown set": ["data", "fetch", "mnits"],
    "check a folder that is not there": ["data", "check", "nowhere"],
}


@pytest.mark.parametrize("case", CASES)
def test_says_what_is_wrong_in_one_sentence(case, here, capsys):
    before = {p: p.read_bytes() for p in here.rglob("*") if p.is_file()}
    with pytest.raises(SystemExit) as ended:
        main(CASES[case])
    out, err = capsys.readouterr()
    assert ended.value.code == 2, (out, err)
    assert out == ""
    assert err.startswith("splitward: ")
    assert err.count("\n") == 1, err
    assert "Traceback" not in err
    assert "unexpected" not in err, err
    assert 20 < len(err) < 500
    assert not (here / "bomb-went-off").exists()
    for path, content in before.items():
        assert path.read_bytes() == content  # nothing that was there is lost
    assert len(CASES) >= 40


@pytest.mark.parametrize(("command", "extra"), [("edge", "edge"), ("cloud", "cloud"), ("audit", "audit")])
def test_a_package_that_is_not_there_is_named_with_its_extra(command, extra, monkeypatch, capsys):
    def missing(*_words, **_settings):
        raise ModuleNotFoundError("No module named 'onnxruntime'", name="onnxruntime")

    monkeypatch.setattr("splitward.cli.main.app", missing)
    with pytest.raises(SystemExit) as stopped:
        main([command, "something"])
    assert stopped.value.code == 2
    assert f"onnxruntime is not installed, which this command needs: pip install 'splitward[{extra}]'" in (
        capsys.readouterr().err
    )
