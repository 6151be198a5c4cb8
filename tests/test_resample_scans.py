"""Every real scan, resampled by fastprep and by SimpleITK. Needs FASTPREP_TEST_DATA."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastprep as fp
import oracles
from fastprep import Grid, Image, IndexMap
from layouts import coordinates, on_an_edge

SCANS = (
    "ct/chest_p001",
    "ct/chest_normal001",
    "ct/head_tilt",
    "mri/stroke/T1.nii.gz",
    "mri/stroke/T2.nii.gz",
    "mri/stroke/FLAIR.nii.gz",
    "mri/t1_head.nii.gz",
)
NAMES = {"nearest": "nearest", "linear": "linear", "cubic": "cubic", "onehot": "label_linear"}
TOLERANCE = {"linear": 2e-6, "cubic": 5e-6, "nearest": 0, "onehot": 0}
#: SimpleITK's cubic takes minutes on a whole scan.
LINEAR_CROP, CROP = (96, 160, 160), (40, 72, 72)


@cache
def scan(folder: Path, name: str) -> tuple[Any, Grid]:
    """The scan as SimpleITK reads it."""
    sitk = oracles.peer("SimpleITK")
    path = folder / name
    if name == "ct/head_tilt":
        # Gaps between its slices differ: taken as numbers alone.
        pydicom = oracles.peer("pydicom")
        slices = sorted(
            (pydicom.dcmread(p) for p in path.glob("*.dcm")), key=lambda d: float(d.ImagePositionPatient[2])
        )
        array = np.stack([s.pixel_array for s in slices]).astype(np.int16)
        return array, Grid.from_spacing(array.shape, (5.0, 0.5, 0.5))
    if path.is_dir():
        # chest_p001's positions are regular, but its files have no meaningful names.
        reader = sitk.ImageSeriesReader()
        reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(path)))
        image = reader.Execute()
    else:
        image = sitk.ReadImage(str(path))
    return sitk.GetArrayFromImage(image), oracles.grid_of_sitk(image)


def cropped(folder: Path, name: str, size: tuple[int, ...]) -> tuple[Any, Grid]:
    array, grid = scan(folder, name)
    start = [max((n - m) // 2, 0) for n, m in zip(array.shape, size, strict=True)]
    stop = [min(a + m, n) for a, m, n in zip(start, size, array.shape, strict=True)]
    part = array[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))]
    return np.ascontiguousarray(part), IndexMap.crop(start, stop).grid(grid)


def tissues(x: Any) -> Any:
    """Labels with the outlines of anatomy: five levels of the image."""
    return np.digitize(x, np.percentile(x, [20, 50, 75, 95])).astype(np.uint8)


def compare(result: Image, x: Any, grid: Grid, target: Grid, order: str) -> None:
    truth = oracles.sitk_resample(x, grid, target, NAMES[order], -7 if order in ("linear", "cubic") else 9)
    assert result.array.dtype == truth.dtype and result.array.shape == truth.shape
    assert np.abs(result.grid.affine - target.affine).max() < 1e-9
    clear = ~on_an_edge(coordinates(IndexMap.between(grid, target).matrix, target.shape), grid.shape, order)
    # Axes whose every second sample is a tie leave an eighth of a volume to compare.
    assert clear.mean() > 0.1
    error = np.abs(result.array[clear].astype(np.float64) - truth[clear]).max()
    assert error <= TOLERANCE[order] * np.ptp(x.astype(np.float64)), error


@pytest.mark.slow
@pytest.mark.parametrize("order", NAMES)
@pytest.mark.parametrize("name", SCANS)
def test_resample(data, name, order):
    x, grid = cropped(data, name, LINEAR_CROP if order == "linear" else CROP)
    x = tissues(x) if order in ("nearest", "onehot") else x
    fill = -7 if order in ("linear", "cubic") else 9
    # Odd ratios: at tenths of a voxel two labels can weigh the same, and rounding decides in ITK.
    new_spacing = (1.0, 1.0, 1.0) if max(grid.spacing) > 1.1 else (1.713, 0.617, 1.291)
    index_map = IndexMap.spacing_change(grid.shape, grid.spacing, new_spacing)
    array = fp.resample(x, grid.spacing, new_spacing, order=order, fill=fill)
    compare(Image(array, index_map.grid(grid)), x, grid, index_map.grid(grid), order)


@pytest.mark.slow
@pytest.mark.parametrize("order", NAMES)
@pytest.mark.parametrize("name", SCANS)
def test_resample_to_an_oblique_grid(data, name, order):
    x, grid = cropped(data, name, LINEAR_CROP if order == "linear" else CROP)
    x = tissues(x) if order in ("nearest", "onehot") else x
    turn, _ = np.linalg.qr(np.random.default_rng(len(name)).standard_normal((3, 3)) * 0.3 + np.eye(3))
    affine = np.eye(4)
    affine[:3, :3] = turn @ grid.direction * (1.1, 0.9, 1.3)
    shape = (40, 60, 50)
    affine[:3, 3] = grid.to_world((np.array(grid.shape) - 1) / 2) - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    target = Grid(shape, affine)
    fill = -7 if order in ("linear", "cubic") else 9
    kind = "label" if order in ("nearest", "onehot") else "scalar"
    compare(fp.resample_to(Image(x, grid, kind), target, order=order, fill=fill), x, grid, target, order)


@pytest.mark.slow
def test_a_whole_scan(data):
    x, grid = scan(data, "ct/chest_p001")
    index_map = IndexMap.spacing_change(grid.shape, grid.spacing, (1.3, 1.0, 1.0))
    target = index_map.grid(grid)
    result = fp.resample(x, grid.spacing, (1.3, 1.0, 1.0), fill=-1024)
    truth = oracles.sitk_resample(x, grid, target, "linear", -1024)
    # Only the last plane of an axis can lie on the border.
    inner = np.s_[:-1, :-1, :-1]
    assert result.shape == truth.shape
    assert np.abs(result[inner] - truth[inner]).max() <= 2e-6 * np.ptp(x.astype(np.float64))
