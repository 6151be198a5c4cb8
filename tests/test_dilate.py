"""The kernel ``dilate`` against SciPy, and the operation of that name."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
import scipy.ndimage as ndi
from hypothesis import given, settings
from hypothesis import strategies as st

import fastprep as fp
import oracles
from balls import BALLS, ball, dilated, eroded, scene
from fastprep import Grid, Image
from fastprep.core.ball import ball_rows, row_offsets
from fastprep.core.errors import ArgumentError, DTypeError, GeometryError, ShapeError
from fastprep.core.threads import set_num_threads
from fastprep.ops._arrays import view_of
from fastprep.testing.assertions import assert_same, to_numpy
from layouts import LAYOUTS, same_error

SHAPES = [(9, 10, 11), (3, 5, 70), (1, 30, 133), (2, 70, 9), (1, 1, 40), (40, 1, 1), (2, 3, 128)]


def run(backend, put, mask, radius, spacing, complement=False, beyond=False):
    """Of one volume, and of it as the second of a batch, into itself."""
    kernel = importlib.import_module(f"fastprep.kernels.{backend}.dilate").dilate
    rows = ball_rows(radius, spacing, mask.shape)
    out = put(np.ones((1, *mask.shape), bool))
    kernel(view_of(put(mask[None])), rows, complement, beyond, view_of(out))
    two = put(np.stack([np.zeros_like(mask), mask]))
    kernel(view_of(two), rows, complement, beyond, view_of(two))
    result = to_numpy(two)
    assert result.dtype == bool and (complement or beyond or not result[0].any())
    np.testing.assert_array_equal(result[1], to_numpy(out)[0])
    return result[1]


@pytest.mark.parametrize("shape", SHAPES)
def test_any_density_and_ball(backend, put, shape):
    rng = np.random.default_rng(0)
    for density in (0.002, 0.05, 0.6, 0.99):
        mask = rng.random(shape) < density
        for radius, spacing in BALLS[:2]:
            ask = (radius, spacing)
            np.testing.assert_array_equal(run(backend, put, mask, *ask), dilated(mask, *ask))
            np.testing.assert_array_equal(run(backend, put, mask, *ask, True), eroded(mask, *ask))
            outside = eroded(mask, *ask, beyond=False)
            np.testing.assert_array_equal(run(backend, put, mask, *ask, True, True), outside)
            np.testing.assert_array_equal(run(backend, put, ~mask, *ask, False, True), ~outside)


@pytest.mark.parametrize(("radius", "spacing"), BALLS)
def test_balls(backend, put, radius, spacing):
    mask = scene()
    np.testing.assert_array_equal(run(backend, put, mask, radius, spacing), dilated(mask, radius, spacing))
    np.testing.assert_array_equal(run(backend, put, mask, radius, spacing, True), eroded(mask, radius, spacing))


def test_far_beyond_a_word(backend, put):
    """Reaches of several words of 64 voxels, and of more than the volume has."""
    mask = np.zeros((2, 3, 400), bool)
    mask[0, 1, 3] = mask[1, 2, 250] = True
    spacing = (1.0, 1.0, 0.5)
    # A distance that is the radius is in, by the same slack.
    distance = ndi.distance_transform_edt(~mask, spacing)
    for radius in (15.9, 33.0, 95.25, 1e4):
        np.testing.assert_array_equal(run(backend, put, mask, radius, spacing), distance <= radius * (1 + 4e-7))
    assert not run(backend, put, np.zeros_like(mask), 1e4, spacing).any()
    assert run(backend, put, np.ones_like(mask), 1e4, spacing, True).all()
    assert not run(backend, put, np.ones_like(mask), 1e4, spacing, True, True).any()


def test_bytes_of_any_layout(backend, put):
    mask = scene((5, 8, 67))
    marks = (mask * np.random.default_rng(2).choice([1, 2, 128, 255], mask.shape)).astype(np.uint8)
    kernel = importlib.import_module(f"fastprep.kernels.{backend}.dilate").dilate
    rows = ball_rows(2.5, (2, 1, 1), mask.shape)
    for name, layout in LAYOUTS.items():
        if name in ("big-endian", "unaligned"):
            continue
        out = put(np.zeros((1, *mask.shape), bool))
        kernel(view_of(put(layout(marks)[None])), rows, False, False, view_of(out))
        np.testing.assert_array_equal(to_numpy(out)[0], dilated(mask, 2.5, (2, 1, 1)), err_msg=name)


@given(
    st.integers(1, 6), st.integers(1, 6), st.integers(1, 90), st.floats(0, 12), st.floats(0.3, 4), st.integers(0, 2**31)
)
@settings(max_examples=25)
def test_equals_distance(nz, ny, nx, radius, step, seed):
    rng = np.random.default_rng(seed)
    mask = rng.random((nz, ny, nx)) < rng.random()
    spacing = (step, 1.0, 0.7)
    expected = np.zeros_like(mask)
    if mask.any():
        expected = ndi.distance_transform_edt(~mask, spacing) <= radius * (1 + 4e-7)
    np.testing.assert_array_equal(fp.dilate(mask, radius, spacing=spacing), expected)


def test_threads_change_nothing():
    mask = scene((7, 300, 130))
    try:
        each = []
        for threads in (1, 2, 3, 8):
            set_num_threads(threads)
            each.append(fp.dilate(mask, 4, spacing=(3, 1, 1)))
    finally:
        set_num_threads(None)
    for one in each:
        np.testing.assert_array_equal(one, dilated(mask, 4, (3, 1, 1)))


def test_rows_are_the_ball():
    for radius, spacing in BALLS:
        whole = np.zeros((25, 25, 25), bool)
        for z, y, width in row_offsets(ball_rows(radius, spacing, (12, 12, 12))):
            whole[12 + z, 12 + y, 12 - width : 13 + width] = True
        inside = np.zeros_like(whole)
        inside[12, 12, 12] = True
        np.testing.assert_array_equal(whole, ndi.binary_dilation(inside, ball(radius, spacing)))
    # 5 is the length of (3, 4), and 0.3 that of three tenths.
    assert ball_rows(5.0, (1, 1, 1), (9, 9, 9))[3].tolist() == [4, 3, 3, 2, 0, -1]
    assert ball_rows(0.3, (0.1, 0.1, 0.1), (9, 9, 9)).shape == (4, 4)


@pytest.mark.parametrize("radius", [1, 2, 4])
def test_simpleitk(radius):
    """Its ball of r voxels is that of r and a half, since it is drawn around voxels, not around their centres."""
    sitk = oracles.peer("SimpleITK")
    mask = scene()
    image, size = sitk.GetImageFromArray(mask.astype(np.uint8)), [radius] * 3
    theirs = sitk.GetArrayFromImage(sitk.BinaryDilate(image, size, sitk.sitkBall)) > 0
    np.testing.assert_array_equal(fp.dilate(mask, radius + 0.5, spacing=(1, 1, 1)), theirs)
    for border in ("foreground", "background"):
        # The last argument is whether what lies beyond is set.
        theirs = sitk.BinaryErode(image, size, sitk.sitkBall, 0, 1, border == "foreground")
        ours = fp.erode(mask, radius + 0.5, spacing=(1, 1, 1), border=border)
        np.testing.assert_array_equal(ours, sitk.GetArrayFromImage(theirs) > 0)


def test_spheres_have_their_volume():
    """A point becomes a ball whose volume is that of one of half a voxel more or less."""
    spacing = (1.5, 0.8, 0.9)
    point = np.zeros((31, 51, 51), bool)
    point[15, 25, 25] = True
    for radius in (5.0, 12.0, 19.0):
        volume = fp.dilate(point, radius, spacing=spacing).sum() * np.prod(spacing)
        low, high = (4 / 3 * np.pi * (radius + d) ** 3 for d in (-0.75, 0.75))
        assert low < volume < high
        assert volume == pytest.approx(4 / 3 * np.pi * radius**3, rel=0.08)


def test_batches_planes_and_images(backend, put):
    masks = np.stack([scene((4, 9, 20), s) for s in range(2)])
    result = fp.dilate(put(masks), 2, spacing=(2, 1, 1))
    assert_same(result, np.stack([dilated(m, 2, (2, 1, 1)) for m in masks]), put(masks), tolerance=0)
    # With two numbers the slices are images, each by itself.
    planes = fp.dilate(put(masks), 2, spacing=(1, 1))
    each = [[dilated(p, 2, (1, 1)) for p in m] for m in masks]
    assert_same(planes, np.array(each), put(masks), tolerance=0)
    grid = Grid.from_spacing(masks.shape[1:], (2, 1, 1))
    image = fp.dilate(Image(put(masks[0].astype(np.int16)), grid), 2)
    assert image.kind == "label" and image.grid is grid
    assert_same(image.array, dilated(masks[0], 2, (2, 1, 1)), put(masks), tolerance=0)


def test_libraries(xp):
    mask = scene((3, 9, 20))
    for dtype in (bool, np.uint8, np.int32):
        given = xp.asarray(mask.astype(dtype))
        assert_same(fp.dilate(given, 2, spacing=(2, 1, 1)), dilated(mask, 2, (2, 1, 1)), given, tolerance=0)


@pytest.mark.parametrize("name", ["dilate", "erode", "opening", "closing"])
def test_errors(backend, put, name):
    change, mask = getattr(fp, name), put(scene((3, 4, 5)))
    for radius in (-1, float("nan"), float("inf"), True):
        same_error(lambda r=radius: change(mask, r, spacing=(1, 1, 1)), ArgumentError, "radius=.*0 or more")
    same_error(lambda: change(mask, 1), ArgumentError, "spacing is missing")
    same_error(lambda: change(mask, 1, spacing=(1, 0, 1)), GeometryError, "positive")
    same_error(lambda: change(mask, 1, spacing=(1, 1, 1, 1)), ShapeError, "mask of shape")
    same_error(lambda: change(put(np.ones((3, 4, 5))), 1, spacing=(1, 1, 1)), DTypeError, "compare probabilities")
