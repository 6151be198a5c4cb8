from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastprep as fp
import oracles
from fastprep import Grid, Image, IndexMap, Ramp
from fastprep.core.errors import ArgumentError, GeometryError
from fastprep.testing.assertions import assert_same, to_numpy
from layouts import check_layouts, coordinates, interpolated, on_an_edge, same_error, tolerance, values

TOLERANCE = tolerance("resample_to")
ORDERS = ("nearest", "linear", "cubic", "onehot")


def grid_of(shape, spacing, seed, *, centre=(0, 0, 0), shear=0.0):
    """A grid turned at random about ``centre``."""
    rng = np.random.default_rng(seed)
    turn, _ = np.linalg.qr(rng.standard_normal((3, 3)))
    block = turn @ (np.eye(3) + np.triu(np.full((3, 3), shear), 1)) * np.array(spacing)
    affine = np.eye(4)
    affine[:3, :3] = block
    affine[:3, 3] = np.array(centre) - block @ ((np.array(shape) - 1) / 2)
    return Grid(shape, affine)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(
    ("centre", "shear", "spacing"),
    [
        ((0, 0, 0), 0, (1, 1, 1)),
        ((3, -2, 1), 0.3, (2, 0.5, 1.5)),
        ((9, 9, 9), 0, (1, 2, 1)),
        ((500, 0, 0), 0, (1, 1, 1)),
    ],
)
def test_simpleitk_on_oblique_and_sheared_grids(backend, put, order, centre, shear, spacing):
    for seed in range(3):
        source = grid_of((11, 12, 10), (1.5, 0.9, 1.1), seed, shear=shear / 2)
        target = grid_of((9, 13, 8), spacing, seed + 50, centre=centre, shear=shear)
        labels = order in ("nearest", "onehot")
        x = values(source.shape, "uint8", seed) % 5 if labels else values(source.shape, "float32", seed)
        image = Image(put(x), source, "label" if labels else "scalar")
        truth = oracles.sitk_resample(x, source, target, "label_linear" if order == "onehot" else order, 7)
        result = fp.resample_to(image, target, order=order, fill=7)
        assert result.grid == target and result.kind == image.kind
        array = to_numpy(result.array)
        assert array.dtype == truth.dtype and array.shape == truth.shape
        clear = ~on_an_edge(coordinates(IndexMap.between(source, target).matrix, target.shape), source.shape, order)
        error = np.abs(array.astype(float) - truth)[clear].max()
        assert error <= {"linear": 2e-6, "cubic": 5e-6}.get(order, 0) * np.ptp(x)


@given(seed=st.integers(0, 10**6), order=st.sampled_from(["linear", "nearest"]))
def test_simpleitk_on_any_grid(seed, order):
    rng = np.random.default_rng(seed)
    source = grid_of(tuple(rng.integers(1, 9, 3).tolist()), rng.uniform(0.3, 3, 3), seed)
    target = grid_of(
        tuple(rng.integers(1, 9, 3).tolist()), rng.uniform(0.3, 3, 3), seed + 1, centre=rng.uniform(-3, 3, 3)
    )
    x = values(source.shape, "int16", seed)
    truth = oracles.sitk_resample(x, source, target, order, 7)
    result = fp.resample_to(Image(x, source), target, order=order, fill=7).array
    clear = ~on_an_edge(coordinates(IndexMap.between(source, target).matrix, target.shape), source.shape, order)
    assert np.abs(result.astype(float) - truth)[clear].max(initial=0) <= (0 if order == "nearest" else 2e-6 * 65535)


def test_every_layout(backend, put):
    source, target = grid_of((5, 6, 7), (1, 1, 1), 0), grid_of((6, 5, 4), (1, 1, 1), 1)
    x = values((2, 5, 6, 7), "int16")
    where = coordinates(IndexMap.between(source, target).matrix, target.shape)
    truth = np.stack([interpolated(v, where, 1, 0) for v in x]).astype(np.float32)
    check_layouts(lambda a: fp.resample_to(Image(a, source), target).array, truth, x, put, backend, tolerance=TOLERANCE)


def test_defaults_follow_the_image(backend, put):
    far = Grid.from_spacing((2, 2, 2), (1, 1, 1))
    grid = grid_of((3, 3, 3), (1, 1, 1), 0, centre=(90, 90, 90))
    x = put(np.ones((3, 3, 3), np.int16))
    assert (
        to_numpy(fp.resample_to(Image(x, grid, modality="CT"), far).array).tolist()
        == np.full((2, 2, 2), -1024).tolist()
    )
    label = fp.resample_to(Image(x, grid, "label", "CT"), far).array
    assert to_numpy(label).tolist() == np.zeros((2, 2, 2)).tolist() and to_numpy(label).dtype == np.int16


def test_stored_values_come_out_in_physical_units(backend, put):
    source, target = grid_of((5, 6, 7), (1, 1, 1), 0), grid_of((6, 5, 4), (1, 1, 1), 1)
    x = values((5, 6, 7), "int16")
    stored = Image(put(x), source, modality="CT", rescale=Ramp(0.5, -1024))
    physical = Image(put(x.astype(np.float32) * 0.5 - 1024), source, modality="CT")
    for order in ("nearest", "linear", "cubic"):
        result = fp.resample_to(stored, target, order=order)
        truth = to_numpy(fp.resample_to(physical, target, order=order).array).astype(np.float32)
        assert_same(result.array, truth, put(x), tolerance=TOLERANCE)
        assert result.rescale == Ramp()


def test_its_own_grid_is_the_identity(backend, put):
    grid = grid_of((5, 6, 7), (1.3, 0.7, 0.9), 4)
    x = values((5, 6, 7), "float32")
    for order in ("nearest", "linear", "cubic"):
        assert to_numpy(fp.resample_to(Image(put(x), grid), grid, order=order).array).tobytes() == x.tobytes()


def test_landmarks_stay_where_they_are(backend, put):
    source, target = grid_of((20, 21, 22), (1, 1, 1), 3), grid_of((24, 25, 23), (0.9, 0.8, 1), 4)
    world = source.to_world([9.0, 11.0, 10.0])
    distance = np.linalg.norm(source.to_world(np.moveaxis(np.indices(source.shape), 0, -1)) - world, axis=-1)
    blob = np.exp(-0.5 * (distance / 1.5) ** 2).astype(np.float32)
    result = to_numpy(fp.resample_to(Image(put(blob), source), target, order="cubic").array).astype(np.float64)
    mass = (result * np.indices(target.shape)).reshape(3, -1).sum(1) / result.sum()
    assert np.abs(mass - target.to_index(world)).max() < 0.02


def test_two_axes(backend, put):
    source = Grid.from_spacing((7, 8), (1, 2))
    affine = source.affine.copy()
    affine[:2, :2] = np.array([[0.3, 1.1], [0.9, -0.2]])
    affine[:2, 3] = (2, 1)
    target = Grid((6, 9), affine)
    x = values((7, 8), "float32")
    truth = oracles.sitk_resample(x, source, target, "linear", -3)
    result = fp.resample_to(Image(put(x), source), target, fill=-3)
    assert_same(result.array, truth, put(x), tolerance=TOLERANCE)


def test_an_image_serves_as_grid(backend, put):
    source, target = grid_of((5, 6, 7), (1, 1, 1), 0), grid_of((6, 5, 4), (1, 1, 1), 1)
    image = Image(put(values((5, 6, 7), "int16")), source)
    other = Image(put(np.zeros((6, 5, 4))), target)
    assert (
        to_numpy(fp.resample_to(image, other).array).tobytes()
        == to_numpy(fp.resample_to(image, target).array).tobytes()
    )


def test_libraries(xp):
    source, target = grid_of((5, 6, 7), (1, 1, 1), 0), grid_of((6, 5, 4), (1, 1, 1), 1)
    x = values((5, 6, 7), "int16")
    given_ = xp.asarray(x)
    truth = fp.resample_to(Image(x, source), target).array
    assert_same(fp.resample_to(Image(given_, source), target).array, truth, given_, tolerance=0)


def test_errors(backend, put):
    space, plane = Grid.from_spacing((3, 4, 5), (1, 1, 1)), Grid.from_spacing((4, 5), (1, 1))
    image = Image(put(np.zeros((3, 4, 5), np.uint8)), space, "label")
    same_error(lambda: fp.resample_to(image, plane), GeometryError, "grid of 2 axes for an image of 3")
    same_error(lambda: fp.resample_to(image, space, order="linear"), ArgumentError, "'nearest' or 'onehot'")
    same_error(lambda: fp.resample_to(image, space, order="cubic"), ArgumentError, "kind 'label'")
    lifted = plane.affine.copy()
    lifted[2, 3] = 5
    picture = Image(put(np.zeros((4, 5))), plane)
    same_error(lambda: fp.resample_to(picture, Grid((4, 5), lifted)), GeometryError, "different planes")
