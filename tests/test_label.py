"""``label`` and its kernel: SciPy's labels, on every backend."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage as ndi
from hypothesis import given, settings
from hypothesis import strategies as st

import fastprep as fp
from fastprep import Grid, Image
from fastprep.core.connectivity import check_connectivity
from fastprep.core.errors import ArgumentError, DTypeError, ShapeError
from fastprep.ops._arrays import view_of
from fastprep.testing.assertions import assert_same, to_numpy
from layouts import same_error
from masks import SHAPES, kernel_of, layouts, random_masks, special_masks
from oracles import peer


def truth(mask, connectivity):
    return ndi.label(mask, ndi.generate_binary_structure(mask.ndim, connectivity))


def check(backend, put, mask, connectivity):
    """Of one volume into int64, and as the second of a batch into int32."""
    expected, count = truth(mask, connectivity)
    run = kernel_of(backend, "label")
    one = put(np.full((1, *mask.shape), -1, np.int64))
    assert run(view_of(put(mask[None])), connectivity, view_of(one)) == [count]
    np.testing.assert_array_equal(to_numpy(one)[0], expected)
    two = put(np.full((2, *mask.shape), -1, np.int32))
    assert run(view_of(put(np.stack([~mask, mask]))), connectivity, view_of(two))[1] == count
    np.testing.assert_array_equal(to_numpy(two)[1], expected)


@pytest.mark.parametrize("connectivity", [1, 2, 3])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_any_density(backend, put, shape, connectivity):
    for mask in random_masks(shape):
        check(backend, put, mask, connectivity)


@pytest.mark.parametrize("connectivity", [1, 2, 3])
def test_shapes_that_meet_late(backend, put, connectivity):
    for mask in special_masks().values():
        check(backend, put, mask, connectivity)


def test_bytes_of_any_layout(backend, put):
    mask = np.random.default_rng(1).random((7, 8, 83)) < 0.3
    for name, marks in layouts(mask).items():
        four = put(marks)
        four = view_of(four)[None] if backend != "gpu" else view_of(put(marks[None]))
        out = put(np.full((1, *mask.shape), -1, np.int32))
        kernel_of(backend, "label")(four, 3, view_of(out))
        np.testing.assert_array_equal(to_numpy(out)[0], truth(mask, 3)[0], err_msg=name)


@settings(max_examples=25)
@given(
    shape=st.tuples(st.integers(1, 5), st.integers(1, 6), st.integers(1, 140)),
    density=st.floats(0, 1),
    seed=st.integers(0, 99),
    connectivity=st.sampled_from([1, 2, 3]),
)
def test_scipy(shape, density, seed, connectivity):
    mask = np.random.default_rng(seed).random(shape) < density
    check("cpu", np.asarray, mask, connectivity)


def test_other_packages_number_alike():
    cc3d = peer("cc3d")
    mask = np.random.default_rng(8).random((20, 21, 22)) < 0.2
    for connectivity in (6, 18, 26):
        np.testing.assert_array_equal(
            fp.label(mask, connectivity=connectivity)[0], cc3d.connected_components(mask, connectivity=connectivity)
        )


def test_any_number_of_threads():
    """Slabs that begin within a plane, and planes of fewer rows than reach across a seam."""
    rng = np.random.default_rng(3)
    try:
        for shape, density in (((90, 97, 20), 0.15), ((4096, 3, 8), 0.3), ((1, 9000, 12), 0.5)):
            mask = rng.random(shape) < density
            for n in (1, 3, 4):
                fp.set_num_threads(n)
                for connectivity in (1, 3):
                    check("cpu", np.asarray, mask, connectivity)
    finally:
        fp.set_num_threads(None)


def test_labels_of_64_bits(backend, put, monkeypatch):
    monkeypatch.setattr("fastprep.ops.label._NARROW", 4 * 5 * 6)
    mask = np.random.default_rng(6).random((2, 4, 5, 6)) < 0.3
    for part, kind in ((mask, np.int64), (mask[:, 1:], np.int32)):
        expected = np.stack([truth(m, 3)[0] for m in part]).astype(kind)
        assert_same(fp.label(put(part))[0], expected, put(part), tolerance=0)


def test_rows_longer_than_an_int32_counts(monkeypatch):
    monkeypatch.setattr("fastprep.kernels.cpu._runs._NARROW", 0)
    check("cpu", np.asarray, np.random.default_rng(5).random((3, 10, 140)) < 0.4, 3)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int8", "int16", "uint16", "int32", "int64"])
def test_integers_that_are_not_zero(backend, put, dtype):
    x = np.random.default_rng(0).integers(0, 2, (4, 9, 13)).astype(dtype)
    if np.dtype(dtype).kind == "i":
        x = -x
    if np.dtype(dtype).itemsize > 1:
        x = x << 8
    there = put(x)
    labels, count = fp.label(there)
    expected, n = truth(x != 0, 3)
    assert_same(labels, expected.astype(np.int32), there, tolerance=0)
    assert count == n and type(count) is int


@pytest.mark.parametrize(("names", "same"), [((6, 1), 1), ((18, 2), 2), ((26, 3), 3)])
def test_names_of_neighbours(names, same):
    mask = np.random.default_rng(1).random((9, 10, 11)) < 0.2
    for name in (*names, np.int64(names[0])):
        np.testing.assert_array_equal(fp.label(mask, connectivity=name)[0], truth(mask, same)[0])


@pytest.mark.parametrize(("names", "same"), [((4, 1, 6), 1), ((8, 2, 18, 26), 2)])
def test_neighbours_in_a_plane(backend, put, names, same):
    mask = np.random.default_rng(2).random((30, 41)) < 0.4
    there = put(mask)
    for name in names:
        labels, count = fp.label(there, connectivity=name)
        expected, n = truth(mask, same)
        assert_same(labels, expected.astype(np.int32), there, tolerance=0)
        assert count == n
    assert fp.label(there)[1] == truth(mask, 2)[1]


def test_volumes_of_a_batch(backend, put):
    masks = np.random.default_rng(3).random((2, 3, 4, 5, 70)) < 0.3
    labels, counts = fp.label(put(masks))
    found = [truth(m, 3) for m in masks.reshape(6, 4, 5, 70)]
    assert_same(labels, np.stack([v for v, _ in found]).reshape(masks.shape).astype(np.int32), put(masks), tolerance=0)
    assert counts.tolist() == np.reshape([n for _, n in found], (2, 3)).tolist()
    part = put(masks)[:, 1:] if backend != "gpu" else put(masks[:, 1:])
    np.testing.assert_array_equal(to_numpy(fp.label(part)[0]), to_numpy(labels)[:, 1:])


def test_images(backend, put):
    mask = np.random.default_rng(4).random((4, 5, 6)) < 0.3
    grid = Grid.from_spacing(mask.shape, (2, 1, 1))
    labels, count = fp.label(Image(put(mask), grid, modality="CT"))
    assert labels.kind == "label" and labels.grid is grid and labels.modality == "CT"
    assert_same(labels.array, truth(mask, 3)[0].astype(np.int32), put(mask), tolerance=0)
    assert count == truth(mask, 3)[1]
    planes = Image(put(mask), Grid.from_spacing(mask.shape[1:], (1, 1)))
    counts = fp.label(planes, connectivity=4)[1]
    assert counts.tolist() == [truth(plane, 1)[1] for plane in mask]


def test_libraries(xp):
    mask = np.random.default_rng(5).random((4, 5, 6)) < 0.3
    there = xp.asarray(mask)
    assert_same(fp.label(there)[0], truth(mask, 3)[0].astype(np.int32), there, tolerance=0)


def test_real_scans(data):
    hu = fp.load(data / "ct" / "chest_p001").array[::3, ::2, ::2]
    for threshold in (300, -400):
        labels, count = fp.label(hu > threshold)
        expected, n = truth(hu > threshold, 3)
        assert count == n and np.array_equal(labels, expected)


@pytest.mark.parametrize("connectivity", [7, 0, -1, 4, 8, True, 26.0, "26", None])
def test_no_such_neighbours(backend, put, connectivity):
    mask = put(np.ones((3, 4, 5), bool))
    same_error(lambda: fp.label(mask, connectivity=connectivity), ArgumentError, f"connectivity={connectivity!r}: ")


@pytest.mark.parametrize("connectivity", [3, 5, 0])
def test_no_such_neighbours_in_a_plane(connectivity):
    with pytest.raises(ArgumentError, match="expected 4 or 8 neighbours of a pixel"):
        check_connectivity(connectivity, 2)


def test_errors(backend, put):
    for dtype in ("float32", "float64"):
        floats = put(np.full((3, 4, 5), np.nan, dtype))
        same_error(lambda x=floats: fp.label(x), DTypeError, "mask of dtype float(32|64): expected bool or integers")
    same_error(lambda: fp.label(put(np.ones(4, bool))), ShapeError, r"mask of shape \(4,\): expected")
    same_error(lambda: fp.label(put(np.ones((0, 4), bool))), ShapeError, r"mask of shape \(0, 4\): expected")
