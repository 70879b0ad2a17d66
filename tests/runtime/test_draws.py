"""The device's draws against those that were audited, and what is keyed and what is fresh."""

import numpy as np
import pytest
import torch
from scipy import stats

from splitward.audit.draws import compare, scales_of
from splitward.core.defence_text import parse_chain
from splitward.core.errors import DefenceError
from splitward.core.registry import discover
from splitward.runtime import draws
from splitward.runtime.draws import Draws, Stream

ROWS = 3000
CLEAN = np.random.default_rng(0).normal(0, 1, (1, 2, 5)).repeat(ROWS, 0).astype(np.float32)
CHAINS = [
    "dropout:0.6", "dropout-rescaled:0.5", "gaussian:0.7", "laplace:0.7", "dropout:0.3+gaussian:0.5",
    "gaussian:0.5+dropout:0.3", "laplace:0.2+laplace:0.4",
]  # fmt: skip


def numpy_draw(text, clean=CLEAN, key=None):
    device = Draws(text, key)
    return device.at("wire", clean, device.streams(list(clean)))


@pytest.mark.usefixtures("same_chance")
@pytest.mark.parametrize("text", CHAINS)
def test_the_device_draws_what_was_audited(text):
    """The audit's own two-sample test, at 3,000 rows."""
    clean = torch.from_numpy(CLEAN)
    ours = torch.from_numpy(numpy_draw(text))
    theirs = parse_chain(text).sample(clean, torch.Generator().manual_seed(1))
    assert compare(ours, theirs, clean, scales_of(clean, ours, theirs)).p > 1e-4


@pytest.mark.parametrize("text", ["quantise:1", "quantise:6", "clip:1.5", "clip:2+quantise:3"])
def test_what_has_no_chance_in_it_is_what_was_audited(text):
    """The very same numbers, and so a repetition is the same message."""
    clean = np.random.default_rng(1).normal(0, 1, (200, 2, 5)).astype(np.float32)
    sent = numpy_draw(text, clean)
    expected = parse_chain(text).sample(torch.from_numpy(clean), torch.Generator())
    assert sent.dtype == np.float32
    np.testing.assert_allclose(sent, expected.numpy(), atol=2e-6)
    assert Draws(text).repeats


@pytest.mark.parametrize("text", ["quantise:0", "quantise:1.5", "quantise:17", "clip:0", "clip:-1", "dropout:1"])
def test_a_level_that_a_defence_does_not_take_is_refused(text):
    with pytest.raises(DefenceError, match="lies outside of what"):
        Draws(text)


@pytest.mark.usefixtures("same_chance")
@pytest.mark.parametrize(("one", "other"), [("dropout:0.6", "dropout:0.55"), ("gaussian:0.7", "laplace:0.5")])
def test_the_two_sample_test_sees_a_difference(one, other):
    clean = torch.from_numpy(CLEAN)
    ours = torch.from_numpy(numpy_draw(one))
    theirs = parse_chain(other).sample(clean, torch.Generator().manual_seed(1))
    assert compare(ours, theirs, clean, scales_of(clean, ours, theirs)).p < 1e-4


def test_every_defence_of_the_laboratory_can_be_deployed():
    ours = {name for name, kind in discover("defence").items() if kind.__module__.startswith("splitward.")}
    assert set(draws.KINDS) == ours
    chanceless = {name for name in ours if not getattr(discover("defence")[name], "draws", True)}
    assert set(draws.WITHOUT_CHANCE) == chanceless


@pytest.mark.parametrize(
    ("draw", "law"), [("uniform", stats.uniform), ("normal", stats.norm), ("laplace", stats.laplace)]
)
def test_variables_have_their_law(draw, law):
    values = getattr(Stream(b"k" * 32), draw)((200_000,))
    assert stats.kstest(values, law.cdf).pvalue > 1e-3
    assert abs(np.corrcoef(values[:-1], values[1:])[0, 1]) < 0.01
    assert abs(np.corrcoef(values[:100_000], values[100_000:])[0, 1]) < 0.015  # the two halves of Box and Muller


def test_uniform_numbers_are_never_0_or_1(monkeypatch):
    for byte in (b"\x00", b"\xff"):
        stream = Stream(bytes(32))
        stream._cipher = type("Constant", (), {"update": staticmethod(lambda data, byte=byte: byte * len(data))})
        assert 0 < float(stream.uniform((1,))[0]) < 1
        assert np.isfinite(stream.normal((3,))).all()
        assert np.isfinite(stream.laplace((3,))).all()


def test_noise_leaves_no_low_bits():
    """Whatever the clean value, what is sent is a multiple of one grid."""
    for clean in (0.0, 1.0, 1 / 3, 1e-7):
        sent = numpy_draw("gaussian:0.5", np.full((1, 4000), clean, np.float32)).astype(np.float64)
        steps = sent / 2.0 ** (-1 - draws.GRID)
        assert (steps == np.rint(steps)).all()
        assert len(np.unique(sent)) > 3900


def test_fresh_draws_differ_and_keyed_ones_repeat():
    once, again = numpy_draw("gaussian:1", CLEAN[:2]), numpy_draw("gaussian:1", CLEAN[:2])
    assert (once != again).all()
    key = b"x" * 32
    once, again = numpy_draw("gaussian:1", CLEAN[:2], key), numpy_draw("gaussian:1", CLEAN[:2], key)
    assert (once == again).all()
    assert (once[0] == once[1]).all()  # the same input
    assert (numpy_draw("gaussian:1", CLEAN[:2], b"y" * 32) != once).all()


def test_keyed_noise_is_of_input_and_context_and_not_of_the_batch():
    inputs = list(np.random.default_rng(1).random((3, 4)).astype(np.float32))
    zero = np.zeros((3, 6), np.float32)
    device = Draws("gaussian:1", b"x" * 32, b"cut one")
    together = device.at("wire", zero, device.streams(inputs))
    alone = np.concatenate([device.at("wire", zero[:1], device.streams([one])) for one in inputs])
    assert (together == alone).all()
    assert len(np.unique(together)) == together.size
    other = Draws("gaussian:1", b"x" * 32, b"cut two")
    assert (other.at("wire", zero, other.streams(inputs)) != together).all()


def test_positions_and_types():
    device = Draws("gaussian:1@input+dropout:0.5")
    streams = device.streams([CLEAN[0]])
    assert (device.at("input", CLEAN[:1], streams) != CLEAN[:1]).all()
    integers = np.arange(8).reshape(1, 8)
    assert device.at("wire", integers, streams) is not None
    assert (device.at("wire", integers, streams) == integers).all()
    half = device.at("wire", CLEAN[:1].astype(np.float16), streams)
    assert half.dtype == np.float16
    assert Draws("none").at("wire", CLEAN, []) is CLEAN
    assert Draws("none").repeats
    assert Draws("gaussian:0").repeats
    assert not Draws("gaussian:1").repeats
    assert Draws("gaussian:1", b"x" * 32).repeats


@pytest.mark.parametrize(
    "text", ["", "dropout", "dropout:1", "gaussian:-1", "gaussian:nan", "gaussian:1e7", "blur:1", "dropout:0.5@cloud",
             "gaussian:1++dropout:0.1", "gaussian:1-1"],
)  # fmt: skip
def test_what_cannot_be_drawn_is_refused(text):
    with pytest.raises(DefenceError):
        draws.parse(text)


def test_texts_are_read_as_the_audit_reads_them():
    for text in (*CHAINS, "none", "gaussian:1e+06@input+dropout:0.2"):
        theirs = [(c.name, c.level, c.position) for c in parse_chain(text).channels]
        assert [(c.kind, c.level, c.position) for c in draws.parse(text)] == theirs
