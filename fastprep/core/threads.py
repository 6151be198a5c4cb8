"""The one thread pool: how many threads, and how an operation's work is cut into slabs for them.

Kernels release the GIL and are compiled serial, because Numba's own thread layers die on fork and on
concurrent calls. A pool is made on first use, remade after fork, and shared by every caller.
"""

from __future__ import annotations

import contextvars
import os
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise

from fastprep.core.errors import ArgumentError

_chosen: int | None = None
_limit: contextvars.ContextVar[int | None] = contextvars.ContextVar("fastprep_thread_limit", default=None)
_pool: ThreadPoolExecutor | None = None
_lock = threading.Lock()


def set_num_threads(n: int | None) -> None:
    """Use ``n`` threads per operation in this process; None returns to the default.

    The default is ``FASTPREP_NUM_THREADS``, else one inside a PyTorch DataLoader worker, else every core
    this process may run on.
    """
    global _chosen
    if n is not None and (not isinstance(n, int) or n < 1):
        msg = f"n={n!r}: expected a whole number of at least 1, or None"
        raise ArgumentError(msg)
    _chosen = n


def num_threads() -> int:
    """Threads the next operation of this caller will use."""
    wanted = _chosen or _from_environment() or (1 if _in_torch_worker() else available_cores())
    limit = _limit.get()
    return wanted if limit is None else min(wanted, limit)


@contextmanager
def thread_limit(n: int) -> Iterator[None]:
    """At most ``n`` threads for operations called inside, in this thread or task only."""
    token = _limit.set(n)
    try:
        yield
    finally:
        _limit.reset(token)


def available_cores() -> int:
    """Cores this process may run on, which in a container is fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_slabs(work: Callable[[int, int], None], length: int, *, smallest: int = 1) -> None:
    """Call ``work(start, stop)`` over ``range(length)`` cut into one slab per thread, and wait for all.

    The caller's thread takes a slab too, so a pool busy with other callers slows this one but never blocks it.
    """
    slabs = max(1, min(num_threads(), length // max(1, smallest)))
    bounds = [length * i // slabs for i in range(slabs + 1)]
    if slabs == 1:
        work(0, length)
        return
    futures = [_shared_pool().submit(work, a, b) for a, b in pairwise(bounds[1:])]
    try:
        work(bounds[0], bounds[1])
    finally:
        # Slabs write into the caller's arrays: leave only when none is at work any more.
        failed = [f.exception() for f in futures]
    for error in failed:
        if error is not None:
            raise error


def _from_environment() -> int | None:
    text = os.environ.get("FASTPREP_NUM_THREADS")
    if not text:
        return None
    if not text.isdecimal() or int(text) < 1:
        msg = f"FASTPREP_NUM_THREADS={text!r}: expected a whole number of at least 1"
        raise ArgumentError(msg)
    return int(text)


def _in_torch_worker() -> bool:
    data = sys.modules.get("torch.utils.data")
    return data is not None and data.get_worker_info() is not None


def _shared_pool() -> ThreadPoolExecutor:
    global _pool
    with _lock:
        if _pool is None:
            _pool = ThreadPoolExecutor(max_workers=max(64, available_cores()), thread_name_prefix="fastprep")
        return _pool


def _forget_pool() -> None:
    global _pool, _lock
    _pool = None
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)
