"""How repetitions compose: fresh noise, keyed noise, and frames that are nearly the same."""

import hashlib
import hmac
import math

import pytest
import torch
from torch import nn

from splitward.bounds.certify import Settings, certify
from splitward.core.defence_text import parse_chain
from splitward.core.edge import Edge, Normalise
from splitward.record.certificate import any_mse

PIXELS, CROSSING, SIGMA, DITHER, SECRETS = 16, 24, 2.0, 0.3, 3000


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def edge():
    body = nn.Sequential(nn.Flatten(), nn.Linear(PIXELS, CROSSING))
    nn.init.normal_(body[1].weight, generator=generator(1))
    return Edge(Normalise(), body).eval()


@pytest.fixture(scope="module")
def certificate(edge):
    images = 0.5 + DITHER * torch.randn(200, 1, 4, 4, generator=generator(2))
    return certify(edge, parse_chain(f"gaussian:{SIGMA}"), images, generator(), Settings(dither=DITHER, samples=8))


@pytest.fixture(scope="module")
def secrets():
    return DITHER * torch.randn(SECRETS, 1, 4, 4, generator=generator(3))


def averaging_attacker(edge, sent, believed):
    """The posterior mean from the mean of all observations (N, k, a), as if ``believed`` of them were independent."""
    j = edge.body[1].weight.detach()
    gain = torch.linalg.inv(j.T @ j * believed / SIGMA**2 + torch.eye(PIXELS) / DITHER**2) @ j.T * believed / SIGMA**2
    return (sent.mean(1) - edge.body[1].bias.detach()) @ gain.T


def keyed(clean):
    """Noise that a key and what is sent decide: the same for the same numbers."""
    draws = []
    for row in clean:
        digest = hmac.new(b"a device's key", row.numpy().tobytes(), hashlib.sha256).digest()
        draws.append(torch.randn(row.shape, generator=generator(int.from_bytes(digest[:7], "big"))))
    return clean + SIGMA * torch.stack(draws)


def error(guess, secrets):
    return (guess - secrets.flatten(1)).square().mean().item()


@torch.no_grad()
def test_fresh_noise_averages_out_as_the_certificate_says(edge, certificate, secrets):
    clean, fresh = edge(secrets), generator(4)
    for k in (1, 4, 32, 1000):
        # the mean of k fresh draws, drawn as such
        sent = (clean + SIGMA / math.sqrt(k) * torch.randn(clean.shape, generator=fresh))[:, None]
        assert error(averaging_attacker(edge, sent, k), secrets) == pytest.approx(any_mse(certificate, k), rel=0.03)
    assert any_mse(certificate, 1000) < any_mse(certificate, 1) / 50


@torch.no_grad()
def test_a_thousand_repeats_under_keyed_noise_leak_no_more_than_one(edge, certificate, secrets):
    few = secrets[:300]
    clean = edge(few)
    once = keyed(clean)
    assert all(torch.equal(keyed(clean[:2]), once[:2]) for _ in range(1000))
    repeated = once[:, None].expand(-1, 1000, -1)
    right = error(averaging_attacker(edge, repeated, 1), few)
    assert right == pytest.approx(error(averaging_attacker(edge, once[:, None], 1), few), rel=1e-4)
    assert right == pytest.approx(any_mse(certificate, 1), rel=0.05)
    # who believes that the repeats were independent is misled, and does worse than one look
    assert all(error(averaging_attacker(edge, repeated, believed), few) > 0.95 * right for believed in (2, 30, 1000))
    fresh = clean[:, None] + SIGMA * torch.randn(300, 1000, CROSSING, generator=generator(5))
    assert error(averaging_attacker(edge, fresh, 1000), few) < right / 50


@torch.no_grad()
def test_frames_that_hide_different_pixels_tell_more_than_repeats_of_one():
    """An edge that sees every second column: a frame shifted by one pixel shows the others.

    Repeats of one frame leave half of the picture hidden for ever, and two shifted frames none of it. So the bound by
    bands does not hold for near-identical frames; that by the trace does.
    """
    body = nn.Sequential(nn.Flatten(), nn.Linear(PIXELS, 8, bias=False))
    body[1].weight.data = torch.eye(PIXELS)[::2]
    edge = Edge(Normalise(), body).eval()
    images = 0.5 + DITHER * torch.randn(100, 1, 4, 4, generator=generator(2))
    made = certify(edge, parse_chain("gaussian:0.1"), images, generator(), Settings(dither=DITHER, samples=4))
    secrets = DITHER * torch.randn(4000, 1, 4, 4, generator=generator(3))
    frames = torch.stack([edge(secrets), edge(secrets.roll(-1, 3))], 1)
    sent = frames + 0.1 * torch.randn(frames.shape, generator=generator(4))
    shrink = DITHER**2 / (DITHER**2 + 0.1**2)
    guess = torch.zeros(len(secrets), 4, 2, 2)
    guess[..., 0], guess[..., 1] = (shrink * sent[:, i].reshape(-1, 4, 2) for i in range(2))
    reached = error(guess.flatten(1), secrets)
    assert reached < any_mse(made, 2) / 4
    assert reached >= any_mse(made, 2, alike=True) * 0.98
