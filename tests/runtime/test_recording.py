"""A recording holds exactly the bytes that crossed, and nothing else is read from a file that claims to be one."""

import contextlib
import errno
import json

import grpc
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.clouds import ExtendedServer, pictures, served, toy
from splitward.core.errors import CloudError, RecordError
from splitward.runtime.edge import Edge
from splitward.runtime.options import Options
from splitward.runtime.recording import MAGIC, Recorder, picture_key, read
from splitward.runtime.remote import Remote
from splitward.runtime.retry import Patience


def recorded(folder, count=3, **options):
    """The file, the server that was asked, and the answers."""
    bundle, weights = toy("gaussian:0.5")
    server = ExtendedServer(weights)
    file = folder / "wire"
    with served(server) as port:
        remote = Remote(f"127.0.0.1:{port}", patience=Patience(deadline_s=2))
        with Edge(bundle, remote, folder / "ledger", Options(record=file, **options)) as edge:
            answers = [edge.infer(pictures(2, seed)) for seed in range(count)]
            answers += list(edge.stream([pictures(1, 99)]))
    return file, server, answers


@pytest.mark.parametrize("wire", ["fp32", "fp16", "int8"])
@pytest.mark.parametrize("zstd", [False, True])
def test_it_is_what_the_cloud_was_sent(tmp_path, wire, zstd):
    file, server, answers = recorded(tmp_path, wire=wire, zstd=zstd)
    recording = read(file)
    assert len(recording.messages) == len(server.seen) == 4
    data = file.read_bytes()
    for message, (_, raw), answer in zip(recording.messages, server.seen, answers, strict=True):
        assert raw in data
        assert message.sent.size == answer.sent_bytes
        assert message.sent.attempts == 1
        assert message.sent.answer_bytes > 0
        assert message.sent.ms > 0
        (tensor,) = message.tensors
        request_outputs = tensor.reshape(len(tensor), -1) @ server.weights
        np.testing.assert_allclose(request_outputs, answer.outputs[0], rtol=1e-4, atol=1e-4)
    assert recording.messages[0].sent.pictures == tuple(picture_key(one) for one in pictures(2, 0))
    assert not recording.about.keyed


def test_what_found_no_answer_is_kept_too(tmp_path):
    bundle, weights = toy()
    server = ExtendedServer(weights, lambda request, context: context.abort(grpc.StatusCode.NOT_FOUND, ""))
    with served(server) as port:
        remote = Remote(f"127.0.0.1:{port}")
        edge = Edge(bundle, remote, tmp_path / "ledger", Options(record=tmp_path / "wire"))
        with pytest.raises(CloudError):
            edge.infer(pictures(1))
        edge.close()
    (message,) = read(tmp_path / "wire").messages
    assert message.sent.answer_bytes == 0


def test_pictures_are_known_by_their_eight_bits():
    image = np.round(pictures(1)[0] * 255) / 255
    assert picture_key(image) == picture_key(image.astype(np.float32) + np.float32(1e-4))
    assert picture_key(image) != picture_key(image.reshape(1, 3, 4))
    assert picture_key(image) != picture_key(np.clip(image + 1 / 255, 0, 1))


def test_a_recording_is_never_written_over(tmp_path):
    file, _, _ = recorded(tmp_path, 1)
    with pytest.raises(RecordError, match="cannot be begun"):
        Recorder(file, read(file).about)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return recorded(tmp_path_factory.mktemp("recording"))[0].read_bytes()


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_a_damaged_file_is_refused_or_read_and_nothing_else(whole, tmp_path_factory, data):
    start = data.draw(st.integers(0, len(whole) - 1))
    change = data.draw(st.sampled_from(["cut", "flip", "insert"]))
    damaged = {
        "cut": whole[:start],
        "flip": whole[:start] + bytes([whole[start] ^ data.draw(st.integers(1, 255))]) + whole[start + 1 :],
        "insert": whole[:start] + data.draw(st.binary(min_size=1, max_size=9)) + whole[start:],
    }[change]
    file = tmp_path_factory.mktemp("damaged") / "wire"
    file.write_bytes(damaged)
    with contextlib.suppress(RecordError):
        for message in read(file).messages:
            assert message.tensors[0].shape[1:] == (4, 3)


def test_claims_of_giant_parts_are_refused(tmp_path, whole):
    file = tmp_path / "wire"
    file.write_bytes(MAGIC + (2**32 - 1).to_bytes(4, "little"))
    with pytest.raises(RecordError, match="bytes"):
        read(file)
    length = int.from_bytes(whole[len(MAGIC) : len(MAGIC) + 4], "little")
    body = len(MAGIC) + 4 + length
    second = int.from_bytes(whole[body : body + 4], "little")
    header = json.loads(whole[body + 4 : body + 4 + second]) | {"size": 2**40}
    text = json.dumps(header).encode()
    file.write_bytes(whole[:body] + len(text).to_bytes(4, "little") + text)
    with pytest.raises(RecordError, match="size"):
        read(file)
    with pytest.raises(RecordError, match="cannot be read"):
        read(tmp_path / "missing")


@pytest.mark.parametrize("refusing", [False, True])
def test_a_full_disk_loses_no_request_in_silence(tmp_path, refusing):
    """What was sent and could not be kept is an error of its own; what follows is asked all the same."""
    bundle, weights = toy("none")
    refuse = (lambda request, context: context.abort(grpc.StatusCode.NOT_FOUND, "")) if refusing else None
    with served(ExtendedServer(weights, refuse)) as port:
        remote = Remote(f"127.0.0.1:{port}", patience=Patience(deadline_s=2))
        with Edge(bundle, remote, tmp_path / "ledger", Options(record=tmp_path / "wire")) as edge:
            edge._recorder._file.write = full
            with pytest.raises(RecordError, match="No space left"):
                edge.infer(pictures(1, 0))
            outcomes = list(edge.stream(pictures(1, seed) for seed in range(1, 4)))
            assert len(outcomes) == 3
            assert all(isinstance(one, RecordError) for one in outcomes)
            assert edge.counts["asked"] == edge.counts["failed"] == 4


def full(data):
    raise OSError(errno.ENOSPC, "No space left on device")
