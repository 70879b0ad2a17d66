"""An edge computes once for an image that attackers ask about again, and its answers stay its own."""

import pytest
import torch
from torch import nn

from splitward.audit import asked as module
from splitward.audit.asked import Asked
from splitward.audit.oracle import DeviceOracle
from splitward.core.defence_text import parse_chain
from splitward.core.edge import Edge, Normalise


class Counted(nn.Module):
    """A convolution, and how many images it saw."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(1, 2, 3)
        self.seen = 0

    def forward(self, values):
        self.seen += len(values)
        return self.layer(values), values.mean((2, 3))


@pytest.fixture
def edge():
    return Edge(Normalise(), Counted()).eval()


@pytest.fixture
def images():
    return torch.rand(5, 1, 6, 6, generator=torch.Generator().manual_seed(0))


def same(answers, edge, images):
    return all(torch.allclose(a, b, atol=1e-6) for a, b in zip(answers, edge(images), strict=True))


def test_answers_are_the_edges_in_any_order_and_number(edge, images):
    asked = Asked(edge)
    for index in ([0, 1], [1, 0, 3, 3], [4, 3, 2, 1, 0, 0]):
        assert same(asked(images[index]), edge, images[index])


def test_each_image_is_computed_once(edge, images):
    asked = Asked(edge)
    asked(images[[0, 1, 1]])
    asked(images[[1, 2]])
    asked(images[:3].clone())
    assert edge.body.seen == 3


def test_an_answer_that_is_changed_changes_no_other(edge, images):
    asked = Asked(edge)
    for part in asked(images):
        part.zero_()
    assert same(asked(images), edge, images)


def test_what_finds_no_room_is_computed_again(edge, images, monkeypatch):
    monkeypatch.setattr(module, "ROW_BYTES", 0)
    monkeypatch.setattr(module, "BYTES", 2 * 4 * (2 * 4 * 4 + 1))
    asked = Asked(edge)
    asked(images[:2])
    asked(images[2:])
    assert same(asked(images), edge, images)
    assert edge.body.seen == 2 + 3 + 3 + 5  # the last five by the comparison


def test_a_cut_that_is_a_view_keeps_no_more_than_it_sends(images):
    body = nn.Module()
    body.forward = lambda values: values.expand(-1, 1000, -1, -1).contiguous()[:, 0]
    asked = Asked(Edge(Normalise(), body))
    (answer,) = asked(images)
    assert torch.equal(answer, images[:, 0])
    assert all(part.untyped_storage().nbytes() <= images.nbytes for row in asked._kept.values() for part in row)


def test_no_image_has_no_answer(edge, images):
    assert [len(part) for part in Asked(edge)(images[:0])] == [0, 0]


def test_what_is_forgotten_is_computed_again(edge, images):
    asked = Asked(edge)
    asked(images)
    asked.forget()
    assert same(asked(images), edge, images)
    assert edge.body.seen == 3 * len(images)  # the last by the comparison


def oracle(edge, text, asked):
    return DeviceOracle(edge, parse_chain(text), torch.Generator().manual_seed(0), None, asked)


def test_devices_that_differ_in_their_defence_share_the_work_and_draw_afresh(edge, images):
    asked = Asked(edge)
    first, second = oracle(edge, "gaussian:1", asked), oracle(edge, "dropout:0.5", asked)
    (one, _), (other, _), (dropped, _) = first(images), first(images), second(images)
    assert edge.body.seen == len(images)
    assert not torch.equal(one, other)
    assert 0 < float((dropped == 0).float().mean()) < 1
    assert (first.used, second.used) == (2 * len(images), len(images))


def test_a_defence_of_the_input_is_drawn_before_the_edge(edge, images):
    ask = oracle(edge, "gaussian:1@input", Asked(edge))
    assert not torch.equal(ask(images)[0], ask(images)[0])
    assert edge.body.seen == 2 * len(images)


def test_draws_of_one_batch_take_one_pass_also_where_nothing_finds_room(edge, images, monkeypatch):
    monkeypatch.setattr(module, "BYTES", 0)
    ask = oracle(edge, "gaussian:1", Asked(edge))
    for _ in range(3):
        ask(images)
    assert edge.body.seen == len(images)


def test_the_draws_are_those_of_a_device_without_the_memory(edge, images):
    with_it, without = oracle(edge, "gaussian:1", Asked(edge)), oracle(edge, "gaussian:1", None)
    for _ in range(2):
        assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(with_it(images), without(images), strict=True))
