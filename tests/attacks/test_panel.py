"""Decoders of one device under several defences: what they share, and that sharing costs nothing."""

import dataclasses

import torch

from splitward.attacks._decoders import Decoder
from splitward.attacks._panel import SHARED, make_panel
from splitward.attacks.inverse_network import InverseNetwork
from splitward.audit.grant import grant
from splitward.audit.world import observe
from splitward.core.defence_text import parse_chain
from splitward.core.knowledge import BlackBox
from splitward.core.run import Run

LEVELS = ("gaussian:0.1", "gaussian:0.5", "gaussian:2")
SMALL = InverseNetwork(steps=90, batch=30, width=16)
CPU = torch.device("cpu")


def worlds(scene, specs=LEVELS):
    return [dataclasses.replace(scene.world, chain=parse_chain(spec)) for spec in specs]


def shares(scene, attack):
    """Squared error at each level: of decoders that learnt together."""
    run = Run(2, CPU)
    held = [grant(BlackBox, world, Run(i, CPU), None) for i, world in enumerate(worlds(scene))]
    inverters = attack.prepare_several(held, run)
    sent = [observe(world, scene.secrets.images, torch.Generator().manual_seed(9)) for world in worlds(scene)]
    return [scene.share(invert(values)) for invert, values in zip(inverters, sent, strict=True)], held, run


def test_what_a_defence_changes_is_its_own_and_the_rest_is_shared(scene):
    def make():
        return Decoder(scene.world.activation, scene.world.input, 16)

    panel = make_panel(make, 3)
    one, other = panel[0], panel[2]
    assert all(getattr(one, name) is getattr(other, name) for name in SHARED)
    assert one.told is not other.told
    assert one.standardise is not other.standardise
    alone = sum(p.numel() for p in make().parameters())
    assert sum(p.numel() for p in torch.nn.ModuleList(panel).parameters()) < 1.2 * alone


def test_one_training_serves_every_level_at_least_as_well_as_its_share_of_the_steps(scene):
    together, held, run = shares(scene, SMALL)
    part = dataclasses.replace(SMALL, steps=SMALL.steps // len(LEVELS))
    alone = [scene.share(scene.play(part, level)[0]) for level in LEVELS]
    assert together == sorted(together)  # the stronger the defence, the less comes back
    assert all(one <= 1.05 * other for one, other in zip(together, alone, strict=True))
    assert sum(together) < sum(alone)
    assert all(known.query.used > 0 for known in held)
    assert run.trace["decoder"][-1][1] < 1  # relative to the linear paths


def test_the_same_seed_gives_the_same_bytes(scene):
    few = dataclasses.replace(SMALL, steps=12)
    assert shares(scene, few)[0] == shares(scene, few)[0]


def test_learns_from_sets_of_observations(scene):
    k = 4
    attack = dataclasses.replace(SMALL, observations=k, steps=60)
    held = [
        grant(BlackBox, dataclasses.replace(world, observations=k), Run(i, CPU), None)
        for i, world in enumerate(worlds(scene, LEVELS[1:]))
    ]
    strong = attack.prepare_several(held, Run(2, CPU))[1]
    world = dataclasses.replace(worlds(scene)[-1], observations=k)
    several = scene.share(strong(observe(world, scene.secrets.images, torch.Generator().manual_seed(9))))
    assert several < shares(scene, SMALL)[0][-1]
