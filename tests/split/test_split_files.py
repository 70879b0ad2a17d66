"""Halves on disk: what is written, and what is refused when it is read."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from split import networks
from splitward.core.edge import Edge, Normalise, Normalised
from splitward.core.errors import CutError
from splitward.models.lenet5 import LeNet5
from splitward.split import Cloud, Halves, load_half, load_halves, save_half, split
from splitward.split.operators import find, name_of


@pytest.fixture(scope="module")
def halves() -> Halves:
    torch.manual_seed(0)
    model = Normalised(Normalise((0.5,), (0.25,)), LeNet5())
    model.model.conv1.requires_grad_(False)
    return split(model, torch.rand(1, 1, 28, 28), at="flatten")


def test_both_halves_come_back_to_the_last_bit(halves: Halves, tmp_path: Path) -> None:
    halves.save(tmp_path)
    again = load_halves(tmp_path)
    pixels = torch.rand(3, 1, 28, 28)
    activation = halves.edge(pixels)
    assert torch.equal(again.edge(pixels), activation)
    assert torch.equal(again.cloud(activation), halves.cloud(activation))
    assert (again.cut, again.input, again.activation) == (halves.cut, halves.input, halves.activation)
    for one, other in ((halves.edge, again.edge), (halves.cloud, again.cloud)):
        assert {n: p.requires_grad for n, p in one.named_parameters()} == {
            n: p.requires_grad for n, p in other.named_parameters()
        }
        assert list(one.state_dict()) == list(other.state_dict())
        assert not other.training


def test_nothing_in_the_folder_is_a_pickle(halves: Halves, tmp_path: Path) -> None:
    halves.save(tmp_path)
    files = sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file())
    assert files == [
        "cloud/half.json", "cloud/weights.safetensors", "edge/half.json", "edge/weights.safetensors", "halves.json",
    ]  # fmt: skip
    for path in tmp_path.rglob("*.json"):
        json.loads(path.read_text())


def test_the_cloud_alone_is_enough_for_another_process(halves: Halves, tmp_path: Path) -> None:
    activation = torch.randn(2, 256)
    save_half(halves.cloud, tmp_path / "cloud")
    save_file({"activation": activation}, tmp_path / "activation.safetensors")
    program = (
        "import sys, torch; from safetensors.torch import load_file, save_file; from splitward.split import load_half;"
        "folder = sys.argv[1]; torch.set_num_threads(1);"
        "out = load_half(folder + '/cloud')(load_file(folder + '/activation.safetensors')['activation']);"
        "save_file({'out': out.detach()}, folder + '/out.safetensors')"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True, timeout=120)
    torch.testing.assert_close(load_file(tmp_path / "out.safetensors")["out"], halves.cloud(activation).detach())


def test_control_flow_and_structure_survive(tmp_path: Path) -> None:
    torch.manual_seed(0)
    for number, (model, at) in enumerate([(networks.TorchControlFlow(), "stem"), (networks.ControlFlow(), "exit")]):
        halves = split(model, torch.randn(2, 6), at=at)
        halves.save(tmp_path / str(number))
        again = load_halves(tmp_path / str(number))
        for size in (0.1, 1, 10):
            batch = torch.randn(3, 6) * size
            assert torch.equal(again.cloud(again.edge(batch)), halves.cloud(halves.edge(batch)))


def test_numbers_that_json_lacks_and_constants_survive(tmp_path: Path) -> None:
    class Masked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            h = self.layer(x) + torch.tensor([1.0, 2.0, 3.0, 4.0])
            return h.masked_fill(torch.eye(4, dtype=torch.bool)[:2][:1], float("-inf")).softmax(-1)

    halves = split(Masked(), torch.randn(2, 4), at="layer")
    halves.save(tmp_path)
    batch = torch.randn(3, 4)
    assert torch.equal(load_halves(tmp_path).cloud(halves.edge(batch)), halves.cloud(halves.edge(batch)))


def test_a_normalisation_of_another_kind_cannot_be_saved(tmp_path: Path) -> None:
    model = Normalised(nn.Sequential(Normalise((0.5,), (0.5,))), LeNet5())
    with pytest.raises(CutError, match="normalisation by Sequential"):
        split(model, torch.rand(1, 1, 28, 28), at="conv1").save(tmp_path)


@pytest.mark.parametrize("half", [nn.Linear(2, 2), Edge(nn.Identity(), nn.Linear(2, 2)), Cloud(nn.Linear(2, 2), 0, 1)])
def test_what_is_no_half_cannot_be_saved(half: nn.Module, tmp_path: Path) -> None:
    with pytest.raises(CutError, match="cannot be saved"):
        save_half(half, tmp_path)


def replace(*path: object, by: object) -> Callable[[Any], None]:
    def change(document: Any) -> None:
        for key in path[:-1]:
            document = document[key]
        document[path[-1]] = by

    return change


HOSTILE: dict[str, Callable[[Any], None]] = {
    "another target": replace("graph", "nodes", -1, "target", by="os.system"),
    "a Python builtin": replace("graph", "nodes", -1, "target", by="builtins.eval"),
    "a file operator": replace("graph", "nodes", -1, "target", by="aten.from_file.default"),
    "an operator that overwrites": replace("graph", "nodes", -1, "target", by="aten.relu_.default"),
    "an internal operator": replace("graph", "nodes", -1, "target", by="aten._unsafe_index.Tensor"),
    "a dunder": replace("graph", "nodes", -1, "target", by="aten.relu.__class__"),
    "another namespace": replace("graph", "nodes", -1, "target", by="prims.device_put.default"),
    "a target that is no text": replace("graph", "nodes", -1, "target", by=["aten", "relu"]),
    "a keyword with code in it": replace("graph", "nodes", -1, "kwargs", by={"x=1); import os; (": 1}),
    "a text where none belongs": replace("graph", "nodes", -1, "args", by=["__import__('os')"]),
    "a weight with code in its name": replace("graph", "nodes", -2, by={"op": "weight", "name": "a;import os"}),
    "a weight that is not there": replace("graph", "nodes", -2, by={"op": "weight", "name": "fc9.weight"}),
    "a node that comes later": replace("graph", "nodes", -1, "args", by=[{"node": 99}]),
    "a negative node": replace("graph", "nodes", -1, "args", by=[{"node": -1}]),
    "an attribute of torch that is no type": replace("graph", "nodes", -1, "args", by=[{"dtype": "load"}]),
    "a device with a path": replace("graph", "nodes", -1, "args", by=[{"device": "cpu:/etc"}]),
    "an unknown kind of node": replace("graph", "nodes", -1, by={"op": "call_method", "target": "x"}),
    "an unknown block": replace("graph", "nodes", -1, by={"op": "block", "block": {"kind": "exec"}, "args": []}),
    "a graph that is a list": replace("graph", by=[]),
    "a node that is a number": replace("graph", "nodes", 0, by=7),
    "no output": replace("graph", "output", by=[]),
    "a structure with a leaf too many": replace("structure", by=["tuple", [0, 1]]),
    "a structure of an unknown kind": replace("structure", by=["object", [0]]),
    "an object argument": replace("graph", "nodes", -1, "args", by=[{"node": 0, "dtype": "float32"}]),
    "a parameter that is not there": replace("parameters", by={"x": True}),
    "another format": replace("format", by="pickle"),
    "a later version": replace("version", by=2),
    "another kind": replace("kind", by="edge-and-cloud"),
    "too many tensors": replace("tensors", by=5),
    "an edge that normalises by text": lambda d: d.update(kind="edge", normalise={"mean": ["x"], "std": [1]}),
}


@pytest.mark.parametrize("change", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_or_damaged_half_is_refused(change: Callable[[Any], None], halves: Halves, tmp_path: Path) -> None:
    save_half(halves.cloud, tmp_path)
    document = json.loads((tmp_path / "half.json").read_text())
    change(document)
    (tmp_path / "half.json").write_text(json.dumps(document))
    with pytest.raises(CutError) as error:
        load_half(tmp_path)
    assert "\n" not in str(error.value)
    assert str(error.value).endswith(".")


@pytest.mark.parametrize("content", ["", "[1]", "{", "[" * 100_000])
def test_what_is_no_json_object_is_refused(content: str, halves: Halves, tmp_path: Path) -> None:
    save_half(halves.cloud, tmp_path)
    (tmp_path / "half.json").write_text(content)
    with pytest.raises(CutError):
        load_half(tmp_path)


def test_missing_and_truncated_files_are_refused(halves: Halves, tmp_path: Path) -> None:
    with pytest.raises(CutError, match="cannot be read"):
        load_half(tmp_path / "nowhere")
    with pytest.raises(CutError, match="cannot be read"):
        load_halves(tmp_path / "nowhere")
    halves.save(tmp_path)
    weights = tmp_path / "edge" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(CutError, match="cannot be read"):
        load_halves(tmp_path)
    (tmp_path / "halves.json").write_text('{"cut": {"name": 3}, "input": {}}')
    with pytest.raises(CutError, match="does not describe a cut"):
        load_halves(tmp_path)


def test_operators_are_found_under_the_names_they_are_written_with() -> None:
    for target in (torch.ops.aten.conv2d.default, torch.ops.aten.add.Tensor, torch.ops.prim.device.default):
        assert find(name_of(target)) is target
    assert name_of(torch.ops.aten.relu_.default) is None
    assert name_of(torch.load) is None
    assert find(None) is None
