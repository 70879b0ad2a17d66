"""The forms of a tensor on the wire: exact or within a half step, and bounded for whatever is claimed."""

import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from splitward.core.errors import WireError
from splitward.runtime import encoding as module
from splitward.runtime.encoding import ENCODINGS, decode, encode

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("encoding", ["", "zstd"])
@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "int64", "int32", "int16", "int8", "uint8", "bool"])
def test_the_plain_and_the_compressed_form_are_exact(encoding, dtype):
    tensor = (RNG.standard_normal((3, 5, 2)) * 4).astype(dtype)
    found = decode(encode(tensor, encoding), encoding, dtype, tensor.shape)
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, tensor)


@pytest.mark.parametrize("zstd", ["", "+zstd"])
def test_half_precision_rounds_as_numpy_does(zstd):
    tensor = RNG.standard_normal((2, 7)).astype(np.float32)
    found = decode(encode(tensor, "fp16" + zstd), "fp16" + zstd, "float32", tensor.shape)
    np.testing.assert_array_equal(found, tensor.astype(np.float16).astype(np.float32))
    with pytest.raises(WireError, match="half precision"):
        encode(np.full((1, 1), 1e6, np.float32), "fp16")


@pytest.mark.parametrize("zstd", ["", "+zstd"])
def test_eight_bits_are_within_half_a_step_of_each_sample(zstd):
    tensor = (RNG.standard_normal((4, 50)) * [[1], [100], [1e-6], [0]] + [[0], [5], [0], [3]]).astype(np.float32)
    found = decode(encode(tensor, "int8" + zstd), "int8" + zstd, "float32", tensor.shape)
    step = (tensor.max(1) - tensor.min(1)) / 255
    assert (np.abs(found - tensor).max(1) <= 0.5 * step + 1e-6 * np.abs(tensor).max(1)).all()
    np.testing.assert_array_equal(found[3], tensor[3])  # constant
    with pytest.raises(WireError, match="finite"):
        encode(np.full((1, 2), np.nan, np.float32), "int8")


def test_a_frame_that_claims_more_is_refused_before_it_is_unpacked(monkeypatch):
    bomb = zstandard.ZstdCompressor().compress(bytes(1 << 28))
    assert len(bomb) < 20_000
    monkeypatch.setattr(module.zstd, "ZstdDecompressor", lambda **_: pytest.fail("unpacked"))
    with pytest.raises(WireError, match="claims 268435456 bytes; 48 are due"):
        decode(bomb, "zstd", "float32", (1, 12))


def test_a_frame_that_hides_its_size_is_refused():
    packer = zstandard.ZstdCompressor(write_content_size=False)
    with pytest.raises(WireError, match="claims"):
        decode(packer.compress(bytes(48)), "zstd", "float32", (1, 12))


@pytest.mark.parametrize("numbers", [300, 3_000_000])
def test_frames_of_another_writer_are_read(numbers):
    """With a checksum, in pieces, of any level, and with a window of their own size."""
    tensor = (np.arange(numbers) % 997).astype(np.float32).reshape(1, -1)
    data = tensor.tobytes()
    for level in (1, 19 if numbers < 1000 else 3):
        packer = zstandard.ZstdCompressor(level=level, write_checksum=True)
        pieces = packer.compressobj(size=len(data))
        streamed = pieces.compress(data[:100]) + pieces.compress(data[100:]) + pieces.flush()
        for frame in (packer.compress(data), streamed):
            np.testing.assert_array_equal(decode(frame, "zstd", "float32", tensor.shape), tensor)
        spoilt = streamed[:-1] + bytes([streamed[-1] ^ 1])  # the checksum
        with pytest.raises(WireError, match="cannot be read"):
            decode(spoilt, "zstd", "float32", tensor.shape)


def test_a_frame_with_a_large_window_or_a_dictionary_is_refused():
    parameters = zstandard.ZstdCompressionParameters(window_log=27, write_content_size=True)
    pieces = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    wide = pieces.compress(bytes(48)) + pieces.flush()
    with pytest.raises(WireError):
        decode(wide, "zstd", "float32", (1, 12))
    samples = [b"%d %d" % (k, k % 7) for k in range(2000)]
    packer = zstandard.ZstdCompressor(dict_data=zstandard.train_dictionary(1000, samples))
    with pytest.raises(WireError):
        decode(packer.compress(bytes(range(48))), "zstd", "float32", (1, 12))
    skipped = b"\x50\x2a\x4d\x18" + (48).to_bytes(4, "little") + bytes(48)
    with pytest.raises(WireError, match="claims"):
        decode(skipped, "zstd", "float32", (1, 12))


def test_a_frame_that_lies_or_goes_on_is_refused():
    frame = bytearray(encode(np.zeros((1, 300), np.float32), "zstd"))
    with pytest.raises(WireError):
        decode(bytes(frame) + b"more", "zstd", "float32", (1, 300))
    with pytest.raises(WireError):
        decode(bytes(frame) * 2, "zstd", "float32", (1, 300))
    with pytest.raises(WireError):
        decode(bytes(frame[:-3]), "zstd", "float32", (1, 300))


@pytest.mark.parametrize(
    ("encoding", "dtype"),
    [("gzip", "float32"), ("fp16", "int64"), ("int8", "bool"), ("zstd+fp16", "float32"), ("+", "bool")],
)
def test_an_unknown_or_unfit_encoding_is_refused(encoding, dtype):
    with pytest.raises(WireError, match="encoding"):
        decode(bytes(100), encoding, dtype, (1, 5))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200), st.sampled_from(["", *ENCODINGS]), st.integers(1, 3), st.integers(1, 9))
def test_any_bytes_give_a_tensor_of_this_shape_or_a_refusal(data, encoding, count, width):
    try:
        found = decode(data, encoding, "float32", (count, width))
    except WireError:
        return
    assert found.shape == (count, width)
    assert found.dtype == np.float32
