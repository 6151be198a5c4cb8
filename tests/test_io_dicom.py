"""DICOM: SimpleITK and pydicom are the outside truth; what is no regular volume is refused by name and place."""

from __future__ import annotations

import os
import random
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from dicom_files import SAGITTAL, Dataset, pydicom, ramp_volume, save, slice_dataset, write_series
from fastprep.core.errors import (
    ArgumentError,
    GantryTiltError,
    MissingExtraError,
    ReadError,
    SeriesError,
)
from fastprep.core.grid import RAS_TO_LPS
from fastprep.io.dicom import find_series, hash_uid, read_dicom, read_series

DATA = os.environ.get("FASTPREP_TEST_DATA")
real = pytest.mark.skipif(not DATA, reason="FASTPREP_TEST_DATA is unset")


def scan_path(*parts: str) -> Path:
    path = Path(DATA or ".", *parts)
    if not path.exists():
        pytest.skip(f"{path} is not there")
    return path


# Real scans ----------------------------------------------------------------------------------------------------------


@real
@pytest.mark.parametrize("name", ["chest_p001", "chest_normal001"])
def test_real_ct_equals_simpleitk(name: str) -> None:
    sitk = pytest.importorskip("SimpleITK")
    folder = scan_path("ct", name)
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    truth = reader.Execute()
    image = read_dicom(folder)
    assert image.array.dtype == np.int16
    assert image.modality == "CT"
    assert image.rescale.is_identity
    np.testing.assert_array_equal(image.array, sitk.GetArrayFromImage(truth))
    lps = np.eye(4)
    lps[:3, :3] = (np.array(truth.GetDirection()).reshape(3, 3) * truth.GetSpacing())[:, ::-1]
    lps[:3, 3] = truth.GetOrigin()
    np.testing.assert_allclose(image.grid.affine, RAS_TO_LPS @ lps, atol=1e-9)


@real
def test_real_radiograph_equals_pydicom() -> None:
    path = scan_path("xray", "chest_monochrome1.dcm")
    stored = pydicom.dcmread(path).pixel_array
    image, info = read_series([path])
    assert image.array.shape == stored.shape
    assert info.inverted
    assert info.photometric == "MONOCHROME1"
    assert any("spacing" in w for w in info.warnings)
    np.testing.assert_array_equal(image.array, 2**15 - 1 - stored)
    plain, info = read_series([path], invert_monochrome1=False)
    assert not info.inverted
    np.testing.assert_array_equal(plain.array, stored)


@real
def test_real_tilted_head_is_refused_and_can_be_resampled() -> None:
    folder = scan_path("ct", "head_tilt")
    for irregular in ("refuse", "keep"):
        with pytest.raises(GantryTiltError, match=r"18\.5.*irregular slice gaps.*1\.08.*--irregular resample"):
            read_dicom(folder, irregular=irregular)
    image, info = read_series(find_series(folder).series[0], irregular="resample")
    assert info.interpolated
    assert info.tilt_degrees == pytest.approx(18.5, abs=0.01)
    assert image.grid.shear == pytest.approx(np.sin(np.radians(18.5)), abs=1e-4)
    assert image.array.dtype == np.int16
    assert len(image.array) > 28
    first = pydicom.dcmread(info.files[0])
    np.testing.assert_array_equal(image.array[0], first.pixel_array)
    np.testing.assert_allclose(image.grid.lps[:3, 3], [float(v) for v in first.ImagePositionPatient])


# Geometry ------------------------------------------------------------------------------------------------------------


def test_slices_are_sorted_by_position_not_by_name_or_number(tmp_path: Path) -> None:
    volume = ramp_volume((9, 4, 5))
    paths = write_series(tmp_path, volume, seed=5)
    assert paths != sorted(paths)
    image, info = read_series(sorted(paths))
    np.testing.assert_array_equal(image.array, volume)
    assert list(info.files) == paths
    assert image.grid.spacing == pytest.approx((2.0, 0.5, 0.75))
    assert image.grid.axcodes == ("S", "P", "L")
    np.testing.assert_allclose(image.grid.lps[:3, 3], (-10, 20, -30))
    for k, y, x in ((0, 0, 0), (3, 1, 4)):
        lps = np.array([-10 + 0.75 * x, 20 + 0.5 * y, -30 + 2.0 * k])
        np.testing.assert_allclose(image.grid.to_world((k, y, x)), lps * (-1, -1, 1))


@pytest.mark.parametrize(
    "orientation",
    [SAGITTAL, (1, 0, 0, 0, 0, -1), (0.8, 0.6, 0, 0, 0, -1), (0.6, 0.48, 0.64, -0.8, 0.36, 0.48)],
    ids=["sagittal", "coronal", "oblique", "double-oblique"],
)
def test_orientations(tmp_path: Path, orientation: tuple[float, ...]) -> None:
    sitk = pytest.importorskip("SimpleITK")
    volume = ramp_volume((6, 4, 5))
    paths = write_series(tmp_path, volume, orientation=orientation, gap=3.25, seed=2)
    image = read_dicom(tmp_path)
    np.testing.assert_array_equal(image.array, volume)
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames([str(p) for p in paths])
    truth = reader.Execute()
    for index in ((0, 0, 0), (5, 3, 4), (2, 0, 1)):
        lps = truth.TransformIndexToPhysicalPoint(index[::-1])
        np.testing.assert_allclose(image.grid.to_world(index), np.array(lps) * (-1, -1, 1), atol=1e-6)


def test_descending_files_give_a_volume_along_the_normal(tmp_path: Path) -> None:
    volume = ramp_volume((4, 3, 3))
    write_series(tmp_path, volume, positions=[6, 4, 2, 0])
    image = read_dicom(tmp_path)
    np.testing.assert_array_equal(image.array, volume[::-1])
    assert image.grid.affine[2, 0] == 2


def test_floating_noise_in_positions_is_tolerated(tmp_path: Path) -> None:
    places = 0.7 * np.arange(6) + [0, 0.006, -0.003, 0.004, 0, 0]
    write_series(tmp_path, ramp_volume((6, 3, 3)), positions=places)
    assert read_dicom(tmp_path).spacing[0] == pytest.approx(0.7)


@pytest.mark.parametrize(
    ("tags", "step", "warned"),
    [
        ({"SpacingBetweenSlices": 2.5, "SliceThickness": 5}, 2.5, False),
        ({"SliceThickness": 5}, 5.0, False),
        ({"SliceThickness": None}, 1.0, True),
    ],
)
def test_single_slice(tmp_path: Path, tags: dict[str, float], step: float, warned: bool) -> None:
    paths = write_series(tmp_path, ramp_volume((1, 4, 5)), **tags)
    image, info = read_series(paths)
    assert image.array.shape == (1, 4, 5)
    assert image.spacing[0] == step
    assert bool(info.warnings) == warned


def test_missing_slices_are_named(tmp_path: Path) -> None:
    paths = write_series(tmp_path, ramp_volume((8, 4, 4)))
    paths[3].unlink()
    paths[4].unlink()
    with pytest.raises(SeriesError, match=r"2 missing slices .*2 between -26\.00 and -20\.00 mm.*resample"):
        read_dicom(tmp_path)
    with pytest.raises(SeriesError, match="2 missing slices"):
        read_dicom(tmp_path, irregular="keep")


def test_missing_slices_are_interpolated_on_request(tmp_path: Path) -> None:
    volume = ramp_volume((8, 4, 4))
    paths = write_series(tmp_path, volume, RescaleSlope=1, RescaleIntercept=-1024)
    paths[3].unlink()
    paths[4].unlink()
    image, info = read_series(find_series(tmp_path).series[0], irregular="resample")
    hu = volume.astype(float) - 1024
    expected = hu.copy()
    expected[3], expected[4] = (2 * hu[2] + hu[5]) / 3, (hu[2] + 2 * hu[5]) / 3
    assert image.array.dtype == np.int16
    np.testing.assert_array_equal(image.array, np.rint(expected))
    assert info.interpolated
    assert image.spacing[0] == pytest.approx(2)


def test_irregular_gaps(tmp_path: Path) -> None:
    volume = ramp_volume((5, 3, 3)) * np.float32(1)
    places = np.array([0.0, 2.0, 4.3, 6.3, 8.3])
    write_series(tmp_path, volume.astype(np.uint16), positions=places, RescaleSlope=0.5, RescaleIntercept=0)
    with pytest.raises(SeriesError, match=r"irregular slice gaps: 2\.00 to 2\.30 mm.*--irregular resample"):
        read_dicom(tmp_path)
    with pytest.warns(UserWarning, match="irregular slice gaps"):
        image = read_dicom(tmp_path, irregular="resample")
    flat = volume.reshape(5, -1) / 2
    wanted = [np.interp(2.0 * np.arange(5), places, flat[:, i]) for i in range(9)]
    np.testing.assert_allclose(image.array.reshape(5, -1), np.transpose(wanted), rtol=1e-5)


def test_duplicate_positions_name_both_files(tmp_path: Path) -> None:
    volume = ramp_volume((4, 3, 3))
    paths = write_series(tmp_path, volume, positions=[0, 2, 2, 4])
    with pytest.raises(SeriesError, match="duplicate position") as caught:
        read_dicom(tmp_path)
    assert str(paths[1]) in str(caught.value)
    assert str(paths[2]) in str(caught.value)


def test_phases_at_the_same_positions(tmp_path: Path) -> None:
    def number(k: int, ds: Dataset) -> None:
        ds.TemporalPositionIdentifier = k % 2 + 1

    write_series(tmp_path, ramp_volume((6, 3, 3)), positions=[0, 0, 2, 2, 4, 4], edit=number)
    with pytest.raises(SeriesError, match="2 slices at each of 3 positions.*TemporalPositionIdentifier"):
        read_dicom(tmp_path)


def test_gantry_tilt(tmp_path: Path) -> None:
    volume = ramp_volume((6, 4, 4))
    angle = np.radians(15)
    step = (0.0, np.tan(angle), 1.0)
    write_series(tmp_path, volume, step=step, gap=2.0)
    with pytest.raises(GantryTiltError, match=r"15\.00 degrees.*keep.*deskew"):
        read_dicom(tmp_path)
    image, info = read_series(find_series(tmp_path).series[0], irregular="keep")
    np.testing.assert_array_equal(image.array, volume)
    assert info.tilt_degrees == pytest.approx(15)
    np.testing.assert_allclose(image.grid.lps[:3, 0], 2 * np.array(step))
    with pytest.warns(UserWarning, match="gantry tilt"):
        resampled = read_dicom(tmp_path, irregular="resample")
    np.testing.assert_array_equal(resampled.array, volume)


def test_the_tilt_tag_is_not_believed(tmp_path: Path) -> None:
    write_series(tmp_path, ramp_volume((3, 3, 3)), GantryDetectorTilt=20)
    assert read_dicom(tmp_path).grid.shear < 1e-12


def test_slices_shifted_sideways(tmp_path: Path) -> None:
    def shift(k: int, ds: Dataset) -> None:
        if k == 2:
            ds.ImagePositionPatient = [-7, *ds.ImagePositionPatient[1:]]

    write_series(tmp_path, ramp_volume((5, 3, 3)), edit=shift)
    for irregular in ("refuse", "resample"):
        with pytest.raises(SeriesError, match="sideways"):
            read_dicom(tmp_path, irregular=irregular)


@pytest.mark.parametrize(
    ("tag", "value", "match"),
    [
        ("ImageOrientationPatient", [0, 1, 0, 0, 0, -1], "mixed orientations"),
        ("PixelSpacing", [0.5, 0.8], "mixed PixelSpacing"),
        ("PhotometricInterpretation", "MONOCHROME1", "mixed PhotometricInterpretation"),
        ("PixelRepresentation", 1, "mixed pixel types"),
        ("ImagePositionPatient", None, "no ImagePositionPatient"),
        ("ImageOrientationPatient", None, "no ImagePositionPatient or ImageOrientationPatient"),
    ],
)
def test_one_odd_slice(tmp_path: Path, tag: str, value: object, match: str) -> None:
    def spoil(k: int, ds: Dataset) -> None:
        if k == 1:
            if value is None:
                delattr(ds, tag)
            else:
                setattr(ds, tag, value)

    paths = write_series(tmp_path, ramp_volume((4, 3, 3)), edit=spoil)
    with pytest.raises(SeriesError, match=match) as caught:
        read_series(paths)
    if "Photo" not in tag and "Representation" not in tag:
        assert str(paths[1]) in str(caught.value)


def test_mixed_sizes(tmp_path: Path) -> None:
    paths = write_series(tmp_path, ramp_volume((3, 4, 4)), series_uid="1.2.3")
    paths += write_series(tmp_path / "b", ramp_volume((1, 5, 4)), series_uid="1.2.3", origin=(-10, 20, -24))
    with pytest.raises(SeriesError, match="mixed sizes") as caught:
        read_dicom(tmp_path)
    assert str(paths[-1]) in str(caught.value)


@pytest.mark.parametrize("spacing", [[0, 0], [-0.5, 0.5], ["nan", "nan"], [0.5]])
def test_unusable_pixel_spacing(tmp_path: Path, spacing: list[float]) -> None:
    def raw(_: int, ds: Dataset) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ds.PixelSpacing = spacing if len(spacing) == 2 and "nan" not in spacing else None
        if ds.PixelSpacing is None:
            ds["PixelSpacing"] = pydicom.dataelem.RawDataElement(
                pydicom.tag.Tag("PixelSpacing"), "DS", 8, "\\".join(map(str, spacing)).encode().ljust(8), 0, False, True
            )

    paths = write_series(tmp_path, ramp_volume((3, 3, 3)), edit=raw)
    with pytest.raises(ReadError, match="PixelSpacing"):
        read_series(paths)


# Folders and files ---------------------------------------------------------------------------------------------------


def test_folder_with_two_series(tmp_path: Path) -> None:
    a, b = ramp_volume((3, 4, 4)), ramp_volume((2, 5, 5))
    write_series(tmp_path / "one", a, series_uid="1.2.3", StudyInstanceUID="1.2", SeriesNumber=1)
    write_series(tmp_path / "two" / "deep", b, series_uid="1.2.4", StudyInstanceUID="1.2", SeriesNumber=2)
    with pytest.raises(SeriesError, match="several series") as caught:
        read_dicom(tmp_path)
    text = str(caught.value)
    assert hash_uid("1.2.3") in text
    assert "2 slices of 5 x 5" in text
    assert "1.2.3" not in text.replace(str(tmp_path), "")
    for choice in (1, "1.2.4", hash_uid("1.2.4")):
        np.testing.assert_array_equal(read_dicom(tmp_path, series=choice).array, b)
    for choice in (2, "1.2.5"):
        with pytest.raises(SeriesError, match="no series"):
            read_dicom(tmp_path, series=choice)
    with pytest.raises(SeriesError, match="files of 2 series"):
        read_series([p for s in find_series(tmp_path).series for p in s.files])


def test_what_is_no_image_is_skipped_with_a_reason(tmp_path: Path) -> None:
    volume = ramp_volume((3, 4, 4))
    paths = write_series(tmp_path, volume)
    (tmp_path / "empty.dcm").touch()
    (tmp_path / "notes.txt").write_text("slice 4 is missing\n" * 50)
    (tmp_path / "noise.dcm").write_bytes(random.Random(1).randbytes(4000))
    (tmp_path / "cut.dcm").write_bytes(paths[0].read_bytes()[:400])
    report = slice_dataset(volume[0], SeriesInstanceUID="1.2.9")
    del report.PixelData
    report.Modality = "SR"
    save(report, tmp_path / "report")
    scan = find_series(tmp_path)
    assert len(scan.series) == 1
    reasons = {path.name: reason for path, reason in scan.skipped}
    assert set(reasons) == {"empty.dcm", "notes.txt", "noise.dcm", "cut.dcm", "report"}
    assert reasons["empty.dcm"] == "empty file"
    assert reasons["notes.txt"] == "not a DICOM file"
    assert "modality SR" in reasons["report"]
    with pytest.warns(UserWarning, match="5 files skipped"):
        np.testing.assert_array_equal(read_dicom(tmp_path).array, volume)


def test_nothing_readable(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("hello")
    for path in (tmp_path, tmp_path / "a.txt", tmp_path / "absent"):
        with pytest.raises(ReadError, match=str(path)):
            read_dicom(path)
    with pytest.raises(ArgumentError):
        read_series([])
    with pytest.raises(ArgumentError, match="irregular='maybe'"):
        read_series([tmp_path / "a.txt"], irregular="maybe")  # type: ignore[arg-type]


def test_file_without_preamble(tmp_path: Path) -> None:
    volume = ramp_volume((1, 12, 12))
    ds = slice_dataset(volume[0], syntax="implicit", PixelSpacing=[1, 1])
    del ds.file_meta
    ds.preamble = None
    ds.save_as(tmp_path / "x", implicit_vr=True, little_endian=True)
    np.testing.assert_array_equal(read_dicom(tmp_path / "x").array, volume[0])


def test_nothing_of_the_patient_is_kept(tmp_path: Path) -> None:
    paths = write_series(tmp_path, ramp_volume((3, 4, 4)), series_uid="1.2.3.4.5")
    image, info = read_series(paths)
    for text in (repr(info), str(info.to_dict()), repr(find_series(tmp_path)).replace(str(tmp_path), "")):
        assert not any(word in text for word in ("Doe", "4711", "1960", "1.2.3.4.5"))
    assert info.to_dict()["series"] == hash_uid("1.2.3.4.5")
    assert image.modality == "CT"


def test_sloppy_values_raise_no_python_warning(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        paths = write_series(
            tmp_path, ramp_volume((2, 3, 3)), PatientBirthDate="yesterday", SliceThickness="2.00000000000000001"
        )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_dicom(tmp_path).array.shape == (2, 3, 3)
        assert len(find_series(paths).series) == 1


def test_siemens_mosaic_is_refused(tmp_path: Path) -> None:
    write_series(tmp_path, ramp_volume((1, 6, 6)), ImageType=["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"])
    with pytest.raises(ReadError, match="mosaic"):
        read_dicom(tmp_path)


def test_concurrent_readers(tmp_path: Path) -> None:
    volume = ramp_volume((6, 16, 16))
    write_series(tmp_path, volume, syntax="jpeg_lossless")
    before = list(warnings.filters)
    with ThreadPoolExecutor(8) as pool:
        images = list(pool.map(read_dicom, [tmp_path] * 24))
    assert all(np.array_equal(image.array, volume) for image in images)
    assert warnings.filters == before


def test_missing_pydicom_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = write_series(tmp_path, ramp_volume((2, 3, 3)))
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(MissingExtraError, match=r"fastprep\[scans\]"):
        read_series(paths)
