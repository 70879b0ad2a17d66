"""A pickle in the place of whatever is read is refused, and what it would do is not done.

``test_no_pickle.py`` beside the packages looks for what could.
"""

import contextlib
import http.client
import io
import pickle
import sqlite3
import zipfile
from pathlib import Path

import grpc
import pytest
import zstandard
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tritonclient.grpc import service_pb2 as pb

from runtime import bundles
from runtime.clouds import MinimalServer, pictures, served, toy
from splitward.core.errors import BundleError, CloudError, LedgerError, RecordError
from splitward.runtime import bundle, encoding, recording, signing
from splitward.runtime.edge import Edge
from splitward.runtime.half import Half
from splitward.runtime.ledger import Ledger
from splitward.runtime.remote import Remote
from splitward.runtime.retry import Patience
from splitward.runtime.session import Session
from splitward.runtime.wire import Packing

HEADER = "Inference-Header-Content-Length"


class Bomb:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.fixture
def mark(tmp_path):
    """What a bomb makes; it must not be there in the end."""
    path = tmp_path / "it ran"
    yield path
    assert not path.exists()


@pytest.fixture
def payloads(mark):
    """The bomb in every protocol of pickle, and as ``torch.save`` would write it."""
    plain = [pickle.dumps(Bomb(mark), protocol) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)]
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("archive/data.pkl", plain[2])
        file.writestr("archive/version", "3\n")
    return [*plain, archive.getvalue()]


def test_the_bomb_is_a_real_one(tmp_path, payloads, mark):
    for payload in payloads[:-1]:
        pickle.loads(payload)
        mark.unlink()


def test_in_a_bundle_that_is_signed_rightly(tmp_path, payloads):
    key = Ed25519PrivateKey.generate()
    for number, payload in enumerate(payloads):
        bundles.write_cloud(folder := tmp_path / f"manifest{number}", key)
        (folder / bundle.MANIFEST).write_bytes(payload)
        (folder / bundle.SIGNATURE).write_bytes(signing.sign(key, payload))
        with pytest.raises(BundleError, match="not readable JSON"):
            bundle.read_cloud(folder, [key.public_key()])
        manifest = bundles.cloud_manifest(payload)
        bundle.write_bundle(tmp_path / f"half{number}", manifest, {"cloud.onnx": payload}, key)
        found = bundle.read_cloud(tmp_path / f"half{number}", [key.public_key()])
        with pytest.raises(BundleError, match="no model"):
            Session(found.contents["cloud.onnx"], manifest.activation, manifest.outputs)
        edge = bundles.edge_manifest({"edge-1.onnx": payload}, bundles.edge_cut(manifest))
        bundle.write_bundle(tmp_path / f"edge{number}", edge, {"edge-1.onnx": payload}, key)
        found = bundle.read_edge(tmp_path / f"edge{number}", [key.public_key()])
        with pytest.raises(BundleError, match="no model"):
            Half(found, edge.cuts[0], None, Packing()).load()


def test_in_a_key(tmp_path, payloads):
    for payload in payloads:
        (tmp_path / "key").write_bytes(payload)
        for read in (signing.trusted_key, signing.signing_key):
            with pytest.raises(BundleError):
                read(tmp_path / "key")


def test_in_a_recording(tmp_path, payloads):
    manifest = toy()[0].manifest
    about = recording.About(bundle_sha256="0" * 64, keyed=False, cuts=manifest.cuts)
    file = tmp_path / "wire"
    for payload in payloads:
        framed = len(payload).to_bytes(4, "little") + payload
        recorder = recording.Recorder(tmp_path / "whole", about)
        recorder.keep(payload, manifest.cuts[0].cut, ("0" * 64,), 1.0, 1, 0)
        recorder.close()
        whole = (tmp_path / "whole").read_bytes()
        (tmp_path / "whole").unlink()
        for content in (payload, recording.MAGIC + payload, recording.MAGIC + framed, whole):
            file.write_bytes(content)
            with pytest.raises(RecordError):
                recording.read(file)


def test_in_a_ledger(tmp_path, payloads):
    for number, payload in enumerate(payloads):
        file = tmp_path / f"ledger{number}"
        file.write_bytes(payload)
        with pytest.raises(LedgerError):
            Ledger(file)
        good = Ledger(tmp_path / f"good{number}")
        good.release([b"a"], 5, b"how", repeats=True)
        good.close()
        with sqlite3.connect(good.path) as db:
            db.execute("UPDATE releases SET input = ?, how = ?", (payload, payload))
        with contextlib.closing(Ledger(good.path)) as again:
            assert again.release([b"a"], 5, b"how", repeats=True) == [1]
            assert again.summary().inputs == 2
        with sqlite3.connect(good.path) as db:
            db.execute("UPDATE about SET value = ?", (payload,))
        with pytest.raises(LedgerError):
            Ledger(good.path)


def messages(payload):
    """Requests over gRPC with the payload in every place."""
    yield payload
    for how in ("", *encoding.ENCODINGS):
        request = pb.ModelInferRequest(model_name="toy", raw_input_contents=[payload])
        entry = request.inputs.add(name="activation_0", datatype="FP32", shape=[1, *bundles.SHAPE])
        if how:
            entry.parameters[encoding.PARAMETER].string_param = how
        yield request.SerializeToString()
        if how.endswith("zstd"):
            request.raw_input_contents[0] = zstandard.ZstdCompressor().compress(payload[:48].ljust(48, b"\0"))
            yield request.SerializeToString()
    request = pb.ModelInferRequest(model_name="toy")
    entry = request.inputs.add(name="activation_0", datatype="BYTES", shape=[1])
    entry.contents.bytes_contents.append(payload)
    yield request.SerializeToString()
    entry.parameters["pickle"].string_param = "true"
    entry.datatype = "FP32"
    yield request.SerializeToString()


def test_in_a_message_to_the_cloud(server, payloads):
    with grpc.insecure_channel(server.address["grpc"]) as channel:
        infer = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        for payload in payloads:
            for message in messages(payload):
                status = infer.future(message, timeout=10).code()
                assert status in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.OK)  # 48 bytes may be numbers
    host, port = server.address["http"].rsplit(":", 1)
    claim = (
        b'{"inputs":[{"name":"activation_0","datatype":"FP32","shape":[1,4,3],"parameters":{"binary_data_size":%d}}]}'
    )
    for payload in payloads:
        text = claim % len(payload)
        for body, header in ((payload, None), (text + payload, str(len(text)))):
            one = http.client.HTTPConnection(host, int(port), timeout=10)
            for kind in ("application/json", "application/octet-stream", "application/x-pickle"):
                headers = {"Content-Type": kind} | ({} if header is None else {HEADER: header})
                one.request("POST", "/v2/models/toy/infer", body, headers)
                answer = one.getresponse()
                assert answer.status == 400
                assert b'"error"' in answer.read()


def test_in_an_answer_to_the_device(tmp_path, payloads):
    edge_bundle, weights = toy("none")
    made = []

    def answers(request, context):
        right = server.answer(request)
        del right.raw_output_contents[:]
        if len(made) % 2:
            right.raw_output_contents.append(made[-1])
        else:
            right.outputs[0].contents.bytes_contents.append(made[-1])
        return right

    server = MinimalServer(weights, answers)
    with served(server) as port:
        remote = Remote(f"127.0.0.1:{port}", patience=Patience(deadline_s=2))
        with Edge(edge_bundle, remote, tmp_path / "ledger") as edge:
            for seed, payload in enumerate([*payloads, *payloads[:-1]]):
                made.append(payload)
                with pytest.raises(CloudError):
                    edge.infer(pictures(1, seed))
