"""Noise that is drawn for each number by itself is taken off the moments of what was seen through it."""

import dataclasses
from types import SimpleNamespace

import pytest
import torch

import splitward as sw
from splitward.attacks._denoising import Denoiser
from splitward.attacks._moments import MAPS, Moments
from splitward.attacks._reading import read
from splitward.attacks._shadows import sure_classes
from splitward.attacks._undoing import parted, undo
from splitward.core.defence import Chain
from splitward.core.knowledge import QueryFree, Samples
from splitward.core.spec import TensorSpec


def seeded(number=0):
    return torch.Generator().manual_seed(number)


def clean(count=600, rectified=True):
    """Maps (N, 6, 9, 9) of correlated channels, smooth over places."""
    fields = torch.randn(count, 3, 11, 11, generator=seeded(1))
    weights = torch.randn(6, 3, 3, 3, generator=seeded(2)) / 5
    maps = torch.nn.functional.conv2d(fields, weights, torch.linspace(-0.5, 0.5, 6))
    return maps.relu() if rectified else maps


def seen(values, defence, draws=1):
    return (torch.stack([sw.defence(defence).sample(values, seeded(3 + k)) for k in range(draws)], 1),)


def apart(moments, values):
    """How far what was there is from the moments of what was seen."""
    return float(moments.distance((values,)))


@pytest.mark.parametrize("defence", ["gaussian:0.5", "laplace:0.3", "dropout:0.6", "gaussian:0.5+dropout:0.3"])
@pytest.mark.parametrize("draws", [1, 4])
def test_the_moments_are_those_of_what_was_there(defence, draws):
    values, chain = clean(), sw.defence(defence)
    sent = seen(values, defence, draws)
    undone = undo(sent, chain, seeded())
    assert undone is not None
    with_it = apart(Moments(undone.estimates, None, undone.noise), values)
    assert with_it < 0.02 * MAPS
    assert apart(Moments(sent), values) > 10 * max(with_it, 1e-3 * MAPS)


@pytest.mark.parametrize("defence", ["gaussian:0.5", "dropout:0.6"])
def test_the_noise_that_is_left_is_told(defence):
    values = clean()
    undone = undo(seen(values, defence), sw.defence(defence), seeded())
    off = (undone.estimates[0][:, 0] - values).square().mean((0, 2, 3))
    assert torch.allclose(undone.noise[0], off, rtol=0.05)


def test_of_vectors_too():
    values = clean().flatten(1)[:, :40]
    sent = seen(values, "gaussian:0.3", 4)
    undone = undo(sent, sw.defence("gaussian:0.3"), seeded())
    assert undone.noise[0].shape == (40,)
    assert apart(Moments(undone.estimates, None, undone.noise), values) < 0.1 * apart(Moments(sent), values)


@pytest.mark.parametrize("rectified", [True, False])
def test_a_relu_is_seen_through_the_noise(rectified):
    undone = undo(seen(clean(rectified=rectified), "gaussian:0.5"), sw.defence("gaussian:0.5"), seeded())
    assert undone.rectified == (rectified,)


def dimmed(clean, generator):
    """Each sample by a factor of its own: what is drawn is shared by all of its numbers."""
    return clean * torch.rand(len(clean), *[1] * (clean.ndim - 1), generator=generator)


def bent(clean, generator):
    """Noise, and then a map that is not affine."""
    return (clean + 0.5 * torch.randn(clean.shape, generator=generator)).abs()


@pytest.mark.parametrize("sample", [dimmed, bent])
def test_noise_of_another_kind_is_left_alone(sample):
    channel = SimpleNamespace(name="own", level=1.0, position="wire", sample=sample)
    sent = (sample(clean(), seeded(3))[:, None],)
    assert undo(sent, Chain((channel,)), seeded()) is None


def test_without_noise_there_is_nothing_to_undo():
    values = clean()
    assert undo((values[:, None],), Chain(), seeded()) is None
    assert undo((values[:, None],), sw.defence("clip:1"), seeded()) is None


def test_what_comes_before_the_first_draw_stays():
    before, noise = parted(sw.defence("gaussian:1@input+clip:1+gaussian:0.5+quantise:8"))
    assert (str(before), str(noise)) == ("gaussian:1@input+clip:1", "gaussian:0.5+quantise:8")


LABELS = torch.arange(300) % 3


def served(sent, defence):
    """What one holds whose cloud names the class by the largest of the three numbers (300, 3) that cross."""
    task = SimpleNamespace(correct=lambda output, batch: (output.argmax(1) == batch.labels).float())
    return QueryFree(
        input=TensorSpec((1, 8, 8)), activation=(TensorSpec((3,)),), cloud=torch.nn.Identity(), task=task,
        public=Samples(torch.zeros(300, 1, 8, 8), LABELS, "none"), traffic=(sent[:, None],), defence=defence or None,
    )  # fmt: skip


@pytest.mark.parametrize(("defence", "sure"), [("none", True), ("gaussian:0.1", True), ("gaussian:30", False)])
def test_classes_are_believed_only_where_noise_leaves_them(defence, sure):
    chain = sw.defence(defence)
    sent = chain.sample(torch.nn.functional.one_hot(LABELS, 3).float(), seeded())
    found = sure_classes(served(sent, chain), parted(chain)[1], Denoiser(), seeded(1))
    assert (found is not None) == sure
    assert found is None or (found == LABELS).all()


def test_classes_come_back_with_the_noise_off():
    """Ten numbers say the same, and the filter takes their mean: a cloud that looks at one of them is told."""
    chain = sw.defence("gaussian:1")
    values = torch.nn.functional.one_hot(LABELS, 3).float().repeat_interleave(10, 1)
    sent = chain.sample(values, seeded())
    knowledge = dataclasses.replace(served(sent, chain), cloud=lambda part: part[:, ::10])
    readings = [read(TensorSpec((30,)), knowledge.input)]
    denoise = Denoiser.of(undo(knowledge.traffic, chain, seeded()), readings)
    assert sure_classes(knowledge, chain, Denoiser(), seeded(1)) is None
    found = sure_classes(knowledge, chain, denoise, seeded(1))
    assert found is not None
    assert float((found == LABELS).float().mean()) > 0.9


@pytest.mark.parametrize("defence", ["none", "gaussian:0.1"])
def test_classes_that_are_all_alike_are_not_believed(defence):
    """More noise would not change them: what tells is that they are not as frequent as they are in public."""
    chain, sent = sw.defence(defence), torch.tensor([9.0, 0.0, 0.0]).expand(300, 3)
    assert sure_classes(served(sent, chain), chain, Denoiser(), seeded()) is None
