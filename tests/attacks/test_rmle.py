"""rMLE: its equations, its descent, and what it recovers from small edges."""

import math
import sys

import pytest
import torch
from torch import nn

from splitward.attacks import _descent
from splitward.attacks._descent import Adam, Descent, descend
from splitward.attacks._kernels import fast_pixel_gradients
from splitward.attacks._likelihood import Likelihood, fit_law, make_laws, root_mean_square
from splitward.attacks._posterior import Posterior
from splitward.attacks._prior import fit_prior, mean_squared_differences, total_variation
from splitward.attacks.rmle import RMLE, PaperInverter, PaperObjective, depth_of, paper_weight, scripts_weight
from splitward.core.defence import Chain
from splitward.core.defence_text import parse_chain
from splitward.core.edge import Edge, Normalise, release
from splitward.core.errors import AttackError
from splitward.core.registry import find
from splitward.core.run import Run
from splitward.core.settling import diverged

SIDE = 12


def images(count, seed=0):
    """Bright rectangles on a dark ground: (N, 1, 12, 12)."""
    generator = torch.Generator().manual_seed(seed)
    batch = torch.zeros(count, 1, SIDE, SIDE)
    for image in batch:
        top, left = torch.randint(0, 6, (2,), generator=generator)
        height, width = torch.randint(3, 7, (2,), generator=generator)
        image[0, top : top + height, left : left + width] = 0.5 + 0.5 * torch.rand((), generator=generator)
    return batch


def make_edge(*layers):
    with torch.random.fork_rng():
        torch.manual_seed(1)
        body = nn.Sequential(*[make() for make in layers])
    return Edge(Normalise((0.5,), (0.5,)), body)


@pytest.fixture(scope="module")
def edge():
    """Two convolutions; untrained, so that about half of their 432 numbers are zero whatever the image."""
    return make_edge(lambda: nn.Conv2d(1, 8, 5), nn.ReLU, lambda: nn.Conv2d(8, 12, 3), nn.ReLU)


@pytest.fixture(scope="module")
def affine():
    return make_edge(lambda: nn.Conv2d(1, 4, 3))


PUBLIC, SECRETS = images(160, 1), images(12, 2)


def attacked(edge, defence="none", k=1, believed=None, run=None, **fields):
    """What rMLE recovers of SECRETS; ``believed``: the defence that the attacker knows of."""
    chain = parse_chain(defence)
    stream = torch.Generator().manual_seed(3)
    with torch.no_grad():
        draws = [release(edge, chain, SECRETS, stream) for _ in range(k)]
    sent = tuple(torch.stack(parts, 1) for parts in zip(*draws, strict=True))
    attack = RMLE(**{"steps": 120, "observations": k} | fields)
    run = run or Run(0, torch.device("cpu"))
    return attack.inverter(edge, chain if believed is None else believed, PUBLIC, run)(sent)


def decibels(guess, truth=SECRETS):
    return find("metric", "psnr")()(guess, truth).mean().item()


FLOOR = decibels(PUBLIC.mean(0).expand_as(SECRETS))


# The equations


def test_total_variation_is_equation_1b():
    x = torch.rand(2, 3, 5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for beta in (1.0, 1.5, 2.0):
        expected = torch.zeros(2, dtype=torch.float64)
        for c in range(3):
            for i in range(5):
                for j in range(4):
                    down = x[:, c, i + 1, j] - x[:, c, i, j] if i < 4 else 0 * x[:, c, i, j]
                    right = x[:, c, i, j + 1] - x[:, c, i, j] if j < 3 else 0 * x[:, c, i, j]
                    expected += (down**2 + right**2) ** (beta / 2)
        assert torch.allclose(total_variation(x, beta, corner=0.0), expected)
    assert torch.autograd.gradcheck(lambda v: total_variation(v, 1.0), x.requires_grad_(True))


def test_the_scripts_smoothness_is_their_mean_of_squares():
    x = torch.rand(2, 1, 5, 4, generator=torch.Generator().manual_seed(0))
    expected = [(v.diff(dim=1) ** 2).mean() + (v.diff(dim=2) ** 2).mean() for v in x]
    assert mean_squared_differences(x).tolist() == pytest.approx([e.item() for e in expected])


@pytest.mark.parametrize("count", [40, 800])
def test_the_prior_is_a_normal_law_with_the_covariance_of_the_public_images(count):
    public = images(count, 4)
    prior = fit_prior(public)
    flat = public.flatten(1).double()
    kept = prior.shares.double() / (1 - prior.shares.double()) * prior.noise
    covariance = prior.directions.double() @ torch.diag(kept) @ prior.directions.double().T
    covariance += prior.noise * torch.eye(flat.shape[1], dtype=torch.float64)
    away = (public[:5] - prior.mean).flatten(1).double()
    expected = 0.5 * (away @ torch.linalg.inv(covariance) * away).sum(1)
    assert prior.distance(public[:5], prior.mean).double().numpy() == pytest.approx(expected.numpy(), rel=1e-3)
    if count > flat.shape[1]:  # enough images: the covariance is theirs
        assert torch.dist(covariance, flat.T.cov()) < 0.1 * flat.T.cov().norm()


def test_the_rate_of_the_total_variation_maximises_its_likelihood():
    public = images(50, 4)
    values, pixels = total_variation(public, corner=0.0), SIDE * SIDE

    def log_likelihood(rate):
        return ((pixels - 1) * math.log(rate) - rate * values).sum().item()

    rate = fit_prior(public).rate
    assert log_likelihood(rate) > max(log_likelihood(0.95 * rate), log_likelihood(1.05 * rate))


@pytest.mark.parametrize("defence", ["none", "gaussian:0.4", "laplace:0.4", "dropout:0.5", "gaussian:0.2+dropout:0.3"])
def test_the_posterior_has_the_gradient_of_finite_differences(edge, defence):
    smooth = make_edge(lambda: nn.Conv2d(1, 2, 5, stride=3), nn.Tanh).double()
    chain, public = parse_chain(defence), PUBLIC[:40].double()
    clean = smooth(public)
    sent = chain.sample(clean, torch.Generator().manual_seed(0))
    likelihood = Likelihood(
        lambda v: (smooth(v),), make_laws(chain, (clean,), (sent,)), root_mean_square((clean.detach(),))
    )
    prior = fit_prior(PUBLIC)
    exact = type(prior)(prior.mean.double(), prior.rate, prior.directions.double(), prior.shares.double(), prior.noise)
    weights = torch.tensor([[1.0, 0.3], [0.1, 1.0]], dtype=torch.float64)
    objective = Posterior(likelihood, (sent[:2, None].detach(),), exact, public[2:4], weights)
    start = (0.2 + 0.6 * torch.rand(2, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(1))).double()
    assert torch.autograd.gradcheck(lambda v: objective(v, 0.3), start.requires_grad_(True), atol=1e-4)


def test_observations_and_tensors_add_their_log_likelihoods():
    clean = (torch.rand(4, 3), torch.rand(4, 2, 2))
    sent = tuple(part[:, None] + 0.1 * torch.randn(4, 5, *part.shape[1:]) for part in clean)
    chain = parse_chain("gaussian:0.5")
    likelihood = Likelihood(lambda v: clean, make_laws(chain, clean, clean), (1.0, 1.0))
    whole = likelihood.of(clean, sent, 0.1)
    alone = sum(chain.log_density(part[:, i], c, 0.1) for c, part in zip(clean, sent, strict=True) for i in range(5))
    assert torch.allclose(whole, alone)


def test_a_fitted_law_finds_gain_offset_and_noise():
    generator = torch.Generator().manual_seed(0)
    clean = torch.randn(4000, 3, generator=generator)
    clean[:, 2] = 0.7  # never varies: nothing can be read off it
    sent = torch.tensor([0.5, 2.0, 0.0]) * clean + torch.tensor([0.0, -1.0, 3.0])
    sent = sent + torch.tensor([0.3, 0.1, 0.2]) * torch.randn(4000, 3, generator=generator)
    law = fit_law(clean, sent)
    assert law.gain.tolist() == pytest.approx([0.5, 2.0, 0.0], abs=0.03)
    assert law.offset.tolist() == pytest.approx([0.0, -1.0, 3.0], abs=0.03)
    assert law.variance.sqrt().tolist() == pytest.approx([0.3, 0.1, 0.2], rel=0.05)


# The descent


@pytest.mark.parametrize("amsgrad", [False, True])
def test_adam_is_torchs_adam(amsgrad):
    target = torch.randn(3, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    ours, theirs = torch.zeros_like(target), torch.zeros_like(target).requires_grad_(True)
    settings = Descent(30, 0.05, box=False, betas=(0.9, 0.999), epsilon=1e-3, amsgrad=amsgrad)
    adam = Adam(settings, ours)
    reference = torch.optim.Adam([theirs], lr=0.05, eps=1e-3, amsgrad=amsgrad)
    for _ in range(30):
        adam.move(ours, 2 * (ours - target) * (1 + ours.abs()), 0.05)
        reference.zero_grad()
        theirs.grad = (2 * (theirs - target) * (1 + theirs.abs())).detach()
        reference.step()
    assert torch.allclose(ours, theirs.detach(), atol=1e-6)


class Valleys:
    """(x - target)^2 for each image; counts the images that it was asked about."""

    def __init__(self, target, asked):
        self.target, self.asked = target, asked

    def __call__(self, values, tolerance):
        self.asked.append(len(values))
        return (values - self.target).square().flatten(1).sum(1)

    def select(self, rows):
        return Valleys(self.target[rows], self.asked)


def test_each_image_keeps_its_best_iterate_and_leaves_when_it_is_done():
    target = torch.rand(8, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    start = target.clone()
    start[:2] = 1 - start[:2]
    asked, run = [], Run(0, torch.device("cpu"))
    best, loss = descend(Valleys(target, asked), start, Descent(200, 0.05, box=True, annealed=0.1), run, "valley")
    assert torch.equal(best[2:], target[2:])  # nothing is better than the truth
    assert loss.max() < 1e-3
    assert asked[0] == 8
    assert asked[-1] < 8
    steps = [step for step, _ in run.trace["valley"]]
    assert steps[0] == 0
    assert 10 < len(steps) <= 30
    losses = [value for _, value in run.trace["valley"]]
    assert losses[-1] < 0.1 * losses[0]


def test_a_descent_that_climbs_shows_it_and_keeps_its_start(monkeypatch):
    down = _descent.gradient_of
    monkeypatch.setattr(_descent, "gradient_of", lambda *given: -down(*given))
    target = torch.full((4, 1, 2, 2), 0.5)
    run = Run(0, torch.device("cpu"))
    start = target + 0.1
    best, _ = descend(Valleys(target, []), start, Descent(50, 0.05, box=True), run, "valley")
    assert torch.equal(best, start)
    assert diverged(run.trace["valley"])


def test_the_kernel_for_first_convolutions_gives_the_same_gradient():
    for channels, stride, padding, bias in [(1, 1, 0, True), (3, 2, 1, False), (3, 1, 2, True), (5, 1, 0, True)]:
        layer = nn.Conv2d(channels, 7, 3, stride=stride, padding=padding, bias=bias).requires_grad_(False)
        x = torch.randn(4, channels, 11, 10, requires_grad=True)
        loss = layer(x).square().sum()
        (plain,) = torch.autograd.grad(loss, x, retain_graph=True)
        with fast_pixel_gradients(torch.device("cpu")):
            (fast,) = torch.autograd.grad(loss, x)
        assert torch.allclose(plain, fast, atol=1e-4)


def test_the_weights_get_no_gradient_and_stay_as_they_were(edge):
    before = [(p.clone(), p.requires_grad) for p in edge.parameters()]
    attacked(edge, steps=5)
    for (value, needed), now in zip(before, edge.parameters(), strict=True):
        assert torch.equal(value, now)
        assert now.requires_grad is needed
        assert now.grad is None


# The papers' own form


def test_the_papers_objective_is_equation_1c(edge):
    sent = edge(SECRETS[:3]).detach()[:, None]
    values = torch.randn(3, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    paper = PaperObjective(edge, (sent,), False, 0.1, 1.0)(values, 1.0)
    distance = (edge.body(values) - sent[:, 0]).square().flatten(1).sum(1)
    assert torch.allclose(paper, distance + 0.1 * total_variation(values))
    scripts = PaperObjective(edge, (sent,), True, 2.0, 1.0)(values, 1.0)
    mean = (edge.body(values) - sent[:, 0]).square().flatten(1).mean(1)
    assert torch.allclose(scripts, mean + 2 * mean_squared_differences(values))


def test_the_scripts_preset_is_their_loop_one_image_at_a_time(edge):
    sent = edge(SECRETS[:2]).detach()
    expected = []
    for one in sent:
        x = torch.zeros(1, 1, SIDE, SIDE, requires_grad=True)
        optimiser = torch.optim.Adam([x], lr=1e-2, eps=1e-3, amsgrad=True)
        for _ in range(60):
            optimiser.zero_grad()
            loss = (edge.body(x) - one).square().mean() + (x.diff(dim=2) ** 2).mean() + (x.diff(dim=3) ** 2).mean()
            loss.backward()
            optimiser.step()
        expected.append((0.5 * x.detach() + 0.5).clamp(0, 1))
    for p in edge.parameters():
        p.grad = None
    attack = RMLE(**RMLE.presets["scripts"] | {"steps": 60, "smoothness_weight": 1.0})
    found = attack.inverter(edge, Chain(), PUBLIC, Run(0, torch.device("cpu")))((sent[:, None],))
    assert torch.allclose(found, torch.cat(expected), atol=1e-4)


def test_lambda_follows_the_depth_of_the_edge():
    conv = [lambda: nn.Conv2d(1, 2, 3), nn.ReLU, lambda: nn.Conv2d(2, 2, 3)]
    assert scripts_weight(depth_of(make_edge(*conv), 1)) == 1.0
    deep = [*conv, nn.Flatten, *[lambda: nn.Linear(8, 8)] * 3]
    assert scripts_weight(depth_of(make_edge(*deep), 1)) == 1e3
    assert scripts_weight(depth_of(make_edge(lambda: nn.Conv2d(3, 2, 3)), 3)) == 0.0
    assert paper_weight((torch.zeros(2, 1, 8, 5, 5),)) == 0.0
    assert paper_weight((torch.zeros(2, 1, 120),)) == 0.1


def test_the_scripts_have_a_rate_and_a_norm_of_their_own_behind_cifars_last_layers(monkeypatch):
    """1e-3 at fc1, 1e-1 and an L2 weight of 100 at fc2, 1e-2 elsewhere."""
    met = []

    def watched(objective, start, settings, run, phase):
        met.append((settings.rate, objective.weight, objective.norm_weight))
        return start, objective(start, 1.0)

    monkeypatch.setattr(sys.modules[PaperInverter.__module__], "descend", watched)
    six = [lambda: nn.Conv2d(3, 3, 1)] * 6
    one = [*six, nn.Flatten, lambda: nn.Linear(3 * SIDE * SIDE, 8)]
    for layers in (six, one, [*one, lambda: nn.Linear(8, 4)]):
        edge = make_edge(*layers)
        sent = edge(torch.zeros(2, 3, SIDE, SIDE)).detach()[:, None]
        PaperInverter(RMLE(**RMLE.presets["scripts"]), edge, torch.Size((3, SIDE, SIDE)), Run())((sent,))
    assert met == [(1e-2, 1e3, 0.0), (1e-3, 1e4, 0.0), (1e-1, 500.0, 100.0)]


def test_the_norm_is_the_mean_square_of_the_image(edge):
    values = torch.full((1, 1, SIDE, SIDE), 2.0)
    objective = PaperObjective(edge, (edge.body(values).detach()[:, None],), True, 0.0, 1.0, norm_weight=100.0)
    assert objective(values, 1.0).item() == pytest.approx(400.0)


@pytest.mark.parametrize("preset", ["paper", "scripts"])
def test_presets_know_of_no_defence(preset):
    assert RMLE(**RMLE.presets[preset]).knows_defence is False
    assert RMLE().knows_defence is True


@pytest.mark.parametrize("fields", [{"steps": -1}, {"restarts": 0}, {"learning_rate": 0.0}, {"learning_rate": -1.0}])
def test_settings_that_make_no_sense_are_one_sentence(fields):
    with pytest.raises(AttackError, match="rmle takes steps from 0"):
        RMLE(**fields)


# What it recovers


def test_it_recovers_far_more_than_the_mean_image(edge):
    guess = attacked(edge)
    assert decibels(guess) > FLOOR + 6
    assert find("metric", "identification")()(guess, SECRETS).mean() == 1.0


def test_an_affine_edge_is_inverted_exactly(affine):
    """144 pixels, 400 numbers: an over-determined linear system."""
    assert decibels(attacked(affine)) > 60


def test_zero_steps_return_the_mean_image_whatever_was_sent(edge):
    guess = attacked(edge, steps=0)
    assert torch.allclose(guess, guess[:1].expand_as(guess))
    assert decibels(guess) == pytest.approx(FLOOR, abs=0.5)


def test_same_seed_same_bytes_and_an_inverter_can_be_asked_twice(edge):
    first, second = (attacked(edge, "dropout:0.5", steps=20) for _ in range(2))
    assert torch.equal(first, second)


@pytest.mark.parametrize("defence", ["dropout:0.5", "gaussian:0.3", "dropout:0.4@input", "gaussian:0.1+dropout:0.4"])
def test_who_knows_the_defence_recovers_more(edge, defence):
    adaptive, naive = attacked(edge, defence), attacked(edge, defence, believed=Chain())
    assert decibels(adaptive) > decibels(naive) + 1
    assert decibels(adaptive) > FLOOR


@pytest.mark.parametrize("defence", ["dropout:0.6", "gaussian:0.3", "gaussian:0.5@input"])
def test_more_observations_recover_more(edge, defence):
    one, five = attacked(edge, defence), attacked(edge, defence, k=5)
    assert decibels(five) > decibels(one) + 0.5


def test_restarts_are_chosen_by_their_own_loss(edge):
    run, single = Run(0, torch.device("cpu")), Run(0, torch.device("cpu"))
    guess = attacked(edge, restarts=3, run=run)
    attacked(edge, run=single)
    assert guess.shape == SECRETS.shape
    assert decibels(guess) > FLOOR + 6


def test_several_tensors_and_any_number_of_public_images():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two = nn.Conv2d(1, 3, 3, stride=2), nn.Conv2d(1, 2, 5)

        def forward(self, x):
            return self.one(x), self.two(x).relu()

    with torch.random.fork_rng():
        torch.manual_seed(0)
        both = Edge(nn.Identity(), Two())
    assert decibels(attacked(both)) > FLOOR + 5
    sent = tuple(part[:, None].detach() for part in both(SECRETS))
    for count in (1, 3, 12):
        guess = RMLE(steps=5).inverter(both, Chain(), PUBLIC[:count], Run(0, torch.device("cpu")))(sent)
        assert guess.shape == SECRETS.shape
        assert torch.isfinite(guess).all()


def test_activations_that_are_no_numbers_are_one_sentence(affine):
    sent = affine(SECRETS).detach()[:, None]
    sent[0, 0, 0, 0, 0] = float("nan")
    with pytest.raises(AttackError, match="not finite"):
        RMLE(steps=2).inverter(affine, Chain(), PUBLIC, Run(0, torch.device("cpu")))((sent,))
