"""The device against a minimal server of the protocol: answers, the ledger, keyed noise, the wire, the policies."""

import numpy as np
import pytest

from runtime.clouds import ExtendedServer, MinimalServer, due, pictures, served, toy
from splitward.core.errors import CloudError, CloudUnavailable, LedgerRefusal, UsageError
from splitward.runtime.edge import Edge
from splitward.runtime.ledger import Window
from splitward.runtime.options import Options
from splitward.runtime.remote import Remote
from splitward.runtime.retry import Breaker, Patience

QUICK = Patience(deadline_s=1.0, attempt_s=0.3, attempts=3, first_s=0.01, most_s=0.05)


@pytest.fixture
def make(tmp_path):
    """A device of the toy bundle at a port; the ledger is the test's own."""
    made = []

    def make(port, bundle=None, patience=QUICK, breaker=None, ledger="ledger", **options):
        remote = Remote(f"127.0.0.1:{port}", patience=patience, breaker=breaker)
        made.append(Edge(bundle or toy()[0], remote, tmp_path / ledger, Options(**options)))
        return made[-1]

    yield make
    for edge in made:
        edge.close()


def closed_port():
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


@pytest.mark.parametrize("contents", [False, True], ids=["raw", "contents"])
def test_it_works_with_any_server_of_the_protocol(make, contents):
    bundle, weights = toy()
    server, images = MinimalServer(weights, contents=contents), pictures(5)
    with served(server) as port:
        edge = make(port, bundle)
        answer = edge.infer(images)
        assert answer.where == "cloud"
        assert answer.releases == (1,) * 5
        np.testing.assert_allclose(answer.outputs[0], due(images, weights), rtol=1e-5, atol=1e-5)
        streamed = list(edge.stream(pictures(1, seed) for seed in range(40)))
    assert [a.where for a in streamed] == ["cloud"] * 40
    for seed, one in enumerate(streamed):
        np.testing.assert_allclose(one.outputs[0], due(pictures(1, seed), weights), rtol=1e-5, atol=1e-5)
    assert edge.counts == {"asked": 41, "cloud": 41}


@pytest.mark.parametrize("wire", ["fp16", "int8"])
@pytest.mark.parametrize("zstd", [False, True])
def test_smaller_numbers_on_the_wire(make, wire, zstd):
    bundle, weights = toy()
    server, images = ExtendedServer(weights), pictures(3)
    with served(server) as port:
        answer = make(port, bundle, wire=wire, zstd=zstd).infer(images)
    largest = 8 / 255 / 2 if wire == "int8" else 2**-11
    bound = largest * np.abs(weights).sum(0).max()
    assert np.abs(answer.outputs[0] - due(images, weights)).max() < bound
    if not zstd:
        assert len(server.seen[0][1]) == (36 * 2 if wire == "fp16" else 36 + 8 * 3)


def test_few_bits_are_packed_without_a_loss(make):
    bundle, weights = toy("quantise:3")
    server, images = ExtendedServer(weights), pictures(3)
    with served(server) as port:
        plain, packed = (make(port, bundle, wire=w, ledger=w).infer(images) for w in ("fp32", "packed"))
    np.testing.assert_array_equal(plain.outputs[0], packed.outputs[0])
    assert [len(sent) for _, sent in server.seen] == [36 * 4, 3 * 5]  # 12 numbers of 3 bits a picture: 36 bits


def test_a_server_that_reads_plain_tensors_is_not_sent_others(make):
    bundle, weights = toy()
    server = MinimalServer(weights)
    with served(server) as port:
        edge = make(port, bundle, wire="int8")
        with pytest.raises(CloudError, match="plain tensors only"):
            edge.infer(pictures(1))
    assert not server.seen
    assert edge.ledger.summary().releases == 0


def test_no_more_releases_than_were_audited_over_restarts(make):
    bundle, weights = toy("gaussian:1", observations=2)
    server = MinimalServer(weights)
    with served(server) as port:
        for _ in range(2):
            make(port, bundle).infer(pictures(1))
        with pytest.raises(LedgerRefusal):
            make(port, bundle).infer(pictures(1))
        refused = make(port, bundle)
        assert [type(r) for r in refused.stream([pictures(1)])] == [LedgerRefusal]
        assert refused.counts == {"asked": 1, "refused": 1}
    assert len(server.seen) == 2
    assert server.seen[0][1] != server.seen[1][1]


def test_keyed_noise_repeats_over_restarts_and_counts_once(make):
    bundle, weights = toy("gaussian:1", observations=1)
    server = MinimalServer(weights)
    with served(server) as port:
        for _ in range(3):
            assert make(port, bundle, keyed=True).infer(pictures(1)).releases == (1,)
        other = make(port, bundle, keyed=True, ledger="other key")
        other.infer(pictures(1))
    sent = [data for _, data in server.seen]
    assert sent[0] == sent[1] == sent[2] != sent[3]
    noise = np.frombuffer(sent[0], "<f4") - (2 * pictures(1) - 1).flatten()
    assert 0.3 < noise.std() < 3


def test_a_retry_sends_the_same_bytes_and_counts_one_release(make):
    import grpc

    bundle, weights = toy("gaussian:1", observations=1)
    failures = iter([grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED])

    def answers(request, context):
        if (code := next(failures, None)) is not None:
            context.abort(code, "try again")

    server = MinimalServer(weights, answers)
    with served(server) as port:
        answer = make(port, bundle).infer(pictures(1))
    assert answer.attempts == 3
    assert answer.releases == (1,)
    assert len(server.seen) == 3
    assert len(set(server.seen)) == 1


def test_what_the_cloud_refuses_is_not_asked_again(make):
    import grpc

    bundle, weights = toy()
    server = MinimalServer(weights, lambda request, context: context.abort(grpc.StatusCode.INVALID_ARGUMENT, "bad\n"))
    with served(server) as port, pytest.raises(CloudError, match=r"invalid argument \(bad\)"):
        make(port, bundle).infer(pictures(1))
    assert len(server.seen) == 1


def spoilt(**changes):
    """A server's answer with one thing wrong."""

    def answers(request, context):
        response = MinimalServer(toy()[1]).answer(request)
        for name, value in changes.items():
            if name == "raw":
                response.raw_output_contents[0] = value
            elif name == "shape":
                del response.outputs[0].shape[:]
                response.outputs[0].shape.extend(value)
            elif name in ("name", "datatype"):
                setattr(response.outputs[0], name, value)
            else:
                setattr(response, name, value)
        return response

    return answers


@pytest.mark.parametrize(
    "wrong",
    [{"id": "another"}, {"model_name": "another"}, {"raw": b"short"}, {"shape": [1, 4]}, {"shape": [2, 5]},
     {"name": "other"}, {"datatype": "FP64"}],
    ids=str,
)  # fmt: skip
def test_an_answer_that_is_none_is_refused(make, wrong):
    bundle, weights = toy()
    with served(MinimalServer(weights, spoilt(**wrong))) as port, pytest.raises(CloudError):
        make(port, bundle).infer(pictures(1))


def test_without_a_cloud_it_fails_or_answers_alone(make):
    port = closed_port()
    bundle, weights = toy("gaussian:1")
    edge = make(port, bundle)
    with pytest.raises(CloudUnavailable):
        edge.infer(pictures(1))
    local = make(port, bundle, without_cloud="local", ledger="another")
    answer = local.infer(pictures(2))
    assert answer.where == "local"
    np.testing.assert_allclose(answer.outputs[0], due(pictures(2), weights), rtol=1e-5, atol=1e-5)
    assert local.ledger.summary().releases == 0  # nothing left
    assert [a.where for a in local.stream([pictures(1)])] == ["local"]
    with pytest.raises(UsageError, match="--offline"):
        make(port, toy(offline=None)[0], without_cloud="local", ledger="third")


def test_what_is_refused_is_answered_alone_where_that_was_chosen(make):
    bundle, weights = toy("gaussian:1")
    server = MinimalServer(weights)
    with served(server) as port:
        edge = make(port, bundle, without_cloud="local")
        assert [edge.infer(pictures(1)).where for _ in range(2)] == ["cloud", "local"]
    assert len(server.seen) == 1


def test_a_queue_is_bounded_and_sent_later_as_it_was(make):
    port = closed_port()
    bundle, weights = toy("gaussian:0.5")
    server = MinimalServer(weights)
    edge = make(port, bundle, without_cloud="queue", queue=2, breaker=Breaker(cool_off_s=0.1))
    queued = [edge.infer(pictures(1, seed)) for seed in range(2)]
    assert [a.where for a in queued] == ["queued"] * 2
    with pytest.raises(CloudUnavailable, match="queue of 2 is full"):
        edge.infer(pictures(1, 2))
    assert edge.flush() == []
    assert edge.queued == 2
    with served(server, port):
        import time

        time.sleep(0.3)
        done = edge.flush()
    assert [a.id for a in done] == [a.id for a in queued]
    assert [i for i, _ in server.seen] == [a.id for a in queued]
    assert +edge.counts == {"asked": 3, "cloud": 2, "failed": 1}


def test_an_open_breaker_asks_nothing_and_releases_nothing(make):
    edge = make(closed_port(), toy("gaussian:1", observations=9)[0], breaker=Breaker(threshold=3, cool_off_s=60))
    for _ in range(2):
        with pytest.raises(CloudUnavailable):
            edge.infer(pictures(1))
    assert edge.ledger.summary().releases == 0
    assert edge.remote.breaker.is_open


def test_frames_of_one_source_are_limited(make):
    bundle, weights = toy()
    with served(MinimalServer(weights)) as port:
        edge = make(port, bundle, window=Window(2, 60.0))
        for seed in range(2):
            edge.infer(pictures(1, seed), source="camera")
        with pytest.raises(LedgerRefusal, match="camera"):
            edge.infer(pictures(1, 2), source="camera")
        edge.infer(pictures(1, 3), source="door")


@pytest.mark.parametrize("bad", [pictures(1)[0], pictures(1).astype(np.float64), pictures(1) * 2, pictures(1) * np.nan,
                                 pictures(0), np.zeros((1, 1, 3, 4), np.float32)], ids=range(6))  # fmt: skip
def test_pixels_are_checked(make, bad):
    edge = make(closed_port())
    with pytest.raises(UsageError):
        edge.infer(bad)


def test_limits_that_the_bundle_does_not_allow(make):
    port = closed_port()
    with pytest.raises(UsageError, match="audited"):
        make(port, toy("gaussian:1", observations=2)[0], releases=3)
    with pytest.raises(UsageError, match="nobody audited"):
        make(port, toy(audited=None)[0], ledger="b")
    assert make(port, toy(audited=None)[0], releases=4, ledger="c").limit == 4
    with pytest.raises(UsageError, match="int8 needs"):
        make(port, toy(ranges=())[0], wire="int8", ledger="d")
    for number, defence in enumerate(("none", "gaussian:1", "quantise:1@input", "quantise:1+dropout:0.2")):
        with pytest.raises(UsageError, match="ends in quantise:BITS"):
            make(port, toy(defence)[0], wire="packed", ledger=f"e{number}")
    with pytest.raises(UsageError, match="--insecure"):
        Remote("192.0.2.1:8001")
    with pytest.raises(UsageError, match="HOST:PORT"):
        Remote("somewhere")


def test_a_wrong_source_of_a_stream_is_not_swallowed(make):
    bundle, weights = toy()

    def source():
        yield pictures(1)
        raise ZeroDivisionError

    with served(MinimalServer(weights)) as port:
        answers = make(port, bundle).stream(source())
        with pytest.raises(ZeroDivisionError):
            list(answers)


def test_it_switches_cuts_with_the_link_and_counts_over_both(make, monkeypatch):
    """Two cuts in one bundle: a release at another cut is one more observation of the same input."""
    bundle, weights = toy("gaussian:1", observations=1, cuts=2)
    server = MinimalServer(weights)
    with served(server) as port:
        edge = make(port, bundle, keyed=True)
        assert edge.infer(pictures(1)).cut == "cut-1"
        assert edge.infer(pictures(1)).releases == (1,)
        monkeypatch.setattr(edge.link, "best", lambda costs, present: 1)
        assert edge.infer(pictures(1, 1)).cut == "cut-2"
        assert edge.link.round_trip_ms > 0
        # the two toy cuts share half and defence, so that they are one way of sending
        assert edge.infer(pictures(1)).releases == (1,)
    assert server.seen[0][1] == server.seen[3][1]
