"""Runs on the GPU alone: the order of joins, room that is too small, what is waited for, and places beyond 32 bits."""

from __future__ import annotations

import dataclasses
import mmap

import numpy as np
import pytest
import scipy.ndimage as ndi

import emulated
import emulator
from fastprep.core.device_view import BFLOAT16, DeviceView
from fastprep.core.errors import TooLargeError
from fastprep.kernels.gpu import _runs, clusters, keep, label, regions
from fastprep.ops._arrays import view_of
from fastprep.testing.assertions import to_numpy
from masks import kernel_of, made, spiral

pytestmark = pytest.mark.gpu

CORNERS = np.ones((3, 3, 3))
#: Of Linux: no memory is set aside for what nobody touches.
_NO_RESERVE = 0x4000


def labelled(put, mask, connectivity=3):
    out = put(np.zeros((1, *mask.shape), np.int32))
    found = label.label(view_of(put(mask[None])), connectivity, view_of(out))
    return to_numpy(out)[0], found[0]


def same_table(table, x, threshold):
    expected = kernel_of("reference", "clusters")(x, threshold, 3, 900.0, 1.0).table
    for found, wanted in zip(table, expected, strict=True):
        assert found.dtype == wanted.dtype
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("order", emulator.ORDERS)
def test_joins_of_any_order(driver, monkeypatch, order):
    """The emulator runs a launch in every order, one after the other, and the last would make up for the first."""
    monkeypatch.setattr("emulator.ORDERS", (order,))
    for mask in (np.random.default_rng(6).random((5, 7, 70)) < 0.25, spiral(19)):
        for connectivity in (1, 3):
            found, count = labelled(emulated.put, mask, connectivity)
            expected, wanted = ndi.label(mask, ndi.generate_binary_structure(3, connectivity))
            np.testing.assert_array_equal(found, expected)
            assert count == wanted


@pytest.mark.parametrize("shape", [(3, 4, 1100), (1, 3, 2048), (2, 5, 530), (2, 33, 1), (1, 1, 3000)])
def test_rows_that_tiles_end_in(gpu, shape):
    """A tile is 1024 voxels, padded: rows longer than that, and rows across its end."""
    rng = np.random.default_rng(0)
    for mask in (np.ones(shape, bool), rng.random(shape) < 0.97, rng.random(shape) < 0.4):
        found, count = labelled(gpu, mask)
        expected, wanted = ndi.label(mask, CORNERS)
        np.testing.assert_array_equal(found, expected)
        assert count == wanted
        largest = made("gpu", gpu, "keep", mask, 3, 1, 0)
        assert largest.sum() == np.bincount(expected.ravel())[1:].max()
        np.testing.assert_array_equal(made("gpu", gpu, "fill", ~mask, 1, False, -1), kernel_fill(~mask))


def kernel_fill(mask):
    out = np.empty((1, *mask.shape), bool)
    kernel_of("reference", "fill")(mask[None], 1, False, -1, out)
    return out[0]


def test_bits_of_aligned_rows_are_those_of_others(driver):
    """Rows of whole words are read in packs of 16 bytes, where memory allows, and else voxel by voxel."""
    rng = np.random.default_rng(1)
    for dtype in ("uint8", "int16", "float32", "float64"):
        x = rng.integers(0, 100, (2, 7, 64)).astype(dtype)
        memory = np.zeros(x.size + 1, dtype)
        memory[1:] = x.ravel()
        whole = view_of(emulated.put(x))
        shifted = dataclasses.replace(view_of(emulated.put(memory))[1:], shape=whole.shape, strides=whole.strides)
        assert whole.address % 16 == 0 != shifted.address % 16
        for view in (whole, shifted):
            same_table(clusters.clusters(view, 60.0, 3, 900.0, 1.0).table, x, 60.0)


def test_bfloat16(driver):
    """It has the upper half of a float32's bits."""
    rng = np.random.default_rng(7)
    x = (rng.integers(-(2**15), 2**15, (3, 5, 40)).astype(np.int32) << 16).view(np.float32)
    halves = (x.view(np.uint32) >> 16).astype(np.uint16)
    given = dataclasses.replace(view_of(emulated.put(halves)), dtype=BFLOAT16)
    for threshold in (0.0, 1.5, -1e-3, float(x[0, 0, 0])):
        same_table(clusters.clusters(given, threshold, 3, 900.0, 1.0).table, x, threshold)
    labels = rng.integers(-1, 4, x.shape).astype(np.int8)
    expected = kernel_of("reference", "regions")(labels, 3, x, 2.0, 1.0)
    for found, wanted in zip(regions.regions(view_of(emulated.put(labels)), 3, given, 2.0, 1.0), expected, strict=True):
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("few", [0, 10, 300])
def test_no_room_for_the_runs(gpu, monkeypatch, few):
    """More runs than were thought of, or as many; and regions than are read at once."""
    monkeypatch.setattr(clusters, "_FEW", few)
    monkeypatch.setattr(clusters, "_AT_ONCE", 3)
    x = np.random.default_rng(2).integers(0, 1000, (3, 9, 67)).astype(np.int16)
    for threshold in (500.0, 970.0, 1000.0):
        found = clusters.clusters(view_of(gpu(x)), threshold, 3, 900.0, 1.0)
        same_table(found.table, x, threshold)
        out = gpu(np.full(x.shape, 7, np.int64))
        kernel_of("gpu", "paint")(found.runs, np.arange(1, len(found.table.voxels) + 1), view_of(out))
        np.testing.assert_array_equal(to_numpy(out), ndi.label(x > threshold, CORNERS)[0])


def test_tables_that_are_too_large_to_keep(gpu, monkeypatch):
    monkeypatch.setattr("fastprep.kernels.gpu.paint._SMALL", 8)
    x = np.random.default_rng(2).integers(0, 1000, (3, 9, 40)).astype(np.int16)
    found = clusters.clusters(view_of(gpu(x)), 900.0, 3, 900.0, 1.0)
    out = gpu(np.zeros(x.shape, np.int32))
    kernel_of("gpu", "paint")(found.runs, np.arange(1, len(found.table.voxels) + 1), view_of(out))
    np.testing.assert_array_equal(to_numpy(out), ndi.label(x > 900, CORNERS)[0])


def test_more_runs_than_there_are_numbers(gpu, monkeypatch):
    monkeypatch.setattr(_runs, "_MOST", 20)
    monkeypatch.setattr(clusters, "_FEW", 5)
    mask = np.zeros((1, 3, 70), bool)
    mask[0, 0, : 2 * 20 : 2] = True
    assert labelled(gpu, mask)[1] == 20
    mask[0, 2, 5] = True
    with pytest.raises(TooLargeError, match="has 21 runs of voxels along its rows: at most 20"):
        labelled(gpu, mask)
    with pytest.raises(TooLargeError, match="has 21 runs"):
        clusters.clusters(view_of(gpu(mask)), 0.5, 3, 1.0, 1.0)


def test_sizes_are_put_in_order_on_either_side(gpu, monkeypatch):
    """Few components are found one by one by the device, of many the host sorts the sizes: the same are kept."""
    mask = np.random.default_rng(3).random((4, 9, 50)) < 0.12
    found = {most: made("gpu", gpu, "keep", mask, 1, most, 2) for most in (1, 3, 8)}
    monkeypatch.setattr(keep, "_ONE_BY_ONE", 0)
    for most, kept in found.items():
        np.testing.assert_array_equal(made("gpu", gpu, "keep", mask, 1, most, 2), kept)


def test_sums_of_more_values_than_a_block_has(driver, monkeypatch):
    """Checkerboards have a run for every other voxel."""
    board = np.indices((5, 130, 130)).sum(axis=0) % 2 == 0
    monkeypatch.setattr("emulator.ORDERS", ("shuffled",))
    found, count = labelled(emulated.put, board, 1)
    assert count == board.sum() > 2 * 8192
    np.testing.assert_array_equal(found, ndi.label(board)[0])
    assert driver.count("launch") == 9


def test_metal_is_read_once_and_waited_for_once(driver):
    x = np.zeros((4, 40, 64), np.int16)
    x[1:3, 4:9, 5:20] = 3000
    given = view_of(emulated.put(x))
    clusters.clusters(given, 2000.0, 3, 3071.0, 1.0)
    driver.log.clear()
    table = clusters.clusters(given, 2000.0, 3, 3071.0, 1.0).table
    assert table.voxels.tolist() == [2 * 5 * 15]
    assert driver.count("synchronize") == 1 and driver.count("upload") == 0
    names = [told[0] for kind, told in driver.log if kind == "launch"]
    assert names == ["bits<int16>", "scan", "runs_of", "runs_join", "runs_roots", "scan", "clusters<int64>"]


def test_a_mask_further_than_32_bits_reach(driver):
    """Planes that lie 2**32 bytes apart, in memory that nobody touches in between."""
    far = np.frombuffer(mmap.mmap(-1, (1 << 32) + 4096, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _NO_RESERVE), np.uint8)
    mask = np.random.default_rng(4).random((2, 3, 40)) < 0.4
    for z in range(2):
        far[z << 32 :][: 3 * 40] = mask[z].ravel()
    view = DeviceView(far.ctypes.data, (1, 2, 3, 40), (0, 1 << 32, 40, 1), far.dtype, 0, emulated.put(far[:1]))
    out = emulated.put(np.zeros((1, 2, 3, 40), np.int32))
    label.label(view, 3, view_of(out))
    np.testing.assert_array_equal(to_numpy(out)[0], ndi.label(mask, CORNERS)[0])


def test_places_further_than_32_bits_reach(driver):
    """The runs of a small volume as if 2**24 planes came before it: joined, and told where they are."""
    x = np.random.default_rng(5).integers(0, 100, (8, 5, 64)).astype(np.int16)
    x[:4] = 0  # a run looks at the plane before its own
    given = view_of(emulated.put(x))
    before, planes = 1 << 24, 5 * 2
    small = clusters.clusters(given, 60.0, 3, 80.0, 1.0)
    runs = small.runs
    count, shift = int(to_numpy(runs.head.owner)[0]), before * planes
    # The same bits at higher places: addresses are moved back by as much.
    far = object.__new__(_runs.Runs)
    far.__dict__.update(runs.__dict__)
    far.shape, far._tiles = (1, before + 8, 5, 64), (before + 8) * planes // 32 + 1
    far._words, far._first = runs._words - 8 * shift, runs._first - 4 * (shift // 32)
    work = to_numpy(runs._work.owner)
    half = runs.capacity
    work[:count] += 32 * shift
    work[half : half + count] += 32 * shift
    parents = work[2 * half + 1 :].view(np.int32)
    parents[:count] = np.arange(count)
    far._work = view_of(emulated.put(work))
    far.packed = far._pack(far._work.address, far.head.address)
    far.each("label", "runs_join", b"", [])
    far.each("label", "runs_roots", b"", [far._work])
    table = emulated.put(np.zeros(16 * len(small.table.voxels), np.int64))
    ranks, sums = far._work.address + 20 * half + 8, far._work.address + 16 * half
    far._scan(ranks, sums, far.head.address, half, far.head.address + 8, [far._work, far.head])
    values = clusters.values_of(given, 80.0, 1.0)
    moved = (values[0] - before * 5 * 64 * 2, *values[1:])
    packed = far.packed + clusters._JOB.pack(view_of(table).address, *moved, 1, 0)
    far.launch("clusters", "clusters<int64>", packed, -(-half * 8 // 256), [view_of(table)])
    found = clusters.table_of(to_numpy(table).reshape(-1, 16))
    expected = small.table._replace(
        box=small.table.box + np.array([[[before], [0], [0]]]),
        index_sum=small.table.index_sum + small.table.voxels[:, None] * np.array([before, 0, 0]),
    )
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)
