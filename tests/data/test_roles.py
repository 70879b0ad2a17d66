"""The roles of a data set share no image; the embedded sets are what they say."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from splitward.core.errors import DataError, OverlapError
from splitward.core.knowledge import Samples
from splitward.core.registry import discover
from splitward.data.dataset import assemble, load, refuse_overlap, to_float
from splitward.data.embedded import PHOTOS, shipped
from splitward.data.pixels import Pixels, content_keys, fit, split_by_content

EMBEDDED = ("digits", "faces", "photos")


def samples(count, seed):
    return Samples(torch.rand(count, 1, 4, 4, generator=torch.Generator().manual_seed(seed)), None)


def test_overlap_is_refused_with_both_names_and_the_number():
    public, secrets = samples(50, 1), samples(30, 2)
    refuse_overlap(train=samples(20, 3), public=public, secrets=secrets)
    mixed = dataclasses.replace(secrets, images=torch.cat([secrets.images, public.images[[3, 7]]]))
    with pytest.raises(OverlapError, match=r"public and secrets share 2 images \(of 50 and 32\)"):
        refuse_overlap(train=samples(20, 3), public=public, secrets=mixed)


def test_overlap_is_seen_through_8_bits():
    public = samples(5, 1)
    nearly = Samples((public.images * 255).round() / 255 + 1e-4, None)
    with pytest.raises(OverlapError, match="5 images"):
        refuse_overlap(public=public, secrets=nearly)
    refuse_overlap(public=public, secrets=Samples(public.images * 0.9, None))


def test_the_same_bytes_in_another_shape_are_another_image():
    flat = np.zeros((1, 1, 2, 8), np.uint8)
    assert content_keys(flat) != content_keys(flat.reshape(1, 1, 4, 4))


def test_assemble_drops_repetitions_train_first_public_last():
    images = np.arange(6 * 4, dtype=np.uint8).reshape(6, 1, 2, 2)
    labels = np.arange(6)
    whole = Pixels(images, labels)
    pick = lambda *i: whole[np.array(i)]  # noqa: E731
    data = assemble("x", (pick(0, 1, 1), pick(1, 2, 3, 4), pick(0, 3, 5)), tuple("abcdef"), note="Numbers.")
    assert data.train.labels.tolist() == [0, 1]
    assert data.held_out.labels.tolist() == [3, 5]
    assert data.public.labels.tolist() == [2, 4]
    assert data.note == "Numbers. 4 repeated images dropped."
    refuse_overlap(train=data.train, public=data.public, secrets=data.held_out)
    with pytest.raises(DataError, match="x public has no image"):
        assemble("x", (pick(0), pick(0), pick(1)), tuple("abcdef"), note="")
    with pytest.raises(DataError, match="labels from 5 to 5, but there are 5 classes"):
        assemble("x", (pick(0), pick(1), pick(5)), tuple("abcde"), note="")


@given(
    groups=st.lists(st.integers(0, 3), min_size=1, max_size=60),
    shares=st.sampled_from([(0.6, 0.2, 0.2), (0.75, 0.25), (0.5, 0.3, 0.2)]),
    seed=st.integers(0, 100),
)
@settings(max_examples=60, deadline=None)
def test_split_is_a_partition_that_ignores_the_order(groups, shares, seed):
    draws = np.random.default_rng(seed)
    keys = [draws.bytes(16) for _ in groups]
    labels = np.array(groups, dtype=np.int64)
    parts = split_by_content(keys, labels, shares)
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(groups)))
    for group in set(groups):
        members = groups.count(group)
        for part, share in zip(parts, shares, strict=True):
            assert abs((labels[part] == group).sum() - share * members) <= 1
    order = draws.permutation(len(groups))
    again = split_by_content([keys[i] for i in order], labels[order], shares)
    for part, other in zip(parts, again, strict=True):
        assert [keys[i] for i in part] == [keys[order[i]] for i in other]


def test_to_float_divides_by_255():
    every = np.arange(256, dtype=np.uint8).reshape(1, 1, 16, 16)
    assert torch.equal(to_float(every).flatten(), torch.arange(256) / 255)


@pytest.mark.parametrize("name", EMBEDDED)
def test_embedded_sets(name):
    data = load(name)
    parts = (data.train, data.public, data.held_out)
    for part in parts:
        assert part.images.shape[1:] == discover("dataset")[name].shape == data.shape
        assert part.images.dtype == torch.float32
        assert part.images.min() >= 0
        assert part.images.max() <= 1
        assert part.images.flatten(1).std(1).min() >= 0
        if part.labels is not None:
            assert part.labels.dtype == torch.int64
            assert part.labels.unique().tolist() == list(range(len(data.classes)))
    refuse_overlap(train=data.train, public=data.public, secrets=data.held_out)
    assert min(data.counts) >= 60
    assert data.note


def test_digits_are_64_numbers_an_image(digits):
    assert sum(digits.counts) == 1797
    assert digits.degrees_of_freedom == 64
    images = digits.train.images.flatten(1).double()
    spectrum = torch.linalg.svdvals(images)  # bilinear enlargement is linear: rank 64, but for rounding to 8 bits
    assert spectrum[64] < 0.02 * spectrum[0] / 10
    first = digits.held_out.labels[:100].bincount(minlength=10)
    assert first.min() >= 4, "the first secrets are a fair sample of the classes"


def test_embedded_sets_follow_the_model_and_keep_their_roles():
    small, large = load("digits"), load("digits", input=(3, 32, 32))
    assert large.train.images.shape[1:] == (3, 32, 32)
    assert large.train.labels.equal(small.train.labels)
    assert large.degrees_of_freedom == 64
    assert load("faces", input=(1, 28, 28)).degrees_of_freedom == 625
    assert load("faces", input=(1, 16, 16)).degrees_of_freedom == 256
    photos = load("photos", input=(3, 64, 64))
    assert photos.train.images.shape[1:] == (3, 64, 64)
    with pytest.raises(DataError, match="do not fit"):
        load("photos", input=(3, 500, 500))


def test_photos_are_crops_of_the_photograph_in_their_own_role():
    data = load("photos")
    whole = np.asarray(Image.open(shipped("skimage", "data/chelsea.png")))
    crop = to_float(np.ascontiguousarray(whole[32:64, 64:96].transpose(2, 0, 1))[None])
    assert (data.held_out.images == crop).flatten(1).all(1).sum() == 1
    assert not (data.train.images == crop).flatten(1).all(1).any()
    files = [file for part in PHOTOS.values() for file in part]
    assert len(files) == len(set(files)) == 7


def test_a_package_without_the_file_is_told():
    with pytest.raises(DataError, match="pip install"):
        shipped("skimage", "data/none.png")
    with pytest.raises(DataError, match="pip install"):
        shipped("no_such_package", "x.png")


def test_fit_agrees_with_doing_it_by_hand():
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8))
    by_hand = image.resize((30, 20), Image.Resampling.BILINEAR).crop((5, 0, 25, 20))
    assert (fit(image, (3, 20, 20)).transpose(1, 2, 0) == np.asarray(by_hand)).all()
    assert (fit(image, (1, 40, 60))[0] == np.asarray(image.convert("L"))).all()
