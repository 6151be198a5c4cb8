"""IndexMap: every spatial step as one matrix, and the five named grids."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastprep.core.errors import ArgumentError, GeometryError, ShapeError
from fastprep.core.grid import Grid
from fastprep.core.index_map import GRIDS, IndexMap, check_axcodes, check_shape, normalize_axis
from strategies import grids

SIZES = st.integers(1, 9)
SPACINGS = st.floats(0.2, 6)


def shapes(ndim: int) -> st.SearchStrategy[tuple[int, ...]]:
    return st.tuples(*[SIZES] * ndim)


@st.composite
def steps(draw: st.DrawFn, shape: tuple[int, ...]) -> IndexMap:
    """A flip, crop, pad or permutation of an array of ``shape``: whole numbers, so their products are exact."""
    kind = draw(st.sampled_from(["flip", "centered", "crop", "reorient"]))
    if kind == "flip":
        return IndexMap.flip(shape, draw(st.sets(st.integers(-len(shape), len(shape) - 1))))
    if kind == "centered":
        return IndexMap.centered(shape, draw(shapes(len(shape))))
    if kind == "crop":
        start = draw(st.tuples(*[st.integers(-3, 3)] * len(shape)))
        return IndexMap.crop(start, [a + draw(SIZES) for a in start])
    codes = ("A", "R") if len(shape) == 2 else ("S", "A", "R")
    order = draw(st.permutations(codes))
    turned = [c if draw(st.booleans()) else {"S": "I", "A": "P", "R": "L"}[c] for c in order]
    return IndexMap.reorient(Grid.from_spacing(shape, [1.0] * len(shape)), turned)


@st.composite
def chains(draw: st.DrawFn, length: int) -> tuple[tuple[int, ...], list[IndexMap]]:
    first = shape = draw(shapes(draw(st.sampled_from([2, 3]))))
    chain = []
    for _ in range(length):
        chain.append(draw(steps(shape)))
        shape = chain[-1].shape
    return first, chain


@given(chains(3))
def test_associative(drawn: tuple[tuple[int, ...], list[IndexMap]]) -> None:
    a, b, c = drawn[1]
    assert a.then(b).then(c) == a.then(b.then(c))


@given(chains(2), st.data())
def test_points_follow_the_chain(drawn: tuple[tuple[int, ...], list[IndexMap]], data: st.DataObject) -> None:
    a, b = drawn[1]
    point = data.draw(st.tuples(*[st.integers(-20, 20)] * a.ndim))
    np.testing.assert_array_equal(a.then(b).to_input(point), a.to_input(b.to_input(point)))


@given(chains(1))
def test_identity_is_neutral(drawn: tuple[tuple[int, ...], list[IndexMap]]) -> None:
    shape, (step,) = drawn
    assert IndexMap.identity(shape).then(step) == step
    assert step.then(IndexMap.identity(step.shape)) == step


@given(chains(3))
def test_whole_numbers_are_lossless_and_aligned(drawn: tuple[tuple[int, ...], list[IndexMap]]) -> None:
    a, b, c = drawn[1]
    whole = a.then(b).then(c)
    assert whole.is_lossless
    assert whole.is_axis_aligned
    order = whole.axis_order
    assert order is not None
    for axis, source in enumerate(order):
        assert abs(whole.matrix[source, axis]) == 1


@given(chains(2), st.data())
def test_inverse(drawn: tuple[tuple[int, ...], list[IndexMap]], data: st.DataObject) -> None:
    shape, (a, b) = drawn
    whole = a.then(b)
    back = whole.inverse(shape)
    assert back.shape == shape
    assert whole.then(back) == IndexMap.identity(shape)
    assert back.then(whole) == IndexMap.identity(whole.shape)
    point = data.draw(st.tuples(*[st.integers(-20, 20)] * whole.ndim))
    np.testing.assert_array_equal(whole.to_output(whole.to_input(point)), point)


@given(grids(tilt=0.7), st.data())
def test_world_positions_are_kept(grid: Grid, data: st.DataObject) -> None:
    """The new grid's world point of an output index is the old grid's of the input index it came from."""
    step = data.draw(
        st.one_of(
            steps(grid.shape),
            st.tuples(*[SPACINGS] * grid.ndim).map(lambda t: IndexMap.spacing_change(grid.shape, grid.spacing, t)),
        )
    )
    points = np.array(list(np.ndindex(*[min(n, 3) for n in step.shape])))
    np.testing.assert_allclose(
        step.grid(grid).to_world(points), grid.to_world(step.to_input(points)), atol=1e-9, rtol=1e-12
    )


@given(shapes(3), st.sets(st.integers(-3, 2)))
def test_flip_is_its_own_inverse(shape: tuple[int, ...], axes: set[int]) -> None:
    step = IndexMap.flip(shape, tuple(axes))
    assert step.then(step) == IndexMap.identity(shape)
    assert step.inverse(shape) == step


@given(SIZES, SIZES)
def test_centered_keeps_the_centre_the_odd_voxel_at_the_end(n: int, m: int) -> None:
    step = IndexMap.centered((n, 2), (m, 2))
    start = step.matrix[0, 3]
    before, after = (start, n - m - start) if n >= m else (-start, m - n + start)
    assert 0 <= after - before <= 1


@given(grids(ndim=3), st.permutations("SAR"), st.lists(st.booleans(), min_size=3, max_size=3))
def test_reorient_gets_what_it_asks_for_and_back(grid: Grid, order: list[str], turn: list[bool]) -> None:
    wanted = tuple({"S": "I", "A": "P", "R": "L"}[c] if t else c for c, t in zip(order, turn, strict=True))
    there = IndexMap.reorient(grid, wanted)
    turned = there.grid(grid)
    assert turned.axcodes == wanted
    back = IndexMap.reorient(turned, grid.axcodes)
    assert there.then(back) == IndexMap.identity(grid.shape)
    assert back.grid(turned).same_as(grid, tolerance=1e-9)


@given(grids(ndim=3))
def test_reorient_agrees_with_nibabel(grid: Grid) -> None:
    nibabel = pytest.importorskip("nibabel")
    volume = np.arange(np.prod(grid.shape), dtype=np.int32).reshape(grid.shape)
    theirs = nibabel.as_closest_canonical(nibabel.Nifti1Image(volume, grid.affine))
    step = IndexMap.reorient(grid, "RAS")
    assert step.shape == theirs.shape
    np.testing.assert_allclose(step.grid(grid).affine, theirs.affine, atol=1e-9)


def test_reorient_of_a_plane_knows_its_axes() -> None:
    plane = Grid.from_spacing((4, 8), (1, 1))
    assert IndexMap.reorient(plane, "LP").shape == (8, 4)
    with pytest.raises(ArgumentError, match="no axis of AR runs along S"):
        IndexMap.reorient(plane, "SR")


@given(grids(tilt=0.7, ndim=3), grids(tilt=0.7, ndim=3), st.tuples(*[st.integers(0, 9)] * 3))
def test_between_two_grids_is_one_patient(source: Grid, target: Grid, point: tuple[int, int, int]) -> None:
    step = IndexMap.between(source, target)
    assert step.shape == target.shape
    np.testing.assert_allclose(source.to_world(step.to_input(point)), target.to_world(point), atol=1e-7)


@given(grids(tilt=0.7), st.sampled_from(list(GRIDS)))
def test_same_spacing_changes_nothing(grid: Grid, name: str) -> None:
    step = IndexMap.spacing_change(grid.shape, grid.spacing, grid.spacing, grid=name)
    assert step.shape == grid.shape
    np.testing.assert_allclose(step.matrix, np.eye(4), atol=1e-12)
    assert step.is_lossless


@given(st.integers(1, 400), SPACINGS, SPACINGS)
def test_named_grids_keep_what_they_promise(n: int, s: float, t: float) -> None:
    maps = {name: IndexMap.spacing_change((n, 1), (s, 1), (t, 1), grid=name) for name in GRIDS}

    def at(name: str, index: float) -> float:
        return float(maps[name].to_input([index, 0])[0])

    for name in ("itk", "monai", "scipy"):
        assert at(name, 0) == 0
    for name in ("itk", "monai", "torchio"):
        assert at(name, 1) - at(name, 0) == pytest.approx(t / s)
    m = {name: step.shape[0] for name, step in maps.items()}
    assert at("edges", -0.5) == pytest.approx(-0.5)
    assert at("edges", m["edges"] - 0.5) == pytest.approx(n - 0.5)
    assert at("torchio", (m["torchio"] - 1) / 2) == pytest.approx((n - 1) / 2)
    if m["scipy"] > 1 and n > 1:
        assert at("scipy", m["scipy"] - 1) == pytest.approx(n - 1)
    assert m["itk"] == m["edges"] == m["scipy"] == max(round(round(n * s / t, 9)), 1)
    assert min(m.values()) >= 1


@given(st.integers(1, 50), st.integers(1, 50), st.sampled_from(list(GRIDS)))
def test_a_given_shape_is_kept(n: int, m: int, name: str) -> None:
    assert IndexMap.spacing_change((n, 4), (1.3, 1), (0.7, 1), grid=name, new_shape=(m, 4)).shape == (m, 4)


def test_spacings_that_are_not_binary_round_as_on_paper() -> None:
    assert IndexMap.spacing_change((10, 10), (0.7, 0.1), (1.4, 0.3)).shape == (5, 3)
    assert IndexMap.spacing_change((5, 5), (0.5, 0.7), (1.0, 1.4)).shape == (2, 2)


def test_oblique_maps_have_no_axis_order() -> None:
    turn = np.eye(4)
    turn[:2, :2] = [[0.8, -0.6], [0.6, 0.8]]
    oblique = IndexMap((5, 5, 5), turn)
    assert oblique.axis_order is None
    assert not oblique.is_axis_aligned
    assert not oblique.is_lossless
    nearly = np.eye(4)
    nearly[0, 1] = 1e-12
    assert IndexMap((5, 5, 5), nearly).axis_order == (0, 1, 2)


def test_half_a_voxel_is_aligned_and_not_lossless() -> None:
    half = IndexMap.scaled((4, 4), (1, 1), (0.5, 0))
    assert half.is_axis_aligned
    assert not half.is_lossless
    assert not IndexMap.scaled((4, 4), (2, 1), (0, 0)).is_lossless


def test_a_plane_that_leaves_itself_is_not_aligned() -> None:
    lifted = np.eye(4)
    lifted[2, 3] = 1.0
    assert IndexMap((4, 4), lifted).axis_order is None


def immutable(step: IndexMap) -> bool:
    with pytest.raises(ValueError, match="read-only"):
        step.matrix[0, 0] = 7
    with pytest.raises(AttributeError):
        step.shape = (1, 1)  # type: ignore[misc]
    return True


@pytest.mark.parametrize("again", [lambda m: m, lambda m: pickle.loads(pickle.dumps(m)), copy.deepcopy])
def test_value_object(again: Any) -> None:
    step = again(IndexMap.flip((3, 4), (0,)))
    assert step == IndexMap.flip((3, 4), (0,))
    assert hash(step) == hash(IndexMap.flip((3, 4), (0,)))
    assert step != IndexMap.identity((3, 4))
    assert immutable(step)


def test_negative_zero_is_zero() -> None:
    matrix = np.eye(4)
    matrix[0, 1] = -0.0
    assert len({IndexMap((2, 2), matrix), IndexMap.identity((2, 2))}) == 1


def with_entry(row: int, column: int, value: float) -> Any:
    matrix = np.eye(4)
    matrix[row, column] = value
    return matrix


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (np.eye(3), "expected a finite 4x4"),
        (with_entry(0, 0, np.nan), "expected a finite 4x4"),
        (with_entry(0, 3, np.inf), "expected a finite 4x4"),
        (with_entry(1, 1, 0.0), "singular"),
        (with_entry(3, 0, 5.0), "last row of the matrix"),
        (with_entry(3, 3, 2.0), "last row of the matrix"),
    ],
)
def test_no_map(matrix: Any, message: str) -> None:
    with pytest.raises(GeometryError, match=message):
        IndexMap((2, 2, 2), matrix)


@pytest.mark.parametrize("shape", [(4,), (1, 2, 3, 4), (2, 0), (2, -1), (2.5, 2), ()])
def test_no_shape(shape: Any) -> None:
    with pytest.raises(ShapeError, match="expected 2 or 3 whole numbers of at least 1"):
        check_shape(shape)


@pytest.mark.parametrize("codes", ["RA", "RAX", "RLS", "RAA", "", "SARR"])
def test_no_axcodes(codes: str) -> None:
    with pytest.raises(ArgumentError, match=r"expected 3 of R/L, A/P, S/I, each pair once"):
        check_axcodes(codes, 3)
    assert check_axcodes("ras", 3) == ("R", "A", "S")


@pytest.mark.parametrize("axis", [-4, 3])
def test_no_axis(axis: int) -> None:
    with pytest.raises(ArgumentError, match=f"axis={axis}: expected -3 to 2"):
        normalize_axis(axis, 3)


def test_no_grid_name_and_no_shape_of_another_length() -> None:
    with pytest.raises(ArgumentError, match="grid='ants': expected one of itk, edges, monai, torchio, scipy"):
        IndexMap.spacing_change((4, 4), (1, 1), (2, 2), grid="ants")
    with pytest.raises(ShapeError, match="expected 2 axes"):
        IndexMap.spacing_change((4, 4), (1, 1), (2, 2), new_shape=(2, 2, 2))
    with pytest.raises(GeometryError, match="new_spacing"):
        IndexMap.spacing_change((4, 4), (1, 1), (2, 0))
