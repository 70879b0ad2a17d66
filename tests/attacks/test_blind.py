"""An edge that nobody may ask or see is identified from what other users sent through it."""

import pytest
import torch

import splitward as sw
from splitward.attacks._blind import Affine, identify, pose
from splitward.attacks._moments import Moments
from splitward.attacks.shadow_model import ShadowModel
from splitward.audit.grant import grant
from splitward.audit.loop import Settings, cast, world_of
from splitward.audit.world import observe
from splitward.core.knowledge import QueryFree
from splitward.core.run import Run


def scene(victim, digits, at):
    settings, run = Settings(samples=40), Run(0, torch.device("cpu"))
    roles = cast(digits.held_out, digits.public, settings, run.device)
    target = sw.Target(sw.split(victim.model, digits.public.images[:2], at=at))
    world = world_of(target, roles, settings, run.device)
    return grant(QueryFree, world, run), roles.secrets.images, observe(world, roles.secrets.images, run.stream("wire"))


@pytest.mark.parametrize("labelled", [True, False])
def test_an_affine_edge_is_identified(lenet5_digits, digits, labelled):
    knowledge, images, sent = scene(lenet5_digits, digits, "conv1")
    public, traffic = knowledge.public, knowledge.traffic
    found = torch.cat([knowledge.cloud(part[:, 0]) for part in traffic[0].split(100)]).argmax(1) if labelled else None
    moments = Moments(traffic, found)
    run = Run(0, torch.device("cpu"))
    with run.constructing("affine"):
        body = Affine(moments.whiten[0], knowledge.activation[0], 1, 1, rectified=False)
    with torch.no_grad():
        before = float((body(images) - sent[0][:, 0]).square().sum())
    problem = pose(body, moments, public.images, public.labels if labelled else None)
    assert identify(body, problem, run.stream("starts")) < 0.05
    with torch.no_grad():
        after = float((body(images) - sent[0][:, 0]).square().sum())
    assert after < 0.05 * before


@pytest.mark.parametrize(("at", "psnr_db"), [("conv1", 30.0), ("ReLU2", 15.0)])
def test_the_secrets_come_back_without_the_edge_or_a_query(lenet5_digits, digits, at, psnr_db):
    knowledge, images, sent = scene(lenet5_digits, digits, at)
    attack = ShadowModel(batch=32, steps=150, laps=1, width=12, shadows=2, decoder_steps=150)
    guess = attack.prepare(knowledge, Run(0, torch.device("cpu")))(sent)
    error = (guess - images).square().flatten(1).mean(1).clamp_min(1e-10)
    assert float((-10 * error.log10()).mean()) > psnr_db
