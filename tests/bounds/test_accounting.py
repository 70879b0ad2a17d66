"""Differential privacy: against dp-accounting, and where there is none."""

import math

import pytest
import torch
from dp_accounting.pld.privacy_loss_distribution import from_gaussian_mechanism, from_laplace_mechanism
from torch import nn

from splitward.bounds import accounting
from splitward.bounds.certify import Settings, certify
from splitward.core.defence_text import parse_chain
from splitward.core.edge import Edge, Normalise
from splitward.core.errors import BoundError


@pytest.mark.parametrize(("ratio", "queries"), [(0.5, 1), (0.5, 20), (2.0, 4)])
def test_the_closed_form_of_composed_gaussians_is_their_account(ratio, queries):
    account = from_gaussian_mechanism(1.0, sensitivity=ratio, value_discretization_interval=1e-3)
    due = account.self_compose(queries).get_epsilon_for_delta(1e-5)
    assert accounting.gaussian_epsilon(ratio, 1e-5, queries) == pytest.approx(due, rel=0.01)


@pytest.mark.parametrize(("epsilon", "queries"), [(0.1, 100), (1.0, 20), (0.02, 1000)])
def test_pure_composition_dominates_laplace_and_gains_on_the_sum(epsilon, queries):
    found = accounting.pure_epsilon(epsilon, 1e-5, queries)
    laplace = from_laplace_mechanism(1 / epsilon, value_discretization_interval=epsilon / 100)
    assert laplace.self_compose(queries).get_epsilon_for_delta(1e-5) <= found < queries * epsilon
    advanced = epsilon * math.sqrt(2 * queries * math.log(1e5)) + queries * epsilon * math.expm1(epsilon)
    assert found <= advanced  # Dwork, Rothblum and Vadhan 2010


def test_single_and_large_releases_are_their_sum():
    assert accounting.pure_epsilon(3.0) == 3.0
    assert accounting.pure_epsilon(100.0, queries=7) == 700.0


@pytest.mark.parametrize("wrong", [{"delta": 0.0}, {"delta": 1.0}, {"queries": 0}])
def test_what_is_no_probability_is_refused(wrong):
    with pytest.raises(BoundError):
        accounting.gaussian_epsilon(1.0, **wrong)


class Two(nn.Module):
    def forward(self, x):
        return x.flatten(1)[:, :9], 2 * x.flatten(1)


@pytest.mark.parametrize("queries", [1, 10])
def test_a_clipped_release_has_an_epsilon(queries):
    """Two tensors of norm at most 0.5: two inputs differ by sqrt 2 in Euclidean norm, times sqrt 25 in the sum."""
    images = torch.rand(40, 1, 4, 4, generator=torch.Generator().manual_seed(0))

    def made(chain):
        settings = Settings(samples=4, delta=1e-6, queries=queries)
        return certify(Edge(Normalise(), Two()), parse_chain(chain), images, torch.Generator().manual_seed(0), settings)

    gaussian, laplace = made("clip:0.5+gaussian:2").privacy, made("clip:0.5+laplace:2").privacy
    assert gaussian.epsilon == pytest.approx(accounting.gaussian_epsilon(math.sqrt(2) / 2, 1e-6, queries))
    assert laplace.epsilon == pytest.approx(accounting.pure_epsilon(math.sqrt(2 * 25) / 2, 1e-6, queries))
    assert (gaussian.clip, gaussian.delta, gaussian.queries) == (0.5, 1e-6, queries)
    assert made("gaussian:2").privacy is None
    assert "not bounded" in made("gaussian:2").statements[-1]
    assert made("clip:0.5+dropout-rescaled:0.5+gaussian:2").privacy.clip == 1.0
