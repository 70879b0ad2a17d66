"""A hostile network between device and cloud: no wrong answer, none lost in silence, and soon back."""

import subprocess
import sys
import threading
import time
from collections import Counter

import numpy as np
import pytest

from runtime.clouds import MinimalServer, between, due, pictures, served, toy
from splitward.core.errors import CloudUnavailable, SplitwardError
from splitward.runtime.edge import Edge
from splitward.runtime.ledger import Ledger
from splitward.runtime.remote import Remote
from splitward.runtime.retry import Breaker, Patience

PATIENT = Patience(deadline_s=6.0, attempt_s=0.4, attempts=40, first_s=0.01, most_s=0.2)
HASTY = Patience(deadline_s=1.0, attempt_s=0.4, attempts=40, first_s=0.01, most_s=0.1)


@pytest.fixture
def scene(tmp_path):
    """A device, a proxy and a cloud behind it."""
    bundle, weights = toy("none")
    server = MinimalServer(weights)
    with served(server) as port, between(port) as proxy:
        made = []

        def edge(patience=PATIENT):
            remote = Remote(f"127.0.0.1:{proxy.port}", patience=patience, breaker=Breaker(cool_off_s=0.3))
            made.append(Edge(bundle, remote, tmp_path / "ledger"))
            return made[-1]

        yield edge, proxy, server, weights
        for one in made:
            one.close()


def right(answer, images, weights):
    return np.allclose(answer.outputs[0], due(images, weights), rtol=1e-5, atol=1e-5)


def ask(edge, weights, seeds, tally):
    """Every outcome is counted: right, wrong, or failed with an error of ours."""
    for seed in seeds:
        images = pictures(1, seed)
        try:
            tally["right" if right(edge.infer(images), images, weights) else "wrong"] += 1
        except SplitwardError:
            tally["failed"] += 1


def ask_in_a_stream(edge, weights, seeds, tally):
    seeds = list(seeds)
    for seed, answer in zip(seeds, edge.stream(pictures(1, s) for s in seeds), strict=True):
        if isinstance(answer, SplitwardError):
            tally["failed"] += 1
        else:
            tally["right" if right(answer, pictures(1, seed), weights) else "wrong"] += 1


BOTH = pytest.mark.parametrize("way", [ask, ask_in_a_stream], ids=["unary", "stream"])


@BOTH
def test_delay(scene, way):
    edge, proxy, _, weights = scene
    proxy.delay_s, tally = 0.02, Counter()
    way(edge(), weights, range(8), tally)
    assert tally == {"right": 8}


@BOTH
def test_a_fifth_of_the_connections_is_lost(scene, way):
    edge, proxy, _, weights = scene
    proxy.drop, tally = 0.2, Counter()
    device = edge()
    for start in range(0, 40, 4):
        way(device, weights, range(start, start + 4), tally)
        proxy.reset()
        device.remote.renew(device.remote.channel()[1])  # a connection for each four
    assert tally == {"right": 40}
    assert proxy.connections > 10


@BOTH
def test_half_open(scene, way):
    """The connection stands and nothing comes: given up after the attempt's time, and answered over a new one."""
    edge, proxy, _, weights = scene
    device, tally = edge(), Counter()
    way(device, weights, range(2), tally)
    proxy.silent = True
    threading.Timer(0.9, lambda: setattr(proxy, "silent", False)).start()
    way(device, weights, range(2, 4), tally)
    assert tally == {"right": 4}


@BOTH
def test_reset_in_the_middle_of_a_message(scene, way):
    edge, proxy, server, weights = scene
    device, tally = edge(), Counter()
    proxy.cut_after = 1500
    way(device, weights, range(30), tally)
    assert tally == {"right": 30}
    assert proxy.connections > 3
    assert len({data for _, data in server.seen}) == 30  # what came twice was the same


@BOTH
def test_a_slow_reader(scene, way):
    edge, proxy, _, weights = scene
    proxy.slow, tally = 4000, Counter()
    way(edge(), weights, range(5), tally)
    assert tally == {"right": 5}


def test_nothing_there_fails_in_time(scene):
    edge, proxy, _, _ = scene
    device = edge(HASTY)
    proxy.silent = True
    start = time.monotonic()
    with pytest.raises(CloudUnavailable):
        device.infer(pictures(1))
    assert time.monotonic() - start < HASTY.deadline_s + 0.5
    answers = list(device.stream(pictures(1, seed) for seed in range(3)))
    assert [type(a) for a in answers] == [CloudUnavailable] * 3
    proxy.silent = False


@BOTH
def test_a_cloud_that_is_killed_and_comes_back(tmp_path, way):
    """Under load it fails in words, and answers within 2 s of its return; the counts add up."""
    bundle, weights = toy("none")
    tally, stop, resumed = Counter(), threading.Event(), []
    with served(MinimalServer(weights)) as port:
        remote = Remote(f"127.0.0.1:{port}", patience=HASTY, breaker=Breaker(cool_off_s=0.5))
        edge = Edge(bundle, remote, tmp_path / "ledger")
        asked = []

        def load():
            seed = 0
            while not stop.is_set():
                way(edge, weights, [seed], tally)
                asked.append(seed)
                resumed.append((time.monotonic(), tally["right"]))
                seed += 1

        thread = threading.Thread(target=load)
        thread.start()
        time.sleep(0.5)
    time.sleep(1.5)
    with served(MinimalServer(weights), port):
        back, before = time.monotonic(), tally["right"]
        time.sleep(2.0)
        stop.set()
        thread.join()
    first = next(at for at, count in resumed if count > before)
    assert first - back < 2.0
    assert before > 0
    assert tally["wrong"] == 0
    assert tally["failed"] > 0
    assert tally["right"] + tally["failed"] == len(asked)
    assert edge.counts["asked"] == edge.counts["cloud"] + edge.counts["failed"] == len(asked)
    edge.close()


LOAD_S = 600

CLOUD = """
import sys, time
sys.path.insert(0, sys.argv[2])
from runtime.clouds import MinimalServer, served, toy
with served(MinimalServer(toy()[1]), int(sys.argv[1])):
    print("ready", flush=True)
    time.sleep(3600)
"""


@pytest.mark.slow
def test_ten_minutes_of_load_with_random_kills(tmp_path):
    """Counts of asked, answered and failed add up exactly, on the device, in its ledger and for its callers."""
    from pathlib import Path

    tests = str(Path(__file__).parent.parent)
    bundle, weights = toy("none")
    draws, end = np.random.default_rng(0), time.monotonic() + LOAD_S
    with served(MinimalServer(weights)) as port:
        pass

    def start():
        process = subprocess.Popen([sys.executable, "-c", CLOUD, str(port), tests], stdout=subprocess.PIPE)
        process.stdout.readline()
        return process

    cloud = start()
    tallies, asked = [Counter() for _ in range(6)], Counter()
    with between(port) as proxy:
        remote = Remote(f"127.0.0.1:{proxy.port}", patience=HASTY, breaker=Breaker(cool_off_s=0.5))
        edge = Edge(bundle, remote, Ledger(tmp_path / "ledger"))

        def load(worker):
            seed = worker * 10**6
            while time.monotonic() < end:
                seeds = range(seed, seed + 20)
                (ask if worker % 2 else ask_in_a_stream)(edge, weights, seeds, tallies[worker])
                asked[worker] += 20
                time.sleep(0.05)  # a cloud that is gone fails at once
                seed += 20

        threads = [threading.Thread(target=load, args=(worker,)) for worker in range(6)]
        for thread in threads:
            thread.start()
        kills = 0
        while time.monotonic() < end - 5:
            time.sleep(draws.uniform(1, 8))
            proxy.delay_s, proxy.drop = draws.choice([0.0, 0.005]), draws.choice([0.0, 0.2])
            if draws.random() < 0.6:
                cloud.kill()
                cloud.wait()
                kills += 1
                time.sleep(draws.uniform(0.1, 2))
                cloud = start()
            else:
                proxy.reset()
        for thread in threads:
            thread.join()
        cloud.kill()
        cloud.wait()
    total = sum(tallies, Counter())
    print(f"{kills} kills, {dict(total)}, {dict(edge.counts)}")
    assert kills >= LOAD_S / 60
    assert total["wrong"] == 0
    assert total["right"] + total["failed"] == sum(asked.values()) == edge.counts["asked"]
    assert edge.counts["cloud"] == total["right"]
    assert edge.counts["failed"] == total["failed"]
    assert edge.ledger.summary().releases >= total["right"]
    edge.close()
