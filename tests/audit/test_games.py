"""The candidate game, against brute force and against attacks whose outcome is known."""

import dataclasses
import math

import pytest
import torch

import splitward as sw
from audit.doubles import Blank, Gradient, entry
from splitward.audit import games, loop
from splitward.audit.floors import Release
from splitward.audit.games import Lineup
from splitward.core.knowledge import Samples, WhiteBox
from splitward.core.run import Run

CPU = torch.device("cpu")
RUN = Run(0, CPU)


def images(count, seed, levels=5):
    """Coarse grey levels on few pixels, so that equal distances do occur; in exact steps."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(levels, (count, 1, 2, 2), generator=generator).float() / (levels - 1)


def brute_force(distances):
    """(win, rank) of candidate 0 of each row: counted one by one, in exact steps of the grey levels."""
    results = []
    for row in distances:
        nearer = sum(other < row[0] - 1e-9 for other in row[1:])
        tied = sum(abs(other - row[0]) <= 1e-9 for other in row)
        results.append((1 / tied if nearer == 0 else 0.0, sum(nearer + i for i in range(1, tied + 1)) / tied))
    return results


def judged(game):
    return list(zip(game.per_sample["wins"], game.per_sample["rank"], strict=True))


def test_the_nearest_candidate_is_counted_as_by_hand():
    secrets, decoys, guess = images(40, 1), images(30, 2), images(40, 3)
    (game,) = Lineup(secrets, decoys, RUN).by_guess(guess)
    distances = [[float((g - c).square().mean()) for c in (s, *decoys)] for g, s in zip(guess, secrets, strict=True)]
    assert any(win not in (0, 1) for win, _ in brute_force(distances))  # ties do occur
    for found, due in zip(judged(game), brute_force(distances), strict=True):
        assert found == pytest.approx(due)
    assert (game.judge, game.candidates, game.chance) == ("nearest", 31, 1 / 31)
    assert game.wins.mean == pytest.approx(sum(w for w, _ in brute_force(distances)) / 40)


def test_many_decoys_are_compared_in_blocks(monkeypatch):
    secrets, decoys, guess = images(9, 1), images(30, 2), images(9, 3)
    whole = Lineup(secrets, decoys, RUN).by_guess(guess)
    monkeypatch.setattr(games, "BLOCK", 4 * 7)
    assert Lineup(secrets, decoys, RUN).by_guess(guess) == whole


class Judge:
    """An inverter that scores candidates as it is told, and remembers what it was shown."""

    def __init__(self, how):
        self.how, self.shown = how, []

    def __call__(self, activations):
        raise AssertionError("a game inverts nothing")

    def score(self, activations, candidates):
        self.shown.append(candidates)
        return self.how(activations[0][:, 0], candidates)


def squared(secrets, candidates):
    """The activation is the picture itself."""
    return -(secrets[:, None] - candidates).square().flatten(2).sum(2)


@pytest.mark.parametrize("group", [128, 7])
def test_the_likeliest_candidate_is_counted_as_by_hand(monkeypatch, group):
    monkeypatch.setattr(games, "GROUP", group)
    secrets, decoys, seen = images(20, 1), images(30, 2), images(20, 3)
    judge = Judge(squared)
    (game,) = Lineup(secrets, decoys, RUN).by_likelihood(judge, (seen[:, None],))
    distances = [[float((g - c).square().sum()) for c in (s, *decoys)] for g, s in zip(seen, secrets, strict=True)]
    for found, due in zip(judged(game), brute_force(distances), strict=True):
        assert found == pytest.approx(due)
    assert game.judge == "likelihood"
    assert [len(shown) for shown in judge.shown] == [len(part) + 30 for part in secrets.split(group)]


def test_the_order_of_the_candidates_says_nothing():
    secrets, decoys = torch.rand(100, 1, 2, 2), torch.rand(99, 1, 2, 2)
    first, last = (
        Judge(lambda sent, shown, i=i: -(torch.arange(len(shown)) - i).abs().float().expand(len(sent), -1))
        for i in (0, 10**6)
    )
    for judge in (first, last):  # who likes one place in the list wins once in m, as chance has it
        (game,) = Lineup(secrets, decoys, RUN).by_likelihood(judge, (secrets[:, None],))
        assert game.wins.mean <= 4 / 100
        assert game.rank.mean == pytest.approx(50, abs=12)
    shown = first.shown[0]
    assert not torch.equal(shown[:100], secrets)
    assert torch.equal(shown.flatten().sort().values, torch.cat([secrets, decoys]).flatten().sort().values)
    again = Judge(squared)
    Lineup(secrets, decoys, RUN).by_likelihood(again, (secrets[:, None],))
    assert torch.equal(again.shown[0], shown)  # the same seed, the same order


def test_who_is_told_nothing_wins_at_chance():
    secrets, decoys = torch.rand(60, 1, 4, 4), torch.rand(49, 1, 4, 4)
    lineup = Lineup(secrets, decoys, RUN)
    silent = Judge(lambda sent, shown: torch.zeros(len(sent), len(shown)))
    (game,) = lineup.by_likelihood(silent, (secrets[:, None],))
    assert set(judged(game)) == {(1 / 50, 25.5)}
    many = Lineup(torch.rand(4000, 1, 4, 4), decoys, RUN)
    (blind,) = many.by_guess(torch.rand(4000, 1, 4, 4))
    assert blind.wins.mean == pytest.approx(1 / 50, abs=4 * math.sqrt(1 / 50 / 4000))


def test_who_knows_everything_always_wins():
    secrets, decoys = torch.rand(30, 1, 4, 4), torch.rand(49, 1, 4, 4)
    lineup = Lineup(secrets, decoys, RUN)
    (near,) = lineup.by_guess(secrets)
    (likely,) = lineup.by_likelihood(Judge(squared), (secrets[:, None],))
    assert set(judged(near)) == set(judged(likely)) == {(1.0, 1.0)}


@pytest.mark.parametrize(
    ("how", "said"),
    [
        (lambda sent, shown: torch.full((len(sent), len(shown)), math.nan), "NaN"),
        (lambda sent, shown: torch.full((len(sent), len(shown)), math.inf), "infinite"),
        (lambda sent, shown: torch.zeros(len(sent), 2), "shape"),
        (lambda sent, shown: {}["no such key"], "no such key"),
    ],
)
def test_a_judge_that_fails_loses_its_game_and_says_why(how, said):
    secrets, decoys = torch.rand(5, 1, 4, 4), torch.rand(9, 1, 4, 4)
    (game,) = Lineup(secrets, decoys, RUN).by_likelihood(Judge(how), (secrets[:, None],))
    assert game.wins is None
    assert said in game.reason


def test_what_is_impossible_is_the_least_likely():
    secrets, decoys = torch.rand(5, 1, 4, 4), torch.rand(9, 1, 4, 4)

    def impossible(sent, shown):
        same = squared(sent, shown) == 0
        return torch.where(same, 0.0, -math.inf)

    (game,) = Lineup(secrets, decoys, RUN).by_likelihood(Judge(impossible), (secrets[:, None],))
    assert set(judged(game)) == {(1.0, 1.0)}


def world_of(halves, pool, public, defence="none", k=1, samples=12):
    target, settings = sw.Target(halves["relu1"], sw.defence(defence)), loop.Settings(samples, k)
    cast = loop.cast(pool, public, settings, CPU)
    return cast, loop.world_of(target, cast, settings, CPU)


@pytest.mark.parametrize("released", ["label", "probabilities", "logits"])
def test_the_answer_alone_is_counted_as_by_hand(halves, pool, public, model, released):
    cast, world = world_of(halves, pool, public)
    lineup = Lineup(cast.secrets.images, cast.decoys.images, RUN)
    (game,) = lineup.by_answer(Release(world, cast.secrets, released, RUN))
    logits = model(torch.cat([cast.secrets.images, cast.decoys.images])).detach()
    if released != "label":
        assert set(judged(game)) == {(1.0, 1.0)}  # no two images have the same logits
        return
    labels = logits.argmax(1).tolist()
    for i, found in enumerate(judged(game)):
        tied = 1 + labels[12:].count(labels[i])
        assert found == pytest.approx((1 / tied, (tied + 1) / 2))


def test_nothing_released_is_no_game(halves, pool, public):
    cast, world = world_of(halves, pool, public)
    lineup = Lineup(cast.secrets.images, cast.decoys.images, RUN)
    assert lineup.by_answer(Release(world, cast.secrets, "none", RUN)) == ()


def test_a_random_answer_is_compared_with_random_answers(halves, pool, public):
    """Under a defence the released label of a secret need not be the one that its picture would have."""
    cast, world = world_of(halves, pool, public, "gaussian:0.5", k=2)
    lineup = Lineup(cast.secrets.images, cast.decoys.images, RUN)
    (game,) = lineup.by_answer(Release(world, cast.secrets, "logits", RUN))
    assert 0 < game.wins.mean < 1


def test_decoys_are_nobodys_where_there_are_enough(pool, public, monkeypatch):
    monkeypatch.setattr(loop, "TRAFFIC", 30)
    cast = loop.cast(pool, public, loop.Settings(12), CPU)
    sets = [{i.numpy().tobytes() for i in part.images} for part in (cast.secrets, public, cast.others, cast.decoys)]
    secrets, known, others, decoys = sets
    assert not decoys & (secrets | known)
    assert len(decoys) == cast.data.decoys == 80 - 12
    assert len(decoys & others) == cast.data.decoys_served == 30
    monkeypatch.setattr(loop, "TRAFFIC", 200)
    assert loop.cast(pool, public, loop.Settings(12), CPU).data.decoys_served == 68


def test_the_line_up_is_a_thousand_and_users_come_last():
    pool = torch.rand(1500, 1, 2, 2)
    chosen = games.pick_decoys(pool, torch.arange(1500), pool[:3])
    assert chosen.tolist() == list(range(3, 1002))
    assert games.CANDIDATES == 1000


def test_an_image_that_occurs_twice_is_no_decoy():
    pool = torch.rand(30, 1, 2, 2)
    pool[7], pool[9] = pool[0], pool[8]
    assert games.pick_decoys(pool, torch.arange(1, 30), pool[:1]).tolist() == [
        i for i in range(1, 30) if i not in (7, 9)
    ]


@dataclasses.dataclass(frozen=True)
class Scoring(Gradient):
    """Descends, and knows how likely a candidate is on an undefended cut."""

    name = "scoring"
    honest: bool = True

    def prepare(self, knowledge: WhiteBox, run):
        invert = super().prepare(knowledge, run)
        honest = self.honest

        class Inverter:
            def __call__(self, sent):
                return invert(sent)

            @torch.no_grad()
            def score(self, sent, candidates):
                assert honest, "this one has no likelihood after all"
                mean, clean = sent[0].mean(1).flatten(1), knowledge.edge(candidates).flatten(1)
                run.record_loss("descent", 10**6, 1e9)  # nothing that is said here counts as convergence
                return -torch.cdist(mean, clean).square()

        return Inverter()


def run_audit(halves, pool, public, *attacks, defence="none", samples=12, **options):
    target = sw.Target(halves["relu1"], sw.defence(defence))
    options = {"effort": "quick", "released": "none", "run": Run(0, CPU)} | options
    return sw.audit(target, [entry(a) for a in attacks], secrets=pool, public=public, samples=samples, **options)


def test_every_trial_and_floor_of_an_audit_plays(halves, pool, public):
    record = run_audit(halves, pool, public, Scoring(), Blank(), released="label")
    assert {t.attack for t in record.trials} == {"scoring", "blank"}
    scoring, blank = sorted(record.trials, key=lambda t: t.attack, reverse=True)
    assert [g.judge for g in scoring.games] == ["nearest", "likelihood"]
    assert [g.wins.mean for g in scoring.games] == [1.0, 1.0]
    assert [g.judge for g in blank.games] == ["nearest"]
    assert blank.games[0].wins.mean <= 1 / 12
    judges = {f.name: [g.judge for g in f.games] for f in record.floors}
    assert judges == {"prior/mean": ["nearest"], "prior/best": ["nearest"], "allowed": ["nearest", "answer"]}
    assert {g.candidates for p in record.scored for g in p.games} == {69}
    assert record.target.data.decoys == 68
    assert max(step for step, _ in scoring.trace["descent"]) < 10**6


def test_a_failing_judge_costs_the_game_and_not_the_trial(halves, pool, public):
    record = run_audit(halves, pool, public, Scoring(honest=False))
    (trial,) = record.trials
    assert (trial.status, trial.believable) == ("ok", True)
    assert trial.games[0].wins.mean == 1.0
    assert "no likelihood after all" in trial.games[1].reason


def test_without_decoys_there_is_no_game(halves, pool, public):
    record = run_audit(halves, pool[slice(0, 12)], public, Gradient(steps=20), released="label")
    assert record.target.data.decoys == 0
    assert not any(part.games for part in record.scored)


def test_an_attack_that_sees_nothing_of_the_secret_is_at_chance_in_an_audit(halves, pool, public):
    """The same descent on the activation of another secret."""
    record = run_audit(halves, pool, public, Gradient(shuffled=True), samples=40)
    assert record.trials[0].games[0].wins.mean <= 2 / 40
    assert record.trials[0].games[0].rank.mean == pytest.approx(21, abs=6)


def test_decoys_belong_to_the_content_address(halves, pool, public):
    first = run_audit(halves, pool, public, Blank())
    images_ = pool.images.clone()
    order = torch.randperm(80, generator=torch.Generator().manual_seed(0))
    other = run_audit(halves, Samples(images_[order], pool.labels[order]), public, Blank())
    assert first.trials[0].key != other.trials[0].key
