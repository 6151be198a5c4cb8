from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage import transform

import fastprep as fp
from fastprep import Grid, Image, Pipeline
from fastprep.core.errors import ArgumentError, GeometryError, ShapeError
from fastprep.pipeline import Resize, Window
from fastprep.testing.assertions import assert_same, to_numpy
from layouts import same_error, values


def test_stretched_as_scikit_image(backend, put):
    x = values((2, 30, 20), "float32")
    wanted = np.stack([transform.resize(v, (17, 41), order=1, mode="edge", anti_aliasing=False) for v in x])
    result = fp.resize(put(x), (17, 41), keep_aspect=False, antialias=False)
    assert_same(result, wanted.astype(np.float32), put(x), tolerance=5e-6)


@given(shape=st.tuples(st.integers(1, 40), st.integers(1, 40)), new=st.tuples(st.integers(1, 40), st.integers(1, 40)))
def test_proportions_and_centre_are_kept(shape, new):
    image = Image(np.zeros(shape), Grid.from_spacing(shape, (0.2, 0.5)))
    result = fp.resize(image, new)
    assert result.array.shape == new
    assert np.isclose(*result.spacing)
    middle = [grid.to_world([(n - 1) / 2 for n in grid.shape]) for grid in (image.grid, result.grid)]
    assert np.allclose(*middle)
    # As large as it can be: one axis is filled, none overflows.
    extent = np.array(shape) * (0.2, 0.5) / (np.array(new) * result.spacing)
    assert np.isclose(extent.max(), 1)


def test_only_padding_is_filled(backend, put):
    wide = to_numpy(fp.resize(put(np.ones((40, 80), np.uint16)), (64, 64), fill=-5))
    assert wide.dtype == np.float32
    assert abs(wide[16:48] - 1).max() < 1e-6 and (wide[:16] == -5).all() and (wide[48:] == -5).all()


def test_what_gets_coarser_does_not_alias():
    stripes = np.tile(np.array([0.0, 1.0], np.float32), (512, 256))
    smooth = fp.resize(stripes, (170, 170))[:, 8:-8]
    sharp = fp.resize(stripes, (170, 170), antialias=False)[:, 8:-8]
    assert smooth.std() < 0.1 < 0.2 < sharp.std()


def test_labels_are_not_blended():
    grid = Grid.from_spacing((60, 90), (1, 1))
    labels = Image((np.indices(grid.shape).sum(axis=0) // 7 % 5 * 3).astype(np.uint8), grid, kind="label")
    result = fp.resize(labels, (32, 32))
    assert result.array.dtype == np.uint8 and set(np.unique(result.array)) <= set(np.unique(labels.array))
    with pytest.raises(ArgumentError, match="label"):
        fp.resize(labels, (32, 32), order="linear")


def test_step_is_the_function():
    grid = Grid.from_spacing((50, 70), (0.3, 0.4))
    image = Image(values(grid.shape, "uint16"), grid, modality="CR")
    pipeline = Pipeline([Window(level=100, width=80), Resize(shape=(24, 32))])
    (one,) = pipeline.plan(grid).passes
    assert one.antialias and one.order == 1
    result = pipeline(image)
    expected = fp.resize(image.with_array(fp.window(image.array, 100, 80)), (24, 32))
    assert_same(result.array, expected.array, expected.array, tolerance=5e-6)
    assert result.grid.same_as(expected.grid)
    assert Pipeline.from_dict(pipeline.to_dict()) == pipeline
    labels = pipeline(Image((image.array > 60).astype(np.uint8), grid, kind="label"))
    assert set(np.unique(labels.array)) <= {0, 1}
    points = [[3.0, 5.0], [40.0, 60.0]]
    moved = pipeline.plan(grid).map_points(points)
    assert np.allclose(result.grid.to_world(moved), grid.to_world(points))


@pytest.mark.parametrize(
    ("error", "words", "keywords"),
    [
        (ShapeError, "shape", {"shape": (8,)}),
        (ShapeError, "shape", {"shape": (8, 0)}),
        (ShapeError, "expected 3 axes|expected 2 axes", {"shape": (8, 8, 8)}),
        (GeometryError, "spacing", {"shape": (8, 8), "spacing": (1, 0)}),
        (GeometryError, "spacing", {"shape": (8, 8), "spacing": (1, 1, 1)}),
        (ArgumentError, "order", {"shape": (8, 8), "order": "quintic"}),
        (ArgumentError, "fill", {"shape": (8, 8), "fill": np.nan}),
    ],
)
def test_bad_input(error, words, keywords):
    same_error(lambda: fp.resize(np.zeros((5, 6)), **keywords), error, words)
