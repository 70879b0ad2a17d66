"""A cloud that is killed, restarted, drained, flooded, or left waiting: no wrong answer, and none lost in silence."""

import concurrent.futures
import contextlib
import os
import signal
import socket
import threading
import time

import grpc
import numpy as np
import pytest
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


def test_killed_and_restarted_under_load(toys, keys):
    """Eight callers while the server is killed twice: every answer is right, every other call has a status, and two
    seconds after its return all are answered again."""
    folder, matrix = toys["2"]
    port = servers.free_port()
    where = ("--grpc", f"127.0.0.1:{port}")
    counts, stop, lock = {"sent": 0, "answered": 0, "failed": 0}, threading.Event(), threading.Lock()

    def call(stub):
        while not stop.is_set():
            with lock:
                array = image()
            result = ask(stub, array, matrix, timeout=2)
            with lock:
                counts["sent"] += 1
                counts["answered" if result == "answered" else "failed"] += 1

    backoff = [("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 500)]
    with grpc.insecure_channel(f"127.0.0.1:{port}", options=backoff) as channel:
        stub = service.GRPCInferenceServiceStub(channel)
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            for round_ in range(2):
                with servers.serving(folder, *options(keys), *where, grpc=False, http=False) as running:
                    if round_ == 0:
                        callers = [pool.submit(call, stub) for _ in range(8)]
                    back = time.monotonic()
                    while ask(stub, image(), matrix, timeout=2) != "answered":
                        assert time.monotonic() - back < 2
                    time.sleep(0.5)
                    running.process.kill()
                    running.process.wait()
                time.sleep(0.2)
            with servers.serving(folder, *options(keys), *where, grpc=False, http=False):
                back = time.monotonic()
                while ask(stub, image(), matrix, timeout=2) != "answered":
                    assert time.monotonic() - back < 2
                stop.set()
                for caller in callers:
                    caller.result(timeout=10)
    assert counts["sent"] == counts["answered"] + counts["failed"]
    assert counts["answered"] > 20
    assert counts["failed"] > 0


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
    """Standard error is a pipe that is full: lines are lost, answers are not."""
    folder, matrix = toys["2"]
    read, write = os.pipe()
    port = servers.free_port()
    words = [servers.sys.executable, "-m", "splitward", "cloud", folder, *options(keys), "--grpc", f"127.0.0.1:{port}"]
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
