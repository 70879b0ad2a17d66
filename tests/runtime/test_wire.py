"""What leaves the device is what a cloud reads; int8 has a scale of the bundle and never of the sample."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from splitward.core.errors import WireError
from splitward.runtime import encoding
from splitward.runtime.wire import Packing, Scale

FLOATS = st.floats(-8, 8, width=32)


def read(packing, tensor):
    return encoding.decode(
        packing.pack([tensor])[0], packing.encoding(tensor.dtype.name), tensor.dtype.name, tensor.shape
    )


@given(hnp.arrays(np.float32, (2, 3), elements=FLOATS), st.floats(-4, 0), st.floats(0.01, 4), st.booleans())
def test_int8_is_within_half_a_step_and_keeps_zero(values, least, largest, zstd):
    packing, scale = Packing("int8", zstd, ((least, largest),)), Scale.of(least, largest)
    values[0, 0] = 0
    got = read(packing, values)
    inside = np.clip(values, scale.low, scale.low + 255 * scale.step)
    assert np.abs(got - inside).max() <= 0.502 * scale.step + 1e-6
    assert got[0, 0] == 0
    assert scale.low <= 0 <= scale.low + 255 * scale.step


def test_the_scale_says_nothing_of_the_sample():
    """The head of the message and its length are the same for any values."""
    packing = Packing("int8", ranges=((-1.0, 3.0),))
    heads = {packing.pack([np.full((1, 9), v, np.float32)])[0][:8] for v in (-5.0, 0.0, 0.1, 2.9, 1e20)}
    assert len(heads) == 1


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("zstd", [False, True])
def test_other_forms(precision, zstd):
    values = np.random.default_rng(0).normal(0, 1, (2, 5)).astype(np.float32)
    got = read(Packing(precision, zstd), values)
    np.testing.assert_array_equal(got, values if precision == "fp32" else values.astype(np.float16).astype(np.float32))


def test_what_is_no_float_stays_plain():
    integers = np.arange(6).reshape(2, 3)
    assert Packing("int8", ranges=((0.0, 1.0),)).pack([integers])[0] == integers.tobytes()


def test_what_must_not_be_sent_is_not():
    with pytest.raises(WireError, match="not finite"):
        Packing().pack([np.array([[np.nan]], np.float32)])
    with pytest.raises(WireError, match="range"):
        Packing("int8").pack([np.zeros((1, 1), np.float32)])
    for least, largest in ((0, 0), (np.nan, 1), (0, np.inf), (0, 1e38)):
        with pytest.raises(WireError, match="range"):
            Scale.of(least, largest)
