"""A flattened map is found, and attacked as the map that it is."""

import dataclasses

import pytest
import torch
from torch import nn

import splitward as sw
from splitward.attacks._unflattening import Unflattened, map_of, unflatten
from splitward.attacks.shadow_model import ShadowModel
from splitward.audit.forms import EightBits
from splitward.audit.grant import grant
from splitward.audit.loop import Settings, cast, world_of
from splitward.core.defence import Chain
from splitward.core.knowledge import QueryFree, Samples
from splitward.core.run import Run
from splitward.core.spec import TensorSpec

CHEAP = {"steps": 12, "decoder_steps": 12, "shadows": 2, "laps": 1, "width": 8, "batch": 16}


@pytest.fixture(scope="module")
def digits():
    return sw.load_data("digits"), sw.load_model("lenet5", data="digits")


def held(digits, at, defence="none"):
    data, victim = digits
    run, settings = Run(0), Settings(20)
    halves = sw.split(victim.model, data.public.images[:2], at=at)
    roles = cast(data.held_out, data.public, settings, run.device)
    world = world_of(sw.Target(halves, sw.defence(defence), model="lenet5"), roles, settings, run.device)
    return grant(QueryFree, world, run)


@pytest.mark.parametrize("defence", ["none", "gaussian:0.5", "dropout:0.6"])
def test_the_map_is_found_in_the_flattened_one(digits, defence):
    found = map_of(held(digits, "flatten", defence))
    assert found is not None
    assert found.shape == (16, 4, 4)


@pytest.mark.parametrize("at", ["fc1", "fc1act", "fc2act", "pool2"])
def test_a_dense_layer_is_none_and_a_map_needs_none(digits, at):
    assert map_of(held(digits, at)) is None


@pytest.mark.parametrize("length", [16, 32, 64, 128])
def test_a_short_dense_layer_is_no_map_by_chance(digits, length):
    knowledge = held(digits, "fc3")
    pixels, named = knowledge.public.images.flatten(1), knowledge.public.labels
    for seed in range(10):
        weights = torch.randn(pixels.shape[1], length, generator=torch.Generator().manual_seed(seed))
        sent = (pixels @ weights / 28).relu()
        cloud = Named(sent, named)
        dense = dataclasses.replace(
            knowledge, activation=(TensorSpec((length,)),), cloud=cloud, traffic=(sent[:, None],)
        )
        assert map_of(dense) is None


class Named(nn.Module):
    """A cloud that knows the class of everything that it was sent before."""

    def __init__(self, sent, labels):
        super().__init__()
        self.sent, self.labels = sent, labels

    def forward(self, part):
        nearest = torch.cdist(part, self.sent).argmin(1)
        return nn.functional.one_hot(self.labels[nearest], 10).float()


def test_numbers_in_another_order_are_none(digits):
    knowledge = held(digits, "flatten")
    order = torch.randperm(256, generator=torch.Generator().manual_seed(0))
    cloud = nn.Sequential(Reordered(order.argsort()), knowledge.cloud)
    mixed = dataclasses.replace(knowledge, cloud=cloud, traffic=(knowledge.traffic[0][..., order],))
    assert map_of(mixed) is None


class Reordered(nn.Module):
    def __init__(self, order):
        super().__init__()
        self.order = order

    def forward(self, part):
        return part[:, self.order]


def test_without_labels_or_traffic_nothing_tells(digits):
    knowledge = held(digits, "flatten")
    blank = Samples(knowledge.public.images, None)
    assert map_of(dataclasses.replace(knowledge, public=blank)) is None
    assert map_of(dataclasses.replace(knowledge, traffic=None)) is None


def test_flattening_hides_nothing(digits):
    """The attack reads the flattened map as it reads the map: the same pictures come back."""
    flat = held(digits, "flatten", "gaussian:0.5")
    mapped = held(digits, "pool2", "gaussian:0.5")
    again = unflatten(flat, map_of(flat))
    assert again.activation[0].shape == mapped.activation[0].shape
    assert torch.equal(again.traffic[0], mapped.traffic[0])
    attack, sent = ShadowModel(**CHEAP), mapped.traffic[0][:20]
    pictures = attack.prepare(mapped, Run(3))((sent,))
    as_flat = attack.prepare(flat, Run(3))((sent.flatten(2),))
    assert torch.allclose(pictures, as_flat, atol=1e-4)


def test_a_defence_of_the_vector_is_one_of_the_map(digits):
    plain = sw.defence("gaussian:0.5").channels[0]
    wrapped = Unflattened(plain)
    maps = torch.randn(5, 3, 4, 4)
    sent = wrapped.sample(maps, torch.Generator().manual_seed(0))
    assert torch.equal(sent.flatten(1), plain.sample(maps.flatten(1), torch.Generator().manual_seed(0)))
    assert torch.equal(wrapped.log_density(sent, maps, 0.1), plain.log_density(sent.flatten(1), maps.flatten(1), 0.1))
    assert (wrapped.level, wrapped.position, wrapped.information) == (0.5, "wire", plain.information)
    assert Chain((wrapped,)).draws
    assert not hasattr(wrapped, "width")
    rounded = Unflattened(EightBits((((48,), (0.0, 255.0)),)))
    assert rounded.width(maps) == pytest.approx(1 / 12**0.5)
    assert not rounded.draws
