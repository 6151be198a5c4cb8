"""CLAHE, metrics and a detector's frames on the GPU alone: what is cut into parts, what fits on chip, far places."""

from __future__ import annotations

import mmap

import numpy as np
import pytest

import emulated
from fastprep.core.device_view import DeviceView
from fastprep.core.tiles import tiles_of
from fastprep.kernels.gpu import errors, flat_field, mend, ssim, tile_blend, tile_tables
from fastprep.ops._arrays import view_of
from fastprep.testing.assertions import to_numpy
from layouts import values
from masks import kernel_of

pytestmark = pytest.mark.gpu

#: Of Linux: no memory is set aside for what nobody touches.
_NO_RESERVE = 0x4000
PLANES, VOLUMES = ((2, 1, 61, 83), (3, 2)), ((2, 9, 30, 29), (2, 2, 1))


def moved(x):
    return view_of(emulated.put(x))


def tables_of(x, mask, tiles, size, bins, ends, clip_limit=2.0):
    """Tables and counts, on the device and as the CPU has them."""
    number = int(np.prod(tiles))
    shapes = ((len(x), number, bins), np.float32), ((len(x), number), np.int32)
    here, there = [np.empty(*s) for s in shapes], [emulated.put(np.full(*s[:1], 7, s[1])) for s in shapes]
    how = tiles, size, bins, *ends, clip_limit, True
    kernel_of("cpu", "tile_tables")(x, mask, *how, *here)
    tile_tables.tile_tables(moved(x), None if mask is None else moved(mask), *how, *map(view_of, there))
    for found, truth in zip(there, here, strict=True):
        np.testing.assert_array_equal(to_numpy(found), truth)
    return here, there


def blend_is_the_same(x, mask, here, there, tiles, size, bins, ends, dtype):
    how = tiles, size, (0, 0, 0), bins, *ends
    truth, found = np.empty(x.shape, dtype), emulated.put(np.full(x.shape, 3, dtype))
    kernel_of("cpu", "tile_blend")(x, mask, *here, *how, truth)
    marks = None if mask is None else moved(mask)
    tile_blend.tile_blend(moved(x), marks, *map(view_of, there), *how, view_of(found))
    np.testing.assert_array_equal(to_numpy(found), truth)


def spread(shape, tiles):
    """Tiles and their size in three axes."""
    axes = len(tiles)
    tiles, size = tiles_of(shape[-axes:], tiles)
    return (1,) * (3 - axes) + tiles, (1,) * (3 - axes) + size


@pytest.mark.parametrize(("shape", "tiles"), [PLANES, VOLUMES])
@pytest.mark.parametrize(("dtype", "bins", "ends"), [("uint8", 256, (0, 255)), ("uint16", 300, (101, 60_000))])
def test_tables_on_chip_and_where_they_are(driver, monkeypatch, shape, tiles, dtype, bins, ends):
    x, mask = values(shape, dtype), values(shape, "bool", 1)
    mask[0, :, :30] = False
    tiles, size = spread(shape, tiles)
    for most, kind in ((1 << 14, "true"), (0, "false")):
        monkeypatch.setattr(tile_blend, "MOST_SHARED", most)
        for marks in (None, mask):
            here, there = tables_of(x, marks, tiles, size, bins, ends)
            driver.log.clear()
            blend_is_the_same(x, marks, here, there, tiles, size, bins, ends, dtype)
            ((_, (name, _, _)),) = [entry for entry in driver.log if entry[0] == "launch"]
            assert name.endswith(f"{kind}>")


@pytest.mark.parametrize("bins", [64, 20_000])
def test_parts_of_a_tile_add_up(driver, monkeypatch, bins):
    """In shared memory and in the tables, by many blocks; far more bins than a block holds."""
    monkeypatch.setattr(tile_tables, "_COLUMNS", 256)
    monkeypatch.setattr(tile_tables, "_BLOCKS", 1 << 10)
    monkeypatch.setattr(tile_blend, "_COLUMNS", 256)
    x = values((2, 1, 130, 90), "uint16")
    x[0] = 77  # as background is
    tiles, size = spread(x.shape, (2, 1))
    driver.log.clear()
    here, there = tables_of(x, None, tiles, size, bins, (0, 65_535))
    blocks = {name: count for kind, (name, count, _) in driver.log if kind == "launch"}
    assert blocks["tile_count<int64>"] > 4 and "tile_clear" in blocks
    blend_is_the_same(x, None, here, there, tiles, size, bins, (0, 65_535), "float32")


def test_nothing_is_waited_for(driver):
    x = values(PLANES[0], "int16")
    tiles, size = spread(*PLANES)
    here, there = tables_of(x, None, tiles, size, 100, (-900, 900))
    blend_is_the_same(x, None, here, there, tiles, size, 100, (-900, 900), "int16")
    out = emulated.put(np.zeros(x.shape, np.float32))
    flat_field.flat_field(moved(x), None, moved(np.ones((1, *x.shape[1:]), np.float32)), view_of(out))
    mend.mend(moved(x), moved((x[:1] > 0).astype(np.uint8)), view_of(emulated.put(x)))
    assert driver.count("synchronize") == 0


def test_numbers_are_waited_for_once(driver):
    a, b = values((3, 5, 20, 40), "uint8"), values((3, 5, 20, 40), "uint8", 1)
    driver.log.clear()
    errors.errors(moved(a), moved(b), None)
    assert driver.count("synchronize") == 1
    ssim.ssim(moved(a), moved(b), (np.full(3, 1 / 3),) * 3, (1, 1, 1), 1.0, 0.1, 0.2, None)
    assert driver.count("synchronize") == 2


def test_similarity_of_some_planes_at_a_time(driver, monkeypatch):
    a, b = values((2, 9, 10, 11), "float32"), values((2, 9, 10, 11), "float32", 1)
    weights, out = (np.array([0.25, 0.5, 0.25]), np.full(5, 0.2), np.ones(1)), np.empty(a.shape, np.float64)
    how = weights, (1, 2, 0), 1.1, 3.0, 7.0
    truth = kernel_of("cpu", "ssim")(a, b, *how, out)
    for at_once in (1 << 20, 250):
        monkeypatch.setattr(ssim, "_AT_ONCE", at_once)
        found = emulated.put(np.zeros(a.shape, np.float64))
        assert ssim.ssim(moved(a), moved(b), *how, view_of(found)) == pytest.approx(truth, abs=1e-12)
        np.testing.assert_allclose(to_numpy(found), out, rtol=0, atol=1e-12)


def test_places_further_than_32_bits_reach(driver):
    """Planes that lie 2**32 bytes apart, in memory that nobody touches in between."""
    far = np.frombuffer(mmap.mmap(-1, (1 << 32) + 4096, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _NO_RESERVE), np.uint8)
    x = values((1, 2, 3, 40), "uint8")
    for z in range(2):
        far[z << 32 :][: 3 * 40] = x[0, z].ravel()
    away = DeviceView(far.ctypes.data, (1, 2, 3, 40), (0, 1 << 32, 40, 1), far.dtype, 0, emulated.put(far[:1]))
    how = (2, 1, 2), (1, 3, 20)
    here, there = tables_of(x, None, *how, 256, (0, 255))
    again = [emulated.put(np.zeros_like(a)) for a in here]
    tile_tables.tile_tables(away, None, *how, 256, 0, 255, 2.0, True, *map(view_of, again))
    np.testing.assert_array_equal(to_numpy(again[0]), here[0])
    outs = [emulated.put(np.zeros(x.shape, np.uint8)) for _ in range(2)]
    for given, out in zip((moved(x), away), outs, strict=True):
        tile_blend.tile_blend(given, None, *map(view_of, there), *how, (0, 0, 0), 256, 0, 255, view_of(out))
    np.testing.assert_array_equal(to_numpy(outs[0]), to_numpy(outs[1]))
    bad = (np.arange(x.size).reshape(x.shape) % 7 == 0).astype(np.uint8)
    for given, out in zip((moved(x), away), outs, strict=True):
        mend.mend(given, moved(bad), view_of(out))
    np.testing.assert_array_equal(to_numpy(outs[0]), to_numpy(outs[1]))
    assert errors.errors(away, moved(x), None)[0].absolute == 0
    assert errors.errors(moved(x), away, None)[0].count == x.size
