from __future__ import annotations

import json
import math

import numpy as np
import pytest
import scipy.ndimage as ndi

import fastprep as fp
from fastprep import Image, LungMask, registry
from fastprep.core.errors import ArgumentError, ShapeError
from fastprep.core.ramp import Ramp
from fastprep.testing.assertions import assert_same, to_numpy
from fastprep.testing.phantoms import CHEST, LUNG_VOLUME_ML, NODULE_VOLUME_ML, chest_ct, labels_on, patient_grid
from layouts import same_error
from torsos import SPACING, ellipsoid, lungs, torso, world

# Small enough for the emulator: air in two lungs that a bridge joins, with a trachea.
SMALL, SMALL_SPACING = torso(bronchi=True, bridge=True)[::2, ::2, ::2], (12.0, 9.0, 10.0)
_ML = math.prod(SPACING) / 1000


def dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


@pytest.mark.parametrize("step", [1, 2])
def test_the_phantom_within_a_voxel_layer(step):
    """Two ellipsoids of a known volume; the nodule in one of them is lung, the airway is not."""
    ct = chest_ct((64 // step, 128, 128), (4.0 * step, 2.8, 2.8))
    found = fp.lung_mask(ct)
    parts = labels_on(ct.grid).array
    names = [part.name for part in CHEST]
    right, left = (parts == names.index(f"{side} lung") for side in ("right", "left"))
    right |= parts == names.index("nodule")
    for label, true in ((1, right), (2, left)):
        mask = found.labels.array == label
        layer = np.ones((3, 3, 3), bool)
        assert not (mask & ~ndi.binary_dilation(true, layer)).any()
        assert not (ndi.binary_erosion(true, layer) & ~mask).any()
        assert dice(mask, true) > 0.99
    volume = LUNG_VOLUME_ML + NODULE_VOLUME_ML
    assert found.ok and found.why == "" and found.volume_ml == pytest.approx(volume, rel=0.01)
    assert found.volumes_ml == pytest.approx([volume / 2] * 2, rel=0.01)
    np.testing.assert_array_equal(found.mask.array, found.labels.array > 0)
    assert found.mask.array.dtype == bool and found.labels.array.dtype == np.uint8
    assert found.mask.kind == found.labels.kind == "label" and found.mask.grid is ct.grid


def test_reference_is_cpu_is_gpu(backend, put):
    """The same bits, through airways, a split, closing and filling."""
    with registry.backend("cpu"):
        truth = fp.lung_mask(SMALL, SMALL_SPACING)
    assert truth.steps["airway_ml"] > 0 and truth.steps["split_mm"] > 0
    found = fp.lung_mask(put(SMALL), SMALL_SPACING)
    assert_same(found.labels, truth.labels, put(SMALL), tolerance=0)
    assert_same(found.mask, truth.mask, put(SMALL), tolerance=0)
    assert (found.to_dict(), found.ok) == (truth.to_dict(), True)
    assert json.loads(json.dumps(found.to_dict())) == found.to_dict()


def test_airways_are_not_lung():
    """Trachea and bronchi go, whether lungs are as dark as in emphysema or not; both lungs stay."""
    inside = lungs()
    z, y, x = world()
    trachea = (x**2 + (y - 10) ** 2 < 8**2) & (z > 15)
    # They end within the lungs, where the ball would close over them.
    bronchi = (np.abs(z - 4) < 6) & ((y - 10) ** 2 < 7**2) & (np.abs(x) < 40)
    for air in (-850, -930):
        hu = torso(lung=air, bronchi=True)
        assert hu[trachea].max() < -900
        found = fp.lung_mask(hu, SPACING)
        assert found.ok and found.steps["airway_ml"] > 30 and found.steps["split_mm"] == 0
        assert not found.mask[trachea].any() and not found.mask[bronchi].any()
        for side in (1, 2):
            assert dice(found.labels == side, inside == side) > 0.99
    assert found.steps["airway_threshold"] < -900
    kept = fp.lung_mask(hu, SPACING, airway=-2000)
    assert kept.steps["airway_ml"] == 0


def test_lungs_that_touch_are_parted():
    inside = lungs()
    found = fp.lung_mask(torso(bridge=True), SPACING)
    assert found.ok and found.steps["split_mm"] > 0
    for side in (1, 2):
        assert found.volumes_ml[side - 1] == pytest.approx(_ML * (inside == side).sum(), rel=0.03)
        assert dice(found.labels == side, inside == side) > 0.98
        assert not ((found.labels == side) & (inside == 3 - side)).any()


def test_what_both_would_close_is_of_neither():
    """Two lungs that reach around each other: closed by a large ball each would take the other's place."""
    z, y, x = world()
    hu = torso()
    arms = [(np.abs(z) < 40) & (np.abs(y - 2 - at) < 5) & (np.abs(x - at) < 38) for at in (-12, 12)]
    hu[arms[0] & (x < 22)] = hu[arms[1] & (x > -22)] = -850
    small, large = (fp.lung_mask(hu, SPACING, closing_mm=r) for r in (0, 60))
    assert small.ok and large.ok and small.steps["split_mm"] == 0
    # Labels of both in one voxel would add up.
    assert large.labels.max() == 2
    for side in (1, 2):
        assert not ((small.labels == side) & (large.labels != side)).any()
    assert large.volume_ml > small.volume_ml


def test_a_lung_that_is_narrow_is_one():
    """Upper and lower lobe hang together by a neck, but lie above each other."""
    z, y, x = world()
    hu = torso((0,))
    hu[(np.abs(z - 5) < 7) & ((y**2 + (x + 70) ** 2) > 14**2) & (hu < -500) & (np.abs(x) < 120)] = 40
    found = fp.lung_mask(hu, SPACING)
    assert not found.ok and found.why.startswith("one lung only") and found.volumes_ml[1] == 0


def test_vessels_and_holes_are_lung_and_wide_consolidations_are_not():
    hu, inside = torso(), lungs() > 0
    # A vessel through the surface, one inside, and a consolidation wider than the ball.
    hu[18:20, 20:32, 21] = hu[18:20, 24, 15:26] = 40
    found = fp.lung_mask(hu, SPACING)
    assert dice(found.mask, inside) > 0.998
    hu[5:18, 26:45, 50:66] = 30
    found = fp.lung_mask(hu, SPACING)
    assert found.ok and not found.mask[8:14, 29:34, 55:60].any()
    assert fp.lung_mask(hu, SPACING, closing_mm=0).volume_ml < found.volume_ml


@pytest.mark.parametrize(
    ("what", "why"),
    [
        ({"sides": ()}, "no air below -400 HU inside the body"),
        ({"sides": (), "bronchi": True}, "no lung: the largest air space inside the body has .* ml"),
        ({"sides": (), "bowel": (11.0, 40.0, 80.0)}, "no lung: .* ml of gas darker than -940 HU"),
        ({"sides": (0,)}, "one lung only: 1.1 l"),
        ({"sides": (1,), "bowel": (11.0, 40.0, 80.0)}, "one lung only: 0.9 l"),
    ],
)
def test_what_is_missing_is_said(what, why):
    found = fp.lung_mask(torso(**what), SPACING)
    inside = lungs(what["sides"])
    assert isinstance(found, LungMask) and not found.ok
    with pytest.raises(AssertionError, match=why):
        raise AssertionError(found.why)
    # One lung is still found, on its side.
    np.testing.assert_array_equal(found.labels, inside)
    assert found.volume_ml == pytest.approx(_ML * (inside > 0).sum())
    for side in (0, 1):
        assert (found.volumes_ml[side] > 0) == (side in what["sides"])


def test_volumes_too_unlike_and_gas_beside():
    hu = torso((0,))
    hu[ellipsoid(world(), (0.0, 0.0, 70.0), (36.0, 27.0, 30.0))] = -850
    found = fp.lung_mask(hu, SPACING)
    assert not found.ok and "volumes differ by a factor of 8.7" in found.why
    assert fp.lung_mask(hu, SPACING, max_ratio=10).ok
    # Gas that is no lung neither takes the place of one nor is it in the mask.
    found = fp.lung_mask(torso(bowel=(11.0, 40.0, 80.0)), SPACING)
    assert found.ok and found.steps["spaces_ml"][2] > 100
    np.testing.assert_array_equal(found.labels, lungs())


def test_a_lung_that_is_open_to_the_outside():
    """Through a wound, or cut by the field of view, it is air like that around in these slices."""
    z, y, x = world()
    hu = torso()
    hu[(np.abs(z) < 10) & (np.abs(y) < 5) & (x < -90)] = -1000
    found = fp.lung_mask(hu, SPACING)
    assert not found.ok and found.why == "touches the exterior" and found.steps["touches_exterior"]
    assert found.volumes_ml[0] < 0.95 * _ML * (lungs() == 1).sum()
    np.testing.assert_array_equal(found.labels == 2, lungs() == 2)


def test_hu_2001_threshold():
    """Halfway between the means on both sides, wherever it begins."""
    hu = torso(noise=5)
    found = fp.lung_mask(hu, SPACING, threshold=None)
    body = fp.body_mask(hu, SPACING)
    at = found.steps["threshold"]
    inside = hu[body]
    assert at == pytest.approx((inside[inside <= at].mean() + inside[inside > at].mean()) / 2, abs=1)
    assert -500 < at < -300
    np.testing.assert_array_equal(found.labels, lungs())


@pytest.mark.parametrize("axes", [(0,), (1,), (2,), (0, 1, 2)])
def test_flips_of_arrays(axes):
    hu = torso(bronchi=True, bridge=True)
    plain, turned = (fp.lung_mask(x, SPACING) for x in (hu, np.flip(hu, axes)))
    np.testing.assert_array_equal(np.flip(turned.mask, axes), plain.mask)
    sides = np.flip(turned.labels, axes)
    # Right is where x is small, in an array.
    np.testing.assert_array_equal(np.where(sides > 0, 3 - sides, 0) if 2 in axes else sides, plain.labels)
    assert turned.volume_ml == plain.volume_ml and turned.ok


def test_images_turned_any_way(backend, put):
    """The right lung is the patient's, and every voxel's verdict its own, on every grid."""
    grid = patient_grid(SMALL.shape, SMALL_SPACING, axes="SPL")
    truth = fp.lung_mask(Image(SMALL, grid, modality="CT"))
    for codes in ("LAI", "PSR") if backend == "cpu" else ("RIA",):
        image = fp.reorient(Image(SMALL, grid, modality="CT"), codes)
        found = fp.lung_mask(Image(put(image.array), image.grid, modality="CT"))
        want = fp.reorient(truth.labels, codes).array
        assert_same(found.labels.array, want, put(image.array), tolerance=0)
        assert found.volumes_ml == truth.volumes_ml
    if backend == "gpu":
        return
    right = np.argwhere(truth.labels.array == 1).mean(axis=0)
    assert grid.to_world(right)[0] > 0
    stored = Image(put((SMALL.clip(-1024) + 1024).astype(np.uint16)), grid, modality="CT", rescale=Ramp(1, -1024))
    clipped = fp.lung_mask(Image(SMALL.clip(-1024), grid, modality="CT"))
    np.testing.assert_array_equal(to_numpy(fp.lung_mask(stored).labels.array), clipped.labels.array)


def test_more_air_around_changes_nothing():
    hu = torso(bronchi=True, bridge=True)[6:34, 4:]
    plain = fp.lung_mask(hu, SPACING)
    padded = fp.lung_mask(np.pad(hu, 5, constant_values=-1000), SPACING)
    np.testing.assert_array_equal(padded.labels[5:-5, 5:-5, 5:-5], plain.labels)
    assert plain.steps["reaches_ends"] == [True, True] and padded.steps["reaches_ends"] == [False, False]
    assert padded.volumes_ml == plain.volumes_ml


def test_libraries(xp):
    given = xp.asarray(SMALL)
    found = fp.lung_mask(given, SMALL_SPACING)
    assert_same(found.labels, fp.lung_mask(SMALL, SMALL_SPACING).labels, given, tolerance=0)


def test_errors(backend, put):
    hu = put(SMALL)
    same_error(lambda: fp.lung_mask(hu), ArgumentError, "spacing is missing")
    for name, value in (("closing_mm", -1), ("airway_mm", math.nan), ("min_lung_ml", -5), ("gas", math.inf)):
        same_error(lambda n=name, v=value: fp.lung_mask(hu, SMALL_SPACING, **{n: v}), ArgumentError, f"{name}=")
    unit = put(((SMALL + 1100) / 2000).clip(0, 1).astype(np.float32))
    same_error(lambda: fp.lung_mask(unit, SMALL_SPACING), ArgumentError, "look normalised")
    same_error(lambda: fp.lung_mask(put(SMALL[0]), SMALL_SPACING), ShapeError, "one volume")


# ---- real scans


@pytest.fixture(scope="module", params=["chest_p001", "chest_normal001"])
def scan(request, data):
    image = fp.load(data / "ct" / request.param)
    return image, fp.lung_mask(image)


def test_real_chests(scan):
    image, found = scan
    volumes = found.volumes_ml
    assert found.ok and not found.steps["touches_exterior"]
    assert 1500 < found.volume_ml < 8000 and max(volumes) < 3 * min(volumes)
    labels = found.labels.array
    assert labels.sum() > 0 and (labels == 1).sum() * math.prod(image.spacing) / 1000 == pytest.approx(volumes[0])
    # Trachea out, and the right lung is on the patient's right.
    assert found.steps["airway_ml"] > 5
    right, left = (np.argwhere(labels[::4, ::8, ::8] == side).mean(axis=0) * (4, 8, 8) for side in (1, 2))
    assert image.grid.to_world(right)[0] > image.grid.to_world(left)[0] + 80
    darkest = image.array[found.mask.array].astype(np.float64)
    assert -900 < darkest.mean() < -650


def test_real_chests_turned(scan):
    """On a coarser copy: flipped, reoriented, and with air around."""
    image = fp.resample_to(scan[0], coarser(scan[0].grid))
    plain = fp.lung_mask(image)
    assert plain.ok and dice(fp.resample_to(plain.mask, scan[0].grid).array > 0, scan[1].mask.array) > 0.95
    for codes in ("RAI", "LSP"):
        turned = fp.lung_mask(fp.reorient(image, codes))
        np.testing.assert_array_equal(fp.reorient(turned.labels, "".join(image.grid.axcodes)).array, plain.labels.array)
    flipped = fp.lung_mask(np.flip(image.array, (0, 2)), image.spacing)
    np.testing.assert_array_equal(np.flip(flipped.mask, (0, 2)), plain.mask.array)
    padded = fp.lung_mask(np.pad(image.array, 4, constant_values=-1000), image.spacing)
    np.testing.assert_array_equal(padded.labels[4:-4, 4:-4, 4:-4], plain.labels.array)


def coarser(grid):
    spacing = tuple(3.0 for _ in range(3))
    shape = tuple(int(n * s / 3.0) for n, s in zip(grid.shape, grid.spacing, strict=True))
    affine = grid.affine.copy()
    affine[:3, :3] *= np.array(spacing) / grid.spacing
    return fp.Grid(shape, affine)


def test_a_head_has_no_lungs(data):
    with pytest.warns(UserWarning, match="gantry tilt"):
        head = fp.load(data / "ct" / "head_tilt", irregular="resample")
    found = fp.lung_mask(head)
    assert not found.ok and "no lung: the largest air space" in found.why
    assert not found.mask.array.any() and found.volume_ml == 0
