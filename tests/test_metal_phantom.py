"""The metal phantom is what it says: volumes by formula, artifacts where metal is, as strong as they were asked for."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import scipy.ndimage as ndi

import fastprep as fp
from fastprep.core.errors import ArgumentError
from fastprep.testing import Implant, metal_phantom, metal_phantom_on, patient_grid
from fastprep.testing.metal_phantom import BODIES

SMALL = ((40, 88, 96), (4.8, 4.2, 4.2))


@pytest.mark.parametrize("body", BODIES)
def test_implants_have_their_volumes_and_places(body):
    """Each implant on a grid of its own that is fine enough: volume and centroid are the formula's."""
    for one in BODIES[body][1]:
        grid = patient_grid((90, 90, 90), (one._reach / 30 + 0.3, 0.55, 0.55))
        near = grid.affine.copy()
        near[:3, 3] += one.center
        found = metal_phantom_on(fp.Grid(grid.shape, near), body=body, implants=(one,), strength=0, noise=0)
        voxel = math.prod(grid.spacing)
        assert np.count_nonzero(found.labels.array) * voxel == pytest.approx(one.volume_mm3, rel=0.03), one.name
        if one.shape != "screw":
            where = np.argwhere(found.labels.array).mean(axis=0)
            np.testing.assert_allclose(found.labels.grid.to_world(where), one.center, atol=0.1)
        assert ndi.label(found.labels.array, np.ones((3, 3, 3)))[1] == 1


def test_volumes_by_hand():
    assert Implant("a", "sphere", (0, 0, 0), 3).volume_mm3 == pytest.approx(113.097, abs=1e-3)
    assert Implant("b", "rod", (0, 0, 0), 2, 10).volume_mm3 == pytest.approx(40 * math.pi)
    # A shaft of 26 mm and a head of 4 mm and twice the radius.
    assert Implant("c", "screw", (0, 0, 0), 2, 30).volume_mm3 == pytest.approx(4 * math.pi * 26 + 16 * math.pi * 4)


@pytest.mark.parametrize("body", BODIES)
def test_parts_fit_together(body):
    found = metal_phantom(*SMALL, body=body)
    metal, n = found.labels.array, len(found.implants)
    assert found.scan.array.dtype == np.int16 and found.scan.modality == "CT" and found.labels.kind == "label"
    assert set(np.unique(metal)) == set(range(n + 1))
    assert found.scan.array.min() >= -1024 and found.scan.array.max() == 3071
    assert (found.scan.array[metal > 0] == 3071).all() and (found.scan.array[metal == 0] < 3000).all()
    assert found.volume_mm3 == sum(found.volumes_mm3.values()) == sum(one.volume_mm3 for one in found.implants)
    assert ndi.label(metal, np.ones((3, 3, 3)))[1] == n, "no two of them touch"
    _, y, _ = np.nonzero(found.clean.array > -400)
    assert y.max() > 70 and (found.clean.array < -700).mean() > 0.2, "a couch, and air"


def test_artifacts_are_in_the_slices_of_metal_and_fade():
    found = metal_phantom(*SMALL, body="hip", noise=0)
    away = np.abs(found.scan.array.astype(float) - found.clean.array)
    held = (found.labels.array > 0).any(axis=(1, 2))
    near = ndi.binary_dilation(held, iterations=1)
    assert away[~near].max() == 0 and (away[held].mean(axis=(1, 2)) > 3).all()
    distance = ndi.distance_transform_edt(found.labels.array[held] == 0, sampling=found.scan.spacing)
    rings = [away[held][(distance > d) & (distance <= d + 15)].mean() for d in (0, 15, 30, 45, 60)]
    assert all(a > b for a, b in pairwise(rings[1:])) and rings[0] > 3 * rings[-1]
    # Between the heads, in the middle of the body, it is dark.
    k, j, i = (round(v) for v in found.scan.grid.to_index([(0, 0, 5)])[0])
    assert found.scan.array[k, j, i] < found.clean.array[k, j, i] - 150


def test_strength_seed_and_noise_are_apart():
    one, two, other = (metal_phantom(*SMALL, noise=0, **how) for how in ({}, {"strength": 2.0}, {"seed": 1}))
    np.testing.assert_array_equal(one.clean.array, two.clean.array)
    change = one.scan.array.astype(int) - one.clean.array
    inside = (one.labels.array == 0) & (np.abs(two.scan.array) < 1000)
    assert np.abs(2 * change - (two.scan.array.astype(int) - two.clean.array))[inside].max() <= 2
    assert (other.scan.array != one.scan.array).any()
    noisy, still = metal_phantom(*SMALL, noise=20), metal_phantom(*SMALL, noise=20, strength=0)
    np.testing.assert_array_equal(still.scan.array, still.clean.array)
    np.testing.assert_array_equal(still.clean.array, noisy.clean.array)
    assert np.std((still.clean.array.astype(int) - one.clean.array)[one.clean.array == 40]) == pytest.approx(
        20, rel=0.05
    )


def test_options():
    beyond = metal_phantom(*SMALL, hu=8000, saturate=False, implants=2)
    assert len(beyond.implants) == 2 and np.median(beyond.scan.array[beyond.labels.array > 0]) == pytest.approx(
        8000, abs=20
    )
    assert metal_phantom(*SMALL, implants=0).volume_mm3 == 0
    wide, usual = metal_phantom(*SMALL, margin=3), metal_phantom(*SMALL)
    np.testing.assert_array_equal(wide.scan.array[3:-3, 3:-3, 3:-3], usual.scan.array)
    np.testing.assert_allclose(wide.scan.grid.to_world([3, 3, 3]), usual.scan.grid.origin)
    assert (wide.scan.array[:3] == -1000).all()
    with pytest.raises(ArgumentError, match="'foot': expected one of chest, hip"):
        metal_phantom(*SMALL, body="foot")


def test_the_same_on_any_grid():
    """Stored another way it is the same body; on an oblique grid it is the same metal."""
    usual = metal_phantom(*SMALL, noise=0)
    other = metal_phantom_on(fp.reorient(usual.scan, "LIA").grid, noise=0)
    back = fp.reorient(other.scan, "SPL").array.astype(int)
    # A voxel where a streak begins or a table of angles steps may round to its neighbour.
    assert (np.abs(back - usual.scan.array) > 1).mean() < 0.005
    turned = metal_phantom_on(patient_grid((50, 80, 90), (4, 4.4, 4.4), turn=(6, -4, 9)))
    found = np.count_nonzero(turned.labels.array) * math.prod(turned.scan.spacing)
    assert found == pytest.approx(turned.volume_mm3, rel=0.1)
    assert np.count_nonzero(turned.scan.array != turned.clean.array) > 10_000
