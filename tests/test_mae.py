from __future__ import annotations

import numpy as np

import fastprep as fp
from error_cases import check_refusals, check_volumes
from layouts import values


def truth(a, b):
    return np.mean(np.abs(b - a))


def test_volumes_and_masks(backend, put):
    check_volumes(put, fp.mae, truth)


def test_no_integer_wraps(backend, put):
    a, b = np.full((8, 9), -30_000, np.int16), np.full((8, 9), 60_000, np.uint16)
    assert fp.mae(put(a), put(b)) == fp.mae(put(b), put(a)) == 90_000.0


def test_libraries(xp):
    a, b = values((5, 6, 7), "int16"), values((5, 6, 7), "float32", 1)
    found = fp.mae(xp.asarray(a), xp.asarray(b))
    assert type(found) is float
    np.testing.assert_allclose(found, truth(a.astype(float), b.astype(float)), rtol=1e-13)


def test_errors(backend, put):
    check_refusals(put, fp.mae)
