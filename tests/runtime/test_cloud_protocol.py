"""Any client of the protocol works: tritonclient over gRPC and HTTP, in streams, and curl."""

import json
import queue
import shutil
import subprocess

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton_grpc
import tritonclient.http as triton_http
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc as service
from tritonclient.utils import InferenceServerException

from runtime import bundles, servers
from splitward.runtime.encoding import ENCODINGS, decode, encode

RNG = np.random.default_rng(0)


def images(count=3):
    return RNG.standard_normal((count, *bundles.SHAPE)).astype(np.float32)


@pytest.fixture
def over_grpc(server):
    with triton_grpc.InferenceServerClient(server.address["grpc"]) as client:
        yield client


@pytest.fixture
def over_http(server):
    with triton_http.InferenceServerClient(server.address["http"]) as client:
        yield client


@pytest.fixture
def stub(server):
    with grpc.insecure_channel(server.address["grpc"]) as channel:
        yield service.GRPCInferenceServiceStub(channel)


def tensors(module, array, **how):
    sent = module.InferInput("activation_0", list(array.shape), "FP32")
    sent.set_data_from_numpy(array, **how)
    return [sent]


def test_health_and_metadata(over_grpc, over_http):
    for client in (over_grpc, over_http):
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready("toy")
        assert client.is_model_ready("toy", "2")
        assert not client.is_model_ready("toy", "3")
        assert not client.is_model_ready("other")
    held = over_grpc.get_model_metadata("toy", as_json=True)
    assert held == {
        "name": "toy",
        "versions": ["2", "10"],
        "platform": "onnxruntime_onnx",
        "inputs": [{"name": "activation_0", "datatype": "FP32", "shape": ["-1", "4", "3"]}],
        "outputs": [{"name": "output_0", "datatype": "FP32", "shape": ["-1", "5"]}],
    }
    assert over_http.get_model_metadata("toy")["inputs"][0]["shape"] == [-1, 4, 3]
    assert "splitward_encoding" in over_grpc.get_server_metadata().extensions
    assert "binary_tensor_data" in over_http.get_server_metadata()["extensions"]


@pytest.mark.parametrize("version", ["2", "10", ""])
def test_tritonclient_gets_the_answers_of_the_version_that_it_asks_for(toys, over_grpc, over_http, version):
    array = images()
    due = array.reshape(3, -1) @ toys[version or "10"][1]
    found = over_grpc.infer("toy", tensors(triton_grpc, array), version, request_id="a")
    np.testing.assert_allclose(found.as_numpy("output_0"), due, rtol=1e-4, atol=1e-5)
    assert found.get_response().id == "a"
    assert found.get_response().model_version == (version or "10")
    for binary in (True, False):
        sent = tensors(triton_http, array, binary_data=binary)
        asked = [triton_http.InferRequestedOutput("output_0", binary_data=binary)]
        http = over_http.infer("toy", sent, version, asked, request_id="b")
        np.testing.assert_array_equal(http.as_numpy("output_0"), found.as_numpy("output_0"))
        assert http.get_response()["id"] == "b"


def test_tritonclient_streams_in_order_and_goes_on_after_a_refusal(toys, over_grpc):
    answers = queue.Queue()
    over_grpc.start_stream(lambda result, error: answers.put((result, error)))
    sent = [images(1 + k % 3) for k in range(20)]
    for k, array in enumerate(sent):
        over_grpc.async_stream_infer("toy" if k != 7 else "other", tensors(triton_grpc, array), request_id=str(k))
    for k, array in enumerate(sent):
        result, error = answers.get(timeout=30)
        if k == 7:
            assert "no model 'other'" in str(error)
        else:
            assert result.get_response().id == str(k)
            due = array.reshape(len(array), -1) @ toys["10"][1]
            np.testing.assert_allclose(result.as_numpy("output_0"), due, rtol=1e-4, atol=1e-5)
    over_grpc.stop_stream()


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl_gets_answers_and_sentences(server, toys):
    def curl(path, body=None):
        words = ["curl", "-s", "-w", "\n%{http_code}", f"http://{server.address['http']}{path}"]
        done = subprocess.run(
            [*words, *(["-d", json.dumps(body)] if body else [])],
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
        )
        text, _, status = done.stdout.rpartition("\n")
        return int(status), text

    array = images(2)
    for data in (array.tolist(), array.ravel().tolist()):
        body = {"inputs": [{"name": "activation_0", "datatype": "FP32", "shape": [2, 4, 3], "data": data}]}
        status, text = curl("/v2/models/toy/infer", body)
        assert status == 200
        told = json.loads(text)["outputs"][0]
        assert (told["name"], told["shape"]) == ("output_0", [2, 5])
        due = (array.reshape(2, -1) @ toys["10"][1]).ravel()
        np.testing.assert_allclose(told["data"], due, rtol=1e-4, atol=1e-5)
    assert curl("/v2/health/ready")[0] == 200
    assert curl("/v2")[0] == 200
    assert curl("/v2/models/other")[0] == 404
    assert curl("/nowhere") == (404, '{"error":"Not Found."}')
    body["inputs"][0]["shape"] = [2, 4, 4]
    status, text = curl("/v2/models/toy/infer", body)
    assert status == 400
    assert "shape [2, 4, 4]; [N, 4, 3] is due" in json.loads(text)["error"]
    status, text = curl("/metrics")
    assert status == 200
    assert 'splitward_requests_total{protocol="http",result="answered"}' in text


def test_typed_contents_are_answered_in_kind(stub, toys):
    array = images(2)
    contents = pb.InferTensorContents(fp32_contents=array.ravel().tolist())
    sent = pb.ModelInferRequest.InferInputTensor(
        name="activation_0", datatype="FP32", shape=array.shape, contents=contents
    )
    found = stub.ModelInfer(pb.ModelInferRequest(model_name="toy", inputs=[sent]))
    due = (array.reshape(2, -1) @ toys["10"][1]).ravel()
    np.testing.assert_allclose(list(found.outputs[0].contents.fp32_contents), due, rtol=1e-4, atol=1e-5)
    assert not found.raw_output_contents


@pytest.mark.parametrize("form", ENCODINGS)
def test_every_encoding_is_read(stub, toys, over_http, server, form):
    array = bundles.sendable(images(2), form)
    held = servers.request(array)
    held.raw_input_contents[0] = encode(array, form)
    held.inputs[0].parameters["splitward_encoding"].string_param = form
    due = decode(encode(array, form), form, "float32", array.shape).reshape(2, -1) @ toys["10"][1]
    np.testing.assert_allclose(servers.answer(stub.ModelInfer(held)), due, rtol=1e-4, atol=1e-5)


def test_an_edge_of_another_export_is_refused(stub, public, toys):
    from splitward.runtime.bundle import read_cloud

    held = servers.request(images(1))
    held.parameters["splitward_pairing"].string_param = read_cloud(toys["10"][0], [public]).manifest.pairing
    stub.ModelInfer(held)
    held.parameters["splitward_pairing"].string_param = "0" * 64
    with pytest.raises(grpc.RpcError) as error:
        stub.ModelInfer(held)
    assert error.value.code() is grpc.StatusCode.FAILED_PRECONDITION


@pytest.mark.parametrize("form", ["binary", "json"])
def test_what_is_not_finite_is_refused_with_a_sentence(over_grpc, over_http, form):
    array = images(1)
    array[0, 1, 1] = np.nan
    with pytest.raises(InferenceServerException, match="finite"):
        over_http.infer("toy", tensors(triton_http, array, binary_data=form == "binary"))
    with pytest.raises(InferenceServerException, match="only finite numbers"):
        over_grpc.infer("toy", tensors(triton_grpc, array))


def test_too_large_and_claims_of_2_gb_are_refused(stub, server):
    with pytest.raises(grpc.RpcError) as error:
        stub.ModelInfer(servers.request(np.zeros((1 << 16, *bundles.SHAPE), np.float32)))
    assert error.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    held = servers.request(images(1))
    held.inputs[0].shape[0] = 1 << 31
    with pytest.raises(grpc.RpcError) as error:
        stub.ModelInfer(held)
    assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "1 to 16 are taken at once" in error.value.details()
    stub.ModelInfer(servers.request(images(1)))
