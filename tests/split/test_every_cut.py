"""Every offered cut of every listed model gives the model's output, passes gradients, and survives a file."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils import _pytree

from split import networks
from splitward.models.alexnet import AlexNet
from splitward.models.cifar_cnn import CifarCNN
from splitward.models.lenet5 import LeNet5
from splitward.split import Halves, export, load_halves


def alexnet_64() -> nn.Module:
    """AlexNet for 64x64 images with narrow fully connected layers: the same graph, a fraction of the work."""
    model = AlexNet()
    model.fc6, model.fc7, model.fc8 = nn.Linear(256, 32), nn.Linear(32, 32), nn.Linear(32, 10)
    return model


def hugging_face_vit() -> nn.Module:
    transformers = pytest.importorskip("transformers", reason="the Hugging Face models need transformers")
    config = transformers.ViTConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, image_size=16, patch_size=8,
        num_labels=5,
    )  # fmt: skip
    return transformers.ViTForImageClassification(config)


def hugging_face_bert() -> nn.Module:
    transformers = pytest.importorskip("transformers", reason="the Hugging Face models need transformers")
    config = transformers.BertConfig(
        vocab_size=40, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=16,
    )  # fmt: skip
    return transformers.BertForSequenceClassification(config)


def tokens(n: int) -> Tensor:
    return torch.randint(0, 40, (n, 7))


def images(*shape: int) -> Callable[[int], Tensor]:
    return lambda n: torch.randn(n, *shape)


@dataclass(frozen=True)
class Case:
    make: Callable[[], nn.Module]
    batch: Callable[[int], Tensor]
    offered: int
    refused: int = 0
    together: bool = False  # the samples of a batch influence one another

    def __str__(self) -> str:
        return self.make.__name__


CASES = [
    Case(LeNet5, images(1, 28, 28), 12),
    Case(CifarCNN, images(3, 32, 32), 19),
    Case(alexnet_64, images(3, 64, 64), 21),
    Case(networks.ResNet, images(3, 8, 8), 27),
    Case(networks.VisionTransformer, images(3, 8, 8), 46),
    Case(hugging_face_vit, images(3, 16, 16), 55),
    Case(hugging_face_bert, tokens, 56),
    Case(networks.TiedLSTM, tokens, 3),
    Case(networks.ControlFlow, images(6), 26, together=True),
    Case(networks.WhileLoop, images(6), 4, together=True),
    Case(networks.TorchControlFlow, images(6), 5, together=True),
    Case(networks.SequenceFirst, images(5, 6), 30),
    Case(networks.Windows, images(3, 8, 8), 22),
    Case(networks.Selections, images(6), 12, together=True),
    Case(networks.Unpooling, images(1, 8, 8), 5),
    Case(networks.Fourier, images(5, 6), 8),
    Case(networks.Nested, images(6), 2),
    Case(networks.Overwriting, images(6), 9),
    Case(networks.InputSkip, images(3, 8, 8), 3, refused=3),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_offered_cut_is_the_model(case: Case, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = case.make().eval()
    exported = export(model, case.batch(2))
    offered = [cut for cut in exported.cuts() if not cut.refused]
    assert (len(offered), len(exported.cuts()) - len(offered)) == (case.offered, case.refused)
    batches = [case.batch(n) for n in (1, 5)]
    expected = [behaviour(model, batch) for batch in batches]
    for cut in offered:
        halves = exported.split(cut.name)
        for batch, whole in zip(batches, expected, strict=True):
            same(through_the_wire(halves, batch), whole.output, cut.name)
        same_gradients(halves, batches[1], expected[1], cut.name)
        if not case.together:
            samples_stay_apart(halves, batches[1], cut.name)
        folder = tmp_path / str(cut.index)
        halves.save(folder)
        again = load_halves(folder)
        assert (again.cut, again.input, again.activation) == (halves.cut, halves.input, halves.activation)
        same(through_the_wire(again, batches[1]), expected[1].output, f"{cut.name}, loaded")


@pytest.mark.slow
def test_every_cut_of_the_whole_alexnet() -> None:
    torch.manual_seed(0)
    model = AlexNet().eval()
    exported = export(model, torch.randn(1, 3, 224, 224))
    batch = torch.randn(5, 3, 224, 224)
    with torch.no_grad():
        expected = model(batch)
        for cut in exported.cuts():
            halves = exported.split(cut.name)
            torch.testing.assert_close(halves.cloud(halves.edge(batch)), expected, rtol=0, atol=1e-5 * scale(expected))


@dataclass(frozen=True)
class Behaviour:
    """What the whole model returns for a batch, and its gradients."""

    output: Any
    to_input: Tensor | None
    to_parameters: dict[str, Tensor]


def behaviour(model: nn.Module, batch: Tensor) -> Behaviour:
    twin = copy.deepcopy(model)
    output = twin(watched := watch(batch)) if batch.is_floating_point() else twin(batch)
    weighted(output).backward()
    gradients: dict[str, Tensor] = {}
    for name, parameter in twin.named_parameters():
        if parameter.grad is not None:
            gradients[name] = parameter.grad
    return Behaviour(output, watched.source.grad if batch.is_floating_point() else None, gradients)


class Watched(Tensor):
    """A copy of a leaf (a model may overwrite its input) that remembers the leaf."""

    source: Tensor


def watch(batch: Tensor) -> Any:
    leaf = batch.clone().requires_grad_()
    copied = leaf.clone()
    copied.source = leaf  # type: ignore[attr-defined]
    return copied


def weighted(output: Any) -> Tensor:
    """One number that depends on every float of an output, on each in its own way."""
    total = torch.zeros(())
    for leaf in leaves(output):
        if leaf.is_floating_point() and leaf.requires_grad:
            weights = torch.linspace(-1, 1, leaf.numel()).sin().view(leaf.shape)
            total = total + (leaf * weights).sum()
    return total


def leaves(output: Any) -> list[Tensor]:
    return [leaf for leaf in _pytree.tree_leaves(output) if isinstance(leaf, Tensor)]


def scale(tensor: Tensor) -> float:
    return max(float(tensor.detach().abs().max()), 1e-12)


def through_the_wire(halves: Halves, batch: Tensor) -> Any:
    """What comes out if what crosses is copied, as a network does: strides and gradients are lost."""
    sent = halves.edge(batch.clone())
    parts = sent if isinstance(sent, tuple) else (sent,)
    assert len(parts) == len(halves.activation)
    for part, spec in zip(parts, halves.activation, strict=True):
        assert part.shape == (len(batch), *spec.shape)
        assert str(part.dtype) == f"torch.{spec.dtype}"
        assert part.is_floating_point()
    received = tuple(part.detach().contiguous().clone() for part in parts)
    return halves.cloud(received if isinstance(sent, tuple) else received[0])


def same(output: Any, expected: Any, where: str) -> None:
    """Equal in structure (Hugging Face's outputs are dicts) and to 1e-5 of the largest number."""
    plain, truth = _pytree.tree_flatten(output), _pytree.tree_flatten(expected)
    if not hasattr(expected, "to_tuple"):
        assert plain[1] == truth[1], where
    assert len(plain[0]) == len(truth[0]), where
    for one, other in zip(plain[0], truth[0], strict=True):
        if isinstance(other, Tensor) and other.is_floating_point():
            torch.testing.assert_close(
                one, other, rtol=0, atol=1e-5 * scale(other), msg=lambda text: f"{where}: {text}"
            )
        elif isinstance(other, Tensor):
            assert torch.equal(one, other), where
        else:
            assert one == other, where


def same_gradients(halves: Halves, batch: Tensor, whole: Behaviour, where: str) -> None:
    """To the input, and to every weight; a weight that both halves hold gets its gradient in two parts.

    Where the input is whole numbers (tokens), the gradient to the embedding on the edge stands for it.
    """
    given = watch(batch) if batch.is_floating_point() else batch
    weighted(halves.cloud(halves.edge(given))).backward()
    if whole.to_input is not None:
        torch.testing.assert_close(given.source.grad, whole.to_input, rtol=0, atol=1e-4 * scale(whole.to_input))
        assert given.source.grad.abs().sum() > 0
    found: dict[str, Tensor] = {}
    for half in (halves.edge, halves.cloud):
        for name, parameter in half.named_parameters():
            if parameter.grad is not None:
                plain = name.removeprefix("body.")
                found[plain] = found.get(plain, 0) + parameter.grad
    for name, expected in whole.to_parameters.items():
        if not expected.any():  # torch.cond gives a zero to the side not taken, we give nothing
            continue
        assert tied(name, found) in found, f"{where}: {name}"
        torch.testing.assert_close(found[tied(name, found)], expected, rtol=0, atol=1e-4 * scale(expected))


def tied(name: str, found: dict[str, Tensor]) -> str:
    """A tied weight has one name in the halves: the exporter's choice."""
    if name in found:
        return name
    return {"embed.weight": "out.weight"}.get(name, name)


def samples_stay_apart(halves: Halves, batch: Tensor, where: str) -> None:
    """What crosses for a sample is computed from this sample: the batch is the first dimension, truly."""
    with torch.no_grad():
        together, alone = halves.edge(batch.clone()), halves.edge(batch[2:3].clone())
    for part, single in zip(leaves(together), leaves(alone), strict=True):
        torch.testing.assert_close(part[2:3], single, rtol=0, atol=1e-4 * scale(single), msg=lambda t: f"{where}: {t}")


def test_the_model_is_left_alone() -> None:
    model = LeNet5().train()
    before = copy.deepcopy(model.state_dict())
    model.conv1.weight.requires_grad_(False)
    halves = export(model, torch.randn(1, 1, 28, 28)).split("ReLU2")
    assert model.training
    assert not model.conv1.weight.requires_grad
    with torch.no_grad():
        for parameter in (*halves.edge.parameters(), *halves.cloud.parameters()):
            parameter.zero_()
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name])
