from __future__ import annotations

import numpy as np
import pytest

import fastprep as fp
from fastprep import Grid, Image
from fastprep.core.errors import ArgumentError
from fastprep.ops.deskew import orthogonal_grid
from fastprep.testing.assertions import to_numpy
from layouts import same_error, values


def tilted(shape=(12, 20, 16), degrees=18.5, spacing=(5.0, 0.9, 0.8), seed=None):
    """A gantry tilt: slices stacked along z while their planes lean by ``degrees``."""
    affine = np.eye(4)
    affine[:3, :3] = np.array([[0, 0, spacing[2]], [0, spacing[1], 0], [spacing[0], 0, 0]])
    affine[1, 0] = -spacing[0] * np.tan(np.radians(degrees))
    if seed is not None:
        turn, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((3, 3)))
        affine[:3, :3] = turn @ affine[:3, :3]
    affine[:3, 3] = (-20, 30, 7)
    return Grid(shape, affine)


def field(grid):
    """A phantom that is linear in the world, in float32: linear interpolation reproduces it."""
    world = grid.to_world(np.moveaxis(np.indices(grid.shape), 0, -1))
    return (world @ np.array([0.7, -1.3, 0.4]) + 100).astype(np.float32)


@pytest.mark.parametrize("degrees", [18.5, -30, 3])
@pytest.mark.parametrize("seed", [None, 1, 2])
def test_a_linear_phantom_is_exact(backend, put, degrees, seed):
    skewed = Image(put(field(tilted(degrees=degrees, seed=seed))), tilted(degrees=degrees, seed=seed))
    straight = fp.deskew(skewed, fill=-9999)
    assert straight.grid.shear < 1e-9
    array = to_numpy(straight.array)
    index = skewed.grid.to_index(straight.grid.to_world(np.moveaxis(np.indices(array.shape), 0, -1)))
    inner = ((index > 1e-6) & (index < np.array(skewed.grid.shape) - 1 - 1e-6)).all(-1)
    assert inner.mean() > 0.2
    assert np.abs(array - field(straight.grid))[inner].max() < 2e-6 * np.ptp(array[inner])
    outside = ((index < -0.5 - 1e-6) | (index >= np.array(skewed.grid.shape) - 0.5 + 1e-6)).any(-1)
    assert (array[outside] == -9999).all()


@pytest.mark.parametrize("degrees", [18.5, -30])
def test_the_grid_holds_every_voxel_and_keeps_the_plane(degrees):
    skewed = tilted(degrees=degrees)
    straight = orthogonal_grid(skewed)
    assert np.allclose(straight.direction[:, 1:], skewed.direction[:, 1:], atol=1e-12)
    # The distance between slices along their normal.
    assert np.allclose(straight.spacing, (5.0, 0.9, 0.8), atol=1e-9)
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in skewed.shape])).reshape(3, -1).T
    index = straight.to_index(skewed.to_world(corners))
    assert (index > -1e-6).all() and (index < np.array(straight.shape) - 1 + 1e-6).all()


def test_a_straight_image_is_returned_as_it_is(backend, put):
    image = Image(put(values((3, 4, 5), "int16")), tilted((3, 4, 5), degrees=0))
    assert fp.deskew(image) is image
    plane = Image(put(values((4, 5), "int16")), Grid.from_spacing((4, 5), (1, 1)))
    assert fp.deskew(plane) is plane


def test_ct_is_filled_with_air_and_labels_stay_labels(backend, put):
    grid = tilted()
    ct = fp.deskew(Image(put(np.zeros(grid.shape, np.int16)), grid, modality="CT"))
    assert set(np.unique(to_numpy(ct.array)).tolist()) == {-1024, 0}
    x = values(grid.shape, "uint8") % 3 + 1
    labels = fp.deskew(Image(put(x), grid, "label", "CT"))
    assert to_numpy(labels.array).dtype == np.uint8
    assert set(np.unique(to_numpy(labels.array)).tolist()) == {0, 1, 2, 3}


def test_errors(backend, put):
    grid = tilted()
    labels = Image(put(np.zeros(grid.shape, np.uint8)), grid, "label")
    same_error(lambda: fp.deskew(labels, order="linear"), ArgumentError, "kind 'label'")
