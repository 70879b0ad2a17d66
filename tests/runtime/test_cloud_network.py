"""Our cloud behind a hostile network, asked by clients that are not ours: every outcome is a right answer or a status,
whoever is not hit is answered all the while, and when it is over all are answered within 2 s."""

import concurrent.futures
import contextlib
import http.client
import json
import socket
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import grpc
import numpy as np
import pytest
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc as service

from runtime import bundles, servers
from runtime.clouds import between
from runtime.test_cloud_faults import resident_mib

CALLERS, EACH, PATIENCE_S, BACK_S = 4, 4, 1.0, 2.0


def images(number, count=EACH):
    draws = np.random.default_rng(number)
    return [draws.standard_normal((1, *bundles.SHAPE)).astype(np.float32) for _ in range(count)]


def checked(found, array, matrix):
    return "right" if np.allclose(found, array.reshape(1, -1) @ matrix, rtol=1e-4, atol=1e-5) else "wrong"


def unary(port, number, matrix):
    with grpc.insecure_channel(f"127.0.0.1:{port}", [("grpc.use_local_subchannel_pool", 1)]) as channel:
        stub = service.GRPCInferenceServiceStub(channel)
        for array in images(number):
            try:
                found = stub.ModelInfer(servers.request(array), timeout=PATIENCE_S)
                yield checked(servers.answer(found), array, matrix)
            except grpc.RpcError as error:
                yield error.code().name


def stream(port, number, matrix):
    """Four requests a stream; those that it leaves without an answer have its status."""
    arrays = images(number)
    with grpc.insecure_channel(f"127.0.0.1:{port}", [("grpc.use_local_subchannel_pool", 1)]) as channel:
        stub = service.GRPCInferenceServiceStub(channel)
        for start in range(0, EACH, 4):
            part, answered = arrays[start : start + 4], 0
            try:
                answers = stub.ModelStreamInfer(map(servers.request, part), timeout=PATIENCE_S)
                for array, found in zip(part, answers, strict=False):
                    answered += 1
                    yield checked(servers.answer(found.infer_response), array, matrix)
            except grpc.RpcError as error:
                yield from [error.code().name] * (len(part) - answered)


def over_http(port, number, matrix):
    """A connection for each request."""
    for array in images(number):
        claim = {"name": "activation_0", "datatype": "FP32", "shape": array.shape, "data": array.ravel().tolist()}
        one = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
        try:
            one.request("POST", "/v2/models/toy/versions/2/infer", json.dumps({"inputs": [claim]}))
            found = json.loads(one.getresponse().read())["outputs"][0]["data"]
            yield checked(np.array([found]), array, matrix)
        except (OSError, http.client.HTTPException) as error:
            yield type(error).__name__
        finally:
            one.close()


WAYS = {"unary": ("grpc", unary), "stream": ("grpc", stream), "http": ("http", over_http)}
TOLD = {"UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED", "INTERNAL", "UNKNOWN"} | {
    "TimeoutError", "ConnectionResetError", "RemoteDisconnected", "BrokenPipeError", "IncompleteRead",
    "ConnectionRefusedError",
}  # fmt: skip
"""What an unanswered request ends with."""


@pytest.fixture(scope="module")
def cloud(toys, keys):
    with servers.serving(toys["2"][0], "--key", keys / "signing.pub") as running:
        yield running


@pytest.fixture(params=WAYS)
def scene(request, cloud, toys):
    """(ask through the proxy, ask directly, the proxy): each ask returns a tally of ``CALLERS`` at once."""
    protocol, way = WAYS[request.param]
    direct = int(cloud.address[protocol].rsplit(":", 1)[1])
    matrix = toys["2"][1]

    def ask(port, callers=CALLERS):
        with concurrent.futures.ThreadPoolExecutor(callers) as pool:
            return sum(pool.map(lambda number: Counter(way(port, number, matrix)), range(callers)), Counter())

    with between(direct) as proxy:
        yield lambda: ask(proxy.port), lambda: ask(direct, 1), proxy
    end = time.monotonic() + 15
    while "splitward_in_flight 0.0" not in metrics(cloud):  # nothing is held for those who are gone
        assert time.monotonic() < end
        time.sleep(0.1)


def metrics(cloud):
    host, port = cloud.address["http"].rsplit(":", 1)
    one = http.client.HTTPConnection(host, int(port), timeout=10)
    with contextlib.closing(one):
        one.request("GET", "/metrics")
        return one.getresponse().read().decode()


def sound(tally):
    assert sum(tally.values()) == CALLERS * EACH
    assert set(tally) <= TOLD | {"right"}, tally


def back(ask, proxy):
    """All is well again, and soon."""
    proxy.delay_s, proxy.drop, proxy.silent, proxy.cut_after, proxy.slow = 0.0, 0.0, False, None, None
    start = time.monotonic()
    assert ask() == {"right": CALLERS * EACH}
    assert time.monotonic() - start < BACK_S


def test_delay(scene):
    ask, _, proxy = scene
    proxy.delay_s = 0.02
    assert ask() == {"right": CALLERS * EACH}


def test_a_fifth_of_the_connections_is_lost(scene):
    ask, direct, proxy = scene
    proxy.drop = 0.2
    tally = sum((ask() for _ in range(5)), Counter())
    assert sum(tally.values()) == 5 * CALLERS * EACH
    assert set(tally) <= TOLD | {"right"}, tally
    assert tally["right"] > 2 * CALLERS * EACH
    assert direct() == {"right": EACH}
    back(ask, proxy)


def test_half_open(scene):
    """Connections stand, and nothing comes."""
    ask, direct, proxy = scene
    assert ask() == {"right": CALLERS * EACH}
    proxy.silent = True
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(ask)
        assert direct() == {"right": EACH}
        tally = waiting.result()
    sound(tally)
    assert tally["right"] == 0
    back(ask, proxy)


def test_reset_in_the_middle_of_a_message(scene):
    ask, direct, proxy = scene
    proxy.cut_after = 400
    tally = ask()
    sound(tally)
    assert tally["right"] < CALLERS * EACH
    assert direct() == {"right": EACH}
    back(ask, proxy)


def test_a_slow_reader(scene):
    ask, direct, proxy = scene
    proxy.slow = 2000
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(ask)
        assert direct() == {"right": EACH}
        sound(waiting.result())
    proxy.reset()
    back(ask, proxy)


def test_a_stream_that_never_reads_fills_no_memory(cloud, toys):
    """Requests without end, and no answer is taken: the server stops reading, and answers others."""
    before, sent, end = resident_mib(cloud.process), 0, time.monotonic() + 5
    with grpc.insecure_channel(cloud.address["grpc"]) as channel:

        def requests():
            nonlocal sent
            while sent < 10**6 and time.monotonic() < end:
                sent += 1
                yield servers.request(images(0, 1)[0])

        held = service.GRPCInferenceServiceStub(channel).ModelStreamInfer(requests())
        time.sleep(max(0, end - time.monotonic()))
        others_are_answered(cloud, toys)
        held.cancel()
    assert sent > 100
    assert resident_mib(cloud.process) - before < 64


TEXT = json.dumps({"inputs": [{"name": "activation_0", "datatype": "FP32", "shape": [1, 4, 3], "data": [0] * 12}]})
LINE = "POST /v2/models/toy/infer HTTP/1.1\r\nHost: x\r\n"
WHOLE = f"{LINE}Content-Length: {len(TEXT)}\r\n\r\n{TEXT}"


def others_are_answered(cloud, toys):
    assert Counter(unary(int(cloud.address["grpc"].rsplit(":", 1)[1]), 1, toys["2"][1])) == {"right": EACH}


@pytest.mark.parametrize(
    ("first", "more"),
    [
        ("", WHOLE * 100), (LINE, "a:b\r\n" * 20_000), (LINE + "a: ", "b" * 100_000), ("POST /", "b" * 100_000),
        (LINE + "Transfer-Encoding: chunked\r\n\r\n0\r\n", "a:b\r\n" * 20_000),
        (LINE + "Transfer-Encoding: chunked\r\n\r\n0;", "b" * 100_000),
    ],
    ids=["requests", "headers", "a header", "a path", "trailers", "an extension of a chunk"],
)  # fmt: skip
def test_what_has_no_end_over_http_is_hung_up_on(cloud, toys, first, more):
    host, port = cloud.address["http"].rsplit(":", 1)
    before, end = resident_mib(cloud.process), time.monotonic() + 5
    with socket.create_connection((host, int(port)), timeout=1) as client:
        client.sendall(first.encode())

        def go_on():
            while time.monotonic() < end:
                client.sendall(more.encode())

        with pytest.raises(OSError, match=r"reset|Broken pipe"):
            go_on()
    others_are_answered(cloud, toys)
    assert resident_mib(cloud.process) - before < 64


def test_a_few_requests_behind_one_another_are_answered_in_order(cloud):
    host, port = cloud.address["http"].rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=10) as client:
        client.sendall((WHOLE * 8).encode())
        received = b""
        while received.count(b"HTTP/1.1 200") < 8 or not received.endswith(b"}"):
            received += (data := client.recv(65536))
            assert data


def stands(connection):
    """Whether it was neither closed nor reset."""
    connection.settimeout(0.2)
    try:
        return connection.recv(1) != b""
    except TimeoutError:
        return True
    except ConnectionResetError:
        return False


def test_connections_are_held_up_to_twice_the_limit(toys, keys):
    """Those beyond the limit are told 503, those beyond that nothing."""
    with servers.serving(toys["2"][0], "--key", keys / "signing.pub", "--max-concurrent", 4) as running:
        host, port = running.address["http"].rsplit(":", 1)
        with contextlib.ExitStack() as stack:
            held = [stack.enter_context(socket.create_connection((host, int(port)))) for _ in range(20)]
            assert [stands(one) for one in held] == [True] * 8 + [False] * 12
            held[0].settimeout(10)
            held[0].sendall(WHOLE.encode())
            assert held[0].recv(100).startswith(b"HTTP/1.1 503")
        others_are_answered(running, toys)


LIMITED = """
import resource
from splitward.cli.main import main
resource.setrlimit(resource.RLIMIT_FSIZE, (256, 256))  # no file grows beyond
main()
"""


@pytest.mark.parametrize("where", ["/dev/full", "a file that may not grow"])
def test_the_disk_of_the_log_is_full(toys, keys, tmp_path, where):
    """Lines are lost, answers are not, and it stops in order."""
    if where == "/dev/full" and not Path(where).exists():
        pytest.skip("there is no /dev/full")
    file = Path(where) if where == "/dev/full" else tmp_path / "log"
    folder, matrix = toys["2"]
    port = servers.free_port()
    start = LIMITED if file.parent == tmp_path else "from splitward.cli.main import main; main()"
    words = ["cloud", folder, "--key", keys / "signing.pub", "--grpc", f"127.0.0.1:{port}"]
    with file.open("w") as full:
        process = subprocess.Popen([sys.executable, "-c", start, *map(str, words)], stderr=full)
    try:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            stub = service.GRPCInferenceServiceStub(channel)
            stub.ServerLive(pb.ServerLiveRequest(), wait_for_ready=True, timeout=servers.WAIT_S)
            assert Counter(unary(port, 0, matrix)) == {"right": EACH}
        process.terminate()
        assert process.wait(servers.WAIT_S) == 0
    finally:
        process.kill()
        process.wait()
    if file.parent == tmp_path:
        assert file.stat().st_size == 256
