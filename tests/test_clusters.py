"""The kernels ``clusters`` and ``paint``: SciPy's labels and measurements, sums as Python's own integers."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import scipy.ndimage as ndi

import fastprep as fp
from fastprep.core.regions import LARGEST, LOW_BITS, least_above, scale_for, sums
from fastprep.ops._arrays import view_of
from fastprep.testing.assertions import to_numpy
from layouts import DTYPES, LAYOUTS, values
from masks import kernel_of

SHAPE = (5, 9, 70)
SCALE = 2.0**20


def run(backend, put, x, threshold, connectivity=3, ceiling=math.inf, scale=SCALE):
    found = kernel_of(backend, "clusters")(view_of(put(x)), threshold, connectivity, ceiling, scale)
    for name, column in found.table._asdict().items():
        assert isinstance(column, np.ndarray), name
        assert column.dtype == (np.float64 if name in ("least", "most") else np.int64), name
    return found


def painted(backend, put, found, shape, values_=None, dtype=np.int32):
    out = put(np.full(shape, 1, dtype))
    each = np.arange(1, len(found.table.voxels) + 1) if values_ is None else values_
    kernel_of(backend, "paint")(found.runs, np.asarray(each, np.int64), view_of(out))
    return to_numpy(out)


def above(x, threshold):
    """Compared as exact numbers."""
    if threshold in (math.inf, -math.inf) or x.dtype.kind == "f":
        wide = x.astype(np.float64)  # exact: no float here is wider
        return wide > threshold
    return x.astype(object) > Fraction(threshold)


def whole(v, scale):
    """The integer of a value, by exact arithmetic."""
    if isinstance(v, np.floating):
        f = float(v) * scale
        return int(np.clip(np.rint(f), -LARGEST, LARGEST))
    return int(v)


def check(found, x, threshold, connectivity, ceiling, scale):
    """The table by SciPy, and the sums by Python."""
    mask = np.asarray(above(x, threshold), bool)
    labels, count = ndi.label(mask, ndi.generate_binary_structure(3, connectivity))
    t, each = found.table, np.arange(1, count + 1)
    assert t.voxels.tolist() == ndi.sum_labels(mask, labels, each).astype(int).tolist()
    assert t.box.shape == (count, 3, 2) and t.index_sum.shape == (count, 3)
    boxes = [[(s.start, s.stop) for s in box] for box in ndi.find_objects(labels)]
    assert [[tuple(pair) for pair in box] for box in t.box.tolist()] == boxes
    centres = np.reshape(ndi.center_of_mass(mask, labels, each), (count, 3))
    np.testing.assert_allclose(t.index_sum, centres * t.voxels[:, None], rtol=1e-12, atol=1e-9)
    plain = x.astype(np.uint8) if x.dtype == bool else x
    for i in each:
        inside = plain[labels == i]
        wholes = [whole(v, scale) for v in inside]
        k = i - 1
        assert (t.high[k], t.low[k]) == (sum(w >> LOW_BITS for w in wholes), sum(w % 2**LOW_BITS for w in wholes))
        assert (t.least[k], t.most[k]) == (float(inside.min()), float(inside.max()))
        assert t.capped[k] == sum(float(v) >= ceiling for v in inside)
    return labels


@pytest.mark.parametrize("dtype", [*DTYPES, "uint64"])
def test_every_dtype(backend, put, dtype):
    x = values(SHAPE, dtype)
    threshold = 0.5 if dtype == "bool" else float(np.percentile(x.astype(np.float64), 80))
    ceiling = float(np.percentile(x.astype(np.float64), 95))
    found = run(backend, put, x, threshold, 2, ceiling)
    labels = check(found, x, threshold, 2, ceiling, SCALE)
    np.testing.assert_array_equal(painted(backend, put, found, SHAPE), labels)


@pytest.mark.parametrize("connectivity", [1, 2, 3])
def test_any_density(backend, put, connectivity):
    x = values((4, 7, 66), "int16", 1)
    for q in (40, 70, 90, 99.5):
        threshold = float(np.percentile(x, q)) + 0.25
        found = run(backend, put, x, threshold, connectivity)
        np.testing.assert_array_equal(
            painted(backend, put, found, x.shape), check(found, x, threshold, connectivity, math.inf, SCALE)
        )


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout(backend, put, layout):
    if backend == "gpu" and layout in ("big-endian", "unaligned", "read-only"):
        pytest.skip("a GPU has no such arrays")
    for dtype, shape in (("int16", SHAPE), ("float32", (4, 5, 13))):
        x = values(shape, dtype)
        threshold = float(np.percentile(x, 75))
        found = run(backend, put, LAYOUTS[layout](x), threshold)
        check(found, x, threshold, 3, math.inf, SCALE)


@pytest.mark.parametrize("dtype", ["int8", "uint16", "int16", "int64", "float16", "float32", "float64"])
def test_thresholds_are_exact(backend, put, dtype):
    """On a value, just below and just above it, between two, and beyond all."""
    if np.dtype(dtype).kind == "f":
        near = np.array([0.1, 1 / 3, -7.3, 500.1, np.finfo(dtype).tiny, 0], dtype)
        x = np.concatenate([near, np.nextafter(near, near.dtype.type(9))])
    else:
        info = np.iinfo(dtype)
        x = np.array([info.min, info.min + 1, -3 if info.min else 3, 0, 1, 100, info.max - 1, info.max], dtype)
    row = np.zeros((1, 1, 2 * x.size), dtype)
    row[0, 0, ::2] = x
    lowest = float(x.astype(np.float64).min())
    for v in x.astype(np.float64):
        for t in (float(v), math.nextafter(v, -math.inf), math.nextafter(v, math.inf), v + 0.5, 1e300, -1e300):
            got = painted(backend, put, run(backend, put, row, t), row.shape) > 0
            np.testing.assert_array_equal(got, above(row, t).astype(bool), err_msg=repr(t))
    for t, expected in (
        (math.inf, 0),
        (-math.inf, row.size),
        (math.nan, 0),
        (math.nextafter(lowest, -1e300), row.size),
    ):
        assert run(backend, put, row, t).table.voxels.sum() == expected


def test_nan_and_infinity(backend, put):
    x = np.array([[[np.nan, 5, np.inf, 1, -np.inf, 7, np.nan]]], np.float32)
    table = run(backend, put, x, 2.0, ceiling=6.0).table
    assert table.voxels.tolist() == [2, 1] and table.most.tolist() == [math.inf, 7]
    assert table.least.tolist() == [5, 7] and table.capped.tolist() == [1, 1]
    total = int(table.high[0]) * 2**LOW_BITS + int(table.low[0])
    assert total == 5 * 2**20 + 2**52


def test_rounding_is_half_to_even(backend, put):
    x = np.array([[[1.5, 2.5, 3.5, 0.5, 4.49999, 0.500001]]], np.float32)
    table = run(backend, put, x, 0.0, scale=1.0).table
    assert table.low.tolist() == [2 + 2 + 4 + 0 + 4 + 1] and table.high.tolist() == [0]


def test_negative_values_have_parts_too(backend, put):
    for dtype in ("int16", "int32", "float32"):
        x = np.array([[[-5, -7, 3, -100000 if dtype != "int16" else -1000]]], dtype)
        found = run(backend, put, x, -1e6, scale=1.0)
        assert found.table.high.tolist() == [-3] and sums(found.table, 1.0)[0] == x.sum()


def test_nothing_and_everything(backend, put):
    x = np.full((2, 3, 65), 40, np.int16)
    nothing = run(backend, put, x, 40.0)
    assert all(len(column) == 0 for column in nothing.table)
    assert nothing.table.box.shape == (0, 3, 2) and nothing.table.index_sum.shape == (0, 3)
    assert not painted(backend, put, nothing, x.shape).any()
    check(run(backend, put, x, 39.0), x, 39.0, 3, math.inf, SCALE)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int32", "int64"])
def test_paint_writes_what_it_is_told(backend, put, dtype):
    x = values(SHAPE, "int16", 3)
    found = run(backend, put, x, 25000.0)
    labels, count = ndi.label(x > 25000, np.ones((3, 3, 3)))
    chosen = np.random.default_rng(0).integers(0, 2 if dtype == "bool" else 100, count)
    got = painted(backend, put, found, SHAPE, chosen, dtype)
    assert got.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(got, np.append(0, chosen)[labels].astype(dtype))


def test_any_number_of_threads():
    x = values((60, 90, 70), "float32", 2)
    try:
        tables = []
        for n in (1, 2, 5):
            fp.set_num_threads(n)
            tables.append(run("cpu", np.asarray, x, 900.0, ceiling=1200.0).table)
    finally:
        fp.set_num_threads(None)
    for other in tables[1:]:
        for a, b in zip(tables[0], other, strict=True):
            assert a.tobytes() == b.tobytes()


@pytest.mark.parametrize("dtype", ["int16", "float32", "float64"])
def test_backends_have_the_same_bits(backend, put, dtype):
    x = values(SHAPE, dtype, 4)
    here = kernel_of("reference", "clusters")(x, 300.25, 1, 900.0, SCALE).table
    for a, b in zip(run(backend, put, x, 300.25, 1, 900.0).table, here, strict=True):
        assert a.tobytes() == b.tobytes()


def test_scales():
    assert scale_for(3.0) == 2.0**50 and scale_for(4096.0) * 4096 <= 2.0**52
    for largest in (1e-300, 5e-324, 0.3, 1.0, 2.0**52, 1.7e308):
        scale = scale_for(largest)
        assert math.frexp(scale)[0] == 0.5 and largest * scale <= LARGEST


def test_the_least_value_above():
    assert least_above(300.0, np.dtype("int16")) == 301 and least_above(300.5, np.dtype("int16")) == 301
    assert least_above(-300.5, np.dtype("int16")) == -300 and least_above(300.0, np.dtype("int16"), equal=True) == 300
    assert least_above(255.0, np.dtype("uint8")) is None and least_above(-1.0, np.dtype("uint8")) == 0
    assert float(least_above(0.1, np.dtype("float32"))) == float(np.float32(0.1)) > 0.1
    assert least_above(1e39, np.dtype("float32")) == np.inf and least_above(math.inf, np.dtype("float32")) is None
