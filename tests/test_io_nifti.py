"""NIfTI: nibabel and SimpleITK are the outside truth; bad files are refused by name and reason."""

from __future__ import annotations

import gzip
import os
import struct
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fastprep.core.errors import ArgumentError, DTypeError, FastprepError, GeometryError, ReadError, ShapeError
from fastprep.core.grid import RAS_TO_LPS, Grid
from fastprep.core.image import Image
from fastprep.core.ramp import Ramp
from fastprep.core.threads import num_threads, set_num_threads
from fastprep.io import load, save
from fastprep.io.nifti import read_nifti, write_nifti

nib = pytest.importorskip("nibabel")
sitk = pytest.importorskip("SimpleITK")
pytest.importorskip("isal")

DATA = os.environ.get("FASTPREP_TEST_DATA")
REAL = ["mri/t1_head.nii.gz", "mri/stroke/T1.nii.gz", "mri/stroke/T2.nii.gz", "mri/stroke/FLAIR.nii.gz"]
KEPT = ["u1", "i1", "i2", "u2", "i4", "u4", "f4", "f8"]


def oblique(spacing=(2.5, 0.7, 0.8), origin=(-93.4, 41.2, -512.9)):
    """Affine of (z, y, x): a rotation of 25 degrees about (1, 2, 3)."""
    axis = np.array([1, 2, 3]) / np.sqrt(14)
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    angle = np.deg2rad(25)
    affine = np.eye(4)
    affine[:3, :3] = (np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross) * spacing
    affine[:3, 3] = origin
    return affine


def volume(dtype="i2", shape=(5, 6, 7), seed=0):
    low, high = (0, 200) if np.dtype(dtype).kind == "u" else (-100, 100)
    return np.random.default_rng(seed).integers(low, high, shape).astype(dtype)


def raw(array=None, **fields):
    """Bytes of a small .nii with header fields overwritten after nibabel has made it valid."""
    array = volume().T if array is None else array
    image = nib.Nifti1Image(array, np.diag([2.0, 2.0, 2.0, 1.0]), dtype=array.dtype)
    image.header.set_xyzt_units("mm")
    data = bytearray(image.to_bytes())
    header = nib.Nifti1Header(bytes(data[:348]))
    header["vox_offset"], header["magic"] = 352, b"n+1"
    header["scl_slope"], header["scl_inter"] = 1, 0
    for name, value in fields.items():
        header[name] = value
    data[:348] = header.binaryblock
    return bytes(data)


def write(tmp_path: Path, data: bytes, name: str = "scan.nii") -> Path:
    path = tmp_path / name
    path.write_bytes(data)
    return path


def as_array_affine(affine):
    return affine[:, [2, 1, 0, 3]]


# Truth


@pytest.mark.skipif(not DATA, reason="FASTPREP_TEST_DATA is not set")
@pytest.mark.parametrize("name", REAL)
def test_real_scans_equal_nibabel_and_simpleitk(name):
    path = Path(DATA) / name
    image = read_nifti(path)
    truth = nib.load(path)
    np.testing.assert_allclose(image.array, truth.get_fdata().T, rtol=2e-7, atol=0)
    assert np.array_equal(image.grid.affine, as_array_affine(truth.affine))
    itk = sitk.ReadImage(str(path))
    np.testing.assert_allclose(image.array, sitk.GetArrayFromImage(itk), rtol=2e-6, atol=1e-6)
    for index in [(0, 0, 0), (3, 50, 70)]:
        point = RAS_TO_LPS[:3, :3] @ itk.TransformIndexToPhysicalPoint(index[::-1])
        np.testing.assert_allclose(image.grid.to_world(index), point, atol=1e-3)
    assert image.array.flags.c_contiguous and image.array.flags.writeable


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("dtype", KEPT)
def test_round_trip_and_readers(tmp_path, dtype, suffix):
    path = tmp_path / f"scan{suffix}"
    image = Image(volume(dtype), Grid((5, 6, 7), oblique()), kind="label")
    save(image, path)
    back = load(path, kind="label")
    assert back.array.dtype == image.array.dtype and back.kind == "label"
    assert np.array_equal(back.array, image.array)
    np.testing.assert_allclose(back.grid.affine, image.grid.affine, rtol=6e-8, atol=0)

    truth = nib.load(path)
    assert np.array_equal(np.asarray(truth.dataobj), image.array.T)
    assert np.array_equal(as_array_affine(truth.affine), back.grid.affine)
    np.testing.assert_allclose(truth.header.get_qform(), truth.header.get_sform(), atol=1e-4)
    assert truth.header.get_xyzt_units()[0] == "mm"
    itk = sitk.ReadImage(str(path))
    assert np.array_equal(sitk.GetArrayFromImage(itk), image.array)
    np.testing.assert_allclose(itk.GetSpacing()[::-1], image.spacing, rtol=1e-6)
    np.testing.assert_allclose(RAS_TO_LPS[:3, :3] @ itk.GetOrigin(), image.grid.origin, rtol=1e-6)
    np.testing.assert_allclose(
        np.reshape(itk.GetDirection(), (3, 3)), (RAS_TO_LPS[:3, :3] @ image.grid.direction)[:, ::-1], atol=1e-6
    )


def test_reads_what_simpleitk_writes(tmp_path):
    itk = sitk.GetImageFromArray(volume("f4"))
    itk.SetSpacing((0.7, 0.8, 2.5))
    itk.SetOrigin((10.5, -20.25, 300.125))
    for name in ("a.nii", "a.nii.gz"):
        sitk.WriteImage(itk, str(tmp_path / name))
        image = load(tmp_path / name)
        assert np.array_equal(image.array, volume("f4"))
        np.testing.assert_allclose(image.spacing, (2.5, 0.8, 0.7), rtol=1e-6)
        np.testing.assert_allclose(image.grid.lps[:3, 3], (10.5, -20.25, 300.125), atol=1e-6)
        assert image.grid.axcodes == ("S", "P", "L")


@pytest.mark.parametrize("endian", ["<", ">"])
@pytest.mark.parametrize("make", ["Nifti1Image", "Nifti2Image"])
def test_either_byte_order_and_version(tmp_path, make, endian):
    header = getattr(nib, make).header_class(endianness=endian)
    header.set_data_dtype(np.dtype(np.int16).newbyteorder(endian))
    truth = getattr(nib, make)(volume().T, np.diag([1.5, 1.5, 3.0, 1.0]), header)
    nib.save(truth, tmp_path / "a.nii.gz")
    image = load(tmp_path / "a.nii.gz")
    assert image.array.dtype == np.int16 and image.array.dtype.isnative
    assert np.array_equal(image.array, volume())
    assert image.spacing == (3.0, 1.5, 1.5)


def test_many_slices_become_nifti2(tmp_path):
    image = Image(np.zeros((40000, 1, 2), np.uint8), Grid.from_spacing((40000, 1, 2), (0.1, 1, 1)))
    save(image, tmp_path / "a.nii")
    assert isinstance(nib.load(tmp_path / "a.nii"), nib.Nifti2Image)
    assert np.array_equal(load(tmp_path / "a.nii").grid.affine, image.grid.affine)


def test_channels_lead(tmp_path):
    for shape in [(3, 5, 6, 7), (2, 3, 5, 6, 7)]:
        image = Image(volume(shape=shape), Grid.from_spacing((5, 6, 7), (2, 1, 1)))
        save(image, tmp_path / "a.nii.gz")
        assert nib.load(tmp_path / "a.nii.gz").shape == shape[::-1]
        assert np.array_equal(load(tmp_path / "a.nii.gz").array, image.array)


def test_two_dimensions(tmp_path):
    image = Image(volume(shape=(6, 7)), Grid.from_spacing((6, 7), (0.5, 0.25)))
    save(image, tmp_path / "a.nii")
    back = load(tmp_path / "a.nii")
    assert np.array_equal(back.array, image.array) and back.grid.same_as(image.grid)
    one = Image(volume(shape=(1, 6, 7)), Grid.from_spacing((1, 6, 7), (3, 1, 1)))
    save(one, tmp_path / "b.nii")
    assert load(tmp_path / "b.nii").array.shape == (1, 6, 7)
    sitk.WriteImage(sitk.GetImageFromArray(volume("f4", (6, 7))), str(tmp_path / "c.nii"))
    assert np.array_equal(load(tmp_path / "c.nii").array, volume("f4", (6, 7)))
    with pytest.raises(ShapeError, match="one 2-D picture"):
        save(Image(volume(shape=(2, 6, 7)), image.grid), tmp_path / "d.nii")


# Numbers


@pytest.mark.parametrize(
    ("slope", "inter", "dtype"),
    [(1, -1024, "i2"), (1, 0, "i2"), (0, 5, "i2"), (np.nan, 5, "i2"), (2, 0, "f4"), (1, 0.5, "f4"), (1, 32760, "f4")],
)
def test_rescale_equals_nibabel(tmp_path, slope, inter, dtype):
    path = write(tmp_path, raw(scl_slope=slope, scl_inter=inter))
    image = load(path)
    assert image.array.dtype == dtype
    assert np.array_equal(image.array, nib.load(path).get_fdata().T)
    stored = load(path, rescale=False)
    assert np.array_equal(stored.array, volume())
    assert np.array_equal(stored.rescale(stored.array), nib.load(path).get_fdata().T)


@pytest.mark.parametrize("dtype", ["u1", "u2", "i1", "i4", "u4", "i8", "u8"])
def test_integer_offset_keeps_the_dtype(tmp_path, dtype):
    inter = 17 if np.dtype(dtype).kind == "u" else -17
    path = write(tmp_path, raw(volume(dtype).T // 2, scl_inter=inter))
    image = load(path)
    assert image.array.dtype == dtype
    assert np.array_equal(image.array, volume(dtype) // 2 + np.array(inter, dtype))


def test_negative_offset_of_unsigned_numbers(tmp_path):
    path = write(tmp_path, raw(volume("u2").T + np.uint16(5), scl_inter=-5))
    assert load(path).array.dtype == np.uint16 and np.array_equal(load(path).array, volume("u2"))
    path = write(tmp_path, raw(volume("u2").T, scl_inter=-1024))
    assert load(path).array.dtype == np.float32 and np.array_equal(load(path).array, volume("u2") - 1024.0)


def test_rescale_is_rounded_once(tmp_path):
    path = write(tmp_path, raw(volume("i4", (50, 70, 80)).T, scl_slope=0.1, scl_inter=1e5))
    slope = float(np.float32(0.1))
    want = (volume("i4", (50, 70, 80)).astype(np.float64) * slope + 1e5).astype(np.float32)
    assert np.array_equal(load(path).array, want)


def test_pending_rescale_is_written(tmp_path):
    image = Image(volume(), Grid.from_spacing((5, 6, 7), (1, 1, 1)), rescale=Ramp(2.0, -1024.0))
    save(image, tmp_path / "a.nii.gz")
    assert load(tmp_path / "a.nii.gz", rescale=False).rescale == Ramp(2.0, -1024.0)
    assert np.array_equal(load(tmp_path / "a.nii.gz").array, volume() * 2.0 - 1024)
    with pytest.raises(ArgumentError, match="no bounds"):
        save(Image(volume(), image.grid, rescale=Ramp(lo=0.0)), tmp_path / "b.nii")


@pytest.mark.parametrize(("dtype", "written"), [("?", "u1"), ("f2", "f4"), ("i8", "i4"), ("u8", "i4"), (">i2", "i2")])
def test_types_nifti_lacks(tmp_path, dtype, written):
    array = (volume("u1") % 100).astype(dtype)
    save(Image(array, Grid.from_spacing(array.shape, (1, 1, 1))), tmp_path / "a.nii")
    back = load(tmp_path / "a.nii").array
    assert back.dtype == written and np.array_equal(back, array)


@pytest.mark.parametrize("array", [np.full((2, 2, 2), 2**31), np.zeros((2, 2, 2), "c8"), np.zeros((2, 2, 2), "U1")])
def test_types_refused(tmp_path, array):
    with pytest.raises(DTypeError, match="dtype="):
        save(Image(array, Grid.from_spacing((2, 2, 2), (1, 1, 1))), tmp_path / "a.nii")
    assert not list(tmp_path.iterdir())


def test_strided_and_read_only_arrays(tmp_path):
    array = volume(shape=(10, 6, 14))[::2, ::-1, ::2].transpose(2, 0, 1)
    array.setflags(write=False)
    save(Image(array, Grid.from_spacing(array.shape, (1, 1, 1))), tmp_path / "a.nii.gz")
    assert np.array_equal(load(tmp_path / "a.nii.gz").array, array)


# Gzip


def test_gzip_bytes(tmp_path):
    """Several pieces, one member; the same bytes on one thread and on three; every reader takes them."""
    array = np.random.default_rng(0).integers(-20, 20, (40, 256, 300)).astype(np.float32)
    image = Image(array, Grid.from_spacing(array.shape, (1, 1, 1)))
    before = num_threads()
    written = []
    try:
        for threads in (1, 3):
            set_num_threads(threads)
            write_nifti(image, tmp_path / f"{threads}.nii.gz")
            written.append((tmp_path / f"{threads}.nii.gz").read_bytes())
    finally:
        set_num_threads(before)
    assert written[0] == written[1]
    assert written[0][4:8] == bytes(4) and not written[0][3]
    assert gzip.decompress(written[0])[352:] == array.tobytes()
    assert np.array_equal(np.asarray(nib.load(tmp_path / "1.nii.gz").dataobj), array.T)
    assert np.array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "1.nii.gz"))), array)
    assert np.array_equal(load(tmp_path / "1.nii.gz").array, array)


@pytest.mark.parametrize("level", [0, 1, 2, 3])
def test_levels(tmp_path, level):
    image = Image(volume(), Grid.from_spacing((5, 6, 7), (1, 1, 1)))
    write_nifti(image, tmp_path / "a.nii.gz", level=level)
    assert np.array_equal(load(tmp_path / "a.nii.gz").array, volume())
    with pytest.raises(ArgumentError, match="level=9"):
        write_nifti(image, tmp_path / "a.nii.gz", level=9)


def test_members_and_misnamed_files(tmp_path):
    data = raw()
    for cut in (100, 400, 700):
        path = write(tmp_path, gzip.compress(data[:cut]) + gzip.compress(data[cut:]), "members.nii.gz")
        assert np.array_equal(load(path).array, volume())
    assert np.array_equal(load(write(tmp_path, data, "plain.nii.gz")).array, volume())
    assert np.array_equal(load(write(tmp_path, gzip.compress(data), "packed.nii")).array, volume())
    assert np.array_equal(load(write(tmp_path, data, "no_suffix")).array, volume())


# Geometry


def test_qform_alone(tmp_path):
    truth = nib.Nifti1Image(volume().T, None)
    affine = as_array_affine(oblique())
    truth.header.set_qform(affine, 1)
    truth.header.set_sform(None, 0)
    path = write(tmp_path, truth.to_bytes())
    np.testing.assert_allclose(load(path).grid.affine, as_array_affine(nib.load(path).affine), atol=1e-9)


def test_qfac_zero_means_one(tmp_path):
    path = write(tmp_path, raw(qform_code=1, sform_code=0, pixdim=[0, 2, 2, 2, 1, 1, 1, 1]))
    np.testing.assert_allclose(load(path).grid.direction, np.eye(3)[:, ::-1])


def test_sform_wins_and_says_so(tmp_path):
    path = write(tmp_path, raw(qform_code=1, sform_code=1, qoffset_x=5, srow_x=[2, 0, 0, 9]))
    with pytest.warns(UserWarning, match=r"sform and qform disagree \(origins 4 mm apart\)"):
        assert load(path).grid.origin[0] == 9


def test_no_orientation(tmp_path):
    path = write(tmp_path, raw(qform_code=0, sform_code=0))
    with pytest.raises(GeometryError, match='no orientation.*affine="pixdim"'):
        load(path)
    with pytest.warns(UserWarning, match="assumed to run to R, A, S"):
        image = load(path, affine="pixdim")
    assert image.grid == Grid.from_spacing((5, 6, 7), (2, 2, 2))


@pytest.mark.parametrize(("code", "factor"), [(0, 1.0), (1, 1000.0), (2, 1.0), (3, 0.001)])
def test_units(tmp_path, code, factor):
    image = load(write(tmp_path, raw(xyzt_units=code | 8, sform_code=1, qform_code=1)))
    np.testing.assert_allclose(image.spacing, 2 * factor)


def test_units_that_only_pixdim_follows(tmp_path):
    path = write(tmp_path, raw(xyzt_units=1, sform_code=1, qform_code=0, pixdim=[1, 0.002, 0.002, 0.002, 1, 1, 1, 1]))
    with pytest.warns(UserWarning, match="sform taken to be in millimetres"):
        np.testing.assert_allclose(load(path).spacing, 2)


BAD_GEOMETRY = {
    "nan": {"srow_x": [np.nan, 0, 0, 0]},
    "inf": {"srow_y": [0, 2, 0, np.inf]},
    "singular": {"srow_x": [0, 2, 0, 0]},
    "zero sform": {"srow_x": [0] * 4, "srow_y": [0] * 4, "srow_z": [0] * 4},
    "zero pixdim": {"pixdim": [1, 2, 0, 2, 1, 1, 1, 1]},
    "negative pixdim": {"pixdim": [1, 2, 2, -2, 1, 1, 1, 1]},
    "nan pixdim": {"pixdim": [1, 2, 2, np.nan, 1, 1, 1, 1]},
    "spacings disagree": {"pixdim": [1, 2, 2, 2.1, 1, 1, 1, 1]},
    "no rotation": {"sform_code": 0, "quatern_b": 1.5},
    "nan quaternion": {"sform_code": 0, "quatern_b": np.nan},
}


@pytest.mark.parametrize("fields", BAD_GEOMETRY.values(), ids=BAD_GEOMETRY)
def test_bad_geometry_names_the_file(tmp_path, fields):
    path = write(tmp_path, raw(**({"sform_code": 1, "qform_code": 1} | fields)))
    with pytest.raises(GeometryError, match="scan.nii"):
        load(path)


def test_sheared_grid_has_no_qform(tmp_path):
    affine = oblique()
    affine[:3, 1] += 0.3 * affine[:3, 0]
    image = Image(volume(), Grid((5, 6, 7), affine))
    save(image, tmp_path / "a.nii")
    assert nib.load(tmp_path / "a.nii").header["qform_code"] == 0
    assert load(tmp_path / "a.nii").grid.same_as(image.grid)


def test_spacing_of_a_file_that_has_its_own(tmp_path):
    with pytest.raises(ArgumentError, match="has its own"):
        load(write(tmp_path, raw()), spacing=(1, 1, 1))


# Broken files

HUGE = [3, 32767, 32767, 32767, 1, 1, 1, 1]
BROKEN = {
    "zero bytes": (b"", "empty file"),
    "random": (bytes(range(256)) * 4, "not a NIfTI"),
    "short header": (raw()[:200], "truncated inside the header, 200 of 348"),
    "short voxels": (raw()[:-1], "truncated"),
    "no voxels": (raw()[:352], "truncated"),
    "huge": (raw(dim=HUGE), "truncated.*more bytes than the file can hold"),
    "pair": (raw(magic=b"ni1"), "two files"),
    "analyze": (raw(magic=b""), "magic"),
    "no dimensions": (raw(dim=[0] * 8), "expected 2 to 7"),
    "negative size": (raw(dim=[3, 7, -6, 5, 1, 1, 1, 1]), "at least 1"),
    "offset in the header": (raw(vox_offset=100), "vox_offset=100"),
    "offset nan": (raw(vox_offset=np.nan), "vox_offset=nan"),
    "offset far": (raw(vox_offset=1e9), "truncated"),
    "unknown type": (raw(datatype=999), "datatype=999"),
    "infinite slope": (raw(scl_slope=np.inf), "scl_slope=inf"),
    "overflow": (raw(scl_slope=3e38), "range of float32"),
}


@pytest.mark.parametrize("packed", [False, True], ids=["nii", "gz"])
@pytest.mark.parametrize(("data", "reason"), BROKEN.values(), ids=BROKEN)
def test_broken_files_name_file_and_reason(tmp_path, data, reason, packed):
    path = write(tmp_path, gzip.compress(data) if packed else data, "scan.nii.gz" if packed else "scan.nii")
    with pytest.raises(ReadError, match=f"(?s)scan.nii.*{reason}"):
        load(path)


@pytest.mark.parametrize("code", [1, 32, 128, 1536, 1792, 2048, 2304])
def test_types_without_an_order_are_refused(tmp_path, code):
    with pytest.raises(DTypeError, match="scan.nii: holds"):
        load(write(tmp_path, raw(datatype=code)))


def test_broken_gzip(tmp_path):
    good = gzip.compress(raw(np.random.default_rng(0).integers(0, 99, (30, 30, 30)).astype("i2")))
    for cut in (3, 12, 200, len(good) // 2, len(good) - 9, len(good) - 4):
        with pytest.raises(ReadError, match="scan.nii.gz: .*"):
            load(write(tmp_path, good[:cut], "scan.nii.gz"))
    for at in (-6, -2):
        bad = bytearray(good)
        bad[at] ^= 255
        with pytest.raises(ReadError, match=r"scan.nii.gz: .*(CRC|crc|ength)"):
            load(write(tmp_path, bytes(bad), "scan.nii.gz"))


def test_huge_header_takes_no_memory(tmp_path, monkeypatch):
    """A gzip of zeros may unpack 1000-fold: the claim is weighed against the memory before anything is allocated."""
    path = write(tmp_path, gzip.compress(raw(dim=[3, 7, 6, 5, 1, 1, 1, 1])), "scan.nii.gz")
    monkeypatch.setattr("fastprep.io.nifti.physical_memory", lambda: 100.0)
    with pytest.raises(ReadError, match="more than the memory"):
        load(path)


def test_paths(tmp_path):
    with pytest.raises(ReadError, match="no such file or folder: .*missing.nii"):
        load(tmp_path / "missing.nii")
    with pytest.raises(ReadError, match="no such file or folder: .*missing.nii"):
        read_nifti(tmp_path / "missing.nii")
    with pytest.raises(ReadError, match=r"two files \(.hdr/.img\)"):
        load(write(tmp_path, bytes(348), "scan.hdr"))
    with pytest.raises(ReadError, match="unknown format: expected a DICOM folder"):
        load(write(tmp_path, b"hello", "notes.txt"))


@pytest.mark.skipif(not DATA, reason="FASTPREP_TEST_DATA is not set")
def test_dicom_is_told_by_content(tmp_path):
    pytest.importorskip("pydicom")
    folder = Path(DATA) / "ct" / "chest_p001"
    image = load(folder, kind="label", rescale=False)
    assert image.array.shape == (148, 512, 512) and image.kind == "label" and image.modality == "CT"
    assert load(folder, rescale=False).rescale.b == -1024


# Fuzz


def read_or_refuse(path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", UserWarning)
        try:
            image = load(path)
        except FastprepError as error:
            assert path.name in str(error)
        else:
            assert image.array.shape[-image.grid.ndim :] == image.grid.shape and np.isfinite(image.grid.affine).all()


FUZZ = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
SMALL = raw(sform_code=1, qform_code=1)


@FUZZ
@given(st.binary(max_size=600), st.sampled_from(["a.nii", "a.nii.gz"]), st.booleans())
def test_fuzz_random_bytes(tmp_path, data, name, dressed):
    if dressed:
        data = struct.pack("<i", 348) + data[:340].ljust(340, b"\0") + b"n+1\0" + bytes(4) + data
    read_or_refuse(write(tmp_path, gzip.compress(data, 1) if name.endswith("gz") and dressed else data, name))


@FUZZ
@given(st.integers(0, len(SMALL)), st.booleans())
def test_fuzz_truncation(tmp_path, cut, packed):
    data = gzip.compress(SMALL, 1) if packed else SMALL
    read_or_refuse(write(tmp_path, data[:cut], "a.nii.gz" if packed else "a.nii"))


@FUZZ
@given(st.lists(st.tuples(st.integers(0, 351), st.integers(0, 255)), min_size=1, max_size=6), st.booleans())
def test_fuzz_header_bytes(tmp_path, flips, packed):
    data = bytearray(SMALL)
    for at, value in flips:
        data[at] = value
    read_or_refuse(
        write(tmp_path, gzip.compress(data, 1) if packed else bytes(data), "a.nii.gz" if packed else "a.nii")
    )


@FUZZ
@given(st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), min_size=1, max_size=4))
def test_fuzz_gzip_bytes(tmp_path, flips):
    data = bytearray(gzip.compress(SMALL, 1))
    for at, value in flips:
        data[at % len(data)] = value
    read_or_refuse(write(tmp_path, bytes(data), "a.nii.gz"))
