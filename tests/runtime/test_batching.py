"""Requests that wait together run together, and each gets its own rows: whatever comes, goes, or fails beside it."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from splitward.runtime.cloud.batching import Batcher, Limits
from splitward.runtime.cloud.refusal import Kind, Refusal


class Model:
    """Doubles its first tensor and sums its second; fails on a batch that holds -1; keeps the sizes of its batches."""

    def __init__(self, seconds=0.0):
        self.sizes, self.seconds = [], seconds

    def __call__(self, arrays):
        self.sizes.append(len(arrays[0]))
        time.sleep(self.seconds)
        if (arrays[0] == -1).any():
            raise RuntimeError("poison")
        return [arrays[0] * 2, arrays[1].sum(axis=1, keepdims=True)]


def batcher(model, executor=None, seconds=0.0, **limits):
    return Batcher("toy", model, Limits(**limits), executor, lambda rows, waited, ran: None, seconds)


def pair(value, count=1):
    return [np.full((count, 2), value, np.float32), np.full((count, 3), value, np.float32)]


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 5), st.booleans(), st.booleans(), st.booleans()), min_size=1, max_size=40),
    st.integers(1, 12), st.booleans(), st.sampled_from([0.0, 0.001]), st.booleans(),
)  # fmt: skip
def test_answers_are_never_mixed(requests, rows, together, delay, slow):
    """(samples, poisoned, cancelled, waits a turn) each: who is neither poisoned nor cancelled gets its own answer."""

    async def one(queue, number, count, poisoned, cancelled, waits):
        if waits:
            await asyncio.sleep(0)
        value = -1 if poisoned else number + 1
        task = asyncio.ensure_future(queue.submit(pair(value, count), count))
        if cancelled:
            await asyncio.sleep(0)
            task.cancel()
        try:
            double, total = await task
        except asyncio.CancelledError:
            assert cancelled
        except Refusal as refusal:
            assert (poisoned, refusal.kind) == (True, Kind.FAILED)  # noqa: PT017 - one of three ends
        else:
            np.testing.assert_array_equal(double, np.full((count, 2), 2 * value))
            np.testing.assert_array_equal(total, np.full((count, 1), 3 * value))
            assert not poisoned

    async def all_of_them(executor):
        model = Model()
        queue = batcher(model, executor, float(slow), rows=rows, delay_s=delay, batching=together)
        await asyncio.wait_for(asyncio.gather(*(one(queue, n, *r) for n, r in enumerate(requests))), 20)
        assert queue.waiting == 0
        largest = max(count for count, *_ in requests)
        assert max(model.sizes, default=0) <= (max(rows, largest) if together else largest)

    with ThreadPoolExecutor(2) as executor:
        asyncio.run(all_of_them(executor))


def test_those_that_wait_together_run_together_and_one_alone_waits_for_nobody():
    async def run():
        model = Model()
        queue = batcher(model, rows=8)
        await asyncio.gather(*(queue.submit(pair(k), 1) for k in range(20)))
        assert model.sizes == [8, 8, 4]
        model.sizes.clear()
        start = time.monotonic()
        await queue.submit(pair(1), 1)
        assert time.monotonic() - start < 0.5
        queue = batcher(model, rows=8, delay_s=0.05)
        first = asyncio.ensure_future(queue.submit(pair(1), 1))
        await asyncio.sleep(0.01)
        await asyncio.gather(first, queue.submit(pair(2), 1))
        assert model.sizes == [1, 2]

    asyncio.run(run())


def test_while_a_long_run_goes_on_requests_gather_and_the_loop_is_free():
    async def run(executor):
        model = Model(seconds=0.05)
        queue = batcher(model, executor, 0.05, rows=8)
        first = asyncio.ensure_future(queue.submit(pair(0), 1))
        await asyncio.sleep(0.01)
        start = time.monotonic()
        rest = [asyncio.ensure_future(queue.submit(pair(k), 1)) for k in range(1, 6)]
        await asyncio.sleep(0)
        assert time.monotonic() - start < 0.03  # the loop does not wait for the model
        await asyncio.gather(first, *rest)
        assert model.sizes == [1, 5]

    with ThreadPoolExecutor(1) as executor:
        asyncio.run(run(executor))


def test_a_full_queue_refuses_and_a_late_request_is_not_run():
    async def run():
        model = Model()
        queue = batcher(model, rows=8, delay_s=0.05, waiting=2)
        kept = [asyncio.ensure_future(queue.submit(pair(k), 1, timeout_s=0.001 if k else None)) for k in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(Refusal, match="2 requests wait for toy already"):
            await queue.submit(pair(9), 1)
        await kept[0]
        with pytest.raises(Refusal, match="did not come in time"):
            await kept[1]
        assert model.sizes == [1]

    asyncio.run(run())
