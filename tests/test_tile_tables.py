"""The kernel ``tile_tables``: OpenCV's tables written out in plain loops, on every backend."""

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

#: Type of the values, bins, range, whether rounded.
CASES = {
    "exact": ("uint8", 256, (0, 255), True),
    "narrow": ("int16", 100, (-3000, 4001), False),
    "wide": ("int32", 64, (-100_000, 99_999), True),
    "far": ("uint8", 7, (-70, 90_000), False),
    "real": ("float32", 50, (-400.0, 300.5), False),
}


def run(backend, put, x, mask, tiles, size, how):
    """Tables and counts of ``x`` (B, Z, Y, X)."""
    kernel = importlib.import_module(f"fastprep.kernels.{backend}.tile_tables").tile_tables
    bins, (low, high), clip_limit, whole = how
    number = int(np.prod(tiles))
    tables, counts = (
        put(np.full((len(x), number, bins), np.nan, np.float32)),
        put(np.full((len(x), number), -1, np.int32)),
    )
    marks = None if mask is None else view_of(put(mask))
    kernel(view_of(put(x)), marks, tiles, size, bins, low, high, clip_limit, whole, view_of(tables), view_of(counts))
    return to_numpy(tables), to_numpy(counts)


def check(found, x, mask, tiles, size, how):
    bins, (low, high), clip_limit, whole = how
    for b in range(len(x)):
        marks = None if mask is None else mask[b]
        tables, counts = clahe_cases.tables(x[b], marks, tiles, size, bins, low, high, clip_limit, whole)
        np.testing.assert_array_equal(found[1][b], counts)
        np.testing.assert_array_equal(found[0][b], tables)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("clip_limit", [0.0, 2.5])
def test_every_kind_of_bins(backend, put, case, clip_limit):
    dtype, *how = CASES[case]
    x, mask = values((2, 5, 6, 7), dtype), values((2, 5, 6, 7), "bool", 1)
    if dtype == "float32":
        x[0, 0, 0, :3] = np.nan, np.inf, -np.inf
    mask[1, :3, :, :4] = False
    job = (2, 3, 2), (3, 2, 4), (how[0], how[1], clip_limit, how[2])
    check(run(backend, put, x, None, *job), x, None, *job)
    check(run(backend, put, x, mask, *job), x, mask, *job)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout(backend, put, layout):
    if backend == "gpu" and layout in ("big-endian", "unaligned", "read-only"):
        pytest.skip("a GPU has no such arrays")
    x, mask = values((2, 3, 20, 23), "int16"), values((2, 3, 20, 23), "bool", 1)
    job = (1, 3, 4), (3, 8, 6), (100, (-3000, 4001), 3.0, False)
    tables, counts = run("reference", np.asarray, x, mask, *job)
    for given in ((LAYOUTS[layout](x), mask), (x, LAYOUTS[layout](mask))):
        found = run(backend, put, *given, *job)
        np.testing.assert_array_equal(found[0], tables)
        np.testing.assert_array_equal(found[1], counts)


@pytest.mark.parametrize(
    ("shape", "tiles"),
    [((1, 1, 5, 3), (1, 9, 8)), ((2, 1, 1, 1), (1, 3, 1)), ((1, 4, 1, 40), (3, 1, 2)), ((1, 7, 8, 1), (7, 2, 4))],
)
@pytest.mark.parametrize("clip_limit", [1e-9, 0.7, 1e9])
def test_tiles_of_few_voxels_and_beyond_the_image(backend, put, shape, tiles, clip_limit):
    x = values(shape, "uint8")
    tiles, size = tiles_of(shape[1:], tiles)
    job = tiles, size, (256, (0, 255), clip_limit, True)
    check(run(backend, put, x, None, *job), x, None, *job)


def test_large_tiles_of_few_values(backend, put):
    """More voxels than one thread, or block, counts at a time, and long runs of one value."""
    x = np.repeat(values((1, 1, 190, 25), "uint8") // 64, 9, axis=3)
    for tiles in ((1, 1, 1), (1, 2, 3)):
        job = tiles, tiles_of(x.shape[1:], tiles)[1], (256, (0, 255), 0.0, True)
        tables, counts = run(backend, put, x, None, *job)
        assert counts.sum() == np.prod(tiles) * np.prod(job[1])
        np.testing.assert_array_equal(tables, run("reference", np.asarray, x, None, *job)[0])


def test_any_number_of_threads():
    x = values((2, 3, 60, 90), "float32")
    job = (2, 3, 3), (2, 20, 30), (50, (-400.0, 300.5), 2.0, False)
    try:
        found = []
        for n in (1, 2, 5):
            fp.set_num_threads(n)
            found.append(run("cpu", np.asarray, x, None, *job))
    finally:
        fp.set_num_threads(None)
    for tables, counts in found[1:]:
        np.testing.assert_array_equal(tables, found[0][0])
        np.testing.assert_array_equal(counts, found[0][1])
