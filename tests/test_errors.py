"""The kernel ``errors``: against exact fractions and NumPy, on every backend."""

from __future__ import annotations

import importlib
from fractions import Fraction

import numpy as np
import pytest

import fastprep as fp
from fastprep.core.differences import Differences
from fastprep.ops._arrays import view_of
from layouts import LAYOUTS, one_for_all, values

SHAPE = (5, 50, 83)  # more than one chunk, the last not full, nor a multiple of any width
PAIRS = [("uint8", "uint8"), ("uint16", "int16"), ("float64", "float32"), ("bool", "int64")]


def run(backend, put, a, b, mask=None):
    kernel = importlib.import_module(f"fastprep.kernels.{backend}.errors").errors
    return kernel(view_of(put(a[None])), view_of(put(b[None])), None if mask is None else view_of(put(mask[None])))[0]


def truth(a, b, mask=None):
    chosen = ... if mask is None else mask != 0
    d = b[chosen].astype(np.longdouble).ravel() - a[chosen].astype(np.longdouble).ravel()
    finite = d[np.isfinite(d)]
    size = np.abs(finite)
    return Differences(
        finite.size,
        float(finite.sum()),
        float(size.sum()),
        float((finite**2).sum()),
        float(size.max(initial=0)),
        d.size - finite.size,
    )


def check(found, expected):
    assert (found.count, found.nonfinite) == (expected.count, expected.nonfinite)
    assert found.largest == expected.largest
    assert found.absolute == pytest.approx(expected.absolute, rel=1e-13)
    assert found.square == pytest.approx(expected.square, rel=1e-13)
    assert found.total == pytest.approx(expected.total, abs=1e-13 * expected.absolute)
    assert type(found.count) is int and type(found.nonfinite) is int
    assert all(type(v) is float for v in (found.total, found.absolute, found.square, found.largest))


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_types(backend, put, first, second):
    a, b, mask = values(SHAPE, first), values(SHAPE, second, 1), values(SHAPE, "bool", 2)
    check(run(backend, put, a, b), truth(a, b))
    check(run(backend, put, a, b, mask), truth(a, b, mask))


def test_integers_are_exact(backend, put):
    """Where the type itself would wrap: 255 from 0 is 255, not -1."""
    a, b = np.zeros(SHAPE, np.uint8), values(SHAPE, "uint8")
    b[0] = 255
    d = [Fraction(int(v)) for v in b.ravel()]
    found = run(backend, put, a, b)
    assert found.total == found.absolute == float(sum(d)) and found.square == float(sum(v * v for v in d))
    assert found.largest == 255


@pytest.mark.parametrize("layout", ["sliced", "reversed", "transposed", "unaligned"])
def test_layouts(backend, put, layout):
    if backend == "gpu" and layout == "unaligned":
        pytest.skip("a GPU has no such array")
    a, b, mask = values(SHAPE, "uint8"), values(SHAPE, "uint8", 1), values(SHAPE, "bool", 2)
    other = LAYOUTS[layout]
    expected = truth(a, b, mask)
    for given in ((other(a), b, mask), (a, other(b), mask), (a, b, other(mask)), (other(a), other(b), other(mask))):
        check(run(backend, put, *given), expected)


def test_what_is_not_finite_is_counted_where_the_mask_is(backend, put):
    a, b, mask = values(SHAPE, "float32"), values(SHAPE, "float32", 1), values(SHAPE, "bool", 2)
    a[:, ::7, ::5], a[1, 2], b[2, 3, 4], b[:, 1::9] = np.nan, np.inf, -np.inf, np.nan
    check(run(backend, put, a, b), truth(a, b))
    check(run(backend, put, a, b, mask), truth(a, b, mask))
    both = np.isfinite(a) & np.isfinite(b)
    assert run(backend, put, a, b, both).nonfinite == 0
    found = run(backend, put, np.full((2, 50, 60), np.nan, np.float32), np.zeros((2, 50, 60), np.float32))
    assert found == Differences(0, 0.0, 0.0, 0.0, 0.0, 6000)


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 1, 257), (3, 1, 5), (4, 64, 64)])
def test_shapes(backend, put, shape):
    a, b = values(shape, "float32"), values(shape, "float32", 1)
    check(run(backend, put, a, b), truth(a, b))


def test_no_voxel(backend, put):
    none = Differences(0, 0.0, 0.0, 0.0, 0.0, 0)
    a = np.zeros((3, 0, 5), np.uint8)
    assert run(backend, put, a, a) == none
    b = values((3, 4, 5), "uint8")
    assert run(backend, put, b, b[::-1], np.zeros(b.shape, bool)) == none


def test_volumes_of_a_batch(backend, put):
    """Of more chunks than one, under a mask each and under one for all."""
    a, b, masks = values((3, *SHAPE), "uint8"), values((3, *SHAPE), "uint8", 1), values((3, *SHAPE), "bool", 2)
    kernel = importlib.import_module(f"fastprep.kernels.{backend}.errors").errors
    there, other, marks = (view_of(put(x)) for x in (a, b, masks))
    for found, v, w, m in zip(kernel(there, other, marks), a, b, masks, strict=True):
        check(found, truth(v, w, m))
    for found, v, w in zip(kernel(there, other, one_for_all(marks)), a, b, strict=True):
        check(found, truth(v, w, masks[0]))
    for found, v, w in zip(kernel(there[:, 1:], other[:, :-1], None), a[:, 1:], b[:, :-1], strict=True):
        check(found, truth(v, w))


def test_any_number_of_threads():
    a, b, mask = values((9, 90, 160), "float32"), values((9, 90, 160), "float32", 1), values((9, 90, 160), "bool", 2)
    try:
        found = []
        for n in (1, 2, 5):
            fp.set_num_threads(n)
            found.append(run("cpu", np.asarray, a, b, mask))
    finally:
        fp.set_num_threads(None)
    assert found[0] == found[1] == found[2]
