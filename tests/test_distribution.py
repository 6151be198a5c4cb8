"""What the statistics of `fastprep.ops._masked` make of kernels' answers, on views of one volume."""

from __future__ import annotations

import numpy as np
import pytest

from fastprep.core.errors import ArgumentError, NonFiniteError
from fastprep.ops._arrays import view_of
from fastprep.ops._masked import distribution_of, quantiles_of
from layouts import same_error, values

SHAPE = (4, 20, 30)


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint8", "int16", "uint16"])
def test_whole_numbers_have_a_bin_each(backend, put, dtype):
    x, mask = values(SHAPE, dtype), values(SHAPE, "bool", 1)
    x[:2] = x[:2] // 3 if dtype != "bool" else x[:2]
    for inside in (None, mask):
        v = (x if inside is None else x[inside]).astype(np.int64)
        found = distribution_of(view_of(put(x)), None if inside is None else view_of(put(inside)), 7)
        assert (found.low, found.width, found.total) == (v.min(), 1.0, v.size)
        np.testing.assert_array_equal(found.counts, np.bincount(v.ravel() - v.min()))
        assert found.centers[[0, -1]].tolist() == [v.min(), v.max()]


@pytest.mark.parametrize("dtype", ["int32", "float16", "float32", "float64"])
def test_other_numbers_have_equal_bins(backend, put, dtype):
    x, mask = values(SHAPE, dtype), values(SHAPE, "bool", 1)
    v = x[mask].astype(np.float64)
    found = distribution_of(view_of(put(x)), view_of(put(mask)), 50)
    counts, edges = np.histogram(v, np.linspace(v.min(), v.max(), 51))
    np.testing.assert_array_equal(found.counts, counts)
    np.testing.assert_allclose(found.centers, (edges[1:] + edges[:-1]) / 2, atol=1e-12 * np.abs(v).max())


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_quantiles(backend, put, dtype):
    x, mask, q = values(SHAPE, dtype), values(SHAPE, "bool", 1), [0.3, 0.0, 1.0, 0.5]
    expected = np.quantile(x[mask].astype(np.float64), q)
    np.testing.assert_array_equal(quantiles_of(view_of(put(x)), view_of(put(mask)), q), expected)
    constant = view_of(put(np.full((2, 3, 4), 7, dtype)))
    assert quantiles_of(constant, None, [0.5]).tolist() == [7.0]


def test_errors(backend, put):
    x, none = values(SHAPE, "float32"), np.zeros(SHAPE, bool)
    odd = x.copy()
    odd[1, 2, :3], odd[3, 4, 5] = np.nan, np.inf
    for of in (lambda x, m: quantiles_of(x, m, [0.5]), lambda x, m: distribution_of(x, m, 9)):
        for few, many in ((x, odd), (x.astype(np.int16), None)):
            empty = lambda of=of, few=few: of(view_of(put(few)), view_of(put(none)))  # noqa: E731
            same_error(empty, ArgumentError, "mask holds no voxel")
            if many is not None:
                broken = lambda of=of, many=many: of(view_of(put(many)), None)  # noqa: E731
                same_error(broken, NonFiniteError, "x holds 4 values that are NaN or infinite")
    for dtype in ("uint8", "float32"):
        flat = np.full((2, 3, 4), 7, dtype)
        same_error(lambda flat=flat: distribution_of(view_of(put(flat)), None, 9), ArgumentError, "x is constant, 7")
