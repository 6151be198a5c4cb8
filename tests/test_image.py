"""Image: an array that knows where it is and what its numbers are."""

from __future__ import annotations

import numpy as np
import pytest

import fastprep
from conftest import Library
from fastprep.core.errors import ArgumentError, ShapeError
from fastprep.core.grid import Grid
from fastprep.core.image import Image
from fastprep.core.ramp import Ramp

GRID = Grid.from_spacing((2, 3, 4), (3.0, 2.0, 1.0))


def test_trailing_axes_are_the_grids(xp: Library) -> None:
    for shape in ((2, 3, 4), (5, 2, 3, 4), (1, 5, 2, 3, 4)):
        image = Image(xp.asarray(np.zeros(shape, np.int16)), GRID)
        assert image.spacing == (3.0, 2.0, 1.0)
        assert tuple(image.array.shape) == shape


@pytest.mark.parametrize("shape", [(3, 4), (2, 3, 5), (4, 3, 2), (2, 3, 4, 1), ()])
def test_no_image(shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match=r"its trailing axes are not the grid's \(2, 3, 4\)"):
        Image(np.zeros(shape), GRID)


def test_no_kind() -> None:
    with pytest.raises(ArgumentError, match="kind='mask': expected 'scalar' or 'label'"):
        Image(np.zeros((2, 3, 4)), GRID, kind="mask")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "modality", "fill"),
    [("scalar", "CT", -1024.0), ("label", "CT", 0.0), ("scalar", "MR", 0.0), ("scalar", None, 0.0)],
)
def test_air_lies_beyond_a_ct_only(kind: str, modality: str | None, fill: float) -> None:
    image = Image(np.zeros((2, 3, 4)), GRID, kind=kind, modality=modality)  # type: ignore[arg-type]
    assert image.default_fill == fill
    padded = fastprep.crop_or_pad(image, (4, 3, 4))
    assert padded.array[0].min() == padded.array[0].max() == fill


def test_with_array_keeps_what_the_numbers_are_and_drops_the_rescale() -> None:
    image = Image(np.zeros((2, 3, 4)), GRID, kind="label", modality="CT", rescale=Ramp(2.0, 1.0))
    other = image.with_array(np.ones((2, 3, 4)))
    assert (other.kind, other.modality, other.grid) == ("label", "CT", GRID)
    assert other.rescale.is_identity
    grid = Grid.from_spacing((1, 1, 1), (1, 1, 1))
    assert image.with_array(np.ones((1, 1, 1)), grid).grid is grid
    with pytest.raises(ShapeError):
        image.with_array(np.ones((1, 1, 1)))


def test_stored_numbers_reach_operations_in_physical_units() -> None:
    stored = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    image = Image(stored, GRID, modality="CT", rescale=Ramp(2.0, -1024.0))
    result = fastprep.reorient(image, "RAS")
    np.testing.assert_array_equal(result.array, (2.0 * stored - 1024).T)
    assert result.rescale.is_identity


def test_landmarks_stay_where_they_are() -> None:
    image = Image(np.zeros((2, 3, 4)), GRID)
    world = image.grid.to_world([[1, 2, 3]])
    np.testing.assert_allclose(image.to_index(world), [[1, 2, 3]])


def test_frozen() -> None:
    image = Image(np.zeros((2, 3, 4)), GRID)
    with pytest.raises(AttributeError):
        image.kind = "label"  # type: ignore[misc]
    assert image != Image(image.array, GRID)
