"""Audits side by side: processes that this one started itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import torch
from joblib import Parallel, delayed

T = TypeVar("T")


def side_by_side(task: Callable[..., T], calls: Iterable[tuple[Any, ...]], workers: int) -> Iterator[T]:
    """What ``task(*call)`` returns for each of the calls, as it is done, in ``workers`` processes.

    Each works on its share of the processor's threads, and keeps what it has cached from one call to the next.
    """
    threads = max(1, torch.get_num_threads() // workers)
    pool = Parallel(n_jobs=workers, return_as="generator_unordered", batch_size=1, pre_dispatch="1*n_jobs")
    done: Iterator[T] = pool(delayed(_alone)(threads, task, call) for call in calls)
    return done


def _alone(threads: int, task: Callable[..., T], call: tuple[Any, ...]) -> T:
    torch.set_num_threads(threads)
    return task(*call)
