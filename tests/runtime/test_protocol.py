"""Our definition of the protocol is that of others: field by field, and byte by byte."""

import pytest
from hypothesis import given
from tritonclient.grpc import service_pb2 as theirs

from runtime import test_cloud_decoding as decoding
from splitward.runtime import protocol as ours

NAMES = [name for name in ours._DEFINED if hasattr(theirs, name)]


def fields(descriptor, seen=()):
    """What is on the wire, whatever messages are called."""
    found = {}
    for field in descriptor.fields:
        inner = field.message_type
        choice = field.containing_oneof.name if field.containing_oneof else None
        found[field.number] = (
            field.name, field.type, field.is_repeated, field.is_packed, choice, inner and inner.GetOptions().map_entry,
            inner and inner.full_name not in seen and fields(inner, (*seen, inner.full_name)),
        )  # fmt: skip
    return found


@pytest.mark.parametrize("name", NAMES)
def test_every_field_is_theirs(name):
    assert fields(getattr(ours, name).DESCRIPTOR) == fields(getattr(theirs, name).DESCRIPTOR)


def test_all_but_the_parts_are_compared():
    assert len(NAMES) == 15
    assert set(ours._DEFINED) - set(NAMES) == {
        "TensorMetadata", "InferInputTensor", "InferRequestedOutputTensor", "InferOutputTensor"
    }  # fmt: skip


def test_any_request_of_theirs_is_ours_and_back():
    @decoding.fuzz(200)
    @given(decoding.grpc_requests(decoding.SEVERAL))
    def run(request):
        data = request.SerializeToString(deterministic=True)
        assert ours.ModelInferRequest.FromString(data).SerializeToString(deterministic=True) == data

    run()
