"""What ``cuts`` says: names, what crosses, operations, parameters, and where the raw input leaks."""

from __future__ import annotations

import dataclasses
import io

import pytest
import torch
from rich.console import Console
from torch import Tensor, nn

from split import networks
from splitward.cli.cuts import render
from splitward.core.edge import Normalise, Normalised
from splitward.core.errors import CutError
from splitward.core.spec import TensorSpec
from splitward.models.lenet5 import LeNet5
from splitward.split import Cut, cuts, export, split

PAPERS_LAYERS = ["conv1", "ReLU1", "pool1", "conv2", "ReLU2", "pool2", "fc1", "fc1act", "fc2", "fc2act", "fc3"]


def of(model: nn.Module, *shape: int) -> dict[str, Cut]:
    torch.manual_seed(0)
    return {cut.name: cut for cut in cuts(model, torch.randn(2, *shape))}


def test_lenet5_has_the_papers_cuts() -> None:
    found = of(LeNet5(), 1, 28, 28)
    assert list(found) == [*PAPERS_LAYERS[:6], "flatten", *PAPERS_LAYERS[6:]]
    assert [cut.index for cut in found.values()] == list(range(12))
    assert found["ReLU2"].activation == (TensorSpec((16, 8, 8)),)
    assert found["ReLU2"].bytes_per_sample == 4096
    assert found["ReLU2"].operation == "relu"
    assert str(found["ReLU2"]) == "ReLU2: 16x8x8 float32 (4,096 bytes a sample)"


def test_operations_and_parameters_are_those_of_pencil_and_paper() -> None:
    found = of(LeNet5(), 1, 28, 28)
    convolutions = [2 * 8 * 24 * 24 * 25, 2 * 16 * 8 * 8 * 8 * 25]
    layers = [2 * 256 * 120, 2 * 120 * 84, 2 * 84 * 10]
    assert found["conv1"].edge_flops == convolutions[0]
    assert found["pool2"].edge_flops == sum(convolutions)
    assert found["fc3"].edge_flops == found["conv1"].total_flops == sum(convolutions + layers)
    assert found["ReLU1"].edge_parameters == 8 * 25 + 8
    assert found["conv1"].total_parameters == sum(p.numel() for p in LeNet5().parameters())


def test_operations_of_attention_and_of_a_recurrent_layer() -> None:
    class Attention(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return nn.functional.scaled_dot_product_attention(x * x.sum(), x, x)

    assert of(Attention(), 2, 5, 4)["attention"].total_flops == 2 * (2 * 2 * 5 * 5 * 4)
    tokens = torch.randint(0, 40, (2, 7))
    found = {cut.name: cut for cut in cuts(networks.TiedLSTM(), tokens)}
    gates = 2 * 7 * 4 * 16 * (16 + 16)
    assert found["lstm"].edge_flops == 2 * gates
    assert found["out"].edge_flops == 2 * gates + 2 * 7 * 16 * 50


def test_tied_weights_count_once_and_lie_on_both_sides() -> None:
    model = networks.TiedLSTM()
    halves = split(model, torch.randint(0, 40, (2, 7)), at="lstm")
    total = sum(p.numel() for p in model.parameters())
    assert halves.cut.total_parameters == halves.cut.edge_parameters == total
    assert [tuple(p.shape) for p in halves.cloud.parameters()] == [(50, 16)]


def test_names_in_containers_repeats_and_the_models_own_code() -> None:
    found = list(of(networks.ResNet(), 3, 8, 8))
    assert found[:8] == [
        "conv1", "layer1.0.conv1", "layer1.0.bn1", "layer1.0.relu", "layer1.0.conv2", "layer1.0.bn2", "layer1.0.add",
        "layer1.0.relu#2",
    ]  # fmt: skip
    assert found[-3:] == ["avgpool", "flatten", "fc"]
    assert "layer2.0.downsample.1" in found
    transformer = list(of(networks.VisionTransformer(), 3, 8, 8))
    assert transformer[:7] == [
        "patch", "flatten", "transpose", "cat", "add", "blocks.0.norm1", "blocks.0.attn.qkv",
    ]  # fmt: skip
    assert transformer.index("blocks.0.add") < transformer.index("blocks.0.mlp.2") < transformer.index("blocks.0")


@pytest.mark.parametrize("make", [networks.ResNet, networks.VisionTransformer])
def test_names_are_unique_and_the_same_in_every_export(make: type[nn.Module]) -> None:
    found = [cuts(make(), torch.randn(n, 3, 8, 8)) for n in (1, 4)]
    names = [cut.name for cut in found[0]]
    assert len(set(names)) == len(names)
    assert found[0] == found[1]
    assert all(dataclasses.is_dataclass(cut) for cut in found[0])


def test_a_layer_that_works_in_place_keeps_its_names() -> None:
    class Small(nn.Module):
        def __init__(self, inplace: bool) -> None:
            super().__init__()
            self.conv, self.relu, self.fc = nn.Conv2d(1, 2, 3), nn.ReLU(inplace), nn.Linear(72, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(self.relu(self.conv(x)).flatten(1))

    assert list(of(Small(True), 1, 8, 8)) == list(of(Small(False), 1, 8, 8)) == ["conv", "relu", "flatten", "fc"]


def test_a_skip_from_the_input_is_refused_until_its_last_use() -> None:
    found = of(networks.InputSkip(), 3, 8, 8)
    assert [cut.name for cut in found.values() if cut.leaks_input] == ["conv1", "relu", "conv2"]
    assert not found["add"].refused
    said = found["conv1"].refused
    assert said == (
        "the raw input itself is still needed after 'conv1' and would cross the wire; the first cut after its last use "
        "is 'add'."
    )
    with pytest.raises(CutError, match="raw input"):
        split(networks.InputSkip(), torch.randn(2, 3, 8, 8), at="conv1")


class Skip(nn.Module):
    """One layer beside something that is done to the input."""

    def __init__(self, transform: object) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 3, 3, padding=1)
        self.norm = nn.BatchNorm2d(3)
        self.transform = transform

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        kept = self.transform(self, x)  # type: ignore[operator]
        return self.layer(x).relu(), kept


@pytest.mark.parametrize(
    "transform",
    [
        lambda m, x: x,
        lambda m, x: x.flatten(1),
        lambda m, x: x.permute(0, 2, 3, 1).double(),
        lambda m, x: (x - 0.5) / 0.25,
        lambda m, x: m.norm(x),
        lambda m, x: (x - x.mean((2, 3), keepdim=True)) / x.std((2, 3), keepdim=True),
        lambda m, x: x[:, :, 2:6, 2:6],
        lambda m, x: torch.cat([m.layer(x), x], 1),
        lambda m, x: torch.stack(x.unbind(1), 1),
        lambda m, x: x.sigmoid(),
        lambda m, x: nn.functional.interpolate(x, scale_factor=2),
        lambda m, x: nn.functional.pixel_unshuffle(x, 2),
        lambda m, x: nn.functional.pad(x, (1, 1)),
        lambda m, x: x * x.mean((2, 3), keepdim=True).sigmoid(),
        lambda m, x: x if x.mean() > 0 else -x,
    ],
)
def test_the_raw_input_is_recognised_in_any_dress(transform: object) -> None:
    found = list(of(Skip(transform), 3, 8, 8).values())
    assert found
    assert all(cut.leaks_input for cut in found)


@pytest.mark.parametrize(
    "transform",
    [
        lambda m, x: m.layer(x),
        lambda m, x: nn.functional.avg_pool2d(x, 8),
        lambda m, x: x + m.layer(x),
        lambda m, x: x.mean((2, 3)),
        lambda m, x: torch.zeros_like(x),
    ],
)
def test_what_has_been_computed_is_not_the_raw_input(transform: object) -> None:
    found = list(of(Skip(transform), 3, 8, 8).values())
    assert not found[-1].refused


def test_nothing_is_offered_before_something_is_computed() -> None:
    class Preprocessing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 2, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.conv((x.permute(0, 3, 1, 2) / 255 - 0.5).contiguous())

    assert list(of(Preprocessing(), 8, 8, 3)) == ["conv"]


def test_what_has_no_part_for_each_sample_is_refused() -> None:
    class Pairs(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Linear(4, 4)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            h = self.embed(x)
            return (h @ h.T).relu(), h[h > 0].sum()

    found = of(Pairs(), 4)
    assert not found["embed"].refused
    assert "has no part for each sample" in found["relu"].refused
    assert not found["relu"].leaks_input


def test_an_unknown_cut_names_the_nearest() -> None:
    exported = export(LeNet5(), torch.randn(1, 1, 28, 28))
    with pytest.raises(CutError, match=r"no cut named 'relu2' .* did you mean ReLU2"):
        exported.split("relu2")
    with pytest.raises(CutError, match=r"the cuts are conv1, .*fc3\."):
        exported.split("zzz")
    with pytest.raises(CutError, match="computes nothing"):
        split(nn.Identity(), torch.randn(1, 4), at="x")


def test_a_module_names_the_position_behind_it() -> None:
    exported = export(networks.ResNet(), torch.randn(1, 3, 8, 8))
    inside = [cut.name for cut in exported.cuts() if cut.name.startswith("layer2.")]
    assert len(inside) > 3
    assert exported.cut("layer2") == exported.split("layer2").cut == exported.cut(inside[-1])
    with pytest.raises(CutError, match="no cut named 'layer'"):
        exported.cut("layer")


def test_the_input_is_described_before_the_normalisation() -> None:
    model = Normalised(Normalise((0.5,), (0.5,)), LeNet5())
    assert export(model, torch.rand(4, 1, 28, 28)).input == TensorSpec((1, 28, 28))


def printed(found: list[Cut], width: int = 100) -> list[str]:
    console = Console(file=(file := io.StringIO()), width=width)
    console.print(render("model", TensorSpec((3, 8, 8)), found))
    return file.getvalue().splitlines()


def test_the_table_fits_a_hundred_columns_and_names_can_be_copied() -> None:
    found = cuts(networks.VisionTransformer(), torch.randn(1, 3, 8, 8))
    lines = printed(found)
    assert max(map(len, lines)) <= 100
    for cut in found:
        assert any(line.split()[0] == cut.name for line in lines if line.strip())
    assert any("2 × 5x16" in line for line in lines)
    assert any("operations a sample" in line for line in lines)


def test_the_table_says_what_is_refused_and_why() -> None:
    lines = printed(cuts(networks.InputSkip(), torch.randn(1, 3, 8, 8)))
    assert [line.split()[0] for line in lines if "refused: the raw input itself " in line + " "][:3] == [
        "conv1", "relu", "conv2",
    ]  # fmt: skip
    assert "first cut after its last use is 'add'" in " ".join(lines)
    assert "no place to cut" in printed([])[-1]
