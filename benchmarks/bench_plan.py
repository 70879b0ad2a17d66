"""The planner: how fast it is, and how well it predicts latency over a shaped loopback link and peak memory.

    python benchmarks/bench_plan.py [--models alexnet,resnet] [--cuts 10] [--bandwidth 200] [--delay 5]

Latency is predicted from timings of single operations (``split.measure``) and the stated link, and compared with the
median end-to-end time of both halves with a real connection between them, whose sender is slowed to the bandwidth and
whose delay is added once each way. Both halves run on this machine, one thread each, one after the other. Run it on an
idle machine: what else it does changes both sides.
"""

from __future__ import annotations

import argparse
import os
import socket
import statistics
import threading
import time

import numpy as np
import torch
from torch import Tensor, nn

from splitward.models.zoo import load_model
from splitward.plan.latency import all_ms
from splitward.plan.problem import Crossing, Limits, Problem, mask
from splitward.plan.profiles import network
from splitward.plan.search import solve
from splitward.plan.setting import Setting
from splitward.split.costs import costs
from splitward.split.halves import Exported, export
from splitward.split.measure import peak_bytes, timed

CHUNK = 16_384


class Block(nn.Module):
    """A residual block of two convolutions."""

    def __init__(self, inner: int, outer: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inner, outer, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outer)
        self.conv2 = nn.Conv2d(outer, outer, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outer)
        self.short = nn.Conv2d(inner, outer, 1, stride, bias=False) if stride > 1 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(y)) + self.short(x))


class ResNet18(nn.Module):
    """ResNet-18 for 224x224 images, as He et al. lay it out; random weights."""

    input = (3, 224, 224)

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.pool = nn.MaxPool2d(3, 2, 1)
        widths = [(64, 64, 1), (64, 64, 1), (64, 128, 2), (128, 128, 1), (128, 256, 2), (256, 256, 1), (256, 512, 2)]
        self.layers = nn.Sequential(*[Block(*w) for w in [*widths, (512, 512, 1)]])
        self.fc = nn.Linear(512, 1000)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layers(self.pool(torch.relu(self.bn1(self.conv1(x)))))
        return self.fc(x.mean((2, 3)))


def chain(size: int) -> Problem:
    """A chain of ``size`` operations with random costs."""
    draws = np.random.default_rng(0)
    crossings = [Crossing(-1, (0,), 100.0, forbidden=True)]
    crossings += [
        Crossing(i, (i + 1,) if i + 1 < size else (), float(draws.uniform(1, 100)), output=i + 1 == size, storage=i + 1)
        for i in range(size)
    ]
    edge, cloud, energy = (tuple(draws.uniform(0, high, size).tolist()) for high in (10, 2, 10))
    return Problem(edge, cloud, energy, tuple(crossings), 100.0, 5.0, 1.0, 0.5, 0.1, 0.5)


def speed() -> None:
    problem = chain(1000)
    for what, weights, limits in (
        ("latency", {"latency": 1.0}, Limits()),
        ("latency within half of the energy", {"latency": 1.0}, Limits(energy_mj=sum(problem.edge_mj) / 2)),
        ("throughput", {"throughput": 1.0}, Limits()),
    ):
        times, work = [], []
        for _ in range(7):
            fresh = chain(1000)  # nothing kept from the run before
            start, busy = time.perf_counter(), time.process_time()
            found = solve(fresh, weights, limits)  # type: ignore[arg-type]
            times.append(1e3 * (time.perf_counter() - start))
            work.append(1e3 * (time.process_time() - busy))
        print(
            f"1,000 operations, {what}: median {statistics.median(times):.0f} ms, of it "
            f"{statistics.median(work):.0f} ms of this process ({found.method})"
        )


class Link:
    """A loopback connection whose sender keeps to a bandwidth, with a delay each way. The other end answers at once."""

    def __init__(self, mbit_per_s: float, round_trip_ms: float) -> None:
        self.seconds_per_byte, self.one_way = 8e-6 / mbit_per_s, round_trip_ms / 2e3
        self.here, self.there = socket.socketpair()
        self.inbox: list[bytes] = []

    def send(self, data: bytes) -> bytes:
        """What arrives at the other end, after as long as the link takes."""
        receiver = threading.Thread(target=self._receive, args=(len(data),))
        receiver.start()
        start = time.perf_counter()
        for at in range(0, len(data), CHUNK):
            self.here.sendall(data[at : at + CHUNK])
            due = start + min(at + CHUNK, len(data)) * self.seconds_per_byte
            time.sleep(max(0.0, due - time.perf_counter()))
        receiver.join()
        time.sleep(self.one_way)
        return self.inbox.pop()

    def _receive(self, size: int) -> None:
        parts, left = [], size
        while left:
            parts.append(self.there.recv(min(left, 1 << 16)))
            left -= len(parts[-1])
        self.inbox.append(b"".join(parts))


def end_to_end(exported: Exported, at: str, pixels: Tensor, link: Link, repetitions: int) -> list[float]:
    """Milliseconds from the pixels to the result back on the device."""
    halves, times = exported.split(at), []
    with torch.inference_mode():
        for _ in range(repetitions + 2):
            start = time.perf_counter()
            sent = halves.edge(pixels)
            parts = (sent,) if isinstance(sent, Tensor) else sent
            arrived = link.send(b"".join(p.contiguous().numpy().tobytes() for p in parts))
            received, offset = [], 0
            for p in parts:
                size = p.numel() * 4
                there = bytearray(arrived[offset : offset + size])
                received.append(torch.frombuffer(there, dtype=p.dtype).view(p.shape))
                offset += size
            halves.cloud(received[0] if isinstance(sent, Tensor) else tuple(received))
            time.sleep(link.one_way)
            times.append(1e3 * (time.perf_counter() - start))
    return times[2:]


def compare(name: str, count: int, repetitions: int, bandwidth: float, delay: float) -> None:
    victim = load_model("bench_plan:ResNet18" if name == "resnet" else name)
    pixels = torch.rand(1, *victim.input.shape)
    exported = export(victim.model, pixels)
    found = timed(costs(exported._positions, name), exported._positions, pixels, repetitions)
    problem = Setting(
        found, None, None, network("ethernet"), uplink_mbit_per_s=bandwidth, round_trip_ms=delay
    ).problem()
    cuts = [c for c in found.cuts[:-1] if not c.refused and found.operations[c.last].kind != "view"]
    picked = [cuts[i] for i in sorted({round(k * (len(cuts) - 1) / (count - 1)) for k in range(count)})]
    print(f"\n{name}: {sum(all_ms(found, None)):.1f} ms in all, {bandwidth:g} Mbit/s, {delay:g} ms round trip")
    off, memory = [], []
    for cut in picked:
        chosen = mask(range(cut.last + 1))
        choice = problem.evaluate(chosen)
        times = end_to_end(exported, cut.name, pixels, Link(bandwidth, delay), repetitions)
        measured = statistics.median(times)
        predicted = choice.latency_ms - problem.result_bytes * problem.down_ms_per_byte
        off.append(predicted / measured - 1)
        halves = exported.split(cut.name)
        weights = sum(p.numel() * 4 for p in halves.edge.parameters())
        seen = peak_bytes(halves.edge, pixels) + weights + 4 * pixels.numel()
        memory.append(choice.edge_memory_bytes / seen - 1)
        print(
            f"  {cut.name:24s} predicted {predicted:7.1f} ms, measured {measured:7.1f} ms "
            f"({min(times):.1f} to {max(times):.1f}): {off[-1]:+6.1%}; edge memory {memory[-1]:+6.2%}"
        )
    within = sum(abs(o) <= 0.15 for o in off)
    print(f"  {within} of {len(off)} cuts within 15 %; memory at most {max(map(abs, memory)):.2%} off")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--models", default="alexnet,resnet")
    parser.add_argument("--cuts", type=int, default=10)
    parser.add_argument("--repetitions", type=int, default=15)
    parser.add_argument("--bandwidth", type=float, default=200.0, help="Mbit/s")
    parser.add_argument("--delay", type=float, default=5.0, help="round trip, ms")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, torch {torch.__version__}, one thread")
    speed()
    for name in filter(None, chosen.models.split(",")):
        compare(name, chosen.cuts, chosen.repetitions, chosen.bandwidth, chosen.delay)


if __name__ == "__main__":
    main()
