"""PNG and JPEG grayscale pictures to 2-D Images and back.

A picture says nothing of the patient: its rows and columns are laid on A and R from world (0, 0, 0), nominally.
"""

from __future__ import annotations

import os
import warnings
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.core.errors import ArgumentError, DTypeError, FastprepError, ReadError, ShapeError
from fastprep.core.grid import Grid
from fastprep.core.image import Image, Kind
from fastprep.io._extras import require
from fastprep.io._host import host_array
from fastprep.io._png import check_png
from fastprep.io.atomic import atomic_path

#: Larger than any radiograph (a mammogram has 30 million pixels), smaller than what Pillow itself warns about.
MAX_PIXELS = 80_000_000
_INCH_MM = 25.4
#: Densities that programs write for want of a better one.
_SCREEN_DPI = (72, 96)


def read_picture(
    path: str | os.PathLike[str], *, kind: Kind = "scalar", spacing: tuple[float, ...] | None = None
) -> Image:
    """A grayscale PNG (1 to 16 bits) or JPEG as an Image of (y, x), uint8 or uint16 in native byte order.

    Spacing: ``spacing`` (y, x), else millimetres from the PNG's pHYs or the JPEG's JFIF density, else 1 mm with a
    warning.
    Colour pictures whose channels are equal are gray; an alpha channel must be opaque. Samples of less than 8 bits
    are stretched to 0..255, as every viewer does. ``modality`` is None.

    Warns
    -----
    UserWarning
        No density, a density of 72 or 96 dpi (a screen's, seldom the detector's), an EXIF rotation (not applied).

    Raises
    ------
    ReadError
        No such file, neither PNG nor JPEG, truncated or corrupt, in colour, translucent, animated, 16-bit colour
        (Pillow would drop half the bits), or of more than ``MAX_PIXELS`` pixels.
    """
    name = os.fspath(path)
    image_module = require("PIL.Image")
    try:
        data = Path(name).read_bytes()
        with image_module.open(BytesIO(data), formats=("PNG", "JPEG")) as picture:
            _refuse_unfit(picture, name)
            if picture.format == "PNG":
                # Loading skips the checksums of the pixel data; verifying uses the picture up.
                picture.verify()
                check_png(data, name)
        with image_module.open(BytesIO(data), formats=("PNG", "JPEG")) as picture:
            array = _gray(picture, name)
            steps = spacing or _spacing(picture, name)
    except FastprepError:
        raise
    except FileNotFoundError as error:
        msg = f"no such file or folder: {name}"
        raise ReadError(msg) from error
    except image_module.UnidentifiedImageError as error:
        msg = f"{name}: {'not a PNG or JPEG picture' if data else 'empty file'}"
        raise ReadError(msg) from error
    # Pillow's decoders answer broken bytes with almost any exception.
    except Exception as error:
        msg = f"{name}: {error or type(error).__name__}"
        raise ReadError(msg) from error
    return Image(array, Grid.from_spacing(array.shape, steps), kind=kind)


def describe_picture(path: str | os.PathLike[str]) -> tuple[Grid, np.dtype[Any]]:
    """Grid and dtype of a PNG or JPEG from its header alone, its pixels unchecked."""
    name = os.fspath(path)
    try:
        with require("PIL.Image").open(name, formats=("PNG", "JPEG")) as picture:
            _refuse_unfit(picture, name)
            grid = Grid.from_spacing((picture.height, picture.width), _spacing(picture, name))
            return grid, np.dtype(np.uint16 if picture.mode.startswith("I") else np.uint8)
    except FastprepError:
        raise
    except Exception as error:
        reason = error if os.path.getsize(name) else "empty file"
        msg = f"{name}: {reason}"
        raise ReadError(msg) from error


def _refuse_unfit(picture: Any, name: str) -> None:
    width, height = picture.size
    if width * height > MAX_PIXELS:
        msg = f"{name}: {width} x {height} pixels: expected at most {MAX_PIXELS}"
        raise ReadError(msg)
    if picture.format == "PNG" and getattr(picture, "n_frames", 1) > 1:
        msg = f"{name}: an animation of {picture.n_frames} frames: expected one picture"
        raise ReadError(msg)


def _gray(picture: Any, name: str) -> npt.NDArray[Any]:
    if picture.format != "PNG" and picture.getexif().get(0x0112, 1) != 1:
        warnings.warn(f"{name}: its EXIF rotation is not applied", UserWarning, stacklevel=3)
    if picture.mode.startswith("I"):
        return np.array(picture, dtype=np.uint16)
    if picture.mode in ("L", "1") and "transparency" not in picture.info:
        return np.array(picture.convert("L"))
    if picture.mode not in ("L", "1", "LA", "P", "PA", "RGB", "RGBA"):
        msg = f"{name}: colour mode {picture.mode}: expected a grayscale picture"
        raise ReadError(msg)
    colours = np.asarray(picture.convert("RGBA"))
    if colours[..., 3].min() < 255:
        msg = f"{name}: has translucent pixels: expected an opaque grayscale picture"
        raise ReadError(msg)
    if not np.array_equal(colours[..., 0], colours[..., 1]) or not np.array_equal(colours[..., 0], colours[..., 2]):
        msg = f"{name}: a colour picture: expected grayscale, or colour channels that are equal"
        raise ReadError(msg)
    return np.ascontiguousarray(colours[..., 0])


def _spacing(picture: Any, name: str) -> tuple[float, float]:
    dpi = _dots_per_inch(picture)
    if dpi is None:
        warnings.warn(f"{name}: no pixel size in the file: spacing is taken as 1 mm", UserWarning, stacklevel=3)
        return (1.0, 1.0)
    if {round(value) for value in dpi} <= set(_SCREEN_DPI):
        text = f"{name}: its {dpi[0]:.0f} dpi may be a screen's, not the detector's: check the spacing"
        warnings.warn(text, UserWarning, stacklevel=3)
    across, down = dpi
    return (_INCH_MM / down, _INCH_MM / across)


def _dots_per_inch(picture: Any) -> tuple[float, float] | None:
    """Across and down; Pillow's own "dpi" of a JPEG falls back on an invented 72."""
    info = picture.info
    if picture.format == "PNG":
        dpi = info.get("dpi")
    else:
        per_inch = {1: 1.0, 2: 2.54}.get(info.get("jfif_unit"))
        dpi = None if per_inch is None else tuple(per_inch * value for value in info["jfif_density"])
    return dpi if dpi is not None and min(dpi) > 0 else None


def write_png(image: Image, path: str | os.PathLike[str]) -> None:
    """Write a 2-D uint8, uint16 or bool Image (as 0 and 1) as a grayscale PNG with its spacing, whole or not at all.

    PNG stores whole pixels per metre, so a spacing of s mm comes back within ``s**2 / 2000`` mm. Of the affine only
    the spacing survives.

    Raises
    ------
    ShapeError, DTypeError
        Not 2-D; another dtype (make it one first, e.g. with ``window(..., dtype="uint8", out_range=(0, 255))``).
    WriteError
        The operating system refused.
    """
    array = host_array(image)
    if array.ndim != 2:
        msg = f"array of shape {array.shape}: a PNG holds one 2-D picture"
        raise ShapeError(msg)
    if not image.rescale.is_identity:
        msg = f"image.rescale={image.rescale}: apply it first, a PNG cannot hold it"
        raise ArgumentError(msg)
    if array.dtype == np.bool_:
        array = array.astype(np.uint8)
    if array.dtype.kind != "u" or array.dtype.itemsize > 2:
        msg = f"dtype={array.dtype}: a PNG holds uint8, uint16 or bool"
        raise DTypeError(msg)
    native = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))
    down, across = (max(1, round(1000 / step)) * 0.0254 for step in image.spacing)
    picture = require("PIL.Image").fromarray(native)
    with atomic_path(path) as temporary, open(temporary, "wb") as handle:
        picture.save(handle, format="PNG", dpi=(across, down))
