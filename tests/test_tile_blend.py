"""The kernel ``tile_blend``: the blend of tables written out voxel by voxel, on every backend."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

import clahe_cases
import fastprep as fp
from fastprep.core.tiles import tiles_of
from fastprep.ops._arrays import view_of
from fastprep.testing.assertions import to_numpy
from layouts import LAYOUTS, values
from test_tile_tables import CASES


def some_tables(number, bins, span, seed=0):
    """Tables as `tile_tables` makes them, and tiles without a voxel."""
    rng = np.random.default_rng(seed)
    tables = np.sort(rng.random((2, number, bins)) * span, axis=-1).astype(np.float32)
    return tables, (rng.random((2, number)) > 0.25).astype(np.int32)


def run(backend, put, x, mask, job, dtype):
    """``x`` (B, Z, Y, X) through tables."""
    kernel = importlib.import_module(f"fastprep.kernels.{backend}.tile_blend").tile_blend
    tables, counts, tiles, size, origin, bins, (low, high) = job
    out = put(np.full(x.shape, 77, dtype))
    marks = None if mask is None else view_of(put(mask))
    where = view_of(put(tables[: len(x)])), view_of(put(counts[: len(x)])), tiles, size, origin
    kernel(view_of(put(x)), marks, *where, bins, low, high, view_of(out))
    return to_numpy(out)


def cast(values, x, dtype):
    """Results in a type; where they are NaN the input."""
    whole = np.where(np.isnan(values), x.astype(np.float64), values)
    if np.dtype(dtype).kind == "f":
        return whole.astype(dtype)
    info = np.iinfo(dtype)
    return np.clip(np.rint(np.nan_to_num(whole, nan=0.0)), info.min, info.max).astype(dtype)


def check(backend, put, x, mask, job, dtype):
    tables, counts, *rest, ends = job
    found = run(backend, put, x, mask, job, dtype)
    for b in range(len(x)):
        truth = clahe_cases.blend(x[b], None if mask is None else mask[b], tables[b], counts[b], *rest, *ends)
        np.testing.assert_array_equal(found[b], cast(truth, x[b], dtype))


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("everywhere", [True, False])
def test_every_kind_of_bins(backend, put, case, everywhere):
    dtype, bins, ends, _ = CASES[case]
    x, mask = values((2, 5, 6, 7), dtype), values((2, 5, 6, 7), "bool", 1)
    if dtype == "float32":
        x[0, 0, 0, :3] = np.nan, np.inf, -np.inf
    tables, counts = some_tables(12, bins, ends[1] - ends[0])
    counts = np.ones_like(counts) if everywhere else counts
    job = tables, counts, (2, 3, 2), (3, 2, 4), (0, 0, 0), bins, ends
    check(backend, put, x, None, job, dtype)
    check(backend, put, x, mask, job, dtype)


@pytest.mark.parametrize(("source", "dtype"), [("uint8", "float32"), ("float32", "float16"), ("float32", "uint8")])
def test_into_another_type(backend, put, source, dtype):
    x, mask = values((2, 1, 6, 7), source), values((2, 1, 6, 7), "bool", 1)
    bins, ends = (256, (0, 255)) if source == "uint8" else (50, (-400.0, 300.5))
    job = *some_tables(6, bins, ends[1] - ends[0]), (1, 3, 2), (1, 2, 4), (0, 0, 0), bins, ends
    check(backend, put, x, mask, job, dtype)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout(backend, put, layout):
    if backend == "gpu" and layout in ("big-endian", "unaligned", "read-only"):
        pytest.skip("a GPU has no such arrays")
    x, mask = values((2, 3, 20, 23), "int16"), values((2, 3, 20, 23), "bool", 1)
    job = *some_tables(12, 100, 7001), (1, 3, 4), (3, 8, 6), (0, 0, 0), 100, (-3000, 4001)
    expected = run("reference", np.asarray, x, mask, job, "int16")
    np.testing.assert_array_equal(run(backend, put, LAYOUTS[layout](x), mask, job, "int16"), expected)
    np.testing.assert_array_equal(run(backend, put, x, LAYOUTS[layout](mask), job, "int16"), expected)


@pytest.mark.parametrize(
    ("shape", "tiles"),
    [((2, 1, 5, 3), (1, 9, 8)), ((2, 1, 1, 1), (1, 3, 1)), ((2, 4, 1, 40), (3, 1, 2)), ((2, 7, 8, 1), (7, 2, 4))],
)
def test_tiles_of_few_voxels_and_beyond_the_image(backend, put, shape, tiles):
    x = values(shape, "uint8")
    tiles, size = tiles_of(shape[1:], tiles)
    tables, counts = some_tables(int(np.prod(tiles)), 256, 255)
    for there in (np.ones_like(counts), counts):
        check(backend, put, x, None, (tables, there, tiles, size, (0, 0, 0), 256, (0, 255)), "float32")


def test_patches_are_parts_of_the_whole(backend, put):
    x = values((2, 9, 20, 23), "uint8")
    tables, counts = some_tables(48, 256, 255)
    job = tables, counts, (3, 4, 4), (3, 5, 6)
    whole = run(backend, put, x, None, (*job, (0, 0, 0), 256, (0, 255)), "uint8")
    for first, last in (((2, 3, 5), (8, 17, 22)), ((8, 0, 11), (9, 1, 23)), ((1, 4, 4), (2, 5, 5))):
        part = (slice(None), *(slice(a, b) for a, b in zip(first, last, strict=True)))
        found = run(backend, put, np.ascontiguousarray(x[part]), None, (*job, first, 256, (0, 255)), "uint8")
        np.testing.assert_array_equal(found, whole[part])


def test_no_table_around_leaves_a_voxel_as_it_is(backend, put):
    x = values((2, 1, 6, 7), "uint8")
    tables, counts = some_tables(6, 256, 255)
    job = tables, counts * 0, (1, 3, 2), (1, 2, 4), (0, 0, 0), 256, (0, 255)
    np.testing.assert_array_equal(run(backend, put, x, None, job, "uint8"), x)


def test_any_number_of_threads():
    x, mask = values((2, 9, 40, 50), "float32"), values((2, 9, 40, 50), "bool", 1)
    job = *some_tables(36, 50, 700.5), (3, 3, 4), (3, 14, 13), (0, 0, 0), 50, (-400.0, 300.5)
    try:
        found = []
        for n in (1, 2, 5):
            fp.set_num_threads(n)
            found.append(run("cpu", np.asarray, x, mask, job, "float32"))
    finally:
        fp.set_num_threads(None)
    assert found[0].tobytes() == found[1].tobytes() == found[2].tobytes()
