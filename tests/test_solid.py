"""The kernel ``solid``: SciPy's labels and filled holes, on every backend."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
import scipy.ndimage as ndi

import emulated
import emulator
import fastprep as fp
from fastprep.kernels.cpu._runs import Runs, components
from fastprep.ops._arrays import view_of
from fastprep.testing.assertions import to_numpy

SHAPES = [(9, 10, 11), (3, 5, 70), (1, 30, 33), (6, 1, 9), (6, 9, 1), (1, 1, 40), (40, 1, 1)]


def run(backend, put, mask):
    """Of one volume, and of it as the second of a batch, into itself."""
    kernel = importlib.import_module(f"fastprep.kernels.{backend}.solid").solid
    out = put(np.ones((1, *mask.shape), bool))
    kernel(view_of(put(mask[None])), view_of(out))
    two = put(np.stack([np.ones_like(mask), mask]))
    kernel(view_of(two), view_of(two))
    result = to_numpy(two)
    assert result[0].all() and result.dtype == bool
    np.testing.assert_array_equal(result[1], to_numpy(out)[0])
    return result[1]


def truth(mask):
    """With axes of one voxel made part of a longer volume by nothing but their edges."""
    labels, count = ndi.label(mask, np.ones((3, 3, 3)))
    if count == 0:
        return np.zeros(mask.shape, bool)
    sizes = np.array([(labels == i).sum() for i in range(1, count + 1)])
    best = labels == 1 + np.argmax(sizes)
    padded = np.pad(best, [(int(n > 1),) * 2 for n in mask.shape])
    outside, _ = ndi.label(~padded)
    around = [i for i in np.unique(outside[_rim(padded.shape)]) if i]
    holes = ~padded & ~np.isin(outside, around)
    return best | holes[tuple(slice(n > 1, n + (n > 1)) for n in mask.shape)]


def _rim(shape):
    rim = np.ones(shape, bool)
    rim[tuple(slice(1, -1) if n > 1 else slice(None) for n in shape)] = False
    return rim


@pytest.mark.parametrize("shape", SHAPES)
def test_any_density(backend, put, shape):
    rng = np.random.default_rng(0)
    for density in (0.05, 0.1, 0.2, 0.3, 0.4, 0.6, 0.85, 0.97):
        mask = rng.random(shape) < density
        np.testing.assert_array_equal(run(backend, put, mask), truth(mask), err_msg=str(density))


def ball(radius, shape=(13, 14, 15)):
    at = np.indices(shape) - np.array([6, 6, 6]).reshape(3, 1, 1, 1)
    return (at**2).sum(axis=0) <= radius**2


def test_a_cavity_is_filled_unless_it_is_open(backend, put):
    shell = ball(6) & ~ball(3)
    np.testing.assert_array_equal(run(backend, put, shell), ball(6))
    island = shell | ball(1)
    np.testing.assert_array_equal(run(backend, put, island), ball(6))
    bored = shell.copy()
    bored[6, 6, 6:] = False
    np.testing.assert_array_equal(run(backend, put, bored), bored)
    # A hole through an edge is none: air is connected at faces.
    box = np.ones((5, 5, 5), bool)
    box[2, 2, 2] = box[1, 1, 2] = box[0, 0, 2] = False
    expected = np.ones((5, 5, 5), bool)
    expected[0, 0, 2] = False
    np.testing.assert_array_equal(run(backend, put, box), expected)


def test_of_two_largest_the_first(backend, put):
    mask = np.zeros((3, 6, 40), bool)
    mask[2, 0:2, 1:3] = mask[1, 4, 30:34] = True
    expected = np.zeros_like(mask)
    expected[1, 4, 30:34] = True
    np.testing.assert_array_equal(run(backend, put, mask), expected)
    # Its first voxel counts, not that of its first row or of its first column.
    flat = np.zeros((1, 8, 8), bool)
    flat[0, 1:4, 2] = flat[0, 0:3, 7] = True
    np.testing.assert_array_equal(run(backend, put, flat), flat & (np.arange(8) == 7))


def test_parts_touch_at_corners(backend, put):
    board = np.indices((4, 5, 36)).sum(axis=0) % 2 == 0
    np.testing.assert_array_equal(run(backend, put, board), truth(board))
    stairs = np.zeros((5, 6, 7), bool)
    stairs[range(5), range(5), range(4, -1, -1)] = stairs[0, 5, 5:] = True
    assert run(backend, put, stairs).sum() == 7 - 2
    both = stairs.copy()
    both[0, 5, 5:] = False
    np.testing.assert_array_equal(run(backend, put, stairs), both)


def test_all_and_nothing(backend, put):
    for shape in (*SHAPES, (1, 1, 1)):
        for filled in (False, True):
            mask = np.full(shape, filled)
            np.testing.assert_array_equal(run(backend, put, mask), mask)


def test_bytes_of_any_layout(backend, put):
    mask = np.random.default_rng(1).random((7, 8, 19)) < 0.3
    expected = truth(mask)
    marks = (mask * np.random.default_rng(2).choice([1, 2, 128, 255], mask.shape)).astype(np.uint8)
    kernel = importlib.import_module(f"fastprep.kernels.{backend}.solid").solid
    for given in (marks, np.asfortranarray(marks), np.flip(np.flip(marks).copy()), np.repeat(marks, 2, 2)[..., ::2]):
        out = put(np.zeros((1, *mask.shape), bool))
        kernel(view_of(put(given))[None] if backend != "gpu" else view_of(put(given[None])), view_of(out))
        np.testing.assert_array_equal(to_numpy(out)[0], expected)


def test_any_number_of_threads():
    """Slabs that begin within a plane, and planes of fewer rows than reach across a seam."""
    rng = np.random.default_rng(3)
    try:
        for shape, density in (((90, 97, 20), 0.15), ((4096, 3, 8), 0.3), ((1, 9000, 12), 0.5)):
            mask = rng.random(shape) < density
            expected = truth(mask)
            for n in (1, 3, 4):
                fp.set_num_threads(n)
                np.testing.assert_array_equal(run("cpu", np.asarray, mask), expected)
    finally:
        fp.set_num_threads(None)


@pytest.mark.parametrize("connectivity", [1, 2, 3])
def test_components_are_those_of_scipy(connectivity):
    """Numbered by their first voxel."""
    rng = np.random.default_rng(4)
    for density in (0.1, 0.3, 0.5):
        mask = rng.random((9, 10, 30)) < density
        runs = Runs.of(mask)
        parts = np.unique(components(runs, connectivity), return_inverse=True)[1] + 1
        labels = np.zeros(mask.shape, int)
        rows = np.repeat(np.arange(90), np.diff(runs.first))
        for row, begin, end, part in zip(rows, runs.begin, runs.end, parts, strict=True):
            labels.reshape(90, 30)[row, begin:end] = part
        np.testing.assert_array_equal(labels, ndi.label(mask, ndi.generate_binary_structure(3, connectivity))[0])


@pytest.mark.gpu
def test_indices_of_64_bits(gpu, monkeypatch):
    monkeypatch.setattr("fastprep.kernels.gpu.solid._NARROW", 0)
    mask = np.random.default_rng(5).random((9, 10, 40)) < 0.2
    np.testing.assert_array_equal(run("gpu", gpu, mask), truth(mask))


@pytest.mark.parametrize("order", emulator.ORDERS)
def test_joins_of_any_order(driver, monkeypatch, order):
    """The emulator runs a launch in every order, one after the other, and the last would make up for the first."""
    monkeypatch.setattr("emulator.ORDERS", (order,))
    mask = np.random.default_rng(6).random((9, 10, 40)) < 0.2
    np.testing.assert_array_equal(run("gpu", emulated.put, mask), truth(mask))
