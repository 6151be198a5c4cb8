"""The kernel ``keep``: the largest of SciPy's components, on every backend."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage as ndi

import fastprep as fp
from fastprep.ops._arrays import view_of
from fastprep.testing.assertions import to_numpy
from masks import SHAPES, kernel_of, layouts, made, random_masks, special_masks


def truth(mask, connectivity, most, smallest):
    """One component after the other, the largest first, of equals the first."""
    labels, count = ndi.label(mask, ndi.generate_binary_structure(3, connectivity))
    sizes = [(int((labels == i).sum()), -i) for i in range(1, count + 1)]
    chosen = [-i for size, i in sorted(sizes, reverse=True)[: None if most < 0 else most] if size >= smallest]
    return np.isin(labels, chosen)


HOWS = ((3, 1, 0), (1, 2, 0), (2, 5, 3), (3, -1, 4))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_any_density(backend, put, shape):
    for i, mask in enumerate(random_masks(shape)):
        # A GPU runs the halves in turn: emulated it takes a hundred times as long.
        for how in HOWS[(i + shape[-1]) % 2 :: 2] if backend == "gpu" else HOWS:
            found = made(backend, put, "keep", mask, *how)
            np.testing.assert_array_equal(found, truth(mask, *how), err_msg=str(how))


def test_shapes_that_meet_late(backend, put):
    for name, mask in special_masks().items():
        for how in ((1, 1, 0), (2, 1, 0), (3, 1, 0)):
            np.testing.assert_array_equal(made(backend, put, "keep", mask, *how), truth(mask, *how), err_msg=name)


def test_how_many(backend, put):
    """None, more than there are, all, and those below a size."""
    mask = np.random.default_rng(0).random((5, 8, 40)) < 0.12
    for how in ((3, 0, 0), (3, 1000, 0), (3, -1, 0), (3, -1, 1), (3, 3, 10**12), (3, -1, 2**62)):
        np.testing.assert_array_equal(made(backend, put, "keep", mask, *how), truth(mask, *how), err_msg=str(how))
    np.testing.assert_array_equal(made(backend, put, "keep", mask, 3, -1, 0), mask)


def test_of_two_largest_the_first(backend, put):
    mask = np.zeros((3, 6, 40), bool)
    mask[2, 0:2, 1:3] = mask[1, 4, 30:34] = True
    expected = np.zeros_like(mask)
    expected[1, 4, 30:34] = True
    np.testing.assert_array_equal(made(backend, put, "keep", mask, 3, 1, 0), expected)
    # Its first voxel counts, not that of its first row or of its first column.
    flat = np.zeros((1, 8, 8), bool)
    flat[0, 1:4, 2] = flat[0, 0:3, 7] = True
    np.testing.assert_array_equal(made(backend, put, "keep", flat, 3, 1, 0), flat & (np.arange(8) == 7))


def test_parts_touch_at_corners(backend, put):
    stairs = special_masks()["stairs"]
    both = stairs.copy()
    both[0, 5, 5:] = False
    np.testing.assert_array_equal(made(backend, put, "keep", stairs, 3, 1, 0), both)
    assert made(backend, put, "keep", stairs, 2, 1, 0).sum() == 2


def test_bytes_of_any_layout(backend, put):
    mask = np.random.default_rng(1).random((7, 8, 83)) < 0.1
    for name, given in layouts(mask).items():
        four = view_of(put(given))[None] if backend != "gpu" else view_of(put(given[None]))
        out = put(np.zeros((1, *mask.shape), bool))
        kernel_of(backend, "keep")(four, 3, 2, 0, view_of(out))
        np.testing.assert_array_equal(to_numpy(out)[0], truth(mask, 3, 2, 0), err_msg=name)


def test_any_number_of_threads():
    mask = np.random.default_rng(3).random((70, 97, 20)) < 0.06
    try:
        for n in (1, 3):
            fp.set_num_threads(n)
            np.testing.assert_array_equal(made("cpu", np.asarray, "keep", mask, 3, 4, 0), truth(mask, 3, 4, 0))
    finally:
        fp.set_num_threads(None)


def test_more_voxels_than_an_int32_counts():
    """The same row again and again, so that 2**31 voxels take the memory of one; on the CPU alone."""
    row = np.zeros((1, 1, 1, 1 << 14), bool)
    row[..., 1:-1] = True
    shape, size = (1, 130, 1009, 1 << 14), 130 * 1009 * ((1 << 14) - 2)
    assert size > 2**31
    marks = np.ones(1 << 14, bool)
    out = np.lib.stride_tricks.as_strided(marks, shape, (0, 0, 0, 1))
    kernel_of("cpu", "keep")(np.broadcast_to(row, shape), 3, 1, size, out)
    np.testing.assert_array_equal(marks, row[0, 0, 0])
