from __future__ import annotations

import numpy as np

import fastprep as fp
from error_cases import check_refusals, check_volumes
from layouts import values


def truth(a, b):
    return np.mean((b - a) ** 2)


def test_volumes_and_masks(backend, put):
    check_volumes(put, fp.mse, truth)


def test_no_integer_wraps(backend, put):
    """In uint8 the difference of 200 and 100 is 100 one way and 156 the other, and its square 16."""
    a, b = np.full((8, 9), 200, np.uint8), np.full((8, 9), 100, np.uint8)
    assert fp.mse(put(a), put(b)) == fp.mse(put(b), put(a)) == 10_000.0
    assert np.mean((a - b) ** 2) == 16


def test_a_shift_and_noise(backend, put):
    x = values((20, 21), "float64")
    assert fp.mse(put(x), put(x)) == 0.0
    assert fp.mse(put(x), put(x + 3)) == np.float64(fp.mse(put(x), put(x - 3)))


def test_libraries(xp):
    a, b = values((5, 6, 7), "uint8"), values((5, 6, 7), "uint8", 1)
    found = fp.mse(xp.asarray(a), xp.asarray(b))
    assert type(found) is float and found == truth(a.astype(float), b.astype(float))


def test_errors(backend, put):
    check_refusals(put, fp.mse)
