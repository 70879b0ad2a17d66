"""What attackers hold: the victim's own set, the same distribution, another one, or noise."""

import dataclasses

import pytest
import torch

from splitward.core.errors import DataError, UsageError
from splitward.data import auxiliary
from splitward.data.auxiliary import held_by_attackers
from splitward.data.dataset import refuse_overlap


def test_the_same_distribution_is_the_sets_public_part(tiny):
    assert torch.equal(held_by_attackers("same-distribution", tiny).images, tiny.public.images)
    few = held_by_attackers("same-distribution", tiny, 7)
    assert torch.equal(few.images, tiny.public.images[:7])
    assert few.labels.tolist() == tiny.public.labels[:7].tolist()


def test_the_same_set_is_what_the_victim_was_trained_on_and_as_many_as_the_public_part(tiny):
    held = held_by_attackers("same-set", tiny)
    assert torch.equal(held.images, tiny.train.images[: len(tiny.public)])
    assert len(held_by_attackers("same-set", tiny, 55)) == 55
    refuse_overlap(held=held, secrets=tiny.held_out)


def test_noise_is_standard_normal_where_grey_is_nothing(tiny):
    noise = held_by_attackers("noise", tiny, 400)
    assert noise.images.shape == (400, 1, 16, 16)
    assert noise.labels is None
    inside = noise.images[(noise.images > 0) & (noise.images < 1)]
    assert abs(len(inside) / noise.images.numel() - 0.683) < 0.01  # within one standard deviation
    assert abs(float(inside.mean()) - 0.5) < 0.01
    assert torch.equal(noise.images, held_by_attackers("noise", tiny, 400).images)
    assert not torch.equal(noise.images, held_by_attackers("noise", tiny, 400, seed=1).images)


def test_another_set_is_all_of_it_brought_to_the_models_size(tiny):
    held = held_by_attackers("digits", tiny, 1797)
    assert held.images.shape == (1797, 1, 16, 16)
    assert len(held_by_attackers("digits", tiny)) == len(tiny.public)


def test_labels_are_kept_where_the_classes_have_the_same_names(tiny):
    assert held_by_attackers("digits", tiny).labels is None
    alike = dataclasses.replace(tiny, classes=tuple("0123456789"))
    assert len(held_by_attackers("digits", alike).labels) == len(tiny.public)


def test_no_more_roles_are_read_than_are_needed(tiny, monkeypatch):
    read = []

    class Other:
        name, classes = "other", tiny.classes

        def __getattr__(self, role):
            read.append(role)
            return getattr(tiny, role)

    monkeypatch.setattr(auxiliary, "load", lambda *_, **__: Other())
    assert len(held_by_attackers("other", tiny)) == 40
    assert read == ["public"]
    read.clear()
    assert len(held_by_attackers("other", tiny, 90)) == 90
    assert read == ["public", "train"]


def test_what_is_not_there_is_said(tiny):
    with pytest.raises(UsageError, match=r"61 public samples were asked for and tiny train has 60; ask for fewer\."):
        held_by_attackers("same-set", tiny, 61)
    with pytest.raises(DataError, match="there is no data set and no folder 'same_set'"):
        held_by_attackers("same_set", tiny)
