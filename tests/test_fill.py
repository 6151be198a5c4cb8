"""The kernel ``fill``: SciPy's filled holes, on every backend."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage as ndi

import fastprep as fp
from fastprep.ops._arrays import view_of
from fastprep.testing.assertions import to_numpy
from masks import SHAPES, kernel_of, layouts, made, random_masks, special_masks


def truth(mask, connectivity, planar, largest):
    """By SciPy, where axes of one voxel have been taken out."""
    if planar:
        return np.stack([truth(plane[None], connectivity, False, largest)[0] for plane in mask])
    flat = np.atleast_1d(np.squeeze(mask))
    near = ndi.generate_binary_structure(flat.ndim, min(connectivity, flat.ndim))
    filled = ndi.binary_fill_holes(flat, near)
    if largest >= 0:
        holes, _ = ndi.label(filled & ~flat, near)
        sizes = np.bincount(holes.ravel())
        filled = flat | ((holes > 0) & (sizes[holes] <= largest))
    return filled.reshape(mask.shape)


HOWS = ((1, False, -1), (3, False, -1), (2, False, 2), (1, True, -1), (3, True, 1))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_any_density(backend, put, shape):
    for i, mask in enumerate(random_masks(shape)):
        # A GPU runs the halves in turn: emulated it takes a hundred times as long.
        for how in HOWS[(i + shape[-1]) % 2 :: 2] if backend == "gpu" else HOWS:
            found = made(backend, put, "fill", mask, *how)
            np.testing.assert_array_equal(found, truth(mask, *how), err_msg=str(how))


def test_shapes_that_meet_late(backend, put):
    for name, mask in special_masks().items():
        for given in (mask, ~mask):
            for how in ((1, False, -1), (3, False, -1), (1, True, -1)):
                found = made(backend, put, "fill", given, *how)
                np.testing.assert_array_equal(found, truth(given, *how), err_msg=name)


def ball(radius, shape=(13, 14, 15)):
    at = np.indices(shape) - np.array([6, 6, 6]).reshape(3, 1, 1, 1)
    return (at**2).sum(axis=0) <= radius**2


def test_a_cavity_is_filled_unless_it_is_open(backend, put):
    shell = ball(6) & ~ball(3)
    np.testing.assert_array_equal(made(backend, put, "fill", shell, 1, False, -1), ball(6))
    island = shell | ball(1)
    np.testing.assert_array_equal(made(backend, put, "fill", island, 1, False, -1), ball(6))
    bored = shell.copy()
    bored[6, 6, 6:] = False
    np.testing.assert_array_equal(made(backend, put, "fill", bored, 1, False, -1), bored)
    # A hole through an edge is none: air is connected at faces.
    box = np.ones((5, 5, 5), bool)
    box[2, 2, 2] = box[1, 1, 2] = box[0, 0, 2] = False
    expected = np.ones((5, 5, 5), bool)
    expected[0, 0, 2] = False
    np.testing.assert_array_equal(made(backend, put, "fill", box, 1, False, -1), expected)
    np.testing.assert_array_equal(made(backend, put, "fill", box, 2, False, -1), box)


def test_planes_by_themselves(backend, put):
    """A tube that is open at both ends is closed in each of its planes."""
    tube = np.zeros((4, 7, 9), bool)
    tube[:, 1:6, 1:8] = True
    tube[:, 2:5, 3:6] = False
    np.testing.assert_array_equal(made(backend, put, "fill", tube, 1, False, -1), tube)
    closed = tube.copy()
    closed[:, 2:5, 3:6] = True
    np.testing.assert_array_equal(made(backend, put, "fill", tube, 1, True, -1), closed)


def test_holes_up_to_a_size(backend, put):
    mask = np.ones((5, 9, 12), bool)
    mask[2, 2, 2] = mask[2, 5, 2:4] = mask[1:4, 5, 8] = False
    for largest, left in ((0, 6), (1, 5), (2, 3), (3, 0), (-1, 0), (2**62, 0)):
        assert (~made(backend, put, "fill", mask, 1, False, largest)).sum() == left


def test_a_plane_has_no_border_in_depth(backend, put):
    ring = np.ones((1, 5, 6), bool)
    ring[0, 2, 2:4] = False
    assert made(backend, put, "fill", ring, 1, False, -1).all()
    for shape in ((1, 1, 1), (3, 1, 1)):
        for planar in (False, True):
            nothing = np.zeros(shape, bool)
            np.testing.assert_array_equal(made(backend, put, "fill", nothing, 1, planar, -1), nothing)


def test_bytes_of_any_layout(backend, put):
    mask = np.random.default_rng(1).random((7, 8, 83)) < 0.7
    for name, given in layouts(mask).items():
        four = view_of(put(given))[None] if backend != "gpu" else view_of(put(given[None]))
        out = put(np.zeros((1, *mask.shape), bool))
        kernel_of(backend, "fill")(four, 1, False, -1, view_of(out))
        np.testing.assert_array_equal(to_numpy(out)[0], truth(mask, 1, False, -1), err_msg=name)


def test_any_number_of_threads():
    mask = np.random.default_rng(3).random((70, 97, 20)) < 0.75
    try:
        for n in (1, 3):
            fp.set_num_threads(n)
            for planar in (False, True):
                found = made("cpu", np.asarray, "fill", mask, 1, planar, -1)
                np.testing.assert_array_equal(found, truth(mask, 1, planar, -1))
    finally:
        fp.set_num_threads(None)
