"""A thousand repeats of one input, and an attacker who holds them all: what keyed noise and the ledger are for."""

import numpy as np
import pytest

from runtime.clouds import pictures, toy
from splitward.core.errors import LedgerRefusal
from splitward.runtime.half import Half, identities
from splitward.runtime.ledger import Ledger
from splitward.runtime.wire import Packing

REPEATS, LEVEL, FEW = 1000, 1.0, 4


def psnr(guess, truth):
    return -10 * np.log10(np.mean((np.clip(guess, 0, 1) - truth) ** 2))


def attacked(half, image, count):
    """The best guess from ``count`` releases: their mean, which the toy's edge (x -> 2x - 1) is undone from.

    For normal noise no unbiased guess is better (the mean is sufficient); what lies outside [0, 1] is cut off.
    """
    sent = np.stack([half.release(image)[0] for _ in range(count)])
    return psnr((sent.mean(0, dtype=np.float64).reshape(image.shape) + 1) / 2, image)


@pytest.mark.usefixtures("same_chance")
def test_a_thousand_repeats_leak_no_more_than_one_under_keyed_noise_and_much_more_under_fresh(tmp_path):
    bundle, _ = toy(f"gaussian:{LEVEL}")
    cut, images = bundle.manifest.cuts[0], pictures(60)
    scores = {}
    for name, key in (("keyed", Ledger(tmp_path / "ledger").noise_key), ("fresh", None)):
        half = Half(bundle, cut, key, Packing())
        for count in (1, REPEATS):
            scores[name, count] = np.array(
                [attacked(half, image[None], count) for image in images[: 60 if count == 1 else FEW]]
            )
    np.testing.assert_allclose(scores["keyed", REPEATS], scores["keyed", 1][:FEW], rtol=1e-5)
    gained = scores["fresh", REPEATS].mean() - scores["fresh", 1].mean()
    assert gained > 20  # 30 dB less what cutting off gives a single release
    assert abs(scores["keyed", 1].mean() - scores["fresh", 1].mean()) < 3 * scores["fresh", 1].std() / 60**0.5 * 2**0.5


def test_repeats_over_restarts_are_the_same_bytes_and_one_observation(tmp_path):
    """Restarts, a kill included (the ledger's own tests): the key is the ledger's, and it stays."""
    bundle, _ = toy(f"gaussian:{LEVEL}", observations=1)
    cut, image, sent = bundle.manifest.cuts[0], pictures(1), set()
    for _ in range(20):
        ledger = Ledger(tmp_path / "ledger")
        half = Half(bundle, cut, ledger.noise_key, Packing())
        for _ in range(5):
            assert ledger.release(identities(image), 1, half.context, repeats=half.draws.repeats) == [1]
            sent.add(half.release(image)[0].tobytes())
        ledger.close()
    assert len(sent) == 1


def test_fresh_noise_is_stopped_by_the_ledger(tmp_path):
    bundle, _ = toy(f"gaussian:{LEVEL}", observations=3)
    cut, image, released = bundle.manifest.cuts[0], pictures(1), 0
    half, ledger = Half(bundle, cut, None, Packing()), Ledger(tmp_path / "ledger")
    for _ in range(50):
        try:
            ledger.release(identities(image), 3, half.context, repeats=half.draws.repeats)
            released += 1
        except LedgerRefusal:
            continue
    assert released == 3
