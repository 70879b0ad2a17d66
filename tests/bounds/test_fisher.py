"""Fisher's information: closed forms, one-sided estimates, and derivatives that are wrong on purpose."""

import math

import pytest
import torch
from torch import nn

from splitward.bounds import fisher, jacobian
from splitward.bounds.certify import Settings, certify
from splitward.bounds.channel import additive
from splitward.core.defence_text import parse_chain
from splitward.core.edge import Edge, Normalise
from splitward.core.errors import BoundError
from splitward.record.certificate import Band, Certificate, allowed_observations, any_mse, unbiased_mse, variance_for

SIDE, CROSSING, DRAWS = 4, 24, 40_000
PIXELS = SIDE * SIDE


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def linear(seed=0, crossing=CROSSING):
    body = nn.Sequential(nn.Flatten(), nn.Linear(PIXELS, crossing))
    nn.init.normal_(body[1].weight, std=0.7, generator=generator(seed))
    return Edge(Normalise((0.5,), (0.5,)), body).eval()


class Curved(nn.Module):
    """A little network; ``middle`` is what it does between its two layers."""

    def __init__(self, middle=None):
        super().__init__()
        self.conv, self.out, self.middle = nn.Conv2d(1, 4, 3), nn.Linear(4 * (SIDE - 2) ** 2, CROSSING), middle
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=0.5, generator=generator(3))

    def forward(self, x):
        hidden = torch.relu(self.conv(x))
        return self.out((self.middle(hidden) if self.middle else hidden).flatten(1))


def curved(middle=None):
    return Edge(Normalise((0.5,), (0.5,)), Curved(middle)).eval()


def pictures(count=64, seed=1):
    return 0.3 + 0.4 * torch.rand(count, 1, SIDE, SIDE, generator=generator(seed))


def matrix(edge):
    """J of an affine edge, (crossing, pixels)."""
    return torch.func.jacrev(lambda x: edge(x[None]).flatten())(torch.zeros(1, SIDE, SIDE)).flatten(1).double()


@pytest.mark.parametrize("kind", ["gaussian", "laplace"])
@pytest.mark.parametrize("k", [1, 20])
def test_the_best_estimator_of_a_linear_edge_attains_the_bounds(kind, k):
    """Gaussian noise and prior: the posterior mean reaches van Trees' bound, least squares the unbiased one."""
    sigma, dither = 1.5, 0.4
    edge = linear()
    made = certify(edge, parse_chain(f"{kind}:{sigma}"), pictures(), generator(), Settings(k, dither, samples=8))
    j = matrix(edge)
    information = k * j.T @ j / sigma**2
    exact = torch.linalg.inv(information + torch.eye(PIXELS) / dither**2).trace().item() / PIXELS
    assert made.any_mse == pytest.approx(exact, rel=0.02)
    assert made.any_worst_mse == pytest.approx(exact, rel=0.02)
    dfil = (j.T @ j).trace().item() / (PIXELS * sigma**2)
    assert made.dfil == pytest.approx(dfil, rel=1e-4)
    assert made.unbiased_mse == pytest.approx(1 / (k * dfil), rel=0.02)
    if kind == "gaussian":
        x = dither * torch.randn(DRAWS, PIXELS, generator=generator(5), dtype=torch.float64)
        noise = torch.randn(DRAWS, CROSSING, generator=generator(6), dtype=torch.float64)
        sent = x @ j.T + sigma / math.sqrt(k) * noise
        whole = torch.linalg.inv(information + torch.eye(PIXELS) / dither**2)
        guess = (k / sigma**2) * sent @ j @ whole
        assert (guess - x).square().mean().item() == pytest.approx(made.any_mse, rel=0.02)
        least_squares = sent @ torch.linalg.pinv(j).T
        attained = torch.linalg.inv(information).trace().item() / PIXELS
        assert (least_squares - x).square().mean().item() == pytest.approx(attained, rel=0.02)
        free = made.model_copy(update={"dither": 1e6})
        assert any_mse(free, k) == pytest.approx(attained, rel=0.02)  # every band, no prior: the tight unbiased form
        assert made.unbiased_mse <= attained


def test_an_isotropic_edge_attains_the_trace_form():
    """Where J^T J is a multiple of the identity, 1/dFIL itself is the error of least squares."""
    edge = linear(crossing=PIXELS)
    with torch.no_grad():
        edge.body[1].weight.copy_(0.5 * torch.eye(PIXELS))
    made = certify(edge, parse_chain("gaussian:0.3"), pictures(), generator(), Settings(dither=0.2, samples=4))
    sent = 0.3 * torch.randn(DRAWS, PIXELS, generator=generator(7))  # J is the identity: half, over a deviation of half
    assert sent.square().mean().item() == pytest.approx(made.unbiased_mse, rel=0.02)


def test_bands_follow_the_spectrum_and_never_flatter():
    """Grouping, the foreign draw of the basis and the limits each lower the bound of a curved edge; by little."""
    edge, images, dither, sigma = curved(), pictures(200), 0.05, 0.2
    made = certify(edge, parse_chain(f"gaussian:{sigma}"), images, generator(), Settings(dither=dither, samples=32))
    exact = []
    for image in images[:64]:
        mean = torch.zeros(PIXELS, PIXELS, dtype=torch.float64)
        for seed in range(20):
            at = image + dither * torch.randn(image.shape, generator=generator(seed))
            j = torch.func.jacrev(lambda x: edge(x[None]).flatten())(at).reshape(CROSSING, PIXELS).double()
            mean += j.T @ j / (20 * sigma**2)
        exact.append(torch.linalg.inv(mean + torch.eye(PIXELS) / dither**2).trace() / PIXELS)
    exact = torch.stack(exact).mean().item()
    assert 0.8 * exact < made.any_mse < exact


def test_noise_on_the_input_counts_in_pixels():
    """The normalised input is twice as wide as the pixels: noise of 0.6 there is 0.3 here, whatever follows."""
    for chain in ("gaussian:0.6@input", "gaussian:0.6@input+dropout:0.5", "laplace:0.6@input"):
        made = certify(curved(), parse_chain(chain), pictures(), generator(), Settings(dither=0.2, samples=4))
        assert made.noise.endswith(":0.6@input")
        assert made.dfil == pytest.approx(1 / 0.3**2)
        assert made.any_mse == pytest.approx(1 / (1 / 0.3**2 + 1 / 0.2**2))


def test_probes_are_near_the_trace_and_above_it():
    edge, chain = curved(), parse_chain("gaussian:1")
    noise = additive(chain, "wire")
    exact = fisher.measure(edge, chain, noise, pictures(16), 0.05, generator(), 0)
    probed = fisher.measure(edge, chain, noise, pictures(16), 0.05, generator(), 64)
    assert probed.method == "probes"
    assert probed.traces.mean() == pytest.approx(float(exact.traces.mean()), rel=0.1)
    assert (band := probed.bands()[0]).energy > exact.traces.mean() > 0.8 * band.energy_mean
    assert bool((probed.largest > exact.traces).all())
    assert fisher.probe_limit(4) == math.inf
    assert probed.worst(1.0, 1 / 0.05**2) < exact.worst(1.0, 1 / 0.05**2)


def test_energies_are_the_columns_of_the_jacobian():
    edge, image = curved(), pictures()[0]
    numbers = jacobian.flattened(edge)
    j = torch.func.jacrev(lambda x: edge(x[None]).flatten())(image).reshape(CROSSING, PIXELS).double()
    assert torch.allclose(jacobian.energies(numbers, image, jacobian.units(image)), (j**2).sum(0), rtol=1e-4)
    basis = jacobian.principal_directions(numbers, image).flatten(1).double()
    assert torch.allclose(basis @ basis.T, torch.eye(PIXELS, dtype=torch.float64), atol=1e-5)
    found = jacobian.energies(numbers, image, basis.float().view(-1, 1, SIDE, SIDE))
    assert torch.allclose(found, torch.linalg.eigvalsh(j.T @ j).flip(0), rtol=1e-3, atol=1e-5)


# --- what must be refused ---


def half_cut(x):
    return x / 2 + x.detach() / 2


def rounded(x):
    return torch.round(x / 0.05) * 0.05


def made_up(x):
    return x + (rounded(x) - x).detach()


def jump(x):
    return x + 0.5 * (x > 0.3)


@pytest.mark.parametrize("middle", [half_cut, rounded, made_up, jump], ids=lambda f: f.__name__)
def test_an_edge_whose_derivative_is_not_what_it_does_gets_no_certificate(middle):
    made = certify(curved(middle), parse_chain("gaussian:1"), pictures(), generator(), Settings(samples=4))
    assert made.status == "empirical-only"
    assert "derivatives" in made.reason


BROKEN = {
    "scaled": lambda moved: 0.9 * moved,
    "one number in eight forgotten": lambda moved: moved * (torch.arange(moved.shape[1]) % 8 > 0),
    "zero": torch.zeros_like,
    "exchanged": lambda moved: moved.flip(1),
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_jacobian_that_is_broken_on_purpose_is_caught(how, monkeypatch):
    right = jacobian.push
    monkeypatch.setattr(jacobian, "push", lambda *arguments: BROKEN[how](right(*arguments)))
    made = certify(curved(), parse_chain("gaussian:1"), pictures(), generator(), Settings(samples=4))
    assert (made.status, made.any_mse) == ("empirical-only", None)
    assert "derivatives of the edge are off" in made.reason


@pytest.mark.parametrize(
    ("chain", "reason"),
    [
        ("none", "no defence"),
        ("dropout:0.5", "dropout adds no noise with a density"),
        ("gaussian:0", "adds no noise"),
        ("clip:3", "clip adds no noise"),
        ("dropout:0.2@input+gaussian:1", "acts on the input before the edge"),
    ],
)
def test_what_has_no_bound_says_so(chain, reason):
    made = certify(curved(), parse_chain(chain), pictures(), generator(), Settings(samples=4))
    assert made.status == "empirical-only"
    assert reason in made.reason
    assert made.statements == (f"Empirical only: no bound on attackers is known here, because {made.reason}",)
    with pytest.raises(BoundError, match="only experiments"):
        any_mse(made)


def test_noise_on_the_input_bounds_what_an_edge_that_jumps_sends():
    made = certify(
        curved(rounded), parse_chain("gaussian:0.6@input+gaussian:1"), pictures(), generator(), Settings(samples=4)
    )
    assert (made.status, made.noise) == ("bounded", "gaussian:0.6@input")


def test_integers_cross_without_noise():
    class Counting(nn.Module):
        def forward(self, x):
            return x, (x > 0.5).long()

    made = certify(Edge(Normalise(), Counting()), parse_chain("gaussian:1"), pictures(), generator(), Settings())
    assert "torch.int64 crosses" in made.reason


def test_what_follows_the_noise_keeps_the_bound_and_what_comes_before_it_counts():
    def made(chain):
        return certify(curved(), parse_chain(chain), pictures(), generator(), Settings(samples=8))

    plain = made("gaussian:1")
    assert made("gaussian:1+dropout:0.5").any_mse == pytest.approx(plain.any_mse, rel=0.02)
    assert made("dropout:0.5+gaussian:1").variance == 1
    assert made("dropout-rescaled:0.5+gaussian:1").variance == 0.25
    assert made("gaussian:3+laplace:4").variance == 25  # Stam
    both = made("gaussian:2@input+gaussian:1")
    assert both.any_mse >= max(made("gaussian:2@input").any_mse, 0.98 * plain.any_mse)


# --- what follows from a certificate ---

BANDS = (Band(directions=8, energy=40.0, energy_mean=35.0), Band(directions=8, energy=0.5, energy_mean=0.4))
MADE = Certificate(status="bounded", noise="gaussian:2", variance=4.0, pixels=16, dither=0.2, bands=BANDS)


def test_more_observations_or_less_noise_never_raise_the_bound():
    curve = [any_mse(MADE, k) for k in (1, 2, 5, 20, 1000, 10**6)]
    assert curve == sorted(curve, reverse=True)
    assert any_mse(MADE, 20) == pytest.approx(any_mse(MADE, 1, 4.0 / 20))
    assert unbiased_mse(MADE, 4) == pytest.approx(4.0 / (4 * 20.25))
    assert any_mse(MADE, 7, alike=True) <= any_mse(MADE, 7)


@pytest.mark.parametrize("alike", [False, True])
def test_allowed_observations_are_the_last_that_keep_the_target(alike):
    for target in (0.035, 0.02, 0.001):
        k = allowed_observations(MADE, target, alike=alike)
        assert k is not None
        assert k == 0 or any_mse(MADE, k, alike=alike) >= target
        assert any_mse(MADE, k + 1, alike=alike) < target
    assert allowed_observations(MADE, 0.039, alike=alike) == 0
    assert allowed_observations(MADE, 1e-13) is None
    with pytest.raises(BoundError, match="larger dither"):
        allowed_observations(MADE, 0.05)


@pytest.mark.parametrize("k", [1, 20])
def test_the_noise_for_a_target_gives_the_target(k):
    variance = variance_for(MADE, 0.02, k)
    assert any_mse(MADE, k, variance) == pytest.approx(0.02, rel=1e-6)
    assert any_mse(MADE, k, variance) >= 0.02
    assert unbiased_mse(MADE, k, variance_for(MADE, 0.3, k, unbiased=True)) == pytest.approx(0.3)
    with pytest.raises(BoundError, match="above 0"):
        variance_for(MADE, -1.0)
