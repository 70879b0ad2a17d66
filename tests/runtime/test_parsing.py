"""A long message is walked over before it is parsed: what is right passes, and what would take too much does not."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tritonclient.grpc import service_pb2 as pb

from runtime import test_cloud_decoding as decoding
from runtime.clouds import MinimalServer, pictures, served, toy
from splitward.core.errors import CloudError, WireError
from splitward.runtime import parsing
from splitward.runtime.edge import Edge
from splitward.runtime.remote import Remote
from splitward.runtime.retry import Patience


def same(ours, theirs):
    return ours.SerializeToString(deterministic=True) == theirs.SerializeToString(deterministic=True)


@pytest.fixture
def strict(monkeypatch):
    """Short messages are walked over too."""
    monkeypatch.setattr(parsing, "SHORT_BYTES", 0)


def test_what_is_right_is_parsed_as_it_is(strict):
    @decoding.fuzz(200)
    @given(st.one_of(decoding.grpc_requests(decoding.PLAIN), decoding.grpc_requests(decoding.SEVERAL)))
    def run(request):
        assert same(parsing.infer_request(request.SerializeToString()), request)

    run()
    answer = pb.ModelInferResponse(id="1", raw_output_contents=[bytes(70_000)])
    assert same(parsing.infer_response(answer.SerializeToString()), answer)
    streamed = pb.ModelStreamInferResponse(infer_response=answer)
    assert same(parsing.stream_response(streamed.SerializeToString()), streamed)


@settings(max_examples=1000, deadline=None)
@given(st.binary(max_size=60))
def test_what_is_walked_over_and_parsed_is_what_protobuf_makes_of_it(data):
    torn = False
    try:
        parsing._Walk(data, 7).over(0, len(data))
    except WireError as error:
        torn = "no known form" not in str(error)  # groups: protobuf passes over them, no message of ours has one
    try:
        due = pb.ModelInferRequest.FromString(data)
    except Exception:  # protobuf's own
        due = None
    assert not torn or due is None
    if due is None:
        with pytest.raises(WireError):
            parsing.infer_request(data)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\x2a\0" * 50_000, "more than 1024 fields"),
        (b"\x3a\0" * 50_000, "more than 1024 fields"),
        (b"\x12\xff\xff\xff\x04" + bytes((10 << 20) - 1), "8388608 bytes beside its raw contents"),
        (b"\x3a\x80\x80\x80\x80\x08" + bytes(70_000), "goes on beyond its end"),
        (b"\xff" * 70_000, "has no end"),
        (b"\x0b" * 70_000, "no known form"),
        (bytes(70_000), "no ModelInferRequest|1024 fields"),
    ],
)
def test_what_would_take_too_much_is_refused(content, said):
    with pytest.raises(WireError, match=said) as refusal:
        parsing.infer_request(content)
    decoding.sentence(refusal.value)


def test_raw_contents_may_be_long():
    request = pb.ModelInferRequest(raw_input_contents=[bytes(20 << 20)])
    assert same(parsing.infer_request(request.SerializeToString()), request)


def test_a_cloud_that_answers_so_is_refused_and_the_next_answer_is_taken(tmp_path):
    bundle, weights = toy("none")

    def answers(request, context):
        if len(server.seen) % 2:
            many = server.answer(request)
            many.outputs.extend([pb.ModelInferResponse.InferOutputTensor()] * 50_000)
            return many
        return None

    server = MinimalServer(weights, answers)
    with served(server) as port:
        remote = Remote(f"127.0.0.1:{port}", patience=Patience(deadline_s=5))
        with Edge(bundle, remote, tmp_path / "ledger") as edge:
            with pytest.raises(CloudError, match="answered nonsense"):
                edge.infer(pictures(1, 0))
            assert np.isfinite(edge.infer(pictures(1, 1)).outputs[0]).all()
            (error,) = edge.stream([pictures(1, 2)])
            assert "answered nonsense" in str(error)
