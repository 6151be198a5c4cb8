from __future__ import annotations

import numpy as np
import pytest

import fastprep as fp
from fastprep import Grid, Image
from fastprep.core.errors import ArgumentError, ShapeError
from fastprep.testing.assertions import assert_same, to_numpy
from layouts import DTYPES, check_layouts, same_error, values

OBLIQUE = np.array([[0.1, 0.2, -0.7, 5], [0.0, 0.8, 0.3, -7], [1.9, -0.1, 0.2, 11], [0, 0, 0, 1.0]])


@pytest.mark.parametrize("dtype", [*DTYPES, "uint64"])
def test_every_dtype_and_layout(backend, put, dtype):
    x = values((2, 3, 4, 5), dtype)
    truth = x[:, ::-1, :, ::-1]
    check_layouts(lambda a: fp.flip(a, (0, 2)), truth, x, put, backend, tolerance=0)


@pytest.mark.parametrize("axes", [0, 1, 2, -1, (0, 1), (0, 1, 2), ()])
@pytest.mark.parametrize("shape", [(3, 4, 5), (7, 1, 11), (1, 1, 1)])
def test_numpy(backend, put, axes, shape):
    x = values(shape, "int16")
    chosen = (axes,) if isinstance(axes, int) else axes
    truth = np.flip(x, [a - 3 if a >= 0 else a for a in chosen])
    assert_same(fp.flip(put(x), axes), truth, put(x), tolerance=0)


def test_planes(backend, put):
    x = values((5, 4, 3), "uint8")
    assert_same(fp.flip(put(x), 0, ndim=2), x[:, ::-1], put(x), tolerance=0)
    assert_same(fp.flip(put(x[0]), 0), x[0, ::-1], put(x[0]), tolerance=0)


def test_nan_and_its_bits_survive(backend, put):
    x = np.array([[np.nan, np.inf], [-0.0, 1.0]], np.float32)
    assert to_numpy(fp.flip(put(x), 1)).tobytes() == x[:, ::-1].tobytes()


def test_twice_is_the_identity(backend, put):
    x = put(values((5, 6, 7), "float32"))
    assert to_numpy(fp.flip(fp.flip(x, (0, 2)), (0, 2))).tobytes() == to_numpy(x).tobytes()


def test_voxels_keep_their_place(backend, put):
    image = Image(put(values((3, 4, 5), "int16")), Grid((3, 4, 5), OBLIQUE))
    flipped = fp.flip(image, (0, 2))
    assert np.abs(flipped.grid.to_world([2, 1, 0]) - image.grid.to_world([0, 1, 4])).max() < 1e-12
    assert to_numpy(flipped.array)[2, 1, 0] == to_numpy(image.array)[0, 1, 4]
    assert fp.flip(flipped, (0, 2)).grid.same_as(image.grid, tolerance=1e-12)


def test_libraries(xp):
    for dtype in ("int16", "bool", "float32"):
        x = values((3, 4, 5), dtype)
        given = xp.asarray(x)
        assert_same(fp.flip(given, 1), x[:, ::-1], given, tolerance=0)


def test_errors(backend, put):
    x = put(np.zeros((2, 3, 4), np.int16))
    same_error(lambda: fp.flip(x, 3), ArgumentError, "axis=3: expected -3 to 2")
    same_error(lambda: fp.flip(put(np.zeros((2, 0, 3))), 0), ShapeError, "whole numbers of at least 1")
    same_error(lambda: fp.flip(put(np.zeros(3)), 0), ShapeError, "2 or 3")
    same_error(lambda: fp.flip(put(np.zeros((0, 3, 4, 5))), 0), ShapeError, "none of length zero")
