"""Overlap and surface distances against SimpleITK, every pair of voxels, and answers known by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from fastprep import Grid, Image
from fastprep.core.errors import (
    ArgumentError,
    DeviceError,
    DTypeError,
    GeometryError,
    NoKernelError,
    ShapeError,
)
from fastprep.qc import metrics
from fastprep.qc.metrics import (
    SurfaceDistance,
    dice,
    iou,
    precision,
    sensitivity,
    specificity,
    surface_distance,
    volumes,
)


def blobs(shape, seed):
    """Two ragged balls, not far from each other."""
    rng = np.random.default_rng(seed)
    index = np.stack(np.indices(shape), -1)
    middle = np.array(shape) / 2
    found = []
    for _ in range(2):
        r2 = (((index - middle - rng.uniform(-2, 2, len(shape))) / (0.3 * np.array(shape))) ** 2).sum(-1)
        found.append(r2 + rng.normal(0, 0.15, shape) < 1)
    return found


def surface(mask):
    """Voxels with a neighbour across a face that is not set, or beyond the image."""
    padded, edge = np.pad(mask, 1), np.zeros(mask.shape, bool)
    inner = tuple(slice(1, -1) for _ in mask.shape)
    for axis in range(mask.ndim):
        for step in (-1, 1):
            edge |= ~np.roll(padded, step, axis)[inner]
    return np.argwhere(mask & edge)


def every_pair(a, b, spacing):
    distances = cdist(surface(a) * spacing, surface(b) * spacing)
    one, two = distances.min(1), distances.min(0)
    largest = max(np.percentile(one, 95), np.percentile(two, 95))
    return SurfaceDistance(np.concatenate([one, two]).mean(), largest, max(one.max(), two.max()))


def check(found, expected):
    for name in ("mean", "hausdorff95", "hausdorff"):
        assert type(getattr(found, name)) is float
        assert getattr(found, name) == pytest.approx(getattr(expected, name), rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("shape", [(14, 17, 19), (30, 41), (1, 20, 20)])
@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (2.5, 0.7, 0.9)])
def test_every_pair_of_voxels(shape, spacing):
    for seed in range(3):
        a, b = blobs(shape, seed)
        # At the border of the image, too.
        b[0], a[..., -1] = True, True
        check(surface_distance(a, b, spacing[-len(shape) :]), every_pair(a, b, spacing[-len(shape) :]))


@given(st.integers(0, 999), st.floats(0.02, 0.9))
@settings(max_examples=20)
def test_random_masks(seed, density):
    rng = np.random.default_rng(seed)
    a, b = rng.random((2, 5, 6, 7)) < density
    a[2, 3, 4] = b[1, 1, 1] = True
    found = surface_distance(a, b, (3, 1, 2))
    check(found, every_pair(a, b, (3, 1, 2)))
    check(surface_distance(b, a, (3, 1, 2)), found)
    assert dice(a, b) == dice(b, a) == pytest.approx(2 * (a & b).sum() / (a.sum() + b.sum()), rel=1e-15)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (2.5, 0.7, 0.9)])
def test_simpleitk(spacing):
    sitk = pytest.importorskip("SimpleITK")
    for seed in range(3):
        a, b = blobs((20, 22, 24), seed)
        images = [sitk.GetImageFromArray(mask.astype(np.uint8)) for mask in (a, b)]
        for image in images:
            image.SetSpacing(spacing[::-1])
        overlap = sitk.LabelOverlapMeasuresImageFilter()
        overlap.Execute(*images)
        assert dice(a, b) == pytest.approx(overlap.GetDiceCoefficient(), rel=1e-12)
        assert iou(a, b) == pytest.approx(overlap.GetJaccardCoefficient(), rel=1e-12)
        # SimpleITK's first image is the one that was found, its second the truth.
        overlap.Execute(images[1], images[0])
        assert sensitivity(a, b) == pytest.approx(1 - overlap.GetFalseNegativeError(), rel=1e-12)
        assert precision(a, b) == pytest.approx(1 - overlap.GetFalseDiscoveryRate(), rel=1e-12)
        assert specificity(a, b) == pytest.approx(1 - overlap.GetFalsePositiveError(), rel=1e-12)
        # Of the sets that the surfaces are.
        contours = [sitk.LabelContour(image, fullyConnected=False) for image in images]
        hausdorff = sitk.HausdorffDistanceImageFilter()
        hausdorff.Execute(*contours)
        assert surface_distance(a, b, spacing).hausdorff == pytest.approx(hausdorff.GetHausdorffDistance(), rel=1e-5)
        maps = [
            sitk.Abs(sitk.SignedMaurerDistanceMap(c, squaredDistance=False, useImageSpacing=True)) for c in contours
        ]
        there = [
            sitk.GetArrayFromImage(maps[1 - i])[sitk.GetArrayFromImage(contours[i]) != 0].astype(float) for i in (0, 1)
        ]
        assert surface_distance(a, b, spacing).mean == pytest.approx(np.concatenate(there).mean(), rel=1e-5)


def test_two_planes():
    a, b = np.zeros((2, 40, 8, 8), bool)
    a[:10], b[:13] = True, True
    found = surface_distance(a, b, (2.0, 1.0, 1.0))
    assert found.hausdorff == 6.0 and dice(a, b) == pytest.approx(20 / 23)
    check(surface_distance(a, a, (2.0, 1.0, 1.0)), SurfaceDistance(0.0, 0.0, 0.0))


def test_one_stray_voxel():
    """It is the Hausdorff distance, and is no part of the 95th percentile."""
    a = np.zeros((20, 20, 40), bool)
    a[5:15, 5:15, 5:15] = True
    b = a.copy()
    b[10, 10, 39] = True
    found = surface_distance(a, b, (1, 1, 1))
    assert found.hausdorff == 25 and found.hausdorff95 == 0 and 0 < found.mean < 0.1


def test_nothing():
    none, some = np.zeros((2, 4, 5, 6), bool)
    some[1, 2, 3] = True
    assert dice(none, none) == 1 and dice(none, some) == dice(some, none) == 0
    check(surface_distance(none, none, (1, 1, 1)), SurfaceDistance(0.0, 0.0, 0.0))
    for a, b in ((none, some), (some, none)):
        found = surface_distance(a, b, (1, 1, 1))
        assert found.mean == found.hausdorff95 == found.hausdorff == math.inf


def test_nothing_to_find():
    none, some = np.zeros((2, 4, 5, 6), bool)
    some[1, 2, 3] = True
    assert iou(none, none) == 1 and iou(none, some) == 0
    assert math.isnan(sensitivity(none, some)) and sensitivity(some, none) == 0
    assert math.isnan(precision(some, none)) and precision(none, some) == 0
    assert math.isnan(specificity(~none, some)) and specificity(none, some) == 119 / 120
    assert volumes(none, some, (1, 1, 1)).change == math.inf and math.isnan(volumes(none, none, (1, 1, 1)).change)


def test_volumes():
    a, b = blobs((12, 14, 16), 0)
    found = volumes(a, b, (3, 1, 2))
    assert (found.a_mm3, found.b_mm3) == (6.0 * a.sum(), 6.0 * b.sum())
    assert found.change == pytest.approx(b.sum() / a.sum() - 1)
    grid = Grid.from_spacing(a.shape, (3, 1, 2))
    assert volumes(Image(a, grid, kind="label"), Image(b, grid, kind="label")) == found
    with pytest.raises(ArgumentError, match="spacing is missing"):
        volumes(a, b)


def test_all_figures_have_one_name():
    assert metrics.__all__ == sorted(metrics.__all__)
    assert all(getattr(metrics, name).__doc__ for name in metrics.__all__)


def test_images_and_libraries():
    a, b = blobs((12, 14, 16), 0)
    grid = Grid.from_spacing(a.shape, (3, 1, 2))
    first, second = Image(a, grid, kind="label"), Image(b.astype(np.int16) * 3, grid, kind="label")
    assert dice(first, second) == dice(a, b)
    check(surface_distance(first, second), surface_distance(a, b, (3, 1, 2)))
    check(surface_distance(a, second), surface_distance(a, b, (3, 1, 2)))
    torch = pytest.importorskip("torch")
    assert dice(torch.from_numpy(a), b) == dice(a, b)


def test_errors():
    a = np.zeros((4, 5, 6), bool)
    image, other = (Image(a, Grid.from_spacing(a.shape, (s, 1, 1)), kind="label") for s in (1, 2))
    with pytest.raises(ShapeError, match=r"b of shape \(4, 5\): expected that of a, \(4, 5, 6\)"):
        dice(a, a[..., 0])
    with pytest.raises(DTypeError, match="b of dtype float64: expected a mask"):
        dice(a, a * 0.5)
    with pytest.raises(GeometryError, match="expected one grid"):
        dice(image, other)
    with pytest.raises(ArgumentError, match="spacing is missing"):
        surface_distance(a, a)
    for wrong in ((1, 1), (1, 1, 0), (1, 1, math.nan)):
        with pytest.raises(GeometryError, match="spacing"):
            surface_distance(a, a, wrong)
    with pytest.raises(ShapeError, match="masks of 4 axes"):
        surface_distance(a[None], a[None], (1, 1, 1, 1))


@pytest.mark.gpu
@pytest.mark.parametrize(
    ("shape", "dtype"), [((5, 6, 7), "bool"), ((8, 9), "int16"), ((2, 3, 4, 5), "uint8"), ((9,), "bool")]
)
def test_a_gpu(gpu, shape, dtype):
    """Counted where the masks are."""
    a, b = ((np.random.default_rng(k).random(shape) < 0.6).astype(dtype) * np.array(3).astype(dtype) for k in range(2))
    for figure in (dice, iou, sensitivity, specificity, precision):
        assert figure(gpu(a), gpu(b)) == figure(a, b)


@pytest.mark.gpu
def test_two_devices(gpu):
    a = np.zeros((2, 2), bool)
    with pytest.raises(DeviceError, match="a on the CPU, b on GPU 0"):
        dice(a, gpu(a))
    with pytest.raises(NoKernelError, match="a is on a GPU"):
        surface_distance(gpu(a), gpu(a), (1, 1))
    with pytest.raises(ShapeError, match="expected that of a"):
        dice(gpu(a), gpu(a[:1]))
    with pytest.raises(DTypeError, match="expected a mask"):
        dice(gpu(a), gpu(a * 0.5))
