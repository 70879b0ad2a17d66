"""An audit of what really crossed: the recording's bytes are what attackers see, and its form is what they expect."""

import dataclasses

import numpy as np
import pytest
import torch

import splitward as sw
from audit.doubles import Gradient, entry
from splitward.audit.crossed import crossing
from splitward.audit.forms import EightBits, HalfPrecision
from splitward.audit.from_wire import fill, match, tell
from splitward.audit.loop import Settings, cast, world_of
from splitward.core.defence import Chain
from splitward.core.errors import UsageError
from splitward.core.run import Run
from splitward.runtime import manifest as m
from splitward.runtime import messages
from splitward.runtime.draws import Draws
from splitward.runtime.recording import About, Recorder
from splitward.runtime.wire import Packing, Scale

pytestmark = pytest.mark.usefixtures("same_chance")
CPU = torch.device("cpu")
RANGE = (-1.0, 4.0)


def cut_of(halves, defence, span=RANGE):
    tensor = m.Tensor(name="activation_0", dtype="float32", shape=halves.activation[0].shape)
    return m.EdgeCut(
        cut=halves.cut.name, half="edge-1.onnx", defence=defence, activation=(tensor,), audited=None, ranges=(span,),
        outputs=(m.Tensor(name="output_0", dtype="float32", shape=(6,)),),
        cloud=m.CloudHalf(name="small", version="1", pairing="0" * 64),
        parity=m.Parity(samples=2, edge=0.0, cloud=0.0, chain=0.0, same_argmax=True),
    )  # fmt: skip


def record(path, halves, samples, defence="none", wire="fp32", zstd=False, times=1, keyed=False, span=RANGE):
    """What a device of ``halves`` sends for ``samples``, each so many times."""
    cut = cut_of(halves, defence, span)
    packing, device = Packing(wire, zstd, cut.ranges), Draws(defence, b"k" * 32 if keyed else None)
    recorder = Recorder(path, About(bundle_sha256="0" * 64, keyed=keyed, cuts=(cut,)))
    images = samples.images.numpy()
    with torch.no_grad():
        clean = halves.edge(samples.images).numpy()
    for number, (image, values) in enumerate([*zip(images, clean, strict=True)] * times):
        sent = device.at("wire", values[None], device.streams([image]))
        request = messages.make(f"{number}", cut, packing, [sent], extended=True)
        recorder.keep(request.message, cut.cut, recorder.pictures(image[None]), 1.0 + number % 3, 1, 9)
    recorder.close()
    return path


def audited(halves, pool, public, path=None, defence="none", attack=None, samples=12, **options):
    wired = match(path, "relu1", pool, samples, options.get("observations", 1), 0) if path else None
    target = sw.Target(halves["relu1"], sw.defence(defence), crossed=wired.crossed if wired else None)
    return sw.audit(
        target, [entry(attack or Gradient())], secrets=pool, public=public, samples=wired.chosen if wired else samples,
        effort="quick", run=Run(0, CPU), released="none", judge=False, **options,
    )  # fmt: skip


def test_the_bytes_are_what_attackers_see(tmp_path, halves, pool, public):
    path = record(tmp_path / "wire", halves["relu1"], pool, "gaussian:0.3")
    wired = match(path, "relu1", pool, 12, 1, 0)
    target = sw.Target(halves["relu1"], sw.defence("gaussian:0.3"), crossed=wired.crossed)
    roles = cast(pool, public, Settings(12), CPU, chosen=wired.chosen)
    world = world_of(target, roles, Settings(12), CPU)
    crossed = crossing(target, roles.secrets, world)
    noise = crossed[world.key][0][:, 0] - halves["relu1"].edge(roles.secrets.images).detach()
    assert 0.28 < float(noise.std()) < 0.32
    assert abs(float(noise.mean())) < 0.02


def test_the_verdict_is_that_of_an_audit_in_process(tmp_path, halves, pool, public):
    path = record(tmp_path / "wire", halves["relu1"], pool, "gaussian:0.3")
    inside = audited(halves, pool, public, defence="gaussian:0.3", samples=48)
    outside = audited(halves, pool, public, path, "gaussian:0.3", samples=48)
    assert inside.target.wire is None
    assert outside.target.wire is not None
    assert outside.target.defence == "gaussian:0.3"
    assert [t.adaptive for t in outside.trials] == [False, True]
    assert (inside.verdict is None) == (outside.verdict is None)
    ours, theirs = (next(t.metrics["ssim"] for t in r.trials if t.adaptive) for r in (outside, inside))
    assert ours.low < theirs.high
    assert theirs.low < ours.high
    assert ours.mean != theirs.mean  # other draws


def test_coarse_numbers_on_the_wire_show(tmp_path, halves, pool, public):
    """int8 over the range that crosses costs the attacker next to nothing; over a far wider one it does."""
    found = {}
    for name, span in (("fine", RANGE), ("coarse", (-200.0, 200.0))):
        path = record(tmp_path / name, halves["relu1"], pool, wire="int8", span=span)
        made = audited(halves, pool, public, path)
        assert made.target.quantisation == "int8"
        assert made.target.defence == "none"
        assert [t.adaptive for t in made.trials] == [False]
        found[name] = made.trials[0].metrics["ssim"].mean
    plain = audited(halves, pool, public, record(tmp_path / "plain", halves["relu1"], pool))
    assert plain.target.quantisation == "float32"
    assert abs(plain.trials[0].metrics["ssim"].mean - found["fine"]) < 0.02
    assert found["coarse"] < found["fine"] - 0.1


def test_what_the_record_says_of_the_wire(tmp_path, halves, pool, public):
    path = record(tmp_path / "wire", halves["relu1"], pool, wire="fp16", zstd=True)
    wire = audited(halves, pool, public, path, attack=Gradient(steps=2)).target.wire
    assert (wire.encoding, wire.messages, wire.resent, wire.keyed) == ("fp16+zstd", 80, 0, False)
    assert 0 < wire.bytes_min < wire.bytes_max
    assert (wire.ms_min, wire.ms_max) == (1.0, 3.0)
    assert [t.quantity for t in wire.tells] == ["bytes", "ms"]
    assert all(t.n == 80 for t in wire.tells)
    plain = match(record(tmp_path / "plain", halves["relu1"], pool), "relu1", pool, 12, 1, 0).crossed.wire
    assert plain.bytes_max - plain.bytes_min <= 1  # the id of a message has one digit or two here


def test_sizes_that_tell_are_seen_and_sizes_that_do_not_are_not():
    draws = np.random.default_rng(0)
    labels = np.arange(200) % 4
    told = tell("bytes", 100.0 * labels + draws.integers(0, 50, 200), labels)
    assert told.accuracy > 0.95
    assert told.p == 0.005
    untold = tell("bytes", draws.integers(0, 50, 200).astype(float), labels)
    assert untold.p > 0.01
    assert untold.accuracy < 0.4
    constant = tell("ms", np.ones(200), labels)
    assert constant.p > 0.01


def test_observations_are_messages_of_one_picture(tmp_path, halves, pool):
    path = record(tmp_path / "wire", halves["relu1"], pool, "gaussian:0.3", times=3)
    sent = match(path, "relu1", pool, 12, 3, 0).crossed.sent[0]
    assert sent.shape == (12, 3, 4, 12, 12)
    assert not torch.equal(sent[:, 0], sent[:, 1])
    with pytest.raises(UsageError, match="at least 4 times"):
        match(path, "relu1", pool, 12, 4, 0)
    keyed = record(tmp_path / "keyed", halves["relu1"], pool, "gaussian:0.3", times=3, keyed=True)
    assert match(keyed, "relu1", pool, 12, 1, 0).crossed.wire.keyed
    with pytest.raises(UsageError, match="keyed"):
        match(keyed, "relu1", pool, 12, 2, 0)


def test_a_recording_of_another_device_is_refused(tmp_path, halves, pool, public, model):
    other = dataclasses.replace(pool, images=pool.images.flip(0))  # the hashes are right, the bytes another's
    path = record(tmp_path / "wire", halves["relu1"], other)
    wired = match(path, "relu1", pool, 12, 1, 0)
    shifted = dataclasses.replace(wired.crossed, sent=(wired.crossed.sent[0].roll(1, 0).flip(-1),))
    target = sw.Target(halves["relu1"], crossed=shifted)
    with pytest.raises(UsageError, match="not of this model"):
        sw.audit(target, [entry(Gradient())], secrets=pool, public=public, samples=wired.chosen, judge=False)
    with pytest.raises(UsageError, match="holds 0 of the"):
        match(path, "relu1", public, 12, 1, 0)


def test_cut_and_defence_are_those_of_the_recording(tmp_path, halves, pool):
    path = record(tmp_path / "wire", halves["relu1"], pool[:4], "gaussian:0.3")
    assert fill(path, {"model": "x"}) == {"model": "x", "at": ["relu1"], "defence": ["gaussian:0.3"]}
    assert fill(path, {"defence": ["gaussian:0.3"]})["at"] == ["relu1"]
    with pytest.raises(UsageError, match="leave --defence away"):
        fill(path, {"defence": ["dropout:0.1"]})
    with pytest.raises(sw.SplitwardError, match="nothing of a cut at fc1"):
        fill(path, {"at": ["fc1"]})


SHAPE = (4, 12, 12)


@pytest.mark.parametrize("form", [HalfPrecision(), EightBits(((SHAPE, RANGE),))], ids=["fp16", "int8"])
def test_a_form_rounds_as_the_device_does_and_lets_gradients_pass(form):
    values = torch.randn(3, *SHAPE, generator=torch.Generator().manual_seed(0)).requires_grad_()
    read = form.sample(values, torch.Generator())
    read.sum().backward()
    assert torch.equal(values.grad, torch.ones_like(values))
    if form.name == "int8":
        scale = Scale.of(*RANGE)
        step = float(scale.step)
        inside = values.detach().clamp(float(scale.low), float(scale.low) + 255 * step)
        error = (read.detach() - inside).abs()
        assert float(error.max()) <= 0.51 * step
        assert form.width(read) == pytest.approx(step / 12**0.5)
    else:
        assert torch.equal(read.detach(), values.detach().half().float())


@pytest.mark.parametrize("text", ["dropout:0.5", "gaussian:1", "none"])
def test_a_defence_keeps_its_density_behind_a_form(text):
    """A chain of two has none in general; what only rounds widens the first one's."""
    form, bare = EightBits(((SHAPE, RANGE),)), sw.defence(text)
    chain = Chain((*bare.channels, form))
    clean = torch.rand(2, *SHAPE)
    sent = chain.sample(clean, torch.Generator().manual_seed(0))
    wide = (0.01**2 + form.width(sent) ** 2) ** 0.5
    assert torch.equal(chain.log_density(sent, clean, 0.01), bare.log_density(sent, clean, wide))
    assert str(chain.rounding()) == str(Chain((form,)))
