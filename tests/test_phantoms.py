"""The phantoms are what they say: volumes, places, and files that read back."""

from __future__ import annotations

import numpy as np
import pytest

import fastprep as fp
from fastprep.core.errors import SeriesError
from fastprep.testing import phantoms
from fastprep.testing.phantoms import (
    BRAIN,
    CHEST,
    brain_mri,
    chest_ct,
    chest_ct_on,
    chest_xray,
    labels_on,
    log_bias,
    patient_grid,
    write_demo_cohort,
)

SHEARED = fp.Grid((60, 80, 90), patient_grid((60, 80, 90), (4.5, 4, 4), turn=(5, -8, 12)).affine @ np.array(
    [[1, 0, 0, 0], [0.3, 1, 0, -9], [0, 0, 1, 0], [0, 0, 0, 1]]
))  # fmt: skip
GRIDS = {
    "axial": patient_grid((64, 128, 128), (4, 2.8, 2.8)),
    "fine z": patient_grid((250, 70, 80), (1, 5, 5), axes="IAR"),
    "coronal": patient_grid((80, 90, 120), (3.3, 2.9, 3.1), axes="AIL"),
    "oblique and sheared": SHEARED,
}


def volume_ml(labels: fp.Image, *names: str, parts=CHEST) -> float:
    voxel = abs(np.linalg.det(labels.grid.affine[:3, :3])) / 1000
    return voxel * np.isin(labels.array, [i for i, p in enumerate(parts) if p.name in names]).sum()


@pytest.mark.parametrize("name", GRIDS)
def test_chest_answers_on_any_grid(name):
    labels = labels_on(GRIDS[name])
    assert labels.kind == "label" and labels.array.dtype == np.uint8
    assert volume_ml(labels, "right lung", "left lung") == pytest.approx(phantoms.LUNG_VOLUME_ML, rel=0.01)
    assert volume_ml(labels, "nodule") == pytest.approx(phantoms.NODULE_VOLUME_ML, rel=0.12)
    assert volume_ml(labels, "metal") == pytest.approx(phantoms.METAL_VOLUME_ML, rel=0.3)
    where = np.argwhere(labels.array == 10).mean(axis=0)
    np.testing.assert_allclose(labels.grid.to_world(where), phantoms.NODULE_CENTER, atol=0.6)


def test_parts_with_known_volumes_overlap_nothing():
    grid = patient_grid((120, 150, 170), (2.1, 2, 2))
    x, y, z = np.moveaxis(grid.to_world(np.stack(np.indices(grid.shape), -1)), -1, 0)
    inside = {p.name: p.region(x, y, z) for p in CHEST}
    around = {"air", "fat", "soft tissue"}
    for name, inner in (("right lung", {"nodule"}), ("left lung", set()), ("metal", {"spine"})):
        for other in inside.keys() - around - inner - {name}:
            assert not (inside[name] & inside[other]).any(), f"{name} and {other}"
        assert not (inside[name] & ~inside["soft tissue"]).any()


def test_chest_values():
    ct = chest_ct((64, 96, 96), (4, 3.8, 3.8), seed=3, metal=True)
    labels = labels_on(ct.grid).array
    assert ct.array.dtype == np.int16 and ct.modality == "CT" and ct.grid.axcodes == ("S", "P", "L")
    assert ct.array.min() >= -1024 and ct.array.max() == 3071
    for i, part in enumerate(CHEST):
        values = ct.array[labels == i].astype(np.float64)
        assert values.mean() == pytest.approx(min(part.value, 3071), abs=8 if values.size < 100 else 3), part.name
    assert ct.array[labels == 3].std() == pytest.approx(15, rel=0.05)
    assert chest_ct((64, 96, 96), (4, 3.8, 3.8), seed=3).array.max() < 1000


def test_seeds():
    how = ((8, 16, 16), (30, 22, 22))
    np.testing.assert_array_equal(chest_ct(*how, seed=1).array, chest_ct(*how, seed=1).array)
    assert (chest_ct(*how, seed=1).array != chest_ct(*how, seed=2).array).any()
    assert set(np.unique(chest_ct(*how, noise=0).array)) <= {int(p.value) for p in CHEST}


def test_same_anatomy_on_two_grids():
    """Sampled here and resampled there, or sampled there: only voxels at the borders of parts differ."""
    fine = chest_ct_on(patient_grid((125, 170, 170), (2, 2, 2)), noise=0)
    there = chest_ct_on(SHEARED, noise=0)
    moved = fp.resample_to(fine, SHEARED)
    index = fine.grid.to_index(SHEARED.to_world(np.stack(np.indices(SHEARED.shape), -1)))
    covered = ((index > 1) & (index < np.array(fine.grid.shape) - 2)).all(axis=-1)
    error = np.abs(moved.array - there.array)[covered]
    assert covered.mean() > 0.5 and np.median(error) == 0 and (error > 1).mean() < 0.15
    labels = fp.resample_to(labels_on(fine.grid), SHEARED).array
    assert (labels == labels_on(SHEARED).array)[covered].mean() > 0.97


def test_brain_answers():
    mri = brain_mri(noise=5)
    labels = labels_on(mri.grid, BRAIN)
    assert mri.array.dtype == np.float32 and mri.modality == "MR" and (mri.array >= 0).all()
    assert volume_ml(labels, "white", parts=BRAIN) == pytest.approx(phantoms.WHITE_VOLUME_ML, rel=0.01)
    assert volume_ml(labels, "grey", parts=BRAIN) == pytest.approx(phantoms.GREY_VOLUME_ML, rel=0.01)
    assert volume_ml(labels, "white", "grey", parts=BRAIN) == pytest.approx(phantoms.BRAIN_VOLUME_ML, rel=0.01)
    assert mri.array[labels.array == 5].mean() == pytest.approx(700, abs=1)


def test_brain_bias():
    plain, biased = brain_mri(noise=0), brain_mri(noise=0, bias=0.4)
    field = log_bias(plain.grid)
    head = plain.array > 0
    np.testing.assert_allclose(np.log(biased.array[head] / plain.array[head]), 0.4 * field[head], atol=1e-5)
    assert 0.5 < np.abs(field[head]).max() < 1.5
    # Smooth: along each axis its second differences are constant.
    assert all(np.abs(np.diff(field, 3, axis=axis)).max() < 1e-9 for axis in range(3))


def test_xray():
    xray = chest_xray((128, 120), (2.8, 3))
    assert xray.array.dtype == np.uint16 and xray.array.max() <= 4095 and xray.grid.axcodes == ("I", "L")

    def at(x, z):
        row, column = np.rint(xray.grid.to_index((x, 0, z))).astype(int)
        return xray.array[row - 1 : row + 2, column - 1 : column + 2].mean()

    air, lung, spine = at(175, 0), at(-80, 25), at(0, -150)
    assert air < 30 and air < lung < spine
    # 24 mm of nodule instead of lung.
    expected = 0.02 * 24 * (60 + 800) / 1000 / 6.5 * 4095
    assert at(85, 25) - at(-85, 25) == pytest.approx(expected, rel=0.15)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    for module in ("pydicom", "nibabel", "PIL"):
        pytest.importorskip(module)
    folder = tmp_path_factory.mktemp("cohort")
    write_demo_cohort(folder)
    return folder


def test_cohort_reads_back(cohort):
    for name, truth in (
        ("ct/patient-01", chest_ct(seed=1)),
        ("ct/patient-02", chest_ct_on(patient_grid((64, 128, 128), (3.5, 3, 3), turn=(4, -3, 2)), seed=2)),
        ("mri/patient-04.nii.gz", brain_mri(seed=4, bias=0.3)),
    ):
        scan = fp.load(cohort / name)
        assert scan.grid.same_as(truth.grid), f"{scan.grid} {truth.grid}"
        np.testing.assert_array_equal(scan.array, truth.array)
        assert scan.array.dtype == truth.array.dtype
    assert fp.load(cohort / "ct/patient-01").modality == "CT"


def test_cohort_radiographs(cohort):
    truth = chest_xray(seed=5)
    xray = fp.load(cohort / "xray/patient-05.dcm")
    assert xray.modality == "DX" and xray.spacing == truth.spacing
    np.testing.assert_array_equal(xray.array, truth.array)
    picture = fp.load(cohort / "xray/patient-06.png")
    np.testing.assert_array_equal(picture.array, truth.array)
    np.testing.assert_allclose(picture.spacing, truth.spacing, rtol=1e-3)


def test_cohort_refusal(cohort):
    with pytest.raises(SeriesError, match="1 missing slices"):
        fp.load(cohort / "ct/patient-03-slice-missing")
    with pytest.warns(UserWarning, match="missing slices"):
        scan = fp.load(cohort / "ct/patient-03-slice-missing", irregular="resample")
    truth = chest_ct(seed=3)
    assert scan.grid.same_as(truth.grid)
    np.testing.assert_array_equal(np.delete(scan.array, 30, axis=0), np.delete(truth.array, 30, axis=0))


def test_cohort_files(cohort):
    pydicom = pytest.importorskip("pydicom")
    files = sorted((cohort / "ct/patient-01").iterdir())
    headers = [pydicom.dcmread(f, stop_before_pixels=True) for f in files]
    heights = [float(h.ImagePositionPatient[2]) for h in headers]
    assert heights != sorted(heights) and sorted(heights) != heights[::-1]
    numbers = [int(h.InstanceNumber) for h in headers]
    by_number = [h for _, h in sorted(zip(numbers, heights, strict=True))]
    assert sorted(numbers) == list(range(1, 65)) and by_number not in (heights, sorted(heights))
    assert {(str(h.PatientName), h.PatientID) for h in headers} == {("Phantom^Chest", "PHANTOM-01")}
    uids = [h.SOPInstanceUID for h in headers] + [headers[0].SeriesInstanceUID, headers[0].StudyInstanceUID]
    assert len(set(uids)) == 66 and all(uid.is_valid for uid in uids)
    assert {h.file_meta.TransferSyntaxUID for h in headers} == {pydicom.uid.ExplicitVRLittleEndian}
    assert pydicom.dcmread(cohort / "xray/patient-05.dcm").PhotometricInterpretation == "MONOCHROME1"
    assert sum(f.stat().st_size for f in cohort.rglob("*.*")) < 20e6
