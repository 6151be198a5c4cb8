"""voi_lut, and what DICOM radiographs carry to it, against pydicom."""

from __future__ import annotations

import importlib
import os
from pathlib import Path

import numpy as np
import pytest

import fastprep as fp
from dicom_files import Dataset, Items, save, slice_dataset
from fastprep.core.errors import ArgumentError, DTypeError, ReadError
from fastprep.core.voi import Voi, VoiTable, VoiWindow
from fastprep.io.dicom import describe_series, read_series
from fastprep.ops._arrays import view_of
from fastprep.testing.assertions import assert_same, to_numpy
from layouts import tolerance, values

pixels_module = pytest.importorskip("pydicom.pixels")
TOLERANCE = tolerance("voi_lut")


def lut(first, entries, bits, *, kind="US", data=None, length=None):
    """An item of a LUT sequence, its data as little-endian words."""
    item = Dataset()
    count = (len(entries) if length is None else length) % 65536
    item.add_new(0x00283002, kind, [count, first, bits])
    item.add_new(0x00283006, "OW", np.asarray(entries, "<u2").tobytes() if data is None else data)
    return item


def curve(bits, count=4096):
    """A film-like curve that uses all of its bits."""
    t = np.linspace(-4, 4, count)
    return np.rint((1 / (1 + np.exp(-t)) - 0.017) / 0.966 * (2**bits - 1)).clip(0, 2**bits - 1).astype(np.uint16)


def radiograph(folder, pixels, bits, *, voi=(), modality_lut=None, syntax="explicit", **tags):
    """Path and pydicom's view of a file."""
    tags = {"Modality": "DX", "PixelSpacing": [0.2, 0.2], **tags}
    ds = slice_dataset(pixels, bits_stored=bits, syntax=syntax, **tags)
    ds.SeriesInstanceUID = ds.StudyInstanceUID = ds.SOPInstanceUID
    if voi:
        ds.VOILUTSequence = Items(list(voi))
    if modality_lut is not None:
        ds.ModalityLUTSequence = Items([modality_lut])
    path = folder / "radiograph.dcm"
    save(ds, path)
    return path, ds


def by_pydicom(ds, pixels, *, prefer_lut=True, index=0):
    """Modality LUT, VOI LUT, inversion; scaled to 0..1."""
    modality = pixels_module.apply_modality_lut(pixels, ds)
    with np.errstate(over="ignore"):
        shown = pixels_module.apply_voi_lut(modality, ds, index=index, prefer_lut=prefer_lut).astype(np.float64)
    if prefer_lut and "VOILUTSequence" in ds:
        low, high = 0.0, 2.0 ** ds.VOILUTSequence[index].LUTDescriptor[2] - 1
    else:
        bits = ds.BitsStored
        low, high = (-(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1) if ds.PixelRepresentation else (0.0, 2.0**bits - 1)
        if "ModalityLUTSequence" in ds:
            low, high = 0.0, 2.0 ** ds.ModalityLUTSequence[0].LUTDescriptor[2] - 1
        elif "RescaleSlope" in ds:
            low, high = (v * float(ds.RescaleSlope) + float(ds.RescaleIntercept) for v in (low, high))
    share = (shown - low) / (high - low)
    return 1 - share if ds.PhotometricInterpretation == "MONOCHROME1" else share


def every_value(bits, signed=False):
    """Each stored value once, or evenly many of them."""
    count = 2**bits
    step = max(1, count // 4096)
    x = np.arange(0, count, step)[: 64 * (len(np.arange(0, count, step)) // 64)].reshape(-1, 64)
    dtype = "uint8" if bits <= 8 else "uint16"
    return (x - count // 2).astype(dtype.replace("u", "")) if signed else x.astype(dtype)


KINDS = {
    "window": {"WindowCenter": 700, "WindowWidth": 900},
    "exact": {"WindowCenter": 700.5, "WindowWidth": 900.25, "VOILUTFunction": "LINEAR_EXACT"},
    "sigmoid": {"WindowCenter": 700, "WindowWidth": 900, "VOILUTFunction": "SIGMOID"},
    "step": {"WindowCenter": 700, "WindowWidth": 1},
    "slope": {"WindowCenter": 70, "WindowWidth": 190, "RescaleSlope": 0.25, "RescaleIntercept": -20},
    "negative slope": {"WindowCenter": 70, "WindowWidth": 190, "RescaleSlope": -0.25, "RescaleIntercept": 300},
    "table": {"voi": [lut(100, curve(10, 900), 10)]},
    "table over a window": {"voi": [lut(0, curve(12, 1024), 12)], "WindowCenter": 5, "WindowWidth": 9},
    "second table": {"voi": [lut(0, curve(12), 12), lut(50, curve(10, 800), 10)]},
    "modality table": {"modality_lut": lut(0, curve(16, 1024)[::-1], 16), "WindowCenter": 30000, "WindowWidth": 9000},
    "both tables": {"modality_lut": lut(0, curve(16, 1024), 16), "voi": [lut(20000, curve(12, 30000), 12)]},
}


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("kind", KINDS)
def test_pydicom(tmp_path: Path, kind: str, photometric: str) -> None:
    """What is shown, dense bright, is pydicom's modality LUT, VOI LUT and then inversion."""
    x = every_value(10)
    path, ds = radiograph(tmp_path, x, 10, PhotometricInterpretation=photometric, **KINDS[kind])
    index = 1 if kind == "second table" else 0
    truth = by_pydicom(ds, x, index=index)
    for rescale in (True, False):
        image = fp.load(path, rescale=rescale)
        shown = fp.voi_lut(image, index=index)
        view = image.voi.view(index)
        assert shown.voi is None and shown.grid is image.grid and view.top == 2 ** (view.top.bit_length()) - 1
        np.testing.assert_allclose(shown.array / view.top, truth, atol=3e-6 if kind == "sigmoid" else 1e-6)
    described, info = describe_series([path])
    assert described.voi == image.voi == info.voi
    assert info.inverted == (photometric == "MONOCHROME1")


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("bits", [8, 10, 12, 14, 15, 16])
def test_bits_are_kept(tmp_path: Path, bits: int, signed: bool) -> None:
    """A window as wide as the range makes no two values one, in any number of bits."""
    x = every_value(bits, signed)
    middle = 0 if signed else 2 ** (bits - 1)
    tags = {"WindowCenter": middle, "WindowWidth": 2**bits}
    path, ds = radiograph(tmp_path, x, bits, PhotometricInterpretation="MONOCHROME1", **tags)
    image = fp.load(path)
    low, high = int(x.min()), int(x.min()) + 2**bits - 1
    np.testing.assert_array_equal(image.array.astype(int), low + high - x.astype(int))
    shown = fp.voi_lut(image, dtype="uint16")
    assert len(np.unique(shown.array)) == x.size
    assert np.abs(shown.array - by_pydicom(ds, x) * (2**bits - 1)).max() <= 0.51


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("encoding", ["US", "SS", "implicit", "big", "8-bit packed", "8-bit in words", "65536"])
def test_encodings_of_tables(tmp_path: Path, encoding: str, photometric: str) -> None:
    """As vendors write them."""
    x, bits, syntax, first = every_value(12, signed=encoding in ("SS", "implicit")), 12, "explicit", 0
    entries = curve(12)
    item = lut(first, entries, bits)
    if encoding in ("SS", "implicit"):
        first = -2048
        item = lut(first, entries, bits, kind="SS")
        syntax = "implicit" if encoding == "implicit" else "explicit"
    elif encoding == "big":
        syntax = "big"
        item = lut(first, entries, bits, data=entries.astype(">u2").tobytes())
    elif encoding.startswith("8-bit"):
        bits, entries = 8, curve(8, 4095)  # an odd number of bytes is padded
        packed = entries.astype(np.uint8).tobytes() + b"\0"
        item = lut(first, entries, bits, data=packed if "packed" in encoding else None)
    elif encoding == "65536":
        entries = curve(16, 65536)
        bits = 16
        item = lut(first, entries, bits)
    path, _ = radiograph(tmp_path, x, 12, voi=[item], syntax=syntax, PhotometricInterpretation=photometric)
    truth = entries[np.clip(x.astype(int) - first, 0, len(entries) - 1)].astype(float)
    if photometric == "MONOCHROME1":
        truth = 2**bits - 1 - truth
    image = fp.load(path)
    assert image.voi.views[0].top == 2**bits - 1
    np.testing.assert_array_equal(fp.voi_lut(image).array, truth.astype(np.float32))


@pytest.mark.parametrize(
    ("shape", "photometric", "inverted", "noted"),
    [
        ("IDENTITY", "MONOCHROME2", False, False),
        ("INVERSE", "MONOCHROME1", True, False),
        ("INVERSE", "MONOCHROME2", True, True),
        ("IDENTITY", "MONOCHROME1", True, True),
    ],
)
def test_presentation_lut_shape(tmp_path: Path, shape: str, photometric: str, inverted: bool, noted: bool) -> None:
    x = every_value(10)
    path, _ = radiograph(tmp_path, x, 10, PhotometricInterpretation=photometric, PresentationLUTShape=shape)
    image, info = read_series([path])
    assert info.inverted == inverted and any(shape in note for note in info.warnings) == noted
    np.testing.assert_array_equal(image.array, 1023 - x if inverted else x)


@pytest.mark.parametrize(
    ("tags", "said"),
    [
        ({"WindowCenter": 50, "WindowWidth": 0}, "window 50/0: width=0.0: expected at least 1"),
        ({"WindowCenter": 50, "WindowWidth": -9, "VOILUTFunction": "SIGMOID"}, "window 50/-9"),
        ({"WindowCenter": 50, "WindowWidth": 9, "VOILUTFunction": "CUBIC"}, "VOILUTFunction 'CUBIC' is none of"),
        ({"voi": [lut(0, curve(12, 90), 12, length=4096)]}, "VOI LUT of 90 entries, where its descriptor says 4096"),
        ({"voi": [lut(0, curve(12), 0)]}, "4096 of 0 bits"),
        ({"voi": [lut(0, curve(12), 12, data=b"")]}, "VOI LUT without descriptor or data"),
    ],
)
def test_broken_views(tmp_path: Path, tags: dict, said: str) -> None:
    """They do not keep the pixels from being read; who asks for them is told."""
    path, _ = radiograph(tmp_path, every_value(10), 10, **tags)
    with pytest.warns(UserWarning, match=said[:12]):
        image = fp.load(path)
    with pytest.raises(ArgumentError, match=r"index=0: the file offers no window and no table.*") as caught:
        fp.voi_lut(image)
    assert said in str(caught.value)


def test_entries_of_more_bits_than_the_descriptor_says(tmp_path: Path) -> None:
    path, _ = radiograph(tmp_path, every_value(12), 12, voi=[lut(0, curve(12), 8)])
    assert fp.load(path).voi.views[0].top == 4095


def test_moving_xrays_are_refused(tmp_path: Path) -> None:
    x = np.zeros((3, 8, 8), np.uint16)
    path, _ = radiograph(tmp_path, x, 12, Modality="XA", NumberOfFrames=3)
    with pytest.raises(ReadError, match=r"a moving X-ray \(XA\) of 3 frames: a radiograph is one frame"):
        fp.load(path)


def test_colour_is_refused(tmp_path: Path) -> None:
    tags = {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "PlanarConfiguration": 0}
    path, _ = radiograph(tmp_path, np.zeros((4, 6), np.uint8), 8, **tags)
    with pytest.raises(ReadError, match="a colour image"):
        fp.load(path)


def test_who_carries_it(tmp_path: Path) -> None:
    """What moves pixels keeps it, what makes others of them drops it; a CT has none, whose windows are many."""
    x = every_value(10)
    path, _ = radiograph(tmp_path, x, 10, **KINDS["window"])
    image = fp.load(path)
    coarse = fp.Grid.from_spacing((8, 32), (0.4, 0.4))
    for kept in (fp.flip(image, 0), fp.crop_or_pad(image, (8, 8)), fp.resample_to(image, coarse)):
        assert kept.voi == image.voi
    np.testing.assert_array_equal(fp.voi_lut(fp.flip(image, 0)).array, fp.voi_lut(image).array[::-1])
    for dropped in (fp.zscore(image), fp.voi_lut(image), fp.foreground_mask(image)):
        assert dropped.voi is None
    path, _ = radiograph(tmp_path, x, 10, Modality="CT", ImagePositionPatient=[0, 0, 0],
                         ImageOrientationPatient=[1, 0, 0, 0, 1, 0], SliceThickness=1, **KINDS["window"])  # fmt: skip
    assert fp.load(path).voi is None


def test_bad_input() -> None:
    x = np.zeros((2, 2), np.uint16)
    with pytest.raises(DTypeError, match="image of type ndarray: expected an Image"):
        fp.voi_lut(x)
    image = fp.Image(x, fp.Grid.from_spacing((2, 2), (1, 1)), modality="DX")
    with pytest.raises(ArgumentError, match="image of DX carries no VOI"):
        fp.voi_lut(image)
    voi = Voi((VoiWindow(1, 2, "linear", 255),))
    for index in (1, -1, True, "a"):
        with pytest.raises(ArgumentError, match=r"index=.*the file offers \[0\] window 1/2"):
            fp.voi_lut(fp.Image(x, image.grid, voi=voi), index=index)


def kernel(backend):
    return importlib.import_module(f"fastprep.kernels.{backend}.look_up").look_up


@pytest.mark.parametrize(
    ("source", "dtype"), [("uint16", "float32"), ("int16", "uint16"), ("float32", "float32"), ("float64", "float64")]
)
def test_look_up(backend, put, source, dtype):
    """Against NumPy's interp; beyond the ends of the table, and with NaN."""
    x = values((3, 41, 53), source)
    if source.startswith("float"):
        x[0, 0, :3] = np.nan, np.inf, -np.inf
    first, table = -300.5 if source.startswith("float") else -300.0, curve(12, 900).astype(np.float64)
    out = put(np.full((1, *x.shape), 3, dtype))
    kernel(backend)(view_of(put(x)), view_of(out), first, table)
    wide = x.astype(np.float64) - first
    truth = np.where(np.isnan(wide), wide, np.interp(wide, np.arange(900), table))
    truth = np.rint(np.nan_to_num(truth)) if dtype == "uint16" else truth
    assert_same(to_numpy(out)[0], truth.astype(dtype), np.empty(0, source), tolerance=TOLERANCE, scale=4095)


@pytest.mark.parametrize(
    "view",
    [VoiWindow(700, 900, "linear", 1023, 1023), VoiWindow(700, 90, "sigmoid", 1023, 1023),
     VoiTable.of(100, curve(12, 500), 4095, 1023)], ids=["window", "sigmoid", "table"],
)  # fmt: skip
def test_backends(backend, put, view):
    x = every_value(10)
    image = fp.Image(put(x), fp.Grid.from_spacing(x.shape, (0.2, 0.2)), voi=Voi((view,)))
    result = fp.voi_lut(image).array
    assert_same(result, view(x).astype(np.float32), put(x), tolerance=TOLERANCE, scale=view.top)


@pytest.mark.skipif("FASTPREP_TEST_DATA" not in os.environ, reason="FASTPREP_TEST_DATA is not set")
def test_real_radiograph() -> None:
    """15 bits, MONOCHROME1, window 15000/30000."""
    path = Path(os.environ["FASTPREP_TEST_DATA"]) / "xray" / "chest_monochrome1.dcm"
    image, _ = read_series([path])
    assert [str(view) for view in image.voi.views] == ["window 15000/30000 (linear) onto 0..32767"]
    ds = importlib.import_module("pydicom").dcmread(path)
    shown = fp.voi_lut(image)
    np.testing.assert_allclose(shown.array / 32767, by_pydicom(ds, ds.pixel_array), atol=1e-6)
    assert len(np.unique(shown.array)) > 0.9 * len(np.unique(image.array))
