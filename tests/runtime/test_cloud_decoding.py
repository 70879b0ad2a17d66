"""Whatever is sent: a call that is exactly what the model takes, or a refusal with one sentence. Nothing else."""

import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tritonclient.grpc import service_pb2 as pb

from runtime import bundles
from splitward.core.errors import WireError
from splitward.runtime import manifest as m
from splitward.runtime import parsing
from splitward.runtime.cloud import grpc_messages, http_messages
from splitward.runtime.cloud.refusal import Refusal
from splitward.runtime.cloud.tensors import DATATYPES
from splitward.runtime.encoding import ENCODINGS, PAIRING, PARAMETER, encode

MOST = 8
TYPES = sorted(DATATYPES)
FIELDS = [f.name for f in pb.InferTensorContents.DESCRIPTOR.fields]

PLAIN = bundles.cloud_manifest(b"")
SEVERAL = bundles.cloud_manifest(
    b"",
    activation=(
        m.Tensor(name="activation_0", dtype="float32", shape=(4, 3)),
        m.Tensor(name="activation_1", dtype="int8", shape=()),
        m.Tensor(name="activation_2", dtype="bool", shape=(2,)),
        m.Tensor(name="activation_3", dtype="float16", shape=(1, 2)),
    ),
    outputs=(m.Tensor(name="output_0", dtype="float32", shape=(5,)), m.Tensor(name="output_1", dtype="bool", shape=())),
)


def right(call, manifest):
    """Exactly what the model takes."""
    assert 1 <= call.count <= MOST
    assert len(call.arrays) == len(manifest.activation)
    for array, due in zip(call.arrays, manifest.activation, strict=True):
        assert array.shape == (call.count, *due.shape)
        assert array.dtype == due.dtype
        assert array.dtype.kind != "f" or np.isfinite(array).all()
        assert array.dtype.kind != "b" or (array.view(np.uint8) <= 1).all()
    assert call.outputs
    assert set(call.outputs) <= set(range(len(manifest.outputs)))


def sentence(refusal):
    text = str(refusal)
    assert text.endswith(".")
    assert "\n" not in text
    assert len(text) < 600


def good(manifest, count=2, raw=True):
    """A right request: arrays and its gRPC form."""
    draws = np.random.default_rng(0)
    arrays = [(draws.standard_normal((count, *t.shape)) * 3).astype(t.dtype) for t in manifest.activation]
    request = pb.ModelInferRequest(model_name="toy", id="1")
    for due, array in zip(manifest.activation, arrays, strict=True):
        request.inputs.add(name=due.name, datatype=DATATYPES[due.dtype], shape=array.shape)
        request.raw_input_contents.append(array.tobytes())
    return arrays, request


@pytest.mark.parametrize("manifest", [PLAIN, SEVERAL], ids=["one", "several"])
def test_a_right_request_is_read_in_every_form(manifest):
    arrays, request = good(manifest)
    found = [grpc_messages.decode(request, manifest, MOST)]
    claims = [
        {"name": t.name, "datatype": DATATYPES[t.dtype], "shape": list(a.shape)}
        for t, a in zip(manifest.activation, arrays, strict=True)
    ]
    sizes = [{"parameters": {"binary_data_size": a.nbytes}} for a in arrays]
    text = json.dumps({"inputs": [c | s for c, s in zip(claims, sizes, strict=True)][::-1]}).encode()
    body = text + b"".join(a.tobytes() for a in arrays[::-1])
    found.append(http_messages.decode(body, str(len(text)), manifest, MOST).call)
    for flat in (True, False):
        data = [{"data": (a.ravel() if flat else a).tolist()} for a in arrays]
        text = json.dumps({"inputs": [c | d for c, d in zip(claims, data, strict=True)]}).encode()
        found.append(http_messages.decode(text, None, manifest, MOST).call)
    for call in found:
        right(call, manifest)
        for array, due in zip(call.arrays, arrays, strict=True):
            np.testing.assert_array_equal(array, due)


@pytest.mark.parametrize("dtype", TYPES)
def test_typed_contents_of_every_type(dtype):
    manifest = bundles.cloud_manifest(b"", activation=(m.Tensor(name="activation_0", dtype=dtype, shape=(3,)),))
    array = np.array([[0, 1, 1]]).astype(dtype)
    field = {
        "float64": "fp64_contents", "float32": "fp32_contents", "int64": "int64_contents", "uint8": "uint_contents",
        "bool": "bool_contents",
    }.get(dtype, "int_contents")  # fmt: skip
    contents = pb.InferTensorContents(**{field: array.ravel().tolist() if dtype != "float16" else [1]})
    one = array.ravel()[-1].item()
    sent = pb.ModelInferRequest.InferInputTensor(
        name="activation_0", datatype=DATATYPES[dtype], shape=[1, 3], contents=contents
    )
    request = pb.ModelInferRequest(inputs=[sent])
    if dtype == "float16":
        with pytest.raises(Refusal, match="no typed contents"):
            grpc_messages.decode(request, manifest, MOST)
        return
    np.testing.assert_array_equal(grpc_messages.decode(request, manifest, MOST).arrays[0], array)
    getattr(sent.contents, field).append(one)
    with pytest.raises(Refusal, match="4 numbers; 3 are due"):
        grpc_messages.decode(pb.ModelInferRequest(inputs=[sent]), manifest, MOST)
    if dtype in ("int8", "int16", "uint8"):
        getattr(sent.contents, field)[:] = [0, 1, 1 << 20]
        with pytest.raises(Refusal, match="beyond"):
            grpc_messages.decode(pb.ModelInferRequest(inputs=[sent]), manifest, MOST)


def changed(change):
    _, request = good(PLAIN)
    change(request)
    return request


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda r: r.inputs.pop(), "the inputs are none; activation_0 are due"),
        (lambda r: r.inputs.append(r.inputs[0]), "each once"),
        (lambda r: setattr(r.inputs[0], "name", "x\ny" * 50), "the inputs are"),
        (lambda r: setattr(r.inputs[0], "datatype", "FP64"), "'FP64'; FP32 is due"),
        (lambda r: r.inputs[0].shape.pop(), r"\[2, 4\]; \[N, 4, 3\] is due"),
        (lambda r: r.inputs[0].shape.__setitem__(0, 0), "0 samples; 1 to 8"),
        (lambda r: r.inputs[0].shape.__setitem__(0, -1), "-1 samples"),
        (lambda r: r.inputs[0].shape.__setitem__(0, 1 << 62), "samples; 1 to 8"),
        (lambda r: r.inputs[0].shape.__setitem__(1, 1 << 31), "is due"),
        (lambda r: r.inputs[0].shape.extend([1] * 10_000), r", \.\.\.\]; "),
        (lambda r: r.raw_input_contents.append(b""), "2 raw contents are sent for 1"),
        (lambda r: r.raw_input_contents.__setitem__(0, b"1"), "1 bytes; 96 are due"),
        (lambda r: r.raw_input_contents.__setitem__(0, np.full(24, np.inf, np.float32).tobytes()), "finite"),
        (lambda r: r.raw_input_contents.__setitem__(0, bytes(92) + b"\0\0\xc0\x7f"), "finite"),
        (lambda r: r.inputs[0].contents.fp32_contents.extend([0] * 24), "sent twice"),
        (lambda r: r.outputs.add(name="output_9"), "the outputs asked for are 'output_9'"),
        (lambda r: [r.outputs.add(name="output_0") for _ in range(2)], "each once"),
        (lambda r: setattr(r, "id", "x" * 2000), "the id has 2000"),
        (lambda r: setattr(r.parameters["timeout"], "int64_param", -5), "must not be negative"),
        (lambda r: setattr(r.inputs[0].parameters["shared_memory_region"], "string_param", "a"), "not supported"),
        (lambda r: setattr(r.inputs[0].parameters[PARAMETER], "string_param", "lzma"), "encoding 'lzma'"),
        (lambda r: setattr(r.parameters[PAIRING], "string_param", "0"), "not the half"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(change, said):
    with pytest.raises(Refusal, match=said) as refusal:
        grpc_messages.decode(changed(change), PLAIN, MOST)
    sentence(refusal.value)


@pytest.mark.parametrize(
    ("body", "header", "said"),
    [
        (b"", None, "JSON"), (b"[]", None, "no JSON object"), (b"[" * 200_000, None, "JSON"),
        (b"{}", None, "inputs is no list"), (b'{"inputs": [1]}', None, "list of objects"),
        (b'{"inputs": [{}]}', None, "no name"), (b"{}", "3", "the body has 2 bytes"), (b"{}", "-1", "whole number"),
        (b"{}", "9" * 99, "whole number"), (b'{"inputs": [], "id": NaN}', None, "NaN"),
        (b'{"inputs": [{"name": "activation_0", "parameters": 1}]}', None, "no object"),
        (b'{"inputs": [' + b"1" * 5000 + b"]}", None, "JSON"),
    ],
)  # fmt: skip
def test_what_is_no_request_is_refused(body, header, said):
    with pytest.raises(Refusal, match=said) as refusal:
        http_messages.decode(body, header, PLAIN, MOST)
    sentence(refusal.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"data": [1e999] * 24}, "finite"), ({"data": ["1"] * 24}, "something else than FP32"),
        ({"data": [True] * 24}, "something else"), ({"data": [0] * 23}, "not a list of 24 numbers"),
        ({"data": [[0] * 12, [0] * 12]}, "not a list of 24"), ({"data": {"0": 1}}, "not a list"),
        ({"data": [10**400] * 24}, "beyond FP32"), ({"data": None}, "not a list"),
        ({"shape": [2, 4, 3.0]}, "whole numbers"), ({"shape": [True, 4, 3]}, "whole numbers"),
        ({"shape": [10**30, 4, 3]}, "64 bits"), ({"shape": "2"}, "whole numbers"), ({"datatype": None}, "datatype"),
        ({"parameters": {"binary_data_size": 96}}, "sent twice"),
        ({"parameters": {PARAMETER: "zstd"}}, "binary data only"),
    ],
)  # fmt: skip
def test_wrong_json_is_said_in_one_sentence(change, said):
    entry = {"name": "activation_0", "datatype": "FP32", "shape": [2, 4, 3], "data": [0.0] * 24} | change
    with pytest.raises(Refusal, match=said) as refusal:
        http_messages.decode(json.dumps({"inputs": [entry]}).encode(), None, PLAIN, MOST)
    sentence(refusal.value)


def test_binary_sizes_must_add_up():
    entry = {"name": "activation_0", "datatype": "FP32", "shape": [1, 4, 3]}
    for size, content, said in ((48, 49, "name 48 bytes"), (49, 48, "does not hold"), (-1, 48, "does not hold")):
        text = json.dumps({"inputs": [entry | {"parameters": {"binary_data_size": size}}]}).encode()
        with pytest.raises(Refusal, match=said):
            http_messages.decode(text + bytes(content), str(len(text)), PLAIN, MOST)


names = st.one_of(
    st.sampled_from(["activation_0", "activation_1", "activation_2", "activation_3"]), st.text(max_size=8)
)
sizes = st.one_of(st.sampled_from([1, 2, 3, 4, 0, -1, 8, 9, 1 << 31, (1 << 63) - 1, -(1 << 63)]))
forms = st.sampled_from(["", *ENCODINGS, "gzip"])
whole = st.integers(-(1 << 31), (1 << 31) - 1)


@st.composite
def grpc_requests(draw, manifest):
    """Right requests with some of everything changed, and requests of nothing right at all."""
    _, request = good(manifest, draw(st.integers(1, 3)))
    for _ in range(draw(st.integers(0, 3))):
        if not request.inputs:
            break
        one = request.inputs[draw(st.integers(0, len(request.inputs) - 1))]
        k = draw(st.integers(0, max(0, len(request.raw_input_contents) - 1)))
        match draw(st.integers(0, 9)):
            case 0:
                one.name = draw(names)
            case 1:
                one.datatype = draw(st.sampled_from([*DATATYPES.values(), "BYTES", "", "fp32"]))
            case 2:
                one.shape[:] = draw(st.lists(sizes, max_size=5))
            case 3 if request.raw_input_contents:
                request.raw_input_contents[k] = draw(st.binary(max_size=120))
            case 4 if request.raw_input_contents:
                form = draw(st.sampled_from(ENCODINGS))
                array = np.frombuffer(request.raw_input_contents[k][:48].ljust(48, b"\0"), "<f4").reshape(-1, 12)
                request.raw_input_contents[k] = encode(bundles.sendable(np.nan_to_num(array % 9), form), form)
                one.parameters[PARAMETER].string_param = draw(forms)
            case 5:
                del request.raw_input_contents[:]
                field = draw(st.sampled_from(FIELDS))
                values = {"bytes_contents": st.binary(max_size=3), "bool_contents": st.booleans()}
                numbers = st.floats(width=32) if field.startswith("fp") else st.integers(0, 300)
                getattr(one.contents, field).extend(draw(st.lists(values.get(field, numbers), max_size=30)))
            case 6:
                request.outputs.add(name=draw(st.sampled_from(["output_0", "output_1", "x"])))
            case 7:
                request.inputs.append(one)
            case 8:
                request.parameters["timeout"].int64_param = draw(whole)
            case _:
                request.inputs.remove(one)
    return request


def read(request, manifest):
    try:
        call = grpc_messages.decode(request, manifest, MOST)
    except Refusal as refusal:
        sentence(refusal)
        return
    right(call, manifest)
    arrays = [np.zeros((call.count, *t.shape), t.dtype) for t in manifest.outputs]
    response = grpc_messages.encode(call, manifest, arrays, not request.raw_input_contents)
    data = response.SerializeToString(deterministic=True)
    assert pb.ModelInferResponse.FromString(data).SerializeToString(deterministic=True) == data


def fuzz(count):
    return settings(max_examples=count, deadline=None, suppress_health_check=list(HealthCheck), database=None)


def over_grpc(request):
    read(request, PLAIN if len(request.inputs) == 1 else SEVERAL)


def over_wire(data, manifest=PLAIN):
    """Any bytes, as gRPC hands them over."""
    try:
        request = parsing.infer_request(data)
    except WireError as error:
        sentence(error)
        return
    read(request, manifest)


json_values = st.recursive(
    st.none() | st.booleans() | whole | st.floats() | names,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["name", "data", "x"]), inner, max_size=3)
    ),
    max_leaves=12,
)


@st.composite
def http_requests(draw):
    """(body, header): a right request with fields exchanged for anything, and bytes of any number behind it."""
    entry = {"name": "activation_0", "datatype": "FP32", "shape": [1, 4, 3], "data": [0.5] * 12}
    if draw(st.booleans()):
        entry = {k: v for k, v in entry.items() if k != "data"} | {"parameters": {"binary_data_size": 48}}
    document = {"inputs": [entry], "id": "1", "outputs": [{"name": "output_0", "parameters": {"binary_data": True}}]}
    for _ in range(draw(st.integers(0, 2))):
        inner = entry.get("parameters")
        target = draw(st.sampled_from([entry, document, inner if isinstance(inner, dict) else entry]))
        key = draw(st.sampled_from([*target, "parameters", "data", PARAMETER, "binary_data_size", "timeout"]))
        target[key] = draw(st.one_of(json_values, forms, st.lists(sizes, max_size=4)))
    text = json.dumps(document).encode()
    blob = draw(st.one_of(st.just(bytes(48)), st.binary(max_size=60)))
    header = draw(st.one_of(st.none(), st.just(str(len(text))), st.integers(-5, 400).map(str), st.text(max_size=4)))
    return draw(st.one_of(st.just(text + blob), st.binary(max_size=80))), header


def over_http(sent):
    body, header = sent
    try:
        found = http_messages.decode(body, header, PLAIN, MOST)
    except Refusal as refusal:
        sentence(refusal)
        return
    right(found.call, PLAIN)
    arrays = [np.zeros((found.call.count, *t.shape), t.dtype) for t in PLAIN.outputs]
    content, length = http_messages.encode(found, PLAIN, arrays)
    json.loads(content[:length])


CASES = [
    pytest.param(over_grpc, st.one_of(grpc_requests(PLAIN), grpc_requests(SEVERAL)), id="grpc"),
    pytest.param(over_wire, st.binary(max_size=200), id="protobuf"),
    pytest.param(over_http, http_requests(), id="http"),
]


@pytest.mark.parametrize(("attempt", "messages"), CASES)
def test_any_message_is_read_rightly_or_refused(attempt, messages):
    @fuzz(150)
    @given(messages)
    def run(message):
        attempt(message)

    run()


def spoilt(draws, content, others):
    """``content`` with a few bytes flipped, doubled, cut out, or taken from another message."""
    data = bytearray(content)
    for _ in range(draws.integers(1, 4)):
        at = int(draws.integers(0, len(data) + 1))
        match draws.integers(0, 5):
            case 0 if data:
                data[at % len(data)] ^= 1 << int(draws.integers(0, 8))
            case 1 if data:
                data[at % len(data)] = int(draws.choice([0, 1, 0x7F, 0x80, 0xFF, ord("["), ord("-"), ord("9")]))
            case 2:
                del data[at : at + int(draws.integers(1, 20))]
            case 3:
                data[at:at] = data[at : at + int(draws.integers(1, 20))]
            case _:
                other = others[int(draws.integers(0, len(others)))]
                start = int(draws.integers(0, len(other)))
                data[at : at + 8] = other[start : start + 8]
    return bytes(data)


def right_messages():
    """Requests over gRPC in every form that is read, as bytes."""
    array = np.ones((2, 4, 3), np.float32)
    held = [good(PLAIN, n)[1] for n in (1, 2, 8)]
    for form in ENCODINGS:
        held.append(good(PLAIN)[1])
        held[-1].raw_input_contents[0] = encode(bundles.sendable(array, form), form)
        held[-1].inputs[0].parameters[PARAMETER].string_param = form
    held.append(pb.ModelInferRequest(model_name="toy", outputs=[{"name": "output_0"}]))
    held[-1].inputs.add(name="activation_0", datatype="FP32", shape=[2, 4, 3]).contents.fp32_contents.extend([1] * 24)
    return [one.SerializeToString() for one in held]


def right_bodies():
    """(body, header) over HTTP: all JSON, and with a binary tensor."""
    array = np.ones((2, 4, 3), np.float32)
    entry = {"name": "activation_0", "datatype": "FP32", "shape": [2, 4, 3]}
    plain = json.dumps({"id": "1", "inputs": [entry | {"data": array.tolist()}]}).encode()
    text = json.dumps({"inputs": [entry | {"parameters": {"binary_data_size": 96}}]}).encode()
    return [(plain, None), (text + array.tobytes(), str(len(text)))]


@pytest.mark.slow
def test_a_hundred_thousand_spoilt_messages_are_read_rightly_or_refused():
    """60,000 of each protocol, most of them nearly right: a right message with up to three changes of its bytes."""
    draws = np.random.default_rng(0)
    over, bodies = right_messages(), right_bodies()
    for k in range(60_000):
        over_wire(spoilt(draws, over[k % len(over)], over))
        body, header = bodies[k % 2]
        over_http((spoilt(draws, body, [b for b, _ in bodies]), header))
