"""Grid: an immutable shape and affine, and the two ways between index and patient."""

from __future__ import annotations

import copy
import json
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastprep.core.errors import ArgumentError, GeometryError
from fastprep.core.grid import RAS_TO_LPS, Grid, check_spacing, closest_axes
from strategies import grids


@given(grids(), st.data())
def test_world_and_index_are_inverse(grid: Grid, data: st.DataObject) -> None:
    points = np.array(
        data.draw(st.lists(st.lists(st.floats(-50, 50), min_size=grid.ndim, max_size=grid.ndim), min_size=1))
    )
    world = grid.to_world(points)
    assert world.shape == (len(points), 3)
    np.testing.assert_allclose(grid.to_index(world), points, atol=1e-8)


@given(grids(ndim=3))
def test_world_is_the_affine(grid: Grid) -> None:
    corner = np.array(grid.shape) - 1
    np.testing.assert_allclose(grid.to_world(corner), (grid.affine @ [*corner, 1])[:3], atol=1e-9)
    np.testing.assert_array_equal(grid.to_world(np.zeros(3)), grid.origin)


@given(grids())
def test_spacing_is_the_distance_of_neighbours(grid: Grid) -> None:
    for axis in range(grid.ndim):
        step = grid.to_world(np.eye(grid.ndim)[axis]) - grid.to_world(np.zeros(grid.ndim))
        assert grid.spacing[axis] == pytest.approx(np.linalg.norm(step))
    np.testing.assert_allclose(np.linalg.norm(grid.direction, axis=0), 1)


@given(grids(ndim=3))
def test_axcodes_are_nibabels(grid: Grid) -> None:
    nibabel = pytest.importorskip("nibabel")
    assert grid.axcodes == nibabel.aff2axcodes(grid.affine)


@given(grids(tilt=0.78))
def test_closest_axes_use_each_world_axis_once(grid: Grid) -> None:
    assert sorted(closest_axes(grid.affine)) == [0, 1, 2]
    pairs = {frozenset(pair) for pair in ("RL", "AP", "SI")}
    assert len({pair for code in grid.axcodes for pair in pairs if code in pair}) == grid.ndim


@given(grids())
def test_lps_turns_two_axes(grid: Grid) -> None:
    points = np.eye(grid.ndim)
    lps = points @ grid.lps[:3, : grid.ndim].T + grid.lps[:3, 3]
    np.testing.assert_array_equal(lps, grid.to_world(points) * [-1, -1, 1])
    assert Grid(grid.shape, RAS_TO_LPS @ grid.lps) == grid


@given(grids(tilt=3.14))
def test_a_rotated_grid_has_no_shear(grid: Grid) -> None:
    assert grid.shear < 1e-9


def test_a_tilted_gantry_is_sheared_by_its_sine() -> None:
    tilt = np.radians(18)
    affine = np.diag([1.0, 1.0, 5.0, 1.0])[:, [2, 1, 0, 3]]
    affine[1, 0] = -5 * np.tan(tilt)
    assert Grid((28, 4, 4), affine).shear == pytest.approx(np.sin(tilt))


@given(grids())
def test_dict_form_survives_json(grid: Grid) -> None:
    assert Grid.from_dict(json.loads(json.dumps(grid.to_dict()))) == grid


@given(grids())
def test_equal_grids_have_equal_hashes(grid: Grid) -> None:
    twin = Grid(grid.shape, grid.affine.copy())
    assert twin == grid
    assert hash(twin) == hash(grid)
    moved = grid.affine.copy()
    moved[0, 3] += 1
    assert Grid(grid.shape, moved) != grid
    assert Grid((*grid.shape[:-1], grid.shape[-1] + 1), grid.affine) != grid
    assert grid != grid.to_dict()


def test_negative_zero_is_zero() -> None:
    affine = np.eye(4)
    other = affine.copy()
    other[0, 1] = -0.0
    assert len({Grid((2, 2, 2), affine), Grid((2, 2, 2), other)}) == 1


def immutable(grid: Grid) -> bool:
    with pytest.raises(ValueError, match="read-only"):
        grid.affine[0, 0] = 7
    with pytest.raises(AttributeError):
        grid.shape = (1, 1, 1)  # type: ignore[misc]
    return True


def test_immutable_and_owner_of_its_affine() -> None:
    affine = np.eye(4)
    grid = Grid((2, 3, 4), affine)
    affine[0, 3] = 99
    assert grid.origin == (0, 0, 0)
    assert immutable(grid)


@pytest.mark.parametrize("again", [lambda g: pickle.loads(pickle.dumps(g)), copy.copy, copy.deepcopy])
def test_copies_are_equal_and_immutable(again: Any) -> None:
    grid = Grid.from_spacing((2, 3, 4), (3.0, 2.0, 1.0))
    assert again(grid) == grid
    assert immutable(again(grid))


def test_from_spacing_runs_to_superior_anterior_right() -> None:
    grid = Grid.from_spacing((148, 512, 512), (2.0, 0.75, 0.5))
    assert grid.axcodes == ("S", "A", "R")
    assert grid.spacing == (2.0, 0.75, 0.5)
    np.testing.assert_array_equal(grid.to_world([1, 2, 4]), [2.0, 1.5, 2.0])
    plane = Grid.from_spacing((4, 8), (0.7, 0.5))
    assert plane.axcodes == ("A", "R")
    assert plane.spacing == (0.7, 0.5)


@given(grids(), st.floats(0, 3))
def test_same_as_measures_millimetres_at_the_corners(grid: Grid, shift: float) -> None:
    moved = grid.affine.copy()
    moved[2, 3] += shift
    other = Grid(grid.shape, moved)
    assert grid.same_as(other, tolerance=shift + 1e-6)
    assert grid.same_as(other, tolerance=shift / 2) == (shift < 1e-9)
    assert not grid.same_as(Grid((*grid.shape[:-1], 99), grid.affine), tolerance=1e9)


def test_repr_says_what_a_reader_asks() -> None:
    grid = Grid.from_spacing((4, 6, 8), (2, 0.75, 0.75))
    assert repr(grid) == "Grid(shape=(4, 6, 8), spacing=(2, 0.75, 0.75) mm, axes=SAR, origin=(0, 0, 0) mm)"


def with_entry(row: int, column: int, value: float) -> Any:
    affine = np.eye(4)
    affine[row, column] = value
    return affine


COPLANAR = np.array([[1.0, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])


@pytest.mark.parametrize(
    ("shape", "affine", "message"),
    [
        ((4,), np.eye(4), "expected 2 or 3 axes"),
        ((1, 2, 3, 4), np.eye(4), "expected 2 or 3 axes"),
        ((2, 0, 3), np.eye(4), "at least one voxel"),
        ((2, -1, 3), np.eye(4), "at least one voxel"),
        ((2.5, 2, 3), np.eye(4), r"shape=\(2.5, 2, 3\)"),
        ((2, 2, 3), np.eye(3), r"affine of shape \(3, 3\)"),
        ((2, 2, 3), with_entry(0, 0, np.nan), "NaN or infinity"),
        ((2, 2, 3), with_entry(1, 3, np.inf), "NaN or infinity"),
        ((2, 2, 3), with_entry(3, 0, 1.0), "last row"),
        ((2, 2, 3), with_entry(3, 3, 2.0), "last row"),
        ((2, 2, 3), with_entry(1, 1, 0.0), "singular"),
        ((2, 2, 3), COPLANAR, "singular"),
    ],
)
def test_no_grid(shape: Any, affine: Any, message: str) -> None:
    with pytest.raises(GeometryError, match=message) as caught:
        Grid(shape, affine)
    assert isinstance(caught.value, ValueError)
    assert not isinstance(caught.value, ArgumentError)


@pytest.mark.parametrize("spacing", [(1, 1), (1, 1, 0), (1, 1, -2), (1, 1, np.nan), (1, 1, np.inf), ()])
def test_no_spacing(spacing: tuple[float, ...]) -> None:
    with pytest.raises(GeometryError, match=r"new_spacing=.*expected 3 positive numbers of millimetres"):
        check_spacing(spacing, 3, name="new_spacing")
    with pytest.raises(GeometryError, match="spacing="):
        Grid.from_spacing((2, 2, 2), spacing)
