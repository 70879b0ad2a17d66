"""What an edge computes for many images is computed once, as long as neither has changed."""

import gc

import pytest
import torch
from torch import nn

from splitward.audit import computed as module
from splitward.audit.computed import BATCH, computed
from splitward.core.edge import Edge, Normalise


class Counted(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(1, 2, 3)
        self.calls = 0

    def forward(self, values):
        self.calls += 1
        return self.layer(values)


@pytest.fixture
def edge():
    return Edge(Normalise(), Counted()).eval()


@pytest.fixture
def images():
    return torch.rand(BATCH + 3, 1, 6, 6, generator=torch.Generator().manual_seed(0))


def whole(edge, images):
    return torch.cat([part for (part,) in computed(edge, images)])


def test_equal_images_are_computed_once_and_the_answer_is_the_edges(edge, images):
    first, second = whole(edge, images), whole(edge, images.clone())
    assert edge.body.calls == 2  # batches
    assert torch.equal(first, second)
    assert torch.allclose(first, edge(images), atol=1e-6)
    assert not first.requires_grad


def test_what_a_defence_does_to_an_answer_in_place_is_not_kept(edge, images):
    for (part,) in computed(edge, images):
        part.zero_()
    for (part,) in computed(edge, images):
        part.zero_()
    assert torch.allclose(whole(edge, images), edge(images), atol=1e-6)


@pytest.mark.parametrize("change", ["weights", "images", "other weights"])
def test_a_change_is_seen(edge, images, change):
    before = whole(edge, images)
    with torch.no_grad():
        if change == "weights":
            edge.body.layer.weight.mul_(2)
        elif change == "images":
            images.mul_(0.5)
        else:
            edge.body.layer.weight.data = torch.ones_like(edge.body.layer.weight)
    after = whole(edge, images)
    assert torch.allclose(after, edge(images), atol=1e-6)
    assert not torch.allclose(after, before, atol=1e-3)


def test_what_is_too_large_is_computed_anew(edge, images, monkeypatch):
    monkeypatch.setattr(module, "BYTES", 2 * 4 * 2 * 16 * (BATCH + 2))
    first, second = whole(edge, images), whole(edge, images)
    assert edge.body.calls == 4
    assert torch.equal(first, second)


def test_images_that_were_not_gone_through_are_not_kept(edge, images):
    next(iter(computed(edge, images)))
    assert len(whole(edge, images)) == len(images)
    assert edge.body.calls == 3


def test_the_oldest_sets_make_room_and_another_edge_for_all(edge, images, monkeypatch):
    monkeypatch.setattr(module, "BYTES", 2 * 4 * 2 * 16 * (BATCH + 3))  # of two sets
    sets = [images, images + 1, images + 2]
    for one in sets:
        whole(edge, one)
    assert edge.body.calls == 6
    whole(edge, sets[1])
    whole(edge, sets[2])
    assert edge.body.calls == 6
    whole(edge, sets[0])
    assert edge.body.calls == 8
    other = Edge(Normalise(), Counted()).eval()
    assert torch.allclose(whole(other, sets[0]), other(sets[0]), atol=1e-6)
    assert torch.allclose(whole(edge, sets[0]), edge(sets[0]), atol=1e-6)
    assert edge.body.calls == 8 + 2 + 1


def test_nothing_is_kept_of_an_edge_that_is_gone(images):
    edge = Edge(Normalise(), Counted()).eval()
    whole(edge, images)
    assert module._memory.sets
    del edge
    gc.collect()
    assert not module._memory.sets
