"""The prior floors: what public images alone reach."""

import pytest
import torch

from splitward.attacks.floors import BestImage, MeanImage
from splitward.core.knowledge import Released, Samples
from splitward.core.registry import discover, find
from splitward.core.run import Run
from splitward.core.spec import TensorSpec


def released(images):
    return Released(TensorSpec(tuple(images.shape[1:])), Samples(images, None), None, "none")


def guess(name, images, count=5, seed=0, **fields):
    floor = {"prior/mean": MeanImage, "prior/best": BestImage}[name](**fields)
    return floor.prepare(released(images), Run(seed, torch.device("cpu")))(None, count)


def blobs(count, size=16, seed=0):
    """Bright squares of many sizes around the middle."""
    generator = torch.Generator().manual_seed(seed)
    images = 0.05 * torch.rand(count, 1, size, size, generator=generator)
    for image in images:
        top, left, side = (
            int(torch.randint(low, high, (), generator=generator)) for low, high in [(2, 5), (2, 5), (4, 9)]
        )
        image[0, top : top + side, left : left + side] += 0.9
    return images


def test_both_are_floors():
    assert {"prior/mean", "prior/best"} <= set(discover("floor"))


def test_the_mean_is_the_mean():
    images = blobs(20)
    found = guess("prior/mean", images, 3)
    assert found.shape == (3, 1, 16, 16)
    assert torch.allclose(found, images.mean(0).expand(3, -1, -1, -1))


def test_the_best_is_the_best_of_all_candidates_by_brute_force():
    images = blobs(24)
    ssim = find("metric", "ssim")()
    pool = torch.cat([images.mean(0, keepdim=True), images.median(0, keepdim=True).values, images])
    brute = torch.stack([ssim(one.expand_as(images), images).mean() for one in pool])
    found = guess("prior/best", images, 1, candidates=24, scored=24)
    assert torch.equal(found[0], pool[brute.argmax()])


def test_the_best_beats_the_mean_by_ssim_on_images_that_it_has_not_seen():
    ssim, fresh = find("metric", "ssim")(), blobs(200, seed=7)
    best, mean = (ssim(guess(name, blobs(300), 200), fresh).mean() for name in ("prior/best", "prior/mean"))
    assert best >= mean


def test_tiny_images_are_judged_by_mean_squared_error():
    images = torch.rand(30, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(guess("prior/best", images), guess("prior/mean", images))


@pytest.mark.parametrize("name", ["prior/mean", "prior/best"])
@pytest.mark.parametrize("count", [1, 2, 60])
def test_same_seed_same_bytes_any_number_of_public_images(name, count):
    images = blobs(count)
    one, two = guess(name, images, 4), guess(name, images, 4)
    assert torch.equal(one, two)
    assert torch.equal(one, one[:1].expand_as(one))
    assert one.min() >= 0
    assert one.max() <= 1
