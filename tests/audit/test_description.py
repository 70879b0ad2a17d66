"""What attackers are told of a defence is compared with what the device does: wrong ones are seen, right ones never."""

import dataclasses

import pytest
import torch
from torch import nn

import splitward as sw
from audit.conftest import pictures
from audit.doubles import Gradient, entry
from audit.liars import Densities, Described, Misweighed, Rounding, Source, made
from splitward.audit import description, loop
from splitward.audit.densities import bet, weigh
from splitward.audit.description import examine
from splitward.audit.draws import Scales, compare, draw, scales_of
from splitward.audit.grant import grant
from splitward.audit.world import World
from splitward.core.defence import Chain
from splitward.core.edge import Edge, Normalise, release
from splitward.core.errors import DefenceError
from splitward.core.knowledge import BlackBox
from splitward.core.registry import discover
from splitward.core.run import Run
from splitward.core.spec import TensorSpec
from splitward.core.task import Classification
from splitward.record.descriptions import FALSE_ALARM, misfits
from splitward.record.schema import Record

CPU = torch.device("cpu")
LEVELS = {"gaussian": 0.5, "laplace": 0.5, "dropout": 0.3, "dropout-rescaled": 0.3, "quantise": 6, "clip": 4.0}
KINDS = sorted(discover("defence"))


class Numbers(nn.Module):
    """(N, 1, 16, 16) to ten numbers, half of them rectified, and to integers."""

    def __init__(self):
        super().__init__()
        self.matrix = nn.Parameter(torch.randn(256, 10, generator=torch.Generator().manual_seed(3)) / 4)

    def forward(self, x):
        values = x.flatten(1) @ self.matrix
        return torch.cat([values[:, :5].relu(), values[:, 5:]], 1), (values > 0).long()


def world_with(*channels):
    specs = TensorSpec((10,)), TensorSpec((10,), "int64")
    edge, image = Edge(Normalise((0.5,), (0.25,)), Numbers()), TensorSpec((1, 16, 16))
    return World(
        edge, nn.Identity(), Chain(channels), Classification(), image, specs, pictures(40, 1), None, 1, "here"
    )  # fmt: skip


def least(*channels, seed=0):
    """The smallest p-value of all channels, sampler and density."""
    found = examine(world_with(*channels), Run(seed, CPU))
    assert [d.defence for d in found] == [str(Chain((c,))) for c in sorted(channels, key=lambda c: c.position)]
    return min(fit.p for d in found for fit in (d.sampler, d.density) if fit is not None)


# --- right descriptions ---


@pytest.fixture
def few(monkeypatch):
    """Fewer draws than an audit makes: the p-values are exact for any number."""
    monkeypatch.setattr(description, "MOST", 1024)


@pytest.mark.parametrize("position", ["wire", "input"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_registered_defence_fits_its_own_description(few, kind, position):
    (found,) = examine(world_with(made(kind, LEVELS.get(kind, 0.5), position)), Run(0, CPU))
    assert found.sampler.p > 1e-3
    assert found.density is None or found.density.p > 1e-3
    assert (found.density is None) == (made(kind, LEVELS.get(kind, 0.5)).log_density(*torch.ones(2, 1, 1), 0.1) is None)


@pytest.mark.parametrize(
    "channels",
    [
        [made("gaussian", 0)],
        [made("dropout", 0)],
        [made("gaussian", 1e-3)],
        [made("laplace", 100.0)],
        [made("dropout", 0.99)],
        [Rounding(0.5)],
        [Rounding(0.01), made("dropout", 0.5)],
        [made("dropout", 0.3, "input"), made("gaussian", 1.0), made("dropout-rescaled", 0.4)],
        [Source("cauchy")],
        [Source("one for all")],
        [Source("one for the batch")],
        [Source("nan")],
        [Described(Source("normal", 0.5), made("gaussian", 0.5))],
    ],
    ids=lambda channels: "+".join(str(Chain((c,))) + getattr(c, "kind", "") for c in channels),
)
def test_right_descriptions_are_not_called_wrong(few, channels):
    assert least(*channels) > 1e-3


def test_p_values_of_right_descriptions_keep_their_promise():
    """P(p <= a) <= a, for atoms, heavy tails and few rows; never below the threshold in 2,000 tests."""
    clean = torch.randn(16, 4, generator=torch.Generator().manual_seed(5))
    found = []
    for seed in range(250):
        generator = torch.Generator().manual_seed(seed)
        for channel in (made("dropout", 0.5), made("laplace", 1.0), Source("cauchy"), made("gaussian", 1.0)):
            many = clean[torch.arange(32) % 16]
            sent = draw(channel, many, generator), draw(channel, many, generator)
            scales = scales_of(many, *sent)
            found.append(compare(*sent, many, scales).p)
            if (look := weigh(channel, channel, clean, scales, 32, generator)) is not None:
                found.append(look.p)
    values = torch.tensor(found)
    assert len(values) == 1750
    assert values.min() > FALSE_ALARM
    for a in (0.5, 0.1, 0.01):
        assert (values <= a).float().mean() <= a


def test_the_bet_keeps_its_promise_with_the_most_skewed_gains():
    """4 with probability 0.2, else -1: mean 0, at the ends of the range."""
    draws = torch.rand(4000, 100, generator=torch.Generator().manual_seed(0))
    p = torch.tensor([bet(torch.where(row < 0.2, 4.0, -1.0)) for row in draws])
    for a in (0.5, 0.1, 0.01):
        assert (p <= a).float().mean() <= a
    assert p.min() < 0.1  # it is no constant
    assert bet(torch.where(draws.flatten()[:8000] < 0.24, 4.0, -1.0)) < 1e-3


# --- wrong descriptions ---

A_BIT_OFF = [
    ("gaussian", 0.5, 0.55), ("gaussian", 1.0, 0.9), ("laplace", 0.5, 0.55), ("laplace", 1.0, 0.9),
    ("dropout", 0.1, 0.15), ("dropout", 0.3, 0.35), ("dropout", 0.6, 0.55), ("dropout", 0.9, 0.85),
    ("dropout-rescaled", 0.5, 0.55),
]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "level", "told", "position"),
    [(*case, "wire") for case in A_BIT_OFF] + [(*case, "input") for case in (A_BIT_OFF[0], A_BIT_OFF[5])],
)
def test_a_level_that_is_a_bit_off_is_seen_in_the_draws_and_in_the_density(kind, level, told, position):
    """A scale by 10 %, a rate by 0.05."""
    device, wrong = made(kind, level, position), made(kind, told, position)
    (found,) = examine(world_with(Described(device, wrong, position=position)), Run(0, CPU))
    assert found.told == str(Chain((wrong,)))
    assert found.sampler.p < FALSE_ALARM / 2
    assert found.density.p < FALSE_ALARM / 2


@pytest.mark.parametrize(
    ("device", "told"),
    [
        (Source("uniform"), made("gaussian", 1.0)),
        (Source("one for all"), made("gaussian", 1.0)),
        (Source("skewed"), made("gaussian", 1.0)),
        (Source("shifted"), made("gaussian", 1.0)),
        (Source("amplified"), made("gaussian", 1.0)),
        (Source("louder where the value is large"), made("gaussian", 1.0)),
        (Source("one entry is spared"), made("gaussian", 1.0)),
        (Source("nan"), made("gaussian", 1.0)),
        (Source("cauchy", 1.0), Source("cauchy", 1.1)),
        (made("dropout", 0.5), made("dropout-rescaled", 0.5)),
        (made("gaussian", 0.5), made("laplace", 0.5 / 2**0.5)),
        (Rounding(0.5), Rounding(0.55)),
        (made("dropout", 0.5), made("dropout", 0.0)),
        (made("gaussian", 0.0), made("gaussian", 0.1)),
    ],
    ids=lambda channel: getattr(channel, "kind", None) or str(Chain((channel,))),
)
def test_another_law_is_seen(device, told):
    (found,) = examine(world_with(Described(device, told)), Run(0, CPU))
    assert found.sampler.p < FALSE_ALARM / 2, found


@pytest.mark.parametrize("kind", ["flat", "sign", "impossible", "nan", "identity", "one entry"])
def test_a_density_of_something_else_is_seen(kind):
    (found,) = examine(world_with(Misweighed(made("gaussian", 1.0), Densities(kind))), Run(0, CPU))
    assert found.sampler.p > 1e-3
    assert found.density.p < FALSE_ALARM / 2


def test_the_wrong_channel_of_a_chain_is_named():
    wrong = Described(made("dropout", 0.5), made("dropout", 0.4))
    found = examine(world_with(made("gaussian", 1.0, "input"), made("laplace", 0.5), wrong), Run(0, CPU))
    assert [d.defence for d in found] == ["gaussian:1@input", "laplace:0.5", "described:1"]
    assert [d.sampler.p < FALSE_ALARM for d in found] == [False, False, True]
    fit = found[2].sampler
    assert (fit.device, fit.described) == pytest.approx((0.5, 0.4), abs=0.15)


def test_the_clean_values_of_a_channel_are_what_reaches_it():
    """Behind a dropout of nearly everything, a second one changes next to nothing."""
    found = examine(world_with(made("gaussian", 0.0), made("gaussian", 50.0), made("dropout", 0.5)), Run(0, CPU))
    sizes = [d.sampler.device for d in found]
    assert all(d.sampler.p > 1e-3 for d in found)
    assert len(sizes) == 3


def test_what_is_not_floating_point_is_not_looked_at():
    world = world_with(made("gaussian", 1.0))
    world = dataclasses.replace(world, edge=Edge(Normalise(), _OnlyIntegers()))
    (found,) = examine(world, Run(0, CPU))
    assert found.sampler is None
    assert found.density is None


class _OnlyIntegers(nn.Module):
    def forward(self, x):
        return x.flatten(1).long()


def test_large_tensors_are_looked_at_as_a_whole(monkeypatch):
    from splitward.audit import draws

    monkeypatch.setattr(draws, "CHUNK", 8)
    clean = torch.randn(64, 9, generator=torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(1)
    sent = draw(made("gaussian", 1.0), clean, generator), draw(made("gaussian", 2.0), clean, generator)
    look = compare(*sent, clean, Scales(1.0, 1.0))
    assert look.p < FALSE_ALARM
    assert "entry" not in look.quantity


# --- who is handed what ---


def test_attackers_are_handed_the_description_and_ask_the_device():
    chain = Chain((made("dropout", 0.25), Described(made("gaussian", 0.0), made("gaussian", 2.0))))
    world = world_with(*chain.channels)
    held = grant(BlackBox, world, Run(0, CPU))
    assert str(held.defence) == "dropout:0.25+gaussian:2"
    answers = held.query(world.public.images)[0]
    clean = release(world.edge, Chain(), world.public.images, torch.Generator())[0]
    assert bool(((answers == 0) | (answers == clean)).all())  # no noise
    assert grant(BlackBox, world.undefended(), Run(0, CPU)).defence is None
    other = dataclasses.replace(world, chain=Chain((chain.channels[0], made("gaussian", 0.0))))
    assert world.key != other.key


def test_a_description_of_another_place_is_refused(halves):
    channel = Described(made("gaussian", 1.0), made("gaussian", 1.0, "input"))
    with pytest.raises(DefenceError, match="gaussian:1@input"):
        sw.Target(halves["relu1"], channel)


def test_a_description_that_changes_the_shape_is_refused():
    with pytest.raises(DefenceError, match="keeps the shape"):
        draw(_Short(), torch.zeros(4, 3), torch.Generator())


class _Short(Source):
    name = "short"

    def __init__(self):
        super().__init__("normal")

    def sample(self, clean, generator):
        return clean[:, :2]


# --- what an audit makes of it ---


def audited(halves, pool, public, defence, *attacks, **options):
    target = sw.Target(halves["relu1"], defence)
    options = {"samples": 12, "effort": "quick", "released": "none", "run": Run(0, CPU), **options}
    return sw.audit(target, [entry(a) for a in attacks or [Gradient()]], secrets=pool, public=public, **options)


def test_a_wrong_description_leaves_no_verdict_and_says_why(halves, pool, public, tmp_path):
    wrong = Described(made("dropout", 0.1), made("dropout", 0.5))
    record = audited(halves, pool, public, wrong, out=tmp_path)
    assert record.verdict is None
    assert record.no_verdict.startswith("The description of described:1 that the attackers were handed (dropout:0.5) ")
    assert "so there is no verdict. A white-box attacker who" in record.no_verdict
    assert [(t.adaptive, t.status, t.believable) for t in record.trials] == [(False, "ok", True), (True, "ok", False)]
    assert "description" in record.trials[1].reason
    (check,) = [c for c in record.checks if c.name == "wrong-description"]
    assert check.level == "failure"
    assert check.message in record.no_verdict
    assert sw.load(tmp_path).descriptions == record.descriptions


def test_a_trial_that_was_finished_before_is_not_believed_either(halves, pool, public, tmp_path, monkeypatch):
    wrong = Described(made("dropout", 0.1), made("dropout", 0.5))

    def torn(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(loop, "examine", torn)
    with pytest.raises(KeyboardInterrupt):
        audited(halves, pool, public, wrong, out=tmp_path)
    monkeypatch.undo()
    record = audited(halves, pool, public, wrong, out=tmp_path)
    assert loop.examine is description.examine
    assert not record.trials[1].believable
    assert record.verdict is None


def test_a_right_description_changes_nothing(halves, pool, public):
    record = audited(halves, pool, public, Described(made("dropout", 0.2), made("dropout", 0.2)))
    plain = audited(halves, pool, public, sw.defence("dropout:0.2"))
    assert record.verdict is not None
    for one in (record, plain):
        assert [c.level for c in one.checks if c.name == "wrong-description"] == ["ok"]
        assert not misfits(one)
        assert [d.told for d in one.descriptions] == ["dropout:0.2"]


def test_nothing_is_examined_where_nobody_was_told_anything(halves, pool, public):
    naive = dataclasses.replace(entry(Gradient(steps=20)), attack=_Unaware(steps=20))
    target = sw.Target(halves["relu1"], Described(made("dropout", 0.1), made("dropout", 0.5)))
    record = sw.audit(target, [naive], secrets=pool, public=public, samples=12, effort="quick", released="none")
    assert record.descriptions == ()
    assert isinstance(record, Record)
    assert not [c for c in record.checks if c.name == "wrong-description"]


class _Unaware(Gradient):
    knows_defence = False
