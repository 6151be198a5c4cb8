"""The numbers of DICOM: every transfer syntax and pixel format, units, polarity, frames, and damaged files."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dicom_files import (
    SYNTAX,
    Dataset,
    Items,
    compressed,
    enhanced_dataset,
    imagecodecs,
    put_pixels,
    pydicom,
    ramp_volume,
    save,
    slice_dataset,
    write_series,
)
from fastprep.core.errors import FastprepError, ReadError, SeriesError
from fastprep.core.ramp import Ramp
from fastprep.core.threads import thread_limit
from fastprep.io.dicom import read_dicom, read_series

# Numbers -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("syntax", ["implicit", "explicit", "big", "deflated", "rle", "jpeg_lossless", "jpegls", "j2k"])
@pytest.mark.parametrize("dtype", ["uint16", "int16"])
@pytest.mark.parametrize("bits", [12, 16])
def test_lossless_syntaxes(tmp_path: Path, syntax: str, dtype: str, bits: int) -> None:
    volume = ramp_volume((3, 16, 24), top=2**bits - 1)
    if dtype == "int16":
        volume = (volume.astype(np.int32) - 2 ** (bits - 1)).astype(np.int16)
    paths = write_series(tmp_path, volume, bits_stored=bits, syntax=syntax)
    image, info = read_series(paths)
    assert image.array.dtype == dtype
    np.testing.assert_array_equal(image.array, volume)
    assert info.bits_stored == bits
    assert info.stored_dtype == dtype


@pytest.mark.parametrize("syntax", ["explicit", "rle", "jpeg_lossless", "jpegls", "j2k"])
def test_eight_bits(tmp_path: Path, syntax: str) -> None:
    volume = ramp_volume((2, 16, 15), top=255, dtype="uint8")
    image, _ = read_series(write_series(tmp_path, volume, syntax=syntax, RescaleIntercept=-100, RescaleSlope=1))
    assert image.array.dtype == np.int16
    np.testing.assert_array_equal(image.array, volume.astype(int) - 100)


def test_baseline_jpeg_is_close(tmp_path: Path) -> None:
    smooth = np.add.outer(np.arange(32), np.arange(32)).astype(np.uint8)[None].repeat(2, 0)
    image, _ = read_series(write_series(tmp_path, smooth, syntax="jpeg"))
    assert image.array.dtype == np.uint8
    assert np.abs(image.array.astype(int) - smooth).max() <= 3


def stream_of(values: np.ndarray, kind: str) -> bytes:
    if kind.startswith("predictor"):
        return bytes(imagecodecs.jpeg8_encode(values, lossless=True, predictor=int(kind[-1]), bitspersample=12))
    narrow = values.astype(f"{values.dtype.kind}1")
    return {
        "signed j2k": lambda: imagecodecs.jpeg2k_encode(values, level=0, codecformat="j2k", reversible=True),
        "8-bit j2k": lambda: imagecodecs.jpeg2k_encode(narrow, level=0, codecformat="j2k", reversible=True),
        "8-bit jpegls": lambda: imagecodecs.jpegls_encode(narrow),
        "8-bit jpeg": lambda: imagecodecs.jpeg8_encode(narrow, lossless=True, predictor=1),
    }[kind]()


@pytest.mark.parametrize(
    ("kind", "syntax", "dtype", "low", "high"),
    [
        *[(f"predictor {p}", "jpeg_lossless", "uint16", 0, 4095) for p in range(1, 8)],
        ("signed j2k", "j2k", "int16", -2000, 2000),
        ("8-bit j2k", "j2k", "uint16", 0, 255),
        ("8-bit j2k", "j2k", "int16", -128, 127),
        ("8-bit jpegls", "jpegls", "uint16", 0, 255),
        ("8-bit jpeg", "jpeg_lossless", "uint16", 0, 255),
    ],
)
def test_streams_of_other_writers(tmp_path: Path, kind: str, syntax: str, dtype: str, low: int, high: int) -> None:
    values = (ramp_volume((1, 16, 20), top=high - low).astype(int) + low).astype(dtype)[0]
    ds = slice_dataset(values, bits_stored=8 if high < 256 else 12)
    ds.file_meta.TransferSyntaxUID = pydicom.uid.UID(SYNTAX[syntax])
    ds.PixelData = pydicom.encaps.encapsulate([stream_of(values, kind)])
    ds["PixelData"].is_undefined_length = True
    save(ds, tmp_path / "x")
    np.testing.assert_array_equal(read_series([tmp_path / "x"])[0].array, values)


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("syntax", ["explicit", "rle"])
def test_high_bit_and_foreign_bits(tmp_path: Path, signed: bool, syntax: str) -> None:
    values = ramp_volume((2, 6, 6), top=4095).astype(np.int32) - (2048 if signed else 0)
    words = ((values & 0xFFF) << 2 | 0x8001).astype(np.uint16)
    tags = {"BitsStored": 12, "HighBit": 13, "PixelRepresentation": int(signed)}

    def rewrite(k: int, ds: Dataset) -> None:
        ds.BitsStored = 16
        put_pixels(ds, words[k], syntax)
        ds.BitsStored = 12

    image, _ = read_series(write_series(tmp_path, words, syntax=syntax, edit=rewrite, **tags))
    np.testing.assert_array_equal(image.array, values)


@pytest.mark.parametrize("dtype", ["uint32", "int32"])
def test_32_bits(tmp_path: Path, dtype: str) -> None:
    volume = ramp_volume((2, 4, 4), dtype=dtype) * np.array(100_000, dtype)
    image, _ = read_series(write_series(tmp_path, volume, bits_stored=32))
    np.testing.assert_array_equal(image.array, volume)


@pytest.mark.parametrize(
    ("top", "dtype", "intercept", "result"),
    [
        (4095, "uint16", -1024, "int16"),
        (65535, "uint16", -1024, "int32"),
        (33000, "uint16", -1024, "int16"),
        (4095, "uint16", -200_000, "int32"),
        (32767, "int16", 1000, "int32"),
    ],
)
def test_whole_intercepts_stay_integer(tmp_path: Path, top: int, dtype: str, intercept: int, result: str) -> None:
    volume = ramp_volume((3, 8, 8), top=top, dtype=dtype)
    volume[0, 0, 0] = top
    image, _ = read_series(write_series(tmp_path, volume, RescaleSlope=1, RescaleIntercept=intercept))
    assert image.array.dtype == result
    np.testing.assert_array_equal(image.array, volume.astype(int) + intercept)
    assert image.rescale.is_identity


def test_fractional_rescale_is_float32(tmp_path: Path) -> None:
    volume = ramp_volume((3, 4, 4))
    image, _ = read_series(write_series(tmp_path, volume, RescaleSlope=0.1, RescaleIntercept=-3.5))
    assert image.array.dtype == np.float32
    np.testing.assert_array_equal(image.array, (volume * 0.1 - 3.5).astype(np.float32))


def test_rescale_false_keeps_stored_numbers(tmp_path: Path) -> None:
    volume = ramp_volume((3, 4, 4))
    paths = write_series(tmp_path, volume, RescaleSlope=2, RescaleIntercept=-1000)
    image, _ = read_series(paths, rescale=False)
    assert image.array.dtype == np.uint16
    np.testing.assert_array_equal(image.array, volume)
    assert image.rescale == Ramp(2.0, -1000.0)


@pytest.mark.parametrize("rescale", [True, False])
def test_slope_per_slice(tmp_path: Path, rescale: bool) -> None:
    def slope(k: int, ds: Dataset) -> None:
        ds.RescaleSlope, ds.RescaleIntercept = 0.25 * (k + 1), -k

    volume = ramp_volume((4, 3, 3))
    image, _ = read_series(write_series(tmp_path, volume, Modality="PT", edit=slope), rescale=rescale)
    k = np.arange(4).reshape(-1, 1, 1)
    assert image.array.dtype == np.float32
    np.testing.assert_array_equal(image.array, (volume * (0.25 * (k + 1)) - k).astype(np.float32))
    assert image.rescale.is_identity
    assert image.modality == "PT"


def test_modality_lut(tmp_path: Path) -> None:
    table = [5, 100, 200, 400]

    def lut(_: int, ds: Dataset) -> None:
        item = Dataset()
        item.add_new("LUTDescriptor", "US", [4, 10, 16])
        item.add_new("LUTData", "US", table)
        item.ModalityLUTType = "HU"
        ds.ModalityLUTSequence = Items([item])

    volume = np.array([[[0, 10, 11], [12, 13, 14]]] * 2, np.uint16)
    image, _ = read_series(write_series(tmp_path, volume, edit=lut))
    np.testing.assert_array_equal(image.array[0], [[5, 5, 100], [200, 400, 400]])


def test_zero_slope_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="RescaleSlope 0"):
        read_series(write_series(tmp_path, ramp_volume((2, 3, 3)), RescaleSlope=0, RescaleIntercept=0))


@pytest.mark.parametrize("threads", [1, 3])
def test_threads_change_nothing(tmp_path: Path, threads: int) -> None:
    volume = ramp_volume((7, 16, 16))
    paths = write_series(tmp_path, volume, syntax="jpeg_lossless")
    with thread_limit(threads):
        np.testing.assert_array_equal(read_series(paths)[0].array, volume)


# Radiographs ---------------------------------------------------------------------------------------------------------


def radiograph(path: Path, **tags: object) -> np.ndarray:
    pixels = ramp_volume((1, 5, 7), top=1023)[0]
    save(slice_dataset(pixels, bits_stored=10, Modality="DX", SeriesInstanceUID="1.2", **tags), path)
    return pixels


def test_monochrome1_is_inverted_in_stored_bits(tmp_path: Path) -> None:
    pixels = radiograph(tmp_path / "x", PhotometricInterpretation="MONOCHROME1", PixelSpacing=[0.2, 0.1])
    image, info = read_series([tmp_path / "x"])
    np.testing.assert_array_equal(image.array, 1023 - pixels)
    assert image.spacing == (0.2, 0.1)
    assert info.inverted
    assert not info.warnings


def test_monochrome1_ct_is_left_alone(tmp_path: Path) -> None:
    volume = ramp_volume((2, 3, 3))
    image, info = read_series(write_series(tmp_path, volume, PhotometricInterpretation="MONOCHROME1"))
    np.testing.assert_array_equal(image.array, volume)
    assert any("MONOCHROME1" in w for w in info.warnings)


def test_detector_spacing_is_said(tmp_path: Path) -> None:
    radiograph(tmp_path / "x", ImagerPixelSpacing=[0.14, 0.15])
    with pytest.warns(UserWarning, match="ImagerPixelSpacing"):
        assert read_dicom(tmp_path / "x").spacing == (0.14, 0.15)


@pytest.mark.parametrize(
    ("orientation", "axcodes"),
    [
        (["L", "F"], ("I", "L")),
        (["R", "FP"], ("I", "R")),
        (["P", "F"], ("I", "P")),
        (["L", "R"], ("A", "R")),
        (["L"], ("A", "R")),
        (["LE", "X"], ("A", "R")),
        ("", ("A", "R")),
    ],
)
def test_patient_orientation_turns_the_grid(tmp_path: Path, orientation: object, axcodes: tuple[str, str]) -> None:
    pixels = radiograph(tmp_path / "x", PatientOrientation=orientation, PixelSpacing=[0.2, 0.1])
    image, _ = read_series([tmp_path / "x"])
    assert image.grid.axcodes == axcodes and image.spacing == (0.2, 0.1)
    np.testing.assert_array_equal(image.array, pixels)
    assert np.isclose(abs(np.linalg.det(image.grid.affine[:3, :3])), 0.02)


def test_windows_are_reported_and_not_applied(tmp_path: Path) -> None:
    pixels = radiograph(tmp_path / "x", WindowCenter=[500, 40], WindowWidth=[800, 400], PixelSpacing=[1, 1])
    image, info = read_series([tmp_path / "x"])
    assert info.windows == ((500.0, 800.0), (40.0, 400.0))
    np.testing.assert_array_equal(image.array, pixels)


def test_several_radiographs_are_no_volume(tmp_path: Path) -> None:
    radiograph(tmp_path / "a")
    radiograph(tmp_path / "b")
    with pytest.raises(SeriesError, match="one at a time"):
        read_dicom(tmp_path)


@pytest.mark.parametrize("photometric", ["RGB", "PALETTE COLOR", "YBR_FULL"])
def test_colour_is_refused(tmp_path: Path, photometric: str) -> None:
    samples = 1 if "PALETTE" in photometric else 3
    ds = slice_dataset(np.zeros((4, 4 * samples), np.uint8), PhotometricInterpretation=photometric)
    ds.SamplesPerPixel, ds.Columns, ds.PlanarConfiguration = samples, 4, 0
    save(ds, tmp_path / "x")
    with pytest.raises(ReadError, match="colour image"):
        read_dicom(tmp_path)


# Multi-frame ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("syntax", ["explicit", "rle", "jpeg_lossless", "j2k"])
def test_enhanced_multiframe(tmp_path: Path, syntax: str) -> None:
    volume = ramp_volume((5, 16, 12))
    save(enhanced_dataset(volume, order=[3, 0, 4, 1, 2], syntax=syntax, bits_stored=12), tmp_path / "x")
    image, info = read_series([tmp_path / "x"])
    np.testing.assert_array_equal(image.array, volume.astype(int) - 1024)
    assert image.spacing == pytest.approx((1.5, 0.5, 0.75))
    assert info.files == (tmp_path / "x",)


def test_enhanced_slope_per_frame(tmp_path: Path) -> None:
    volume = ramp_volume((3, 4, 4))
    save(enhanced_dataset(volume, order=[2, 0, 1], slopes=[1.0, 2.0, 3.0]), tmp_path / "x")
    k = np.array([1.0, 2, 3]).reshape(-1, 1, 1)
    np.testing.assert_array_equal(read_dicom(tmp_path).array, (volume * k - 1024).astype(np.float32))


def test_frames_in_several_fragments(tmp_path: Path) -> None:
    volume = ramp_volume((3, 16, 16))
    ds = enhanced_dataset(volume, order=[0, 1, 2], bits_stored=12)
    frames = [compressed(f, "jpeg_lossless", 12) for f in volume]
    for name, has_table in (("table", True), ("eoi", False)):
        ds.file_meta.TransferSyntaxUID = pydicom.uid.UID(SYNTAX["jpeg_lossless"])
        ds.PixelData = pydicom.encaps.encapsulate(frames, fragments_per_frame=3, has_bot=has_table)
        ds["PixelData"].VR = "OB"
        ds["PixelData"].is_undefined_length = True
        save(ds, tmp_path / name)
        np.testing.assert_array_equal(read_dicom(tmp_path / name).array, volume.astype(int) - 1024)


def test_frames_without_positions_are_refused(tmp_path: Path) -> None:
    save(slice_dataset(np.zeros((4, 3, 3), np.uint16), NumberOfFrames=4), tmp_path / "x")
    with pytest.raises(ReadError, match="4 frames with 0 per-frame positions"):
        read_dicom(tmp_path / "x")


# Damage --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("syntax", ["explicit", "deflated", "rle", "jpeg_lossless", "jpegls", "j2k"])
@pytest.mark.parametrize("cut", [20, 200])
def test_pixel_data_cut_short(tmp_path: Path, syntax: str, cut: int) -> None:
    paths = write_series(tmp_path, ramp_volume((3, 16, 16)), syntax=syntax)
    paths[1].write_bytes(paths[1].read_bytes()[:-cut])
    with pytest.raises(ReadError) as caught:
        read_series(paths)
    assert str(paths[1]) in str(caught.value)


def test_stream_cut_inside_a_whole_fragment(tmp_path: Path) -> None:
    def spoil(k: int, ds: Dataset) -> None:
        stream = compressed(volume[k], "jpeg_lossless", 12)
        ds.PixelData = pydicom.encaps.encapsulate([stream[: len(stream) // 4 * 2] if k == 1 else stream])
        ds["PixelData"].is_undefined_length = True

    volume = ramp_volume((3, 16, 16))
    paths = write_series(tmp_path, volume, syntax="jpeg_lossless", bits_stored=12, edit=spoil)
    with pytest.raises(ReadError, match="end marker") as caught:
        read_series(paths)
    assert str(paths[1]) in str(caught.value)


def test_wrong_frame_length(tmp_path: Path) -> None:
    for name, rows in (("a", 5), ("b", 3)):
        ds = slice_dataset(ramp_volume((1, 4, 4))[0])
        ds.Rows = rows
        save(ds, tmp_path / name)
        with pytest.raises(ReadError, match=f"pixel data of 32 bytes; 1 x {rows} x 4 pixels"):
            read_dicom(tmp_path / name)


def test_stream_of_another_size(tmp_path: Path) -> None:
    for syntax in ("rle", "jpeg_lossless", "jpegls", "j2k"):
        ds = slice_dataset(ramp_volume((1, 16, 16))[0], syntax=syntax)
        ds.Rows = 18
        save(ds, tmp_path / syntax)
        with pytest.raises(ReadError, match="cannot be decoded"):
            read_dicom(tmp_path / syntax)


def test_unknown_transfer_syntax(tmp_path: Path) -> None:
    ds = slice_dataset(ramp_volume((1, 4, 4))[0], syntax="rle")
    ds.file_meta.TransferSyntaxUID = pydicom.uid.UID("1.2.840.10008.1.2.4.102")
    save(ds, tmp_path / "x")
    with pytest.raises(ReadError, match="not supported"):
        read_dicom(tmp_path / "x")


VALID = {
    syntax: ramp_volume((1, 8, 8)) for syntax in ("explicit", "implicit", "deflated", "rle", "jpeg_lossless", "j2k")
}


@pytest.fixture(scope="module")
def valid_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("valid")
    files = {}
    for syntax, pixels in VALID.items():
        (path,) = write_series(folder / syntax, pixels, syntax=syntax, RescaleSlope=1, RescaleIntercept=-1024)
        files[syntax] = path.read_bytes()
    save(enhanced_dataset(ramp_volume((3, 8, 8)), order=[1, 0, 2], syntax="rle"), folder / "multi")
    files["multi"] = (folder / "multi").read_bytes()
    return files


def read_damaged(folder: Path, data: bytes) -> None:
    path = folder / "damaged"
    path.write_bytes(data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        try:
            image = read_dicom(path)
        except FastprepError:
            return
    assert image.array.shape == image.grid.shape


FUZZ = settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@FUZZ
@given(st.binary(max_size=400), st.booleans())
def test_random_bytes(tmp_path: Path, data: bytes, claims: bool) -> None:
    read_damaged(tmp_path, bytes(128) + b"DICM" + data if claims else data)


@FUZZ
@given(st.data())
def test_truncation(tmp_path: Path, valid_files: dict[str, bytes], data: st.DataObject) -> None:
    whole = valid_files[data.draw(st.sampled_from(sorted(valid_files)))]
    read_damaged(tmp_path, whole[: data.draw(st.integers(0, len(whole) - 1))])


@FUZZ
@given(st.data())
def test_byte_flips(tmp_path: Path, valid_files: dict[str, bytes], data: st.DataObject) -> None:
    damaged = bytearray(valid_files[data.draw(st.sampled_from(sorted(valid_files)))])
    for at, value in data.draw(
        st.lists(st.tuples(st.integers(128, len(damaged) - 1), st.integers(0, 255)), max_size=6)
    ):
        damaged[at] = value
    read_damaged(tmp_path, bytes(damaged))
