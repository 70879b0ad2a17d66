"""Training: it learns, the same seed gives the same bytes, and no half file is left."""

import dataclasses
import json
import math

import pytest
import torch
from safetensors import safe_open
from torch import nn

from splitward.cli.train import train_command
from splitward.core.errors import ModelError
from splitward.core.run import Run
from splitward.data.dataset import load
from splitward.models import making, training
from splitward.models.making import make_weights
from splitward.models.training import Recipe, affine, cutout, train
from splitward.models.zoo import load_model, model_shape

CPU = torch.device("cpu")
QUICK = Recipe(epochs=6, batch=32)


class Little(nn.Module):
    """For 1x16x16 images, three classes."""

    input = (1, 16, 16)

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 8, 5, stride=2)
        self.fc = nn.Linear(8 * 36, 3)

    def forward(self, x):
        return self.fc(self.conv(x).relu().flatten(1))


THIS = f"{__name__}:Little"


def make(tiny, out, seed=0, epochs=6):
    return make_weights(THIS, tiny, out, run=Run(seed, CPU), epochs=epochs, command="splitward train ...")


def test_training_learns_and_says_how(tiny, tmp_path, monkeypatch):
    monkeypatch.setitem(training.RECIPES, (THIS, "tiny"), Recipe(batch=12, rotate=0.0, scale=0.0))
    made = make(tiny, tmp_path / "new" / "w.safetensors", epochs=40)
    assert made["accuracy"] > 0.7  # chance is 1/3
    assert made["test_samples"] == len(tiny.held_out)
    assert made["losses"][-1] < made["losses"][0] / 2
    with safe_open(str(tmp_path / "new" / "w.safetensors"), "pt") as file:
        assert json.loads(file.metadata()["trained"]) == json.loads(json.dumps(made))
    victim = load_model(THIS, weights=tmp_path / "new" / "w.safetensors")
    right = victim.model(tiny.held_out.images).argmax(1) == tiny.held_out.labels
    assert right.float().mean().item() == pytest.approx(made["accuracy"], abs=1e-6)


def test_same_seed_same_bytes_and_nothing_global(tiny, tmp_path):
    digests = []
    for number, seed in enumerate((0, 0, 1)):
        torch.manual_seed(number)
        torch.rand(number)
        before = torch.get_rng_state()
        make(tiny, tmp_path / f"{number}.safetensors", seed)
        assert torch.get_rng_state().equal(before)
        digests.append(load_model(THIS, weights=tmp_path / f"{number}.safetensors").weights_sha256)
    assert digests[0] == digests[1] != digests[2]


def test_an_interrupted_training_leaves_no_file(tiny, tmp_path, monkeypatch):
    class Impatient:
        def start(self, description, total): ...

        def finish(self): ...

        def advance(self, steps=1, note=""):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_weights(THIS, tiny, tmp_path / "w.safetensors", run=Run(0, CPU, Impatient()))
    assert not list(tmp_path.iterdir())

    def half(state, path, metadata):
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(making, "save_file", half)
    with pytest.raises(KeyboardInterrupt):
        make(tiny, tmp_path / "w.safetensors", epochs=1)
    assert not list(tmp_path.iterdir())


def test_refusals(tiny, tmp_path):
    with pytest.raises(ModelError, match="photos has no classes"):
        make_weights("cifar-cnn", load("photos"), tmp_path / "w", run=Run(0, CPU))
    with pytest.raises(ModelError, match=r"lenet5 takes images 1x28x28, but those of tiny are 1x16x16"):
        make_weights("lenet5", tiny, tmp_path / "w", run=Run(0, CPU))
    with pytest.raises(ModelError, match="at least 1 epoch, not 0"):
        make(tiny, tmp_path / "w", epochs=0)
    with pytest.raises(ModelError, match="is a folder"):
        making.refuse_unwritable(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelError, match="nothing can be written"):
        making.refuse_unwritable(tmp_path / "file" / "w.safetensors")


def test_a_training_that_diverges_is_told(tiny, tmp_path, monkeypatch):
    monkeypatch.setitem(training.RECIPES, (THIS, "tiny"), Recipe(epochs=3, batch=16, learning_rate=1e30))
    with pytest.raises(ModelError, match="diverged"):
        make_weights(THIS, tiny, tmp_path / "w.safetensors", run=Run(0, CPU))
    assert not list(tmp_path.iterdir())


def test_more_batch_than_images(tiny, tmp_path, monkeypatch):
    monkeypatch.setitem(training.RECIPES, (THIS, "tiny"), Recipe(epochs=2, batch=1000))
    assert make_weights(THIS, tiny, tmp_path / "w.safetensors", run=Run(0, CPU))["epochs"] == 2


def test_the_command(tmp_path, capsys):
    out = tmp_path / "w.safetensors"
    train_command("lenet5", "digits", epochs=1, seed=3, out=out)
    said = capsys.readouterr().out
    assert "359 held-out images" in said
    assert str(out) in said
    made = load_model("lenet5", weights=out).trained
    assert made["command"] == "splitward train lenet5 --data digits --epochs 1 --seed 3"
    assert made["accuracy"] > 0.2


def test_trained_weights_become_the_model_of_their_data(tmp_path, capsys):
    train_command("lenet5", "faces", epochs=1, data_dir=tmp_path)
    assert (tmp_path / "weights" / "lenet5-faces.safetensors").is_file()
    assert load_model("lenet5", weights=tmp_path / "weights" / "lenet5-faces.safetensors").classes == 2


def test_the_input_of_a_model_before_it_is_made():
    assert model_shape("lenet5") == (1, 28, 28)
    assert model_shape(THIS) == (1, 16, 16)


# ---- the parts ----


def gradient_image(n=3, size=16):
    return torch.linspace(0.2, 0.8, size).expand(n, 1, size, size).contiguous()


def still(**changes):
    return dataclasses.replace(Recipe(rotate=0.0, translate=0.0, scale=0.0, flip=False), **changes)


def test_affine_without_any_motion_is_the_identity():
    images = gradient_image()
    assert torch.allclose(affine(images, still(), torch.Generator()), images, atol=1e-6)


def test_affine_flips_and_shifts_by_whole_pixels_without_blur():
    images = torch.rand(64, 1, 8, 8)
    flipped = affine(images, still(flip=True), torch.Generator().manual_seed(0))
    same = (flipped - images).abs().flatten(1).amax(1) < 1e-5
    mirrored = (flipped - images.flip(3)).abs().flatten(1).amax(1) < 1e-5
    assert (same ^ mirrored).all()
    assert 10 < mirrored.sum() < 54
    shifted = affine(images, still(translate=0.25), torch.Generator().manual_seed(0))
    values = set(images.flatten().mul(1e4).round().tolist()) | {0.0}
    off = [v for v in shifted.flatten().mul(1e4).round().tolist() if not {v - 1, v, v + 1} & values]
    assert not off


def test_affine_rotates_by_at_most_the_angle():
    size, images = 33, torch.zeros(200, 1, 33, 33)
    images[:, 0, size // 2, -3] = 1  # a dot on the right
    turned = affine(images, still(rotate=30.0), torch.Generator().manual_seed(0))
    rows = torch.arange(size, dtype=torch.float32) - size // 2
    mass = turned.sum((1, 2, 3))
    y = (turned.sum((1, 3)) * rows).sum(1) / mass
    x = (turned.sum((1, 2)) * rows).sum(1) / mass
    angles = torch.atan2(y, x).rad2deg()
    assert angles.abs().max() <= 31
    assert angles.abs().max() > 20
    assert (angles > 0).any()
    assert (angles < 0).any()


def test_cutout_blanks_one_square():
    images = torch.zeros(500, 2, 16, 16)
    out = cutout(images, 6, torch.Generator().manual_seed(0))
    area = (out[:, 0] == 0.5).sum((1, 2))
    assert (out[:, 0] == out[:, 1]).all()
    assert area.min() >= 4
    assert area.max() <= 49
    assert set(out.unique().tolist()) <= {0.0, 0.5}


def test_the_weights_are_the_moving_average(tiny):
    """With an average that keeps nothing, the average is the last step's weights; else it is not."""

    def weights(average):
        with Run(0, CPU).constructing("x"):
            model = Little()
        train(model, tiny.train, tiny.held_out, dataclasses.replace(QUICK, average=average), Run(0, CPU))
        return model.fc.weight

    assert not torch.allclose(weights(0.0), weights(0.99))
    assert math.isfinite(weights(0.99).sum().item())
