"""Packed numbers are those that the defence sends, bit for bit, in as few bytes as a hardening says."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import splitward as sw
from splitward.core.errors import WireError
from splitward.runtime import codes, encoding
from splitward.runtime.draws import Draws

SHAPES = st.tuples(st.integers(1, 4), st.integers(1, 7), st.integers(1, 3))


@given(st.integers(1, 16), SHAPES, st.sampled_from(["float32", "float64"]), st.booleans(), st.integers(0, 2**31))
def test_what_is_packed_comes_back_bit_for_bit(bits, shape, dtype, zstd, seed):
    values = np.random.default_rng(seed).normal(0, 0.7, shape).astype(dtype)
    device = Draws(f"quantise:{bits}")
    sent = device.at("wire", values, device.streams(list(values)))
    form = f"quantise-{bits}" + "+zstd" * zstd
    data = encoding.encode(sent, form)
    back = encoding.decode(data, form, dtype, shape)
    assert back.dtype == sent.dtype
    np.testing.assert_array_equal(back, sent)
    if not zstd:
        assert len(data) == codes.packed_bytes(bits, shape) == shape[0] * -(-shape[1] * shape[2] * bits // 8)


@pytest.mark.parametrize("bits", [1, 2, 5, 8, 11])
def test_they_are_the_numbers_that_were_audited(bits):
    clean = torch.randn(3, 12, generator=torch.Generator().manual_seed(bits))
    audited = sw.defence(f"quantise:{bits}").sample(clean, torch.Generator()).numpy()
    sent = codes.restore(codes.nearest(clean.numpy(), bits), bits)
    back = codes.unpack(codes.pack(sent, bits), bits, "float32", (3, 12))
    np.testing.assert_allclose(back, audited, rtol=0, atol=2e-7)


@pytest.mark.parametrize("value", [0.1, 1.5, np.nan, -np.inf])
def test_what_the_defence_does_not_send_is_not_packed(value):
    with pytest.raises(WireError, match="quantise:2 does not send"):
        codes.pack(np.array([[1.0, value]], np.float32), 2)


@pytest.mark.parametrize(
    ("form", "size"), [("quantise-3", 4), ("quantise-3", 6), ("quantise-0", 5), ("quantise-17", 5)]
)
def test_other_lengths_and_other_bits_are_refused(form, size):
    with pytest.raises(WireError, match=r"5 are due|quantise-1 to quantise-16"):
        encoding.decode(bytes(size), form, "float32", (1, 12))
    with pytest.raises(WireError, match="not for int64"):
        encoding.decode(bytes(5), "quantise-3", "int64", (1, 12))
