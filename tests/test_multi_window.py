from __future__ import annotations

import numpy as np
import pytest

import fastprep as fp
from fastprep.core.errors import ArgumentError
from fastprep.testing.assertions import assert_same, to_numpy
from layouts import check_layouts, same_error, tolerance, values

TOLERANCE = tolerance("multi_window")
CHANNELS = ["lung", "soft_tissue", (400, 1800), "brain"]
LEVELS = [(-600, 1500), (40, 400), (400, 1800), (40, 80)]


def truth_of(x, lo=0.0, hi=1.0):
    x = np.asarray(x, np.float64)
    return np.stack([np.clip((x - c) / w + 0.5, 0, 1) * (hi - lo) + lo for c, w in LEVELS])


@pytest.mark.parametrize("dtype", ["int16", "uint8", "float16", "float32", "float64"])
def test_every_layout(backend, put, dtype):
    x = values((3, 4, 5), dtype)
    truth = truth_of(x).astype(np.float32)
    check_layouts(lambda a: fp.multi_window(a, CHANNELS), truth, x, put, backend, tolerance=TOLERANCE, scale=1)


@pytest.mark.parametrize("dtype", ["float32", "float16", "uint8"])
def test_is_the_stack_of_windows(backend, put, dtype):
    x = put(values((3, 5, 7), "int16"))
    ends = (0, 255)
    result = fp.multi_window(x, CHANNELS, out_range=ends, dtype=dtype)
    stack = np.stack([to_numpy(fp.window(x, c, w, out_range=ends, dtype=dtype)) for c, w in LEVELS])
    assert_same(result, stack, x, tolerance=0)


@pytest.mark.parametrize("shape", [(0, 3), (1,), (), (2, 1, 3)])
def test_any_shape(backend, put, shape):
    x = np.full(shape, 40, np.float32)
    assert_same(fp.multi_window(put(x), CHANNELS), truth_of(x).astype(np.float32), put(x), tolerance=TOLERANCE, scale=1)


def test_nan_stays_in_every_channel(backend, put):
    x = np.array([np.nan, 40], np.float32)
    assert np.isnan(to_numpy(fp.multi_window(put(x), CHANNELS))).tolist() == [[True, False]] * 4


def test_libraries(xp):
    x = values((3, 4), "int16")
    given = xp.asarray(x)
    assert_same(fp.multi_window(given, CHANNELS), truth_of(x).astype(np.float32), given, tolerance=TOLERANCE, scale=1)


def test_errors(backend, put):
    x = put(np.zeros((2, 2), np.float32))
    same_error(lambda: fp.multi_window(x, []), ArgumentError, "presets=\\[\\]")
    same_error(lambda: fp.multi_window(x, "lung"), ArgumentError, "list of window names")
    same_error(lambda: fp.multi_window(x, ["lung", "liver"]), ArgumentError, "preset='liver'")
    same_error(lambda: fp.multi_window(x, [(40, 400, 1)]), ArgumentError, "neither a window's name")
    same_error(lambda: fp.multi_window(x, [(40, -1)]), ArgumentError, "width=-1.0")
