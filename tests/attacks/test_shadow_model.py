"""The query-free attack: it recovers a planted leak that the cloud's task needs, and it never sees the edge."""

import dataclasses

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from splitward.attacks._moments import MAPS, Moments
from splitward.attacks._shadows import DOUBT, Shadows, responses
from splitward.attacks._surrogate import script_layers
from splitward.attacks.shadow_model import ShadowModel
from splitward.audit.grant import grant
from splitward.core.defence import Chain
from splitward.core.edge import Edge
from splitward.core.errors import AttackError, NotApplicable
from splitward.core.knowledge import QueryFree, Samples
from splitward.core.run import Run
from splitward.core.spec import TensorSpec

SIDE = 4
FEATURES = 20
SMALL = ShadowModel(**ShadowModel.efforts["quick"] | {"steps": 150, "decoder_steps": 60, "width": 12, "shadows": 2})


def rotation():
    generator = torch.Generator().manual_seed(0)
    return torch.linalg.qr(torch.randn(FEATURES + SIDE**2, FEATURES + SIDE**2, generator=generator))[0]


class Planted(nn.Module):
    """The edge: features of the picture beside a low-resolution copy of it, turned by a random rotation."""

    def __init__(self):
        super().__init__()
        self.features = nn.Linear(256, FEATURES)
        self.register_buffer("turn", rotation())

    def forward(self, x):
        return torch.cat([self.features(x.flatten(1)).tanh(), F.adaptive_avg_pool2d(x, SIDE).flatten(1)], 1) @ self.turn


class ReadOut(nn.Module):
    """The cloud half: turns back; logits, and the copy."""

    def __init__(self):
        super().__init__()
        self.last = nn.Linear(FEATURES, 4)
        self.register_buffer("turn", rotation())

    def forward(self, activation):
        back = activation @ self.turn.T
        return self.last(back[:, :FEATURES]), back[:, FEATURES:].unflatten(1, (1, SIDE, SIDE))


@dataclasses.dataclass(frozen=True)
class BothTasks:
    name: str = "classify and reproduce"

    def loss(self, output, batch):
        copy = F.adaptive_avg_pool2d(2 * batch.images - 1, SIDE)
        return F.cross_entropy(output[0], batch.labels) + 10 * F.mse_loss(output[1], copy)

    def correct(self, output, batch):
        return (output[0].argmax(1) == batch.labels).float()


@pytest.fixture(scope="module")
def leaky(make_scene):
    return make_scene(Planted, cloud=ReadOut(), task=BothTasks())


def identified(guess, truth):
    return float((torch.cdist(guess.flatten(1), truth.flatten(1)).argmin(1) == torch.arange(len(truth))).float().mean())


@pytest.mark.parametrize("inversion", ["decoder", "rmle"])
def test_recovers_a_planted_leak(leaky, inversion):
    attack = dataclasses.replace(SMALL, inversion=inversion, inversion_steps=60)
    guess, knowledge, run = leaky.play(attack, kind=QueryFree)
    assert not hasattr(knowledge, "query")
    assert leaky.share(guess) < 0.5
    assert identified(guess, leaky.secrets.images) >= 0.7  # chance is 1 in 12
    assert {"shadow/0", "shadow/1"} <= set(run.trace)


def test_zero_steps_recover_nothing(leaky):
    attack = dataclasses.replace(SMALL, steps=0, decoder_steps=0)
    guess, _, _ = leaky.play(attack, kind=QueryFree)
    assert leaky.share(guess) > 0.9
    assert identified(guess, leaky.secrets.images) < 0.5


def test_an_adaptive_shadow_learns_behind_the_defence(leaky):
    naive, _, _ = leaky.play(SMALL, "gaussian:0.5", kind=QueryFree, naive=True)
    adaptive, _, _ = leaky.play(SMALL, "gaussian:0.5", kind=QueryFree)
    assert leaky.share(adaptive) < leaky.share(naive)
    several, _, _ = leaky.play(dataclasses.replace(SMALL, observations=4), "gaussian:0.5", k=4, kind=QueryFree)
    assert leaky.share(several) < leaky.share(adaptive)


def test_without_labels_it_has_nothing_to_go_by(scene):
    unlabelled = Samples(scene.public.images, None, "unlabelled")
    with pytest.raises(NotApplicable, match="no labels"):
        scene.having(public=unlabelled).play(SMALL, kind=QueryFree)


def test_a_task_without_labels_will_do(make_scene):
    class Copy(BothTasks):
        def loss(self, output, batch):
            return F.mse_loss(output[1], F.adaptive_avg_pool2d(2 * batch.images - 1, SIDE))

    scene = make_scene(Planted, cloud=ReadOut(), task=Copy())
    unlabelled = Samples(scene.public.images, None, "unlabelled")
    guess, _, _ = scene.having(public=unlabelled).play(SMALL, kind=QueryFree)
    assert scene.share(guess) < 0.5


def test_without_traffic_it_goes_by_the_task_alone(leaky):
    guess, knowledge, _ = leaky.having(others=None).play(SMALL, kind=QueryFree)
    assert knowledge.traffic is None
    assert leaky.share(guess) < 0.8


def test_the_same_seed_gives_the_same_bytes(leaky):
    attack = dataclasses.replace(SMALL, steps=4, decoder_steps=4)
    guesses = [leaky.play(attack, "dropout:0.3", kind=QueryFree, seed=seed)[0] for seed in (2, 2, 3)]
    assert torch.equal(guesses[0], guesses[1])
    assert not torch.equal(guesses[0], guesses[2])


def test_moments_are_zero_for_the_traffic_itself_and_grow_with_the_difference():
    generator = torch.Generator().manual_seed(0)
    for shape, counts in (((500, 3, 5, 5), MAPS), ((500, 7), 1)):
        traffic = torch.randn(shape, generator=generator)
        moments = Moments((traffic[:, None],))
        assert float(moments.distance((traffic,))) < 1e-8
        shifted, scaled = float(moments.distance((traffic + 1,))), float(moments.distance((2 * traffic,)))
        assert shifted == pytest.approx(counts, rel=0.1)
        assert scaled > 5


def test_moments_of_a_few_activations_are_trusted_less():
    generator = torch.Generator().manual_seed(0)
    trusts = [Moments((torch.randn(n, 1, 30, generator=generator),)).trust for n in (1, 20, 200, 20_000)]
    assert trusts[0] == 0
    assert trusts[1] < trusts[2] < trusts[3] == 1


def test_responses_are_all_numbers_of_an_output():
    numbers = torch.arange(4.0).view(2, 2)
    output = {"logits": numbers, "more": (numbers[:, None], [torch.ones(2, 1, dtype=torch.int64)]), "text": "none"}
    assert torch.equal(responses(output), torch.cat([numbers, numbers], 1))
    with pytest.raises(NotApplicable, match="no tensor"):
        responses({"text": "none"})


@pytest.mark.parametrize(
    ("image", "shape", "convolutions"),
    [
        ((1, 28, 28), (8, 24, 24), [(1, 8, 3), (8, 8, 3)]),
        ((1, 28, 28), (16, 8, 8), [(1, 8, 3), (8, 16, 3), (16, 16, 3), (16, 16, 3)]),
        ((3, 32, 32), (64, 32, 32), [(3, 16, 3), (16, 64, 3)]),
        ((3, 32, 32), (128, 16, 16), [(3, 64, 5), (64, 128, 5)]),
        ((3, 32, 32), (128, 8, 8), [(3, 64, 5), (64, 128, 5), (128, 128, 5)]),
    ],
)
def test_the_scripts_shadows_are_those_of_the_paper(image, shape, convolutions):
    layers = script_layers(shape, TensorSpec(image), rectify=True)
    assert layers(torch.zeros(1, *image)).shape[1:] == shape
    found = [m for m in layers if isinstance(m, nn.Conv2d)]
    assert [(m.in_channels, m.out_channels, m.kernel_size[0]) for m in found] == convolutions


def test_settings_that_make_no_sense_are_refused():
    with pytest.raises(AttackError, match="'decoder' or 'rmle'"):
        ShadowModel(inversion="magic")  # type: ignore[arg-type]


class Scaled(nn.Module):
    """An edge that sends a map and a vector, each ``by`` times what another sends."""

    def __init__(self, by):
        super().__init__()
        self.by = by

    def forward(self, x):
        return self.by * x.expand(-1, 2, -1, -1), self.by * x.flatten(1)


def test_what_shadows_differ_by_is_in_doubt_in_a_map_and_the_same_for_every_draw(make_scene):
    run = Run(0, torch.device("cpu"))
    knowledge = grant(QueryFree, make_scene(lambda: Scaled(1.0), cloud=nn.Identity()).world, run)
    edges = [Edge(nn.Identity(), Scaled(by)) for by in (1.0, 1.2)]
    pixels = knowledge.public.images[:8]
    source = Shadows(knowledge, Chain(), edges, 3, 0.0, run, answered=False)
    maps, vectors = source.through(edges[0], pixels, 3, run.stream("test"))
    assert torch.equal(vectors, pixels.flatten(1)[:, None].expand(-1, 3, -1))
    off = maps - pixels.expand(-1, 2, -1, -1)[:, None]
    assert torch.equal(off[:, 0], off[:, 2])
    assert torch.allclose(off[:, :, 0], off[:, :, 1], atol=1e-3)  # on the channels' difference the edges agree
    differ = 0.2 / 2**0.5 * float(source.unseen.images.square().mean()) ** 0.5
    assert float(off[:, 0].std()) == pytest.approx(DOUBT * differ, rel=0.1)
    assert float(off[:, 0].std()) > differ
    (alone, _) = Shadows(knowledge, Chain(), edges[:1], 1, 0.0, run, answered=False).through(
        edges[0], pixels, 1, run.stream("test")
    )
    assert torch.equal(alone[:, 0], pixels.expand(-1, 2, -1, -1))
