"""The same bits from any number of threads, and from concurrent callers."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import fastprep as fp
from fastprep.registry import kernel
from layouts import values
from test_warp import oblique

# More than five chunks of the pointwise kernels, and odd slabs of every other.
FLAT = values((7, 160, 160), "int16")
SMALL = values((2, 11, 23, 37), "int16")
LABELS = values((2, 11, 23, 37), "uint8") % 5
MATRIX = oblique((11, 23, 37), (13, 22, 31), 1)
LONG = np.array([[0.9, 0.01, 0.004, 0.1], [0.05, 0.9, -0.02, 3], [0.3, -0.1, 0.5, 7], [0, 0, 0, 1.0]])
FINER, COARSER = (0.6, 0.8, 0.7), (1.9, 1.4, 2.3)

CALLS = {
    "ramp": lambda: fp.window(FLAT, 40, 400),
    "ramp, strided": lambda: fp.window(FLAT[:, ::2], 40, 400),
    "sigmoid": lambda: fp.window(FLAT, 40, 400, function="sigmoid"),
    "take": lambda: fp.crop_or_pad(SMALL, (13, 20, 41), fill=3),
    "nearest": lambda: fp.resample(LABELS, (1, 1, 1), FINER, order="nearest"),
    "linear": lambda: fp.resample(SMALL, (1, 1, 1), FINER),
    "linear, coarser": lambda: fp.resample(SMALL, (1, 1, 1), COARSER),
    "antialias": lambda: fp.resample(SMALL, (1, 1, 1), COARSER, antialias=True),
    "cubic in place": lambda: fp.resample(SMALL, (1, 1, 1), FINER, order="cubic"),
    # Fewer planes out than in, or integers: the intermediate goes through bands.
    "cubic in bands": lambda: fp.resample(SMALL, (1, 1, 1), COARSER, order="cubic"),
    "cubic to int16": lambda: fp.resample(SMALL, (1, 1, 1), FINER, order="cubic", dtype="int16"),
    "onehot": lambda: fp.resample(LABELS, (1, 1, 1), FINER, order="onehot"),
    "warp nearest": lambda: fp.warp(LABELS, MATRIX, (13, 22, 31), order="nearest"),
    "warp linear": lambda: fp.warp(SMALL, MATRIX, (13, 22, 31)),
    "warp long rows": lambda: fp.warp(FLAT, LONG, (5, 90, 300)),
    "warp cubic": lambda: fp.warp(SMALL, MATRIX, (13, 22, 31), order="cubic"),
    "zscore": lambda: fp.zscore(FLAT, mask=FLAT > 0),
    "foreground_mask": lambda: fp.foreground_mask(FLAT),
    "bounds": lambda: kernel("bounds", LABELS)(LABELS[0] > 3),
}


@pytest.fixture(autouse=True)
def _default_threads() -> Iterator[None]:
    yield
    fp.set_num_threads(None)


@pytest.mark.parametrize("name", CALLS)
def test_any_number_of_threads(name):
    results = []
    for n in (1, 2, 5):
        fp.set_num_threads(n)
        results.append(CALLS[name]().tobytes())
    assert results[0] == results[1] == results[2]


def test_concurrent_callers():
    fp.set_num_threads(1)
    truth = {name: call().tobytes() for name, call in CALLS.items()}
    fp.set_num_threads(3)
    with ThreadPoolExecutor(8) as pool:
        jobs = [(name, pool.submit(call)) for _ in range(4) for name, call in CALLS.items()]
        for name, job in jobs:
            assert job.result().tobytes() == truth[name], name


def test_a_failing_slab_is_reported_and_the_pool_lives_on():
    from fastprep.core.threads import run_slabs

    def work(start: int, stop: int) -> None:
        if start > 0:
            raise ZeroDivisionError(start)

    fp.set_num_threads(4)
    with pytest.raises(ZeroDivisionError):
        run_slabs(work, 100)
    assert np.array_equal(CALLS["linear"](), CALLS["linear"]())
