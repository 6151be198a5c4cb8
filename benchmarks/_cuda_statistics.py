"""The GPU jobs of statistics: what a CT of 512x512x600 tells when it is read once.

The answers are numbers of the host, so every call waits for the device, and its launches are part of its time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import _cuda_peers as peers
import _harness as h
import numpy as np
from _cuda_data import Data
from _cuda_measure import Contestant, Job, Target

PERCENTILES = (0.5, 99.5)
BINS = 256
#: Of the bandwidth of a copy, which reads as much as it writes.
READ_ONCE = Target("copy", 0.70)
NOTE = "bytes: the input read once; float32 is read three times, digit by digit"


def _inputs(data: Data, dtype: str) -> list[Any]:
    return [data.lab.put(data.host.astype(dtype)) for _ in range(data.size.copies)]


def _percentile(data: Data, dtype: str) -> Job:
    xp, volumes = data.lab.xp, _inputs(data, dtype)
    natives = [data.lab.native(x) for x in volumes]
    contestants = [
        Contestant("fastprep", lambda: peers.over(volumes, lambda x: data.fp.percentile(x, PERCENTILES))),
        # Of integers its differences overflow.
        Contestant(
            "CuPy percentile", lambda: peers.over(natives, lambda x: xp.percentile(x.astype("f8"), PERCENTILES))
        ),
    ]
    return _job(
        f"percentile-{dtype}", f"percentiles {PERCENTILES[0]} and {PERCENTILES[1]}, {dtype}", contestants, data, dtype
    )


def _moments(data: Data, dtype: str) -> Job:
    xp, volumes = data.lab.xp, _inputs(data, dtype)
    natives = [data.lab.native(x) for x in volumes]
    moments_of, view_of = _internal("fastprep.ops._masked", "moments_of"), _internal("fastprep.ops._arrays", "view_of")

    def ours(x: Any) -> h.Array:
        found = moments_of(view_of(x), None)
        return np.array([found.mean, found.std])

    contestants = [
        Contestant("fastprep", lambda: peers.over(volumes, ours)),
        Contestant(
            "CuPy mean and std",
            lambda: peers.over(natives, lambda x: xp.stack([x.mean(dtype="f8"), x.std(dtype="f8")])),
        ),
    ]
    return _job(f"moments-{dtype}", f"mean and std, {dtype}", contestants, data, dtype)


def _histogram(data: Data) -> Job:
    xp, volumes = data.lab.xp, _inputs(data, "int16")
    natives = [data.lab.native(x) for x in volumes]
    histogram = _internal("fastprep.kernels.gpu.histogram", "histogram")
    view_of, with_shape = (_internal("fastprep.ops._arrays", name) for name in ("view_of", "with_shape"))
    low, high = -1024.0, 3071.0

    def ours(x: Any) -> h.Array:
        four = with_shape(view_of(x), (1, *x.shape))
        counts: h.Array = histogram(four, None, np.array([low]), np.array([high]), BINS)
        return counts[0].astype(np.int64)

    contestants = [
        Contestant("fastprep", lambda: peers.over(volumes, ours)),
        Contestant("CuPy histogram", lambda: peers.over(natives, lambda x: xp.histogram(x, BINS, (low, high))[0])),
    ]
    return _job("histogram", f"histogram of {BINS} bins, int16", contestants, data, "int16")


def _job(key: str, name: str, contestants: list[Contestant], data: Data, dtype: str) -> Job:
    size = data.host.size * np.dtype(dtype).itemsize
    note = NOTE if key == "percentile-float32" else ""
    return Job(key, name, contestants, size, (READ_ONCE,), clock="upload", note=note, bytes_out=0)


def _internal(module: str, name: str) -> Any:
    return getattr(peers.need(module), name)


JOBS: dict[str, Callable[[Data], Job]] = {
    "moments-float32": lambda data: _moments(data, "float32"),
    "moments-int16": lambda data: _moments(data, "int16"),
    "percentile-int16": lambda data: _percentile(data, "int16"),
    "percentile-float32": lambda data: _percentile(data, "float32"),
    "histogram": _histogram,
}
