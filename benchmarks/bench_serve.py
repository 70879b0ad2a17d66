"""The cloud: latency against a bare echo, throughput with and without batching, and memory over many requests.

    python benchmarks/bench_serve.py [--requests 3000] [--callers 64] [--memory 200000] [--only-memory]
                                     [--kserve PYTHON] [--mlserver PYTHON]

Everything is measured in one run on this machine over the loopback, each server in a process of its own. The echo is a
gRPC server of the same kind (one event loop) that returns the bytes that it got; its client and ours are the same, and
send bytes that were serialised before. "Model" is one run of the half in ONNX Runtime on one sample, alone. Blocks of
both servers alternate, so that what else the machine does falls on both. ``--kserve`` and ``--mlserver``: the Python of
an environment that has that package and onnxruntime; without it that server is left out, and that is said.

The load generator is this script, in Python and on one thread: where it saturates before a server does, the throughput
is the generator's. Its own limit, against the echo, is printed beside.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import torch
from bench_plan import Block
from serve_echo import METHOD, STREAM
from torch import nn
from tritonclient.grpc import service_pb2 as pb

from splitward.data.dataset import load as load_data
from splitward.deploy.export import EXAMPLES, onnx_halves
from splitward.deploy.halves import OnnxHalf, to_onnx
from splitward.models.zoo import load_model
from splitward.runtime.bundle import describe, write_bundle
from splitward.runtime.certificates import make_certificates
from splitward.runtime.manifest import CloudManifest
from splitward.runtime.session import Session
from splitward.runtime.signing import make_pair, signing_key
from splitward.split.halves import split

HERE = Path(__file__).parent
BLOCKS, WARM = 5, 50


@dataclass(frozen=True)
class Work:
    """A half, where its bundle lies, and a serialised request of one sample."""

    name: str
    half: OnnxHalf
    folder: Path
    request: bytes

    @property
    def kib(self) -> float:
        return sum(t.bytes_per_sample for t in self.half.inputs) / 1024


@dataclass(frozen=True)
class Server:
    """A process and where it listens."""

    process: subprocess.Popen[str]
    address: str


def halves() -> Iterator[tuple[str, OnnxHalf]]:
    victim, data = load_model("lenet5", data="digits"), load_data("digits")
    images = data.public[torch.arange(EXAMPLES)].images
    yield "lenet5 at ReLU2", onnx_halves(split(victim.model, images, at="ReLU2"), images)[1]
    wide = nn.Sequential(nn.Conv2d(64, 16, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16 * 36, 10))
    yield "a 16 KiB activation", to_onnx(wide, [torch.rand(3, 64, 8, 8)], "activation", "output")
    blocks = nn.Sequential(
        Block(128, 256, 2), Block(256, 256, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(256, 10)
    )
    yield "a ResNet half (128x28x28)", to_onnx(blocks.eval(), [torch.rand(3, 128, 28, 28)], "activation", "output")


def works(folder: Path) -> list[Work]:
    make_pair(folder / "keys")
    key = signing_key(folder / "keys" / "signing.key")
    draws, found = np.random.default_rng(0), []
    for number, (name, half) in enumerate(halves()):
        place, contents = folder / f"bundle{number}", {"cloud.onnx": half.model}
        about = CloudManifest(
            name="served", version="1", versions={}, opset=20, half="cloud.onnx", activation=half.inputs,
            outputs=half.outputs, files=describe(contents),
        )  # fmt: skip
        write_bundle(place, about, contents, key)
        request = pb.ModelInferRequest(model_name="served")
        for tensor in half.inputs:
            request.inputs.add(name=tensor.name, datatype="FP32", shape=[1, *tensor.shape])
            request.raw_input_contents.append(draws.random((1, *tensor.shape), np.float32).tobytes())
        found.append(Work(name, half, place, request.SerializeToString()))
    return found


@contextlib.contextmanager
def started(words: list[str], ready: str = "ready") -> Iterator[Server]:
    """A server on a free port, which it prints in a line with ``"address"``, or which is the last word."""
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env=os.environ | {"PYTHONUNBUFFERED": "1"})
    address, lines = "", []
    assert process.stderr
    for line in process.stderr:
        lines.append(line)
        if '"address": "' in line:
            address = line.split('"address": "')[1].split('"')[0]
        if ready in line:
            break
    else:
        raise SystemExit("".join(lines))
    threading.Thread(target=process.stderr.read, daemon=True).start()  # a full pipe would stop a server that logs
    try:
        yield Server(process, address)
    finally:
        process.kill()
        process.wait()


def cloud(work: Work, folder: Path, *more: str) -> contextlib.AbstractContextManager[Server]:
    words = [
        sys.executable,
        "-m",
        "splitward",
        "cloud",
        str(work.folder),
        "--key",
        str(folder / "keys" / "signing.pub"),
    ]
    return started([*words, "--grpc", "127.0.0.1:0", *more])


def echo(*more: str) -> contextlib.AbstractContextManager[Server]:
    return started([sys.executable, str(HERE / "serve_echo.py"), *more])


def channel(address: str, tls: Path | None) -> grpc.Channel:
    if tls is None:
        return grpc.insecure_channel(address)
    files = [(tls / name).read_bytes() for name in ("ca.pem", "client.key", "client.pem")]
    return grpc.secure_channel(address, grpc.ssl_channel_credentials(*files))


def unary(address: str, request: bytes, tls: Path | None, count: int) -> list[float]:
    """Seconds of each of ``count`` calls, one after the other."""
    with channel(address, tls) as one:
        call = one.unary_unary(METHOD)
        for _ in range(WARM):
            call(request)
        return [timed(lambda: call(request)) for _ in range(count)]


def stream(address: str, request: bytes, tls: Path | None, count: int) -> list[float]:
    """The same in one stream, each answer awaited before the next request."""
    with channel(address, tls) as one:
        waiting: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        answers = one.stream_stream(STREAM)(iter(waiting.get, None))

        def turn() -> None:
            waiting.put(request)
            next(answers)

        for _ in range(WARM):
            turn()
        found = [timed(turn) for _ in range(count)]
        waiting.put(None)
        return found


def timed(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def percentiles(seconds: list[float]) -> tuple[float, float]:
    p50, p99 = np.percentile(seconds, [50, 99]) * 1e3
    return float(p50), float(p99)


def latency(work: Work, folder: Path, tls: Path | None, count: int, model_ms: float) -> None:
    secured = ["--tls", str(tls)] if tls else []
    with echo(*secured) as bare, cloud(work, folder, *secured) as ours:
        found: dict[str, list[float]] = {name: [] for name in ("echo", "unary", "echo stream", "stream")}
        spent = dict.fromkeys(found, 0.0)
        for _ in range(BLOCKS):
            for name in found:
                measure, server = (stream if "stream" in name else unary), (bare if "echo" in name else ours)
                before = cpu_seconds(server.process.pid)
                found[name] += measure(server.address, work.request, tls, count // BLOCKS)
                spent[name] += cpu_seconds(server.process.pid) - before
    p50 = {name: percentiles(seconds)[0] for name, seconds in found.items()}
    for name, seconds in found.items():
        calls = len(seconds) + BLOCKS * WARM
        print(f"    {name:12} p50 {p50[name]:6.3f} ms   p99 {percentiles(seconds)[1]:7.3f} ms   ", end="")
        print(f"{spent[name] / calls * 1e6:4.0f} us of the server's processor   (n = {len(seconds)})")
    over = p50["unary"] - p50["echo"] - model_ms
    print(f"    unary: echo + model + {over:.3f} ms (goal: at most 0.150)   ", end="")
    print(f"stream without the model / unary: {(p50['stream'] - model_ms) / p50['unary']:.2f} (goal: at most 0.60)")


async def load(address: str, request: bytes, callers: int, count: int) -> float:
    """Answers a second to ``callers`` at once, ``count`` in all."""
    async with grpc.aio.insecure_channel(address) as one:
        call = one.unary_unary(METHOD)

        async def caller() -> None:
            for _ in range(count // callers):
                await call(request)

        await caller()
        start = time.perf_counter()
        await asyncio.gather(*(caller() for _ in range(callers)))
        return (count // callers) * callers / (time.perf_counter() - start)


def throughput(work: Work, folder: Path, callers: int, count: int) -> None:
    with echo() as bare, cloud(work, folder) as batching, cloud(work, folder, "--no-batching") as single:
        places = {"echo": bare, "batching": batching, "no batching": single}
        found: dict[str, list[float]] = {name: [] for name in places}
        for _ in range(3):
            for name, place in places.items():
                found[name].append(asyncio.run(load(place.address, work.request, callers, count)))
    rates = {name: float(np.median(values)) for name, values in found.items()}
    print(f"    {callers} callers: " + ", ".join(f"{name} {rate:,.0f}/s" for name, rate in rates.items()), end="")
    print(f"; batching / no batching: {rates['batching'] / rates['no batching']:.2f}")


def model_times(work: Work, rows: int = 64) -> tuple[float, float]:
    """Milliseconds of one sample alone, and of one among ``rows``, in ONNX Runtime on one thread."""
    session = Session(work.half.model, work.half.inputs, work.half.outputs)
    found = []
    for count in (1, rows):
        arrays = [np.random.default_rng(0).random((count, *t.shape), np.float32) for t in work.half.inputs]
        session.run(arrays)
        repeats = [timed(lambda a=arrays: session.run(a)) for _ in range(max(10, 400 // count))]  # type: ignore[misc]
        found.append(float(np.median(repeats)) * 1e3 / count)
    return found[0], found[1]


def cpu_seconds(process: int) -> float:
    """Of all threads of a process, user and system."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mib(process: int) -> float:
    text = Path(f"/proc/{process}/status").read_text()
    return int(text.split("VmRSS:")[1].split()[0]) / 1024


def memory(work: Work, folder: Path, count: int) -> None:
    """Resident memory of the server before and in the course of ``count`` requests of 16 callers."""
    with cloud(work, folder) as ours:
        found, done = {0: resident_mib(ours.process.pid)}, 0
        for share in (0.05, 0.25, 0.5, 0.75, 1.0):
            asyncio.run(load(ours.address, work.request, 16, round(share * count) - done))
            done = round(share * count)
            found[done] = resident_mib(ours.process.pid)
    print("\nresident memory, MiB: " + ", ".join(f"{mib:.1f} after {done:,}" for done, mib in found.items()))
    first = list(found.values())[1]
    print(f"    from the first of these to the last: {found[done] - first:+.1f} MiB")


def other_server(name: str, python: str | None, work: Work, callers: int, count: int) -> None:
    if python is None:
        print(f"    {name}: not measured (give --{name} PYTHON of an environment that has it and onnxruntime)")
        return
    with tempfile.NamedTemporaryFile(suffix=".onnx") as file:
        file.write(work.half.model)
        file.flush()
        with started([python, str(HERE / f"serve_{name}.py"), file.name]) as place:
            seconds = unary(place.address, work.request, None, count)
            rate = asyncio.run(load(place.address, work.request, callers, count))
    p50, p99 = percentiles(seconds)
    print(f"    {name}: unary p50 {p50:.3f} ms, p99 {p99:.3f} ms; {callers} callers: {rate:,.0f}/s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=3000)
    parser.add_argument("--callers", type=int, default=64)
    parser.add_argument("--memory", type=int, default=200_000)
    parser.add_argument("--kserve")
    parser.add_argument("--mlserver")
    parser.add_argument("--only-memory", action="store_true", help="leave latency and throughput away")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_certificates(folder / "tls")
        found = works(folder)
        print(f"{os.cpu_count()} processors; load {os.getloadavg()[0]:.1f} before the run")
        for work in [] if given.only_memory else found:
            alone, among = model_times(work)
            print(f"\n{work.name}: {work.kib:.0f} KiB a sample; model {alone:.3f} ms alone, {among:.3f} ms of 64")
            for tls in (None, folder / "tls"):
                if work is not found[-1]:
                    print("  mutual TLS 1.3" if tls else "  plain")
                    latency(work, folder, tls, given.requests, alone)
            throughput(work, folder, given.callers, given.requests)
            if work is found[0]:
                for other in ("kserve", "mlserver"):
                    other_server(other, getattr(given, other), work, given.callers, given.requests)
        if given.memory:
            memory(found[0], folder, given.memory)


if __name__ == "__main__":
    main()
