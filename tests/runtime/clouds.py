"""Clouds for tests of the device, on the raw stubs of the protocol and independent of ours; and a hostile network."""

import contextlib
import socket
import threading
import time
from concurrent import futures

import grpc
import numpy as np
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc as rpc

from runtime.bundles import SHAPE, cloud_manifest, edge_cut, linear, model, value
from splitward.runtime import encoding
from splitward.runtime import manifest as m
from splitward.runtime.bundle import Bundle, describe


class MinimalServer(rpc.GRPCInferenceServiceServicer):
    """The protocol and nothing else: one model, (N, 4, 3) FP32 times a matrix, plain tensors only.

    ``answers``: what to make of a request instead. ``seen``: every request's id and raw bytes.
    """

    extensions = ()

    def __init__(self, weights, answers=None, contents=False):
        self.weights, self.answers, self.contents = weights, answers, contents
        self.seen, self.lock = [], threading.Lock()

    def ServerLive(self, request, context):  # noqa: N802 - the protocol's names
        return pb.ServerLiveResponse(live=True)

    def ServerMetadata(self, request, context):  # noqa: N802
        return pb.ServerMetadataResponse(name="minimal", version="1", extensions=self.extensions)

    def ModelInfer(self, request, context):  # noqa: N802
        with self.lock:
            self.seen.append((request.id, bytes(b"".join(request.raw_input_contents))))
        if self.answers is not None:
            made = self.answers(request, context)
            if made is not None:
                return made
        return self.answer(request)

    def read(self, request):
        assert not request.inputs[0].parameters
        return np.frombuffer(request.raw_input_contents[0], "<f4").reshape(request.inputs[0].shape)

    def answer(self, request):
        result = (self.read(request).reshape(request.inputs[0].shape[0], -1) @ self.weights).astype("<f4")
        response = pb.ModelInferResponse(model_name=request.model_name, model_version="1", id=request.id)
        output = response.outputs.add(name="output_0", datatype="FP32", shape=result.shape)
        if self.contents:
            output.contents.fp32_contents.extend(result.flatten().tolist())
        else:
            response.raw_output_contents.append(result.tobytes())
        return response

    def ModelStreamInfer(self, requests, context):  # noqa: N802
        for request in requests:
            yield pb.ModelStreamInferResponse(infer_response=self.ModelInfer(request, context))


class ExtendedServer(MinimalServer):
    """The same with our encodings."""

    extensions = (encoding.PARAMETER,)

    def read(self, request):
        stated = request.inputs[0].parameters[encoding.PARAMETER].string_param
        return encoding.decode(request.raw_input_contents[0], stated, "float32", tuple(request.inputs[0].shape))


@contextlib.contextmanager
def served(servicer, port=0, credentials=None):
    """The port at which it is served, until the block ends; then every connection is cut."""
    server = grpc.server(futures.ThreadPoolExecutor(8), options=[("grpc.so_reuseport", 0)])
    rpc.add_GRPCInferenceServiceServicer_to_server(servicer, server)
    address = f"127.0.0.1:{port}"
    port = server.add_secure_port(address, credentials) if credentials else server.add_insecure_port(address)
    server.start()
    try:
        yield port
    finally:
        server.stop(0).wait()


class Proxy:
    """TCP between a device and a cloud, on the loopback, which can be made hostile at any moment.

    ``delay_s``: of what goes to the cloud. ``drop``: share of new connections that are cut at once. ``silent``: nothing
    is passed on, and connections stay open. ``cut_after``: bytes to the cloud after which a connection is reset.
    ``slow``: bytes a second at which answers are passed on.
    """

    def __init__(self, target):
        self.target = target
        self.delay_s, self.drop, self.silent, self.cut_after, self.slow = 0.0, 0.0, False, None, None
        self.random = np.random.default_rng(0)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.open, self.connections, self.stopped = set(), 0, False
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while not self.stopped:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            if self.random.random() < self.drop:
                near.close()
                continue
            try:
                far = socket.create_connection(("127.0.0.1", self.target), timeout=1)
                far.settimeout(None)
            except OSError:
                near.close()
                continue
            self.open |= {near, far}
            threading.Thread(target=self._pass, args=(near, far, True), daemon=True).start()
            threading.Thread(target=self._pass, args=(far, near, False), daemon=True).start()

    def _pass(self, source, sink, up):
        passed = 0
        with contextlib.suppress(OSError):
            while data := source.recv(65536 if up or not self.slow else 256):
                while self.silent and not self.stopped:
                    time.sleep(0.01)
                if up:
                    time.sleep(self.delay_s)
                    passed += len(data)
                    if self.cut_after is not None and passed > self.cut_after:
                        sink.sendall(data[: len(data) // 2])
                        break
                elif self.slow:
                    time.sleep(len(data) / self.slow)
                sink.sendall(data)
        for one in (source, sink):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
            self.open.discard(one)

    def reset(self):
        """Cut every connection with a reset."""
        for one in list(self.open):
            with contextlib.suppress(OSError):
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
                one.shutdown(socket.SHUT_RDWR)
                one.close()
            self.open.discard(one)

    def close(self):
        self.stopped = True
        self.listener.close()
        self.reset()


@contextlib.contextmanager
def between(target):
    proxy = Proxy(target)
    try:
        yield proxy
    finally:
        proxy.close()


def toy(defence="none", observations=1, cuts=1, **changes):
    """An edge bundle, as it is after reading, whose half passes values on; and the cloud's matrix (12, 5).

    Pixels (1, 4, 3) are normalised to [-1, 1] and cross as (4, 3).
    """
    half, weights = linear()
    cloud = cloud_manifest(half)
    edge = model(
        [value("values_0", (1, 4, 3))],
        [value("activation_0", SHAPE)],
        [_node("Squeeze", ["values_0", "axis"])],
        [_axis()],
    )
    audited = m.Audited(
        record_sha256="0" * 64, weights_sha256="0" * 64, quantisation="float32", observations=observations,
        verdict=None, no_verdict="a test",
    )  # fmt: skip
    files = {"edge-1.onnx": edge, "cloud-1.onnx": half}
    fields = {"defence": defence, "audited": audited, "ranges": ((-4.0, 4.0),), "offline": "cloud-1.onnx"} | changes
    if fields["offline"] is None:
        del files["cloud-1.onnx"]
    made = [edge_cut(cloud, **fields | {"cut": f"cut-{k}"}) for k in range(1, cuts + 1)]
    manifest = m.EdgeManifest(
        name="toy", version="1", created="2026-01-01T00:00:00+00:00", versions={"splitward": "0"}, opset=20,
        input=m.Tensor(name="pixels", dtype="float32", shape=(1, 4, 3)),
        normalise=m.Normalisation(mean=(0.5,), std=(0.5,)), cuts=tuple(made), files=describe(files),
    )  # fmt: skip
    return Bundle(manifest, files, "0" * 64), weights


def _node(kind, inputs):
    from onnx import helper

    return helper.make_node(kind, inputs, ["activation_0"])


def _axis():
    from onnx import TensorProto, helper

    return helper.make_tensor("axis", TensorProto.INT64, (1,), [1])


def pictures(count, seed=0):
    return np.random.default_rng(seed).random((count, 1, 4, 3)).astype(np.float32)


def due(images, weights):
    """What the whole model answers."""
    return (2 * images - 1).reshape(len(images), -1) @ weights
