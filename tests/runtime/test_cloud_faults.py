"""A cloud that is killed, restarted, drained, flooded, or left waiting: no wrong answer, and none lost in silence."""

import concurrent.futures
import contextlib
import http.client
import os
import signal
import socket
import threading
import time
from pathlib import Path

import grpc
import numpy as np
import pytest
import zstandard
from tritonclient.grpc import service_pb2_grpc as service

from runtime import bundles, servers

RNG = np.random.default_rng(0)


def image():
    return RNG.standard_normal((1, *bundles.SHAPE)).astype(np.float32)


def options(keys, *more):
    return ("--key", keys / "signing.pub", *more)


def ask(stub, array, matrix, **how):
    """The right answer, or a status; a wrong answer fails the test."""
    try:
        found = stub.ModelInfer(servers.request(array), **how)
    except grpc.RpcError as error:
        return error.code()
    np.testing.assert_allclose(servers.answer(found), array.reshape(1, -1) @ matrix, rtol=1e-4, atol=1e-5)
    return "answered"


def test_what_was_begun_is_finished_and_nothing_new_is(toys, keys):
    """Twenty requests wait half a second for company when SIGTERM comes: all are answered, an idle stream is told."""
    folder, matrix = toys["2"]
    with servers.serving(folder, *options(keys, "--max-delay", 500, "--max-batch", 64)) as running:
        with grpc.insecure_channel(running.address["grpc"]) as channel:
            stub = service.GRPCInferenceServiceStub(channel)
            stream = stub.ModelStreamInfer(iter(threading.Event().wait, True))  # a client that never sends
            images = [image() for _ in range(20)]
            waiting = [stub.ModelInfer.future(servers.request(array)) for array in images]
            time.sleep(0.25)
            running.process.send_signal(signal.SIGTERM)
            for array, answer in zip(images, waiting, strict=True):
                found = servers.answer(answer.result(timeout=10))
                np.testing.assert_allclose(found, array.reshape(1, -1) @ matrix, rtol=1e-4, atol=1e-5)
            with pytest.raises(grpc.RpcError) as error:
                next(stream)
            assert error.value.code() is grpc.StatusCode.UNAVAILABLE
            assert ask(stub, image(), matrix, timeout=5) is grpc.StatusCode.UNAVAILABLE
        assert running.process.wait(15) == 0
        assert any('"stopped"' in line for line in running.lines)


@pytest.mark.parametrize("seconds", [2, pytest.param(600, marks=pytest.mark.slow)])
def test_killed_and_restarted_under_load(toys, keys, seconds):
    """Eight callers while the server is killed again and again at random moments: every answer is right, every other
    call has a status, and two seconds after the server's return they are answered again."""
    folder, matrix = toys["2"]
    port = servers.free_port()
    sent, results, stop = [], [], threading.Event()

    def call(stub, number):
        draws = np.random.default_rng(number)
        while not stop.is_set():
            array = draws.standard_normal((1, *bundles.SHAPE)).astype(np.float32)
            sent.append(1)
            results.append(ask(stub, array, matrix, timeout=2))

    def comes_back(stub):
        start = time.monotonic()
        while ask(stub, image(), matrix, timeout=2) != "answered":
            assert time.monotonic() - start < 2

    backoff = [("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 500)]
    where = (*options(keys), "--grpc", f"127.0.0.1:{port}")
    end = time.monotonic() + seconds
    with grpc.insecure_channel(f"127.0.0.1:{port}", options=backoff) as channel:
        stub = service.GRPCInferenceServiceStub(channel)
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            callers = [pool.submit(call, stub, number) for number in range(8)]
            try:
                while True:
                    with servers.serving(folder, *where, grpc=False, http=False) as running:
                        comes_back(stub)
                        time.sleep(float(RNG.uniform(0.1, 1)))
                        if time.monotonic() > end:
                            break
                        running.process.kill()
                        running.process.wait()
            finally:
                stop.set()
            for caller in callers:
                caller.result(timeout=10)
    assert len(sent) == len(results)
    assert results.count("answered") > 20
    assert set(results) - {"answered"} <= {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}
    assert len(results) > results.count("answered")


def test_a_full_queue_pushes_back_and_a_late_request_is_dropped(toys, keys):
    folder, matrix = toys["2"]
    more = ("--max-delay", 400, "--max-queue", 4)
    with contextlib.ExitStack() as stack:
        running = stack.enter_context(servers.serving(folder, *options(keys, *more)))
        stub = service.GRPCInferenceServiceStub(stack.enter_context(grpc.insecure_channel(running.address["grpc"])))
        with concurrent.futures.ThreadPoolExecutor(12) as pool:
            found = list(pool.map(lambda a: ask(stub, a, matrix), [image() for _ in range(12)]))
        assert found.count("answered") == 4
        assert found.count(grpc.StatusCode.RESOURCE_EXHAUSTED) == 8
        assert ask(stub, image(), matrix, timeout=0.1) is grpc.StatusCode.DEADLINE_EXCEEDED
        held = servers.request(image())
        held.parameters["timeout"].int64_param = 1000  # microseconds, of the protocol
        with pytest.raises(grpc.RpcError, match="did not come in time"):
            stub.ModelInfer(held)
        for _ in range(8):  # those that were cancelled leave the queue
            stub.ModelInfer.future(servers.request(image())).cancel()
        assert ask(stub, image(), matrix) == "answered"


def test_a_taken_port_is_refused(toys, keys, server):
    for option in ("grpc", "http"):
        said = servers.refused(toys["2"][0], *options(keys), f"--{option}", server.address[option])
        assert "can listen there" in said


def test_two_bundles_of_one_name_and_version_are_refused(toys, keys):
    said = servers.refused(toys["2"][0], toys["2"][0], *options(keys), "--grpc", "127.0.0.1:0")
    assert "two bundles are toy version 2" in said


def test_nobody_reads_the_log_and_answers_go_on(toys, keys):
    """Standard error is a pipe that is full: lines are lost, answers are not, whatever the libraries have to say."""
    folder, matrix = toys["2"]
    read, write = os.pipe()
    port, web = servers.free_port(), servers.free_port()
    words = [servers.sys.executable, "-m", "splitward", "cloud", folder, *options(keys), "--grpc", f"127.0.0.1:{port}"]
    words += ["--http", f"127.0.0.1:{web}"]
    os.set_blocking(write, False)
    try:
        while True:
            os.write(write, b"x" * 4096)
    except BlockingIOError:
        os.set_blocking(write, True)
    process = servers.subprocess.Popen(list(map(str, words)), stderr=write)
    try:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            stub = service.GRPCInferenceServiceStub(channel)
            assert ask(stub, image(), matrix, wait_for_ready=True, timeout=60) == "answered"
            with socket.create_connection(("127.0.0.1", web), timeout=10) as client:
                client.sendall(b"no HTTP\r\n\r\n")
                assert client.recv(100).startswith(b"HTTP/1.1 400")
            assert ask(stub, image(), matrix, timeout=5) == "answered"
    finally:
        process.kill()
        process.wait()
        os.close(read)
        os.close(write)


def test_half_a_request_and_silence_harm_nobody(server, toys):
    """Connections that send half a message, or nothing, and stay or are reset; others are answered meanwhile."""
    held = []
    for name in ("grpc", "http"):
        host, port = server.address[name].rsplit(":", 1)
        for start in (b"", b"PRI * HTTP/2.0\r\n", b"POST /v2/models/toy/infer HTTP/1.1\r\nContent-Length: 99\r\n\r\n{"):
            one = socket.create_connection((host, int(port)))
            one.sendall(start)
            held.append(one)
        one = socket.create_connection((host, int(port)))
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # closing it resets it
        one.sendall(b"POST /v2/models/toy/infer HTTP/1.1\r\nContent-Length: 99\r\n\r\n{")
        one.close()
    with grpc.insecure_channel(server.address["grpc"]) as channel:
        stub = service.GRPCInferenceServiceStub(channel)
        assert ask(stub, image(), toys["10"][1], timeout=5) == "answered"
    for one in held:
        one.close()


def resident_mib(process):
    text = Path(f"/proc/{process.pid}/status").read_text()
    return int(text.split("VmRSS:")[1].split()[0]) / 1024


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="resident memory is read from /proc")
def test_hostile_messages_leave_memory_as_it_was(toys, keys):
    """Bombs of 256 MiB, bodies of any length, deep and wide JSON, empty tensors, as large as they may be: 256 MiB more
    at most."""
    bomb = zstandard.ZstdCompressor().compress(bytes(1 << 28))
    packed = servers.request(image())
    packed.raw_input_contents[0] = bomb
    packed.inputs[0].parameters["splitward_encoding"].string_param = "zstd"
    large = servers.request(np.zeros((1 << 14, *bundles.SHAPE), np.float32))
    empty = b"\x0a\x03toy" + b"\x2a\0" * ((1 << 19) - 3)  # as many inputs, each of nothing
    texts = [b"[" * (1 << 20), b"[" + b"0," * (1 << 19) + b"0]", b'{"a":' * (1 << 17), b"x" * (1 << 22)]
    with contextlib.ExitStack() as stack:
        running = stack.enter_context(servers.serving(toys["2"][0], *options(keys)))
        channel = stack.enter_context(grpc.insecure_channel(running.address["grpc"]))
        stub = service.GRPCInferenceServiceStub(channel)
        infer = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        pool = stack.enter_context(concurrent.futures.ThreadPoolExecutor(8))

        def post(text):
            host, port = running.address["http"].rsplit(":", 1)
            one = http.client.HTTPConnection(host, int(port), timeout=30)
            with contextlib.suppress(OSError):  # it may hang up on a body that is too long
                one.request("POST", "/v2/models/toy/infer", text)
                assert one.getresponse().status in (400, 413)

        assert ask(stub, image(), toys["2"][1]) == "answered"
        before, most = resident_mib(running.process), 0.0
        for _ in range(5):
            for held in (packed.SerializeToString(), large.SerializeToString(), empty):
                calls = [infer.future(held) for _ in range(8)]
                assert {c.code() for c in calls} <= {
                    grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.RESOURCE_EXHAUSTED
                }  # fmt: skip
            list(pool.map(post, texts * 2))
            most = max(most, resident_mib(running.process))
        assert most - before < 256
        assert ask(stub, image(), toys["2"][1]) == "answered"
