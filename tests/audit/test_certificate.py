"""The certificate of an audit: in its record, never beaten by an attack, and one-sided where attacks are strongest."""

import pytest
import torch

import splitward as sw
from audit.doubles import Gradient, entry
from splitward.attacks.inverse_network import InverseNetwork
from splitward.audit.suite import Entry
from splitward.bounds.certify import Settings, certify
from splitward.core.knowledge import BlackBox, Samples
from splitward.core.run import Run
from splitward.record.certificate import any_mse
from splitward.record.checks import check
from splitward.record.schema import Record

DITHER = 0.05
QUICK = (entry(Gradient(steps=30)),)
SMALL = Entry("inverse-network", InverseNetwork(steps=60, batch=16, width=16), BlackBox)


def audited(halves, pool, public, defence, attacks=QUICK, **more):
    means = {"samples": 6, "effort": "quick", "released": "none", "judge": False} | more
    return sw.audit(sw.Target(halves, sw.defence(defence)), attacks, secrets=pool, public=public, **means)


def dithered(samples, seed):
    """Pictures away from black and white, with the noise on them that a certificate is about."""
    noise = torch.randn(samples.images.shape, generator=torch.Generator().manual_seed(seed))
    return Samples(0.3 + 0.4 * samples.images + DITHER * noise, samples.labels, "dithered")


FAST = {("relu1", "gaussian:0.2")}
CASES = [
    pytest.param(cut, defence, marks=() if (cut, defence) in FAST else pytest.mark.slow)
    for cut in ("relu1", "fc1")
    for defence in ("gaussian:0.2", "gaussian:2", "laplace:1", "gaussian:1@input", "gaussian:0.5+dropout:0.3")
]


@pytest.mark.parametrize(("cut", "defence"), CASES)
def test_no_attack_errs_less_than_the_bounds(halves, pool, public, cut, defence):
    """On secrets that carry the dither, where the bound of any attacker applies; and on the list of all secrets."""
    pool, public = dithered(pool, 1), dithered(public, 2)
    attacks = (entry(Gradient()), SMALL)
    record = audited(halves[cut], pool, public, defence, attacks, samples=20)
    chain, stream = sw.defence(defence), torch.Generator().manual_seed(0)
    target = sw.Target(halves[cut], chain)
    made = certify(target.halves.edge, target.chain, pool.images, stream, Settings(dither=DITHER, samples=16))
    reached = {t.attack: t.metrics["mse"].mean for t in record.trials if t.status == "ok"}
    assert len(reached) == 2
    assert min(reached.values()) >= made.any_mse
    assert min(reached.values()) >= made.candidates_mse_low
    assert {c.level for c in record.checks if c.name == "bound-beaten"} <= {"ok"}


def test_an_attacker_who_knows_all_but_the_dither_attains_the_bound(halves, pool):
    """It holds the picture, and corrects it by one linear step: no attacker is closer, and this one is close."""
    edge, sigma = halves["relu1"].edge, 0.3
    means = 0.3 + 0.4 * pool.images
    chain = sw.Target(halves["relu1"], sw.defence(f"gaussian:{sigma}")).chain
    settings = Settings(dither=DITHER, samples=32)
    made = certify(edge, chain, means, torch.Generator().manual_seed(0), settings)
    generator, errors = torch.Generator().manual_seed(1), []
    for mean in means[:40]:
        j = torch.func.jacfwd(lambda x: edge(x[None]).flatten())(mean).flatten(1).detach()
        noise = DITHER * torch.randn(mean.shape, generator=generator)
        with torch.no_grad():
            clean, sent = edge(mean[None]).flatten(), edge((mean + noise)[None]).flatten()
        sent = sent + sigma * torch.randn(sent.shape, generator=generator)
        inverse = torch.linalg.inv(j.T @ j / sigma**2 + torch.eye(j.shape[1]) / DITHER**2)
        step = inverse @ j.T @ (sent - clean) / sigma**2
        errors.append((step - noise.flatten()).square().mean().item())
    reached = sum(errors) / len(errors)
    assert made.any_mse <= reached <= 1.15 * made.any_mse


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("run")


@pytest.fixture(scope="module")
def record(halves, pool, public, folder):
    return audited(halves["relu1"], pool, public, "gaussian:2", observations=3, out=folder)


def test_the_record_carries_it_and_the_same_seed_gives_the_same(record, folder, halves, pool):
    made = record.certificate
    assert made.status == "bounded"
    assert made.observations == 3
    assert made.any_mse == pytest.approx(any_mse(made, 3))
    assert sw.load(folder).certificate == made
    target = sw.Target(halves["relu1"], sw.defence("gaussian:2"))
    stream, settings = torch.Generator().manual_seed(0), Settings(observations=3, samples=4)
    twice = [certify(halves["relu1"].edge, target.chain, pool.images, stream.manual_seed(0), settings) for _ in "ab"]
    assert twice[0] == twice[1]
    assert any(c.name == "bound-beaten" and c.level == "ok" for c in record.checks) == bool(made.candidates_mse_low)


@pytest.mark.parametrize("defence", ["none", "dropout:0.4"])
def test_without_noise_a_record_says_that_only_experiments_speak(halves, pool, public, defence):
    target = sw.Target(halves["relu1"], sw.defence(defence)) if defence != "none" else sw.Target(halves["relu1"])
    means = {"secrets": pool, "public": public, "samples": 6, "effort": "quick", "released": "none", "judge": False}
    record = sw.audit(target, [entry(Gradient(steps=20))], run=Run(0), **means)
    assert record.certificate.status == "empirical-only"
    assert record.certificate.statements[0].startswith("Empirical only")


def test_a_record_whose_bound_is_beaten_fails_a_check(record):
    wrong = record.certificate.model_copy(update={"candidates_mse_low": 0.5})
    beaten = [c for c in check(record.model_copy(update={"certificate": wrong})) if c.name == "bound-beaten"]
    assert {c.level for c in beaten} == {"failure"}
    assert "that no attacker can" in beaten[0].message


def test_records_from_before_certificates_are_read(record):
    old = record.model_dump(mode="json")
    del old["certificate"]
    assert Record.model_validate(old).certificate is None
