"""PNG and JPEG: Pillow and NumPy are the outside truth; what is not one gray picture is refused by reason."""

from __future__ import annotations

import io
import os
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fastprep.core.errors import ArgumentError, DTypeError, FastprepError, GeometryError, ReadError, ShapeError
from fastprep.core.grid import Grid
from fastprep.core.image import Image
from fastprep.core.ramp import Ramp
from fastprep.io import load, save

pil = pytest.importorskip("PIL.Image")

DATA = os.environ.get("FASTPREP_TEST_DATA")
GRAY = np.random.default_rng(0).integers(0, 256, (9, 13)).astype(np.uint8)


def encode(array, mode=None, form="PNG", **options) -> bytes:
    buffer = io.BytesIO()
    picture = array if isinstance(array, pil.Image) else pil.fromarray(array)
    (picture.convert(mode) if mode else picture).save(buffer, form, **options)
    return buffer.getvalue()


def png(width, height, bits, colour, rows: bytes, extra: bytes = b"") -> bytes:
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    body = chunk(b"IHDR", head) + extra + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def write(tmp_path: Path, data: bytes, name="a.png") -> Path:
    path = tmp_path / name
    path.write_bytes(data)
    return path


def read(path, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return load(path, **options)


@pytest.mark.skipif(not DATA, reason="FASTPREP_TEST_DATA is not set")
def test_real_radiograph():
    path = Path(DATA) / "xray" / "chest_8bit.png"
    image = read(path)
    with pil.open(path) as picture:
        assert np.array_equal(image.array, np.asarray(picture.convert("L")))
    assert image.array.dtype == np.uint8 and image.modality is None and image.grid.ndim == 2


@pytest.mark.parametrize("dtype", ["u1", "u2", ">u2", "?"])
def test_round_trip(tmp_path, dtype):
    array = np.random.default_rng(0).integers(0, 2 if dtype == "?" else 200, (9, 13)).astype(dtype)
    array = array * 300 if dtype.endswith("u2") else array
    save(Image(array, Grid.from_spacing((9, 13), (0.2, 0.14))), tmp_path / "a.png")
    back = load(tmp_path / "a.png", kind="label")
    assert np.array_equal(back.array, array) and back.kind == "label"
    assert back.array.dtype == (np.uint16 if dtype.endswith("u2") else np.uint8)
    np.testing.assert_allclose(back.spacing, (0.2, 0.14), atol=0.2**2 / 2000)


def test_spacing(tmp_path):
    with pytest.warns(UserWarning, match="no pixel size.*1 mm"):
        assert load(write(tmp_path, encode(GRAY))).spacing == (1, 1)
    np.testing.assert_allclose(load(write(tmp_path, encode(GRAY, dpi=(254, 127)))).spacing, (0.2, 0.1), rtol=1e-6)
    with pytest.warns(UserWarning, match="may be a screen's"):
        np.testing.assert_allclose(load(write(tmp_path, encode(GRAY, dpi=(96, 96)))).spacing, 25.4 / 96, rtol=1e-3)
    jpeg = encode(GRAY, form="JPEG", dpi=(254, 127))
    np.testing.assert_allclose(load(write(tmp_path, jpeg, "a.jpg")).spacing, (0.2, 0.1))
    at = jpeg.index(b"JFIF\0") + 7
    centimetres = jpeg[:at] + b"\x02" + struct.pack(">HH", 100, 50) + jpeg[at + 5 :]
    np.testing.assert_allclose(load(write(tmp_path, centimetres, "a.jpg")).spacing, (0.2, 0.1))
    with pytest.warns(UserWarning, match="no pixel size"):
        assert load(write(tmp_path, encode(GRAY, form="JPEG"), "a.jpeg")).spacing == (1, 1)
    assert load(tmp_path / "a.jpeg", spacing=(0.3, 0.2)).spacing == (0.3, 0.2)
    for bad in ((1.0,), (1.0, -1.0), (1.0, 1.0, 1.0)):
        with pytest.raises(GeometryError, match="spacing="):
            load(tmp_path / "a.jpeg", spacing=bad)


def test_jpeg(tmp_path):
    data = encode(GRAY, form="JPEG", quality=95, dpi=(254, 254))
    with pil.open(io.BytesIO(data)) as picture:
        assert np.array_equal(load(write(tmp_path, data, "a.JPG")).array, np.asarray(picture))
    exif = pil.Exif()
    exif[0x0112] = 6
    with pytest.warns(UserWarning, match="EXIF rotation is not applied"):
        load(write(tmp_path, encode(GRAY, form="JPEG", dpi=(254, 254), exif=exif), "b.jpg"))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "P"])
def test_gray_in_colour_clothes(tmp_path, mode):
    assert np.array_equal(read(write(tmp_path, encode(GRAY, mode))).array, GRAY)


def test_few_bits(tmp_path):
    rows = bytes([0, 0b10110000, 0, 0b01000000])
    assert read(write(tmp_path, png(4, 2, 1, 0, rows))).array.tolist() == [[255, 0, 255, 255], [0, 255, 0, 0]]
    assert read(write(tmp_path, png(4, 1, 2, 0, bytes([0, 0b00011011])))).array.tolist() == [[0, 85, 170, 255]]


COLOUR = np.stack([GRAY, GRAY, GRAY + 1], -1)
CLEAR = pil.merge("LA", [pil.fromarray(GRAY), pil.new("L", (13, 9), 254)])
REFUSED = {
    "colour": (encode(COLOUR), "a colour picture"),
    "colour jpeg": (encode(np.repeat(np.repeat(COLOUR * [1, 0, 0], 9, 0), 9, 1).astype("u1"), form="JPEG"), "colour"),
    "cmyk": (encode(pil.new("CMYK", (8, 8)), form="JPEG"), "colour mode CMYK"),
    "palette": (encode(pil.fromarray(COLOUR).convert("P")), "a colour picture"),
    "translucent": (encode(CLEAR), "translucent"),
    "16-bit colour": (png(1, 1, 16, 2, bytes(7)), "16-bit PNG with colour"),
    "16-bit alpha": (png(1, 1, 16, 4, bytes(5)), "16-bit PNG with colour or alpha"),
    "bomb": (png(20000, 20000, 8, 0, b""), "pixels"),
    "large": (png(9000, 9000, 8, 0, b""), "9000 x 9000 pixels: expected at most"),
    "giant": (png(2**31 - 1, 2**31 - 1, 8, 0, b""), "."),
    "zero size": (png(0, 0, 8, 0, b""), "."),
    "few rows": (png(4, 4, 8, 0, bytes(5)), "5 of 20 bytes"),
    "empty": (b"", "empty file"),
    "text": (b"hello" * 50, "not a PNG or JPEG"),
    "gif": (encode(GRAY, form="GIF"), "not a PNG or JPEG"),
    "animation": (encode(GRAY, save_all=True, append_images=[pil.fromarray(255 - GRAY)]), "animation of 2 frames"),
}  # fmt: skip


@pytest.mark.parametrize(("data", "reason"), REFUSED.values(), ids=REFUSED)
def test_refused(tmp_path, data, reason):
    with pytest.raises(ReadError, match=f"a.png: .*{reason}"):
        read(write(tmp_path, data))


def test_truncated_and_corrupt(tmp_path):
    good = encode(np.random.default_rng(0).integers(0, 256, (50, 50)).astype("u1"))
    for cut in (4, 20, 40, len(good) // 2, len(good) - 20, len(good) - 5):
        with pytest.raises(ReadError, match="a.png: "):
            read(write(tmp_path, good[:cut]))
    middle = bytearray(good)
    middle[len(good) // 2] ^= 1
    with pytest.raises(ReadError, match="a.png: "):
        read(write(tmp_path, bytes(middle)))
    jpeg = encode(np.random.default_rng(0).integers(0, 256, (50, 50)).astype("u1"), form="JPEG")
    for cut in (3, 30, len(jpeg) // 2):
        with pytest.raises(ReadError, match="a.jpg: "):
            read(write(tmp_path, jpeg[:cut], "a.jpg"))


def test_interlaced(tmp_path):
    """Adam7 of one pixel column: passes 1, 3, 5 and 7 hold rows 0; 4; 2, 6; 1, 3, 5, 7."""
    column = np.arange(10, 18, dtype=np.uint8)
    lines = b"".join(bytes([0, value]) for row in ([0], [4], [2, 6], [1, 3, 5, 7]) for value in column[row])
    good = bytearray(png(1, 8, 8, 0, lines))
    good[28] = 1
    good[29:33] = struct.pack(">I", zlib.crc32(good[12:29]))
    assert np.array_equal(read(write(tmp_path, bytes(good))).array[:, 0], column)
    short = bytearray(png(1, 8, 8, 0, lines[:-1]))
    short[28:33] = good[28:33]
    with pytest.raises(ReadError, match="15 of 16 bytes"):
        read(write(tmp_path, bytes(short)))


def test_what_a_png_cannot_hold(tmp_path):
    grid = Grid.from_spacing((9, 13), (1, 1))
    for dtype in ("f4", "i2", "u4"):
        with pytest.raises(DTypeError, match="uint8, uint16 or bool"):
            save(Image(GRAY.astype(dtype), grid), tmp_path / "a.png")
    with pytest.raises(ShapeError, match="one 2-D picture"):
        save(Image(GRAY[None], grid), tmp_path / "a.png")
    with pytest.raises(ArgumentError, match="apply it first"):
        save(Image(GRAY, grid, rescale=Ramp(-1.0, 255.0)), tmp_path / "a.png")
    assert not list(tmp_path.iterdir())


def test_missing(tmp_path):
    with pytest.raises(ReadError, match="no such file or folder: .*a.png"):
        load(tmp_path / "a.png")


SMALL = encode(GRAY, dpi=(254, 254))
SMALL_JPEG = encode(GRAY, form="JPEG")
FUZZ = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@FUZZ
@given(
    st.sampled_from([SMALL, SMALL_JPEG]),
    st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 255)), max_size=5),
    st.integers(0, 5000),
)
def test_fuzz_bytes(tmp_path, start, flips, cut):
    data = bytearray(start)
    for at, value in flips:
        data[at % len(data)] = value
    refuse_or_read(write(tmp_path, bytes(data[:cut])))


@FUZZ
@given(st.binary(max_size=300), st.integers(0, 16), st.integers(0, 7), st.integers(0, 40), st.integers(0, 40))
def test_fuzz_png_with_right_checksums(tmp_path, rows, bits, colour, width, height):
    refuse_or_read(write(tmp_path, png(width, height, bits, colour, rows)))


def refuse_or_read(path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", UserWarning)
        try:
            image = load(path)
        except FastprepError as error:
            assert path.name in str(error)
        else:
            assert image.array.shape == image.grid.shape and image.array.dtype in (np.uint8, np.uint16)
