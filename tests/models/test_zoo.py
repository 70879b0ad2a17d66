"""The way in for models: what is accepted, what it becomes, and every refusal."""

import json
import sys
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from splitward.core.edge import Normalise, Normalised
from splitward.core.errors import ModelError
from splitward.core.run import Run
from splitward.core.spec import TensorSpec
from splitward.models.cifar_cnn import IMAGENET_MEAN, CifarCNN
from splitward.models.lenet5 import LeNet5
from splitward.models.making import write_weights
from splitward.models.zoo import (
    SHIPPED,
    load_model,
    parse_normalise,
    parse_shape,
    weights_name,
    weights_sha256,
)

MODULE = """
import torch
from torch import nn
from splitward.core.edge import Normalise, Normalised


class Small(nn.Module):
    input = (1, 6, 6)
    normalisation = ((0.5,), (0.25,))

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(36, 3)

    def forward(self, x):
        return self.fc(x.flatten(1))


class Bare(nn.Module):
    def forward(self, x):
        return x.flatten(1)


class HuggingFace(Bare):
    def forward(self, x):
        from types import SimpleNamespace
        return SimpleNamespace(logits=x.flatten(1))


class BadNormalisation(Bare):
    normalisation = 0.5


ready = Small()
nested = type("Holder", (), {"factory": staticmethod(Small)})


def wrapped():
    return Normalised(Normalise((0.1,), (0.2,)), Small())


def spoilt():
    model = Small()
    with torch.no_grad():
        model.fc.weight[1, 2] = float("nan")
    return model


def boom():
    raise ValueError("no GPU here.\\nand a second line")


def nothing():
    return 42


number = 7
"""


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """A folder with the user's own module, from which the test runs."""
    (tmp_path / "own_models.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SPLITWARD_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    sys.modules.pop("own_models", None)


def test_a_shipped_victim(lenet5_digits):
    victim = lenet5_digits
    assert (victim.name, victim.input, victim.classes) == ("lenet5", TensorSpec((1, 28, 28)), 10)
    assert not victim.model.training
    assert not any(p.requires_grad for p in victim.model.parameters())
    assert isinstance(victim.model, Normalised)
    assert victim.model.normalise.mean.flatten().tolist() == [0.5]
    assert victim.trained["command"] == "splitward train lenet5 --data digits --seed 0"


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.safetensors")), ids=lambda p: p.stem)
def test_shipped_weights_say_how_they_were_made(path):
    victim = load_model(path.stem)
    made = victim.trained
    assert made["command"] == f"splitward train {made['model']} --data {made['data']} --seed {made['seed']}"
    assert {"accuracy", "test_samples", "epochs", "seconds", "torch", "machine", "recipe"} <= made.keys()
    assert path.stat().st_size < 8_000_000
    assert all(t.dtype == torch.float32 for t in load_file(path).values())
    least = {"lenet5-mnist": 0.99, "cifar-cnn-cifar10": 0.87, "lenet5-digits": 0.97}.get(path.stem, 0)
    assert made["accuracy"] >= least
    assert victim.weights_sha256 == load_model(made["model"], data=made["data"]).weights_sha256


def accuracy(victim, samples):
    right = [
        victim.model(x).argmax(1) == y
        for x, y in zip(samples.images.split(500), samples.labels.split(500), strict=True)
    ]
    return torch.cat(right).float().mean().item()


def test_the_digits_accuracy_is_as_claimed(lenet5_digits, digits):
    assert accuracy(lenet5_digits, digits.held_out) == pytest.approx(lenet5_digits.trained["accuracy"], abs=1e-4)


@pytest.mark.mnist
def test_the_mnist_accuracy_is_as_claimed(lenet5_mnist, mnist):
    assert accuracy(lenet5_mnist, mnist.held_out) == pytest.approx(lenet5_mnist.trained["accuracy"], abs=3e-4)


@pytest.mark.cifar
@pytest.mark.slow
def test_the_cifar_accuracy_is_as_claimed(cifar_cnn, cifar10):
    assert accuracy(cifar_cnn, cifar10.held_out) == pytest.approx(cifar_cnn.trained["accuracy"], abs=1e-3)


def test_untrained_weights_are_always_the_same_and_nothing_global_moves():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one, two = load_model("cifar-cnn"), load_model("cifar-cnn")
    assert one.weights_sha256 == two.weights_sha256
    assert one.trained == {}
    assert "untrained" in one.source
    assert torch.get_rng_state().equal(before)


def test_weights_of_another_data_set_by_their_name(lenet5_digits):
    victim = load_model("lenet5-digits", data="photos")
    assert victim.weights_sha256 == lenet5_digits.weights_sha256


@pytest.mark.parametrize("name", ["Small", "ready", "nested.factory"])
def test_a_users_own_model_from_the_current_directory(name):
    victim = load_model(f"own_models:{name}")
    assert (victim.input.shape, victim.classes) == ((1, 6, 6), 3)
    pixels = torch.rand(4, 1, 6, 6)
    assert victim.model(pixels).equal(victim.model.model((pixels - 0.5) / 0.25))
    assert victim.weights_sha256 == load_model(f"own_models:{name}").weights_sha256


def test_normalisation_stated_declared_or_none():
    assert load_model("own_models:Small", normalise="0.1:0.2").model.normalise.mean.item() == pytest.approx(0.1)
    bare = load_model("own_models:Bare", input=(1, 2, 2))
    assert isinstance(bare.model.normalise, nn.Identity)
    wrapped = load_model("own_models:wrapped")
    assert wrapped.model.normalise.mean.item() == pytest.approx(0.1)
    assert wrapped.input.shape == (1, 6, 6)
    again = load_model("own_models:wrapped", normalise="0.3:0.2").model
    assert again.normalise.mean.item() == pytest.approx(0.3)
    assert not isinstance(again.model, Normalised)


def test_hugging_face_outputs_pass_through():
    victim = load_model("own_models:HuggingFace", input=(1, 2, 2))
    assert victim.classes == 4
    assert isinstance(victim.model(torch.rand(1, 1, 2, 2)), SimpleNamespace)


def test_the_input_may_come_from_the_data_set():
    assert load_model("own_models:Bare", data="digits").input.shape == (1, 28, 28)


def test_the_hash_knows_every_byte_and_the_normalisation():
    def made(seed, std=0.5):
        with Run(seed).constructing("x"):
            return Normalised(Normalise((0.5,), (std,)), LeNet5())

    one = weights_sha256(made(0))
    assert one == weights_sha256(made(0))
    assert one != weights_sha256(made(1))
    assert one != weights_sha256(made(0, std=0.25))
    changed = made(0)
    with torch.no_grad():
        changed.model.fc3.bias[0] = torch.nextafter(changed.model.fc3.bias[0], torch.tensor(9.0))
    assert one != weights_sha256(changed)
    assert weights_sha256(nn.Linear(2, 2).to(torch.bfloat16))


def test_a_pt2_file_is_loaded_with_trust_only(here):
    model = Normalised(Normalise((0.5,), (0.5,)), LeNet5()).eval()
    batch = {0: torch.export.Dim.DYNAMIC}
    program = torch.export.export(model, (torch.rand(2, 1, 28, 28),), dynamic_shapes=(batch,))
    torch.export.save(program, here / "m.pt2")
    with pytest.raises(ModelError, match="run its author's code"):
        load_model("m.pt2", input=(1, 28, 28))
    victim = load_model("m.pt2", input=(1, 28, 28), trust=True)
    pixels = torch.rand(5, 1, 28, 28)
    assert torch.allclose(victim.model(pixels), model(pixels), atol=1e-6)
    assert victim.classes == 10
    with pytest.raises(ModelError, match="holds its own weights"):
        load_model("m.pt2", input=(1, 28, 28), trust=True, weights=here / "w.safetensors")


def test_a_pt2_file_exported_in_training_mode(here):
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2), nn.Dropout()).train()
    torch.export.save(torch.export.export(model, (torch.rand(2, 1, 2, 2),)), here / "m.pt2")
    with pytest.raises(ModelError, match="training mode"):
        load_model("m.pt2", input=(1, 2, 2), trust=True)


@pytest.mark.parametrize(
    ("spec", "options", "says"),
    [
        ("lenett", {}, "no model named 'lenett'; did you mean lenet5"),
        ("", {}, "no model named ''"),
        ("lenet5", {"data": "photos"}, "run `splitward train lenet5 --data photos`"),
        ("lenett", {"data": "digits"}, "did you mean"),
        ("own_models:", {}, "not package.module:factory"),
        (":Small", {}, "not package.module:factory"),
        ("no_such_module:f", {}, "cannot be imported: ModuleNotFoundError"),
        ("own_models:none", {}, "has no 'none'"),
        ("own_models:boom", {}, "the factory raised ValueError: no GPU here"),
        ("own_models:nothing", {}, "returned something of type int"),
        ("own_models:number", {}, "is of type int"),
        ("own_models:spoilt", {}, r"not finite: fc\.weight"),
        ("own_models:Bare", {}, "input shape of own_models:Bare is not known"),
        ("own_models:Small", {"input": (3, 8, 8)}, "does not take a batch of images 3x8x8"),
        ("own_models:BadNormalisation", {"input": (1, 2, 2)}, "attribute `normalisation`"),
        ("own_models:Bare", {"input": (3, 2, 2), "normalise": "0.5,0.5:1"}, "2 numbers as mean for 3 channels"),
        ("own_models:Small", {"normalise": "0.5:0"}, "positive deviations"),
        ("own_models:Small", {"normalise": "nan:1"}, "finite"),
        ("own_models:Small", {"normalise": "0.5"}, "not MEAN:STD"),
        ("no.pt2", {"trust": True}, r"no file no\.pt2"),
        ("broken.pt2", {"trust": True}, "no .pt2 file that torch"),
        ("lenet5", {"weights": "none.safetensors"}, "no weights file"),
        ("lenet5", {"weights": "rubbish.safetensors"}, "not a safetensors file"),
        ("lenet5", {"weights": "cifar.safetensors"}, "do not fit LeNet5"),
        ("lenet5", {"weights": "nan.safetensors"}, "not finite"),
    ],
)
def test_refusals_are_one_sentence(here, spec, options, says):
    (here / "broken.pt2").write_bytes(b"rubbish")
    (here / "rubbish.safetensors").write_bytes(b"\xff" * 64)
    save_file(CifarCNN().state_dict(), here / "cifar.safetensors")
    spoilt = LeNet5().state_dict()
    spoilt["conv1.bias"][0] = float("inf")
    save_file(spoilt, here / "nan.safetensors")
    if "weights" in options:
        options = {**options, "weights": here / options["weights"]}
    with pytest.raises(ModelError, match=says) as caught:
        load_model(spec, **options)
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(".")


def test_a_trained_file_in_the_data_directory_is_found(here):
    network = LeNet5(2)
    write_weights(network, here / "data" / "weights" / "lenet5-faces_.safetensors", {})
    (here / "some faces").mkdir()
    name = weights_name("lenet5", "some faces")
    assert name.startswith("lenet5-some_faces-")
    assert name != weights_name("lenet5", "/tmp")
    write_weights(network, here / "data" / "weights" / name, {"model": "lenet5", "classes": 2})
    victim = load_model("lenet5", data="some faces")
    assert victim.classes == 2
    assert victim.trained["model"] == "lenet5"
    elsewhere = load_model("lenet5", data="some faces", data_dir=here / "data")
    assert elsewhere.weights_sha256 == victim.weights_sha256
    state = load_file(here / "data" / "weights" / name)
    assert victim.model.model.conv1.weight.equal(state["conv1.weight"])


def test_provenance_that_is_no_json_is_told(here):
    save_file(LeNet5().state_dict(), here / "w.safetensors", metadata={"trained": "{not json"})
    with pytest.raises(ModelError, match="not a safetensors file that can be read"):
        load_model("lenet5", weights=here / "w.safetensors")
    save_file(LeNet5().state_dict(), here / "w.safetensors", metadata={"trained": json.dumps([1])})
    assert load_model("lenet5", weights=here / "w.safetensors").trained == {}


def test_the_papers_networks():
    """Layer names are split points; shapes and normalisations as the papers have them."""
    lenet5, cifar = load_model("lenet5"), load_model("cifar-cnn")
    assert [n for n, _ in lenet5.model.model.named_children()] == [
        "conv1", "ReLU1", "pool1", "conv2", "ReLU2", "pool2", "fc1", "fc1act", "fc2", "fc2act", "fc3",
    ]  # fmt: skip
    assert sum(p.numel() for p in lenet5.model.parameters()) == 208 + 3216 + 30840 + 10164 + 850
    assert isinstance(cifar.model.model.fc1act, nn.Sigmoid)
    assert cifar.model.normalise.mean.flatten().tolist() == pytest.approx(IMAGENET_MEAN)
    assert cifar.model.model.ReLU22.inplace is False
    alexnet = load_model("alexnet")
    assert sum(p.numel() for p in alexnet.model.parameters()) == 61_100_840  # torchvision's number
    assert (alexnet.input.shape, alexnet.classes) == ((3, 224, 224), 1000)


def test_parsing():
    assert parse_normalise("0.485,0.456,0.406:0.229,0.224,0.225")[1] == (0.229, 0.224, 0.225)
    assert parse_shape("3X224x224") == (3, 224, 224)
    for text in ("28", "1x28", "0x28x28", "-1x2x3", "axbxc", "1x28x28x28", "1x2.5x3", ""):
        with pytest.raises(ModelError, match="not CxHxW"):
            parse_shape(text)
    for text in ("", "0.5", "a:b", "1:2:3", ":"):
        with pytest.raises(ModelError, match="not MEAN:STD"):
            parse_normalise(text)
