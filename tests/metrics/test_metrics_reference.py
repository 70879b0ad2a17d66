"""Metrics against references from outside: scikit-image, closed forms, a brute-force count."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import data as skimage_data
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from splitward.core.errors import MetricError, RegistryError
from splitward.core.registry import discover, find
from splitward.metrics import identification

NAMES = ["identification", "mse", "psnr", "ssim", "ssim-paper"]


def photographs(channels: int, size: int, count: int = 12) -> torch.Tensor:
    photo = torch.from_numpy(skimage_data.astronaut()).permute(2, 0, 1).float() / 255
    crops = [photo[:channels, y : y + size, 3 * y : 3 * y + size] for y in range(0, 10 * count, 10)]
    return torch.stack(crops)


def disturbed(truth: torch.Tensor) -> torch.Tensor:
    noise = torch.randn(truth.shape, generator=torch.Generator().manual_seed(1))
    strength = torch.linspace(0.0, 0.5, len(truth)).view(-1, 1, 1, 1)
    return (truth + strength * noise).clamp(0, 1)


def skimage_ssim(guess: np.ndarray, truth: np.ndarray) -> float:
    _, full = structural_similarity(
        truth,
        guess,
        data_range=1.0,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        channel_axis=0,
        full=True,
    )
    return float(full[:, 5:-5, 5:-5].mean())


@pytest.mark.parametrize(("channels", "size"), [(1, 28), (3, 32), (3, 64), (1, 11)])
def test_ssim_equals_scikit_image(channels, size):
    truth = photographs(channels, size)
    guess = disturbed(truth)
    expected = [skimage_ssim(g, t) for g, t in zip(guess.numpy(), truth.numpy(), strict=True)]
    assert find("metric", "ssim")()(guess, truth).numpy() == pytest.approx(np.array(expected), abs=1e-4)


def test_ssim_on_flat_and_binary_images_equals_scikit_image():
    generator = torch.Generator().manual_seed(0)
    truth = torch.cat([torch.zeros(1, 1, 28, 28), torch.ones(1, 1, 28, 28), torch.rand(4, 1, 28, 28) < 0.2]).float()
    guess = truth[torch.randperm(len(truth), generator=generator)]
    expected = [skimage_ssim(g, t) for g, t in zip(guess.numpy(), truth.numpy(), strict=True)]
    assert find("metric", "ssim")()(guess, truth).numpy() == pytest.approx(np.array(expected), abs=1e-4)


@pytest.mark.parametrize(("channels", "size"), [(1, 28), (3, 32)])
def test_paper_ssim_equals_scikit_image_default(channels, size):
    truth = photographs(channels, size)
    guess = 0.2 + 0.5 * disturbed(truth)
    expected = [
        structural_similarity(t, g, data_range=float(g.max() - g.min()), channel_axis=0)
        for g, t in zip(guess.double().numpy(), truth.double().numpy(), strict=True)
    ]
    assert find("metric", "ssim-paper")()(guess, truth).numpy() == pytest.approx(np.array(expected), abs=1e-4)


def test_paper_ssim_of_a_flat_reconstruction_is_a_number():
    truth = torch.cat([photographs(1, 28, 2), torch.full((1, 1, 28, 28), 0.5)])
    value = find("metric", "ssim-paper")()(torch.full_like(truth, 0.5), truth)
    assert value.tolist() == [0.0, 0.0, 1.0]


@pytest.mark.parametrize("channels", [1, 3])
def test_psnr_equals_scikit_image_and_its_cap(channels):
    truth = photographs(channels, 32)
    guess = disturbed(truth)
    guess[0] = truth[0]
    expected = [
        100.0 if np.array_equal(g, t) else peak_signal_noise_ratio(t, g, data_range=1.0)
        for g, t in zip(guess.numpy(), truth.numpy(), strict=True)
    ]
    assert find("metric", "psnr")()(guess, truth).numpy() == pytest.approx(np.array(expected), abs=1e-4)


def test_psnr_and_mse_say_the_same():
    truth = photographs(3, 16)
    guess = disturbed(truth)[1:]
    error = find("metric", "mse")()(guess, truth[1:])
    assert (10 ** (-find("metric", "psnr")()(guess, truth[1:]) / 10)).numpy() == pytest.approx(error.numpy(), rel=1e-5)


def brute_force_identification(guess: np.ndarray, truth: np.ndarray) -> list[float]:
    scores = []
    for i, g in enumerate(guess):
        errors = [float(((g - t) ** 2).sum()) for t in truth]
        winners = [j for j, error in enumerate(errors) if error == min(errors)]
        scores.append(1 / len(winners) if i in winners else 0.0)
    return scores


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 12), st.integers(0, 2**31 - 1), st.integers(2, 9))
def test_identification_equals_a_brute_force_count(count, seed, grey_levels):
    generator = torch.Generator().manual_seed(seed)

    def images() -> torch.Tensor:  # few grey levels (powers of two apart, so sums are exact): ties are common
        return torch.randint(0, grey_levels, (count, 1, 1, 3), generator=generator) / 8

    guess, truth = images(), images()
    expected = brute_force_identification(guess.double().numpy(), truth.double().numpy())
    assert find("metric", "identification")()(guess, truth).tolist() == pytest.approx(expected)


def test_identification_of_one_guess_for_all_is_chance_and_of_the_truth_is_one():
    truth = photographs(3, 24)
    share = find("metric", "identification")()
    assert share(truth, truth).tolist() == [1.0] * len(truth)
    assert share(truth.mean(0, keepdim=True).expand_as(truth), truth).mean().item() == pytest.approx(1 / len(truth))
    twins = truth.clone()
    twins[1] = twins[0]
    assert share(twins, twins)[:2].tolist() == [0.5, 0.5]


def test_identification_in_blocks_is_the_same(monkeypatch):
    truth = torch.rand(300, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    guess = (truth + 2 * torch.rand(truth.shape, generator=torch.Generator().manual_seed(1))).clamp(0, 1)
    monkeypatch.setattr(identification, "BLOCK", 1000)
    expected = brute_force_identification(guess.double().numpy(), truth.double().numpy())
    assert 0 < sum(expected) < 300
    assert find("metric", "identification")()(guess, truth).tolist() == pytest.approx(expected)


@pytest.mark.parametrize("name", NAMES)
def test_every_metric_scores_each_sample_alone_or_says_what_is_wrong(name):
    metric = find("metric", name)()
    truth = photographs(1, 16, 4)
    assert metric(truth, truth).shape == (4,)
    assert metric(truth, truth).dtype == torch.float32
    assert metric(truth[:0], truth[:0]).shape == (0,)
    assert isinstance(metric.higher_is_closer, bool)
    assert isinstance(metric.unit, str)
    for guess in (truth[:3], truth[:, :, :8], truth * 2 - 1, truth * float("nan"), truth[:, 0]):
        with pytest.raises(MetricError, match=name):
            metric(guess, truth)


@pytest.mark.parametrize("name", ["mse", "psnr", "ssim", "ssim-paper"])
def test_scores_do_not_depend_on_the_batch(name):
    metric = find("metric", name)()
    truth = photographs(3, 24)
    guess = disturbed(truth)
    whole = metric(guess, truth)
    assert torch.allclose(torch.cat([metric(guess[i : i + 1], truth[i : i + 1]) for i in range(12)]), whole, atol=1e-6)


@pytest.mark.parametrize(("name", "smallest"), [("ssim", 11), ("ssim-paper", 7)])
def test_images_below_the_window_are_refused(name, smallest):
    metric = find("metric", name)()
    fits = torch.rand(2, 1, smallest, smallest)
    assert metric(fits, fits).tolist() == pytest.approx([1.0, 1.0])
    with pytest.raises(MetricError, match=f"at least {smallest}x{smallest} pixels"):
        metric(fits[..., 1:], fits[..., 1:])


def test_the_registry_knows_them_all():
    assert set(NAMES) <= set(discover("metric"))
    with pytest.raises(RegistryError, match="did you mean ssim"):
        find("metric", "ssimm")
