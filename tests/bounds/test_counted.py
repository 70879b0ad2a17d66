"""How many messages there are bounds how many images can be told apart; the best attacker attains it."""

import pytest
import torch
from torch import nn

from record.factory import make_record
from splitward.bounds.certify import Settings, certify
from splitward.core.defence import Chain
from splitward.core.defence_text import parse_chain
from splitward.core.edge import Edge, Normalise
from splitward.core.errors import BoundError
from splitward.record.certificate import named_share
from splitward.record.checks import check
from splitward.record.schema import Game
from splitward.record.statistics import estimate

IMAGES = torch.rand(40, 1, 4, 4, generator=torch.Generator().manual_seed(1))


def edge(numbers):
    torch.manual_seed(0)
    return Edge(Normalise((0.5,), (0.5,)), nn.Sequential(nn.Flatten(), nn.Linear(16, numbers)))


def made(defence, numbers=6, observations=1):
    settings = Settings(observations=observations, samples=4)
    return certify(edge(numbers), parse_chain(defence), IMAGES, torch.Generator().manual_seed(0), settings)


@pytest.mark.parametrize(
    ("defence", "numbers", "observations", "bits", "fresh", "status"),
    [
        ("quantise:2", 6, 1, 12, False, "counted"),
        ("quantise:2", 6, 1000, 12, False, "counted"),
        ("quantise:3+quantise:2", 6, 1, 12, False, "counted"),
        ("clip:1+quantise:2", 6, 7, 12, False, "counted"),
        ("gaussian:0.1+quantise:2", 6, 5, 60, True, "bounded"),
        ("gaussian:0.1@input+quantise:2", 6, 2, 24, True, "bounded"),
        ("quantise:2+dropout:0.3", 6, 3, 36, True, "counted"),
        ("quantise:16", 6, 1, None, False, "empirical-only"),
        ("quantise:2@input", 6, 1, None, False, "empirical-only"),
        ("dropout:0.3", 6, 1, None, False, "empirical-only"),
    ],
)
def test_messages_are_counted(defence, numbers, observations, bits, fresh, status):
    found = made(defence, numbers, observations)
    assert (found.bits, found.fresh, found.status) == (bits, fresh, status)


def test_the_best_attacker_attains_the_bound_and_none_beats_it():
    """With a list of m images it names one of those that share the message: right as often as there are messages."""
    chain, body = parse_chain("quantise:1"), edge(3)
    with torch.no_grad():
        sent = chain.sample(body(IMAGES), torch.Generator())
    messages = len(sent.unique(dim=0))
    right = sum(1 / int((sent == s).all(1).sum()) for s in sent) / len(IMAGES)
    assert right == pytest.approx(messages / len(IMAGES))
    assert messages == 8
    assert named_share(made("quantise:1", 3), len(IMAGES)) == pytest.approx(right)


def test_it_says_what_it_assumes():
    first, second = made("quantise:1", 8).statements
    assert "At most 8 bits are said of an input, however often it is sent" in first
    assert "256 of m cases (10 % of 2,560)" in first
    assert "8 of m cases (0.8 % of 1,000)" in made("quantise:1", 3).statements[0]
    assert "sizes or times" in first
    assert second == "Of errors nothing is proved, because quantise adds no noise with a density."
    assert "by 2 observations" in " ".join(made("gaussian:0.5+quantise:1", 8, 2).statements)
    with pytest.raises(BoundError, match="no bound on naming"):
        named_share(made("dropout:0.3"), 10)


def test_whole_numbers_that_pass_unchanged_are_not_counted():
    class Both(nn.Module):
        def forward(self, x):
            return x.flatten(1)[:, :2], (x.flatten(1) > 0).long()

    chain: Chain = parse_chain("quantise:1")
    found = certify(Edge(Normalise((0.5,), (0.5,)), Both()), chain, IMAGES, torch.Generator(), Settings(samples=2))
    assert found.bits is None


def test_a_record_that_names_more_than_is_possible_is_caught():
    record, _ = make_record(12)
    proved = made("quantise:1", 3)
    for wins, level in (([1.0] * 30, "failure"), ([0.0] * 30, "ok")):
        game = Game(judge="nearest", candidates=100, chance=0.01, wins=estimate(wins, True), per_sample={"wins": wins})
        trials = [t.model_copy(update={"games": (game,)}) if t.status == "ok" else t for t in record.trials]
        checked = check(record.model_copy(update={"certificate": proved, "trials": tuple(trials)}))
        found = [c for c in checked if c.name == "bound-beaten"]
        assert {c.level for c in found} == {level}
    assert "above the 8.0%" in check_failure(record, proved)


def check_failure(record, proved):
    game = Game(judge="nearest", candidates=100, chance=0.01, wins=estimate([1.0] * 9, True))
    trial = next(t for t in record.trials if t.status == "ok").model_copy(update={"games": (game,)})
    checked = check(record.model_copy(update={"certificate": proved, "trials": (trial,)}))
    return next(c.message for c in checked if c.name == "bound-beaten")
