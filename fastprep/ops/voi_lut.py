"""voi_lut: a radiograph as its file wants it shown."""

from __future__ import annotations

from typing import Any

from fastprep.core.errors import ArgumentError, DTypeError
from fastprep.core.image import Image
from fastprep.core.voi import View, VoiTable
from fastprep.ops._masked import numbers_of
from fastprep.ops._pointwise import apply_ramps, apply_table


def voi_lut(image: Image, *, index: int = 0, dtype: Any = None) -> Image:
    """Apply the VOI of a radiograph's file: a window, or a look-up table.

    The order of the standard (DICOM PS3.3 C.11.1, C.11.2, C.11.6) is modality LUT, VOI LUT, inversion. `fastprep.load`
    has applied the modality LUT and inverted MONOCHROME1; the VOI that an image carries is inverted with it, so the
    result is that of the standard's order, dense bright:

    - a window (LINEAR, LINEAR_EXACT or SIGMOID) onto 0 .. 2**BitsStored - 1;
    - a table of b bits onto 0 .. 2**b - 1; between whole values the line through its entries.

    Where a file has both, the standard gives tables precedence: they come first. Bits are kept, there is no step of 8.

    Parameters
    ----------
    image : Image of a DICOM radiograph; spatial operations before it do no harm, others drop its VOI.
    index : which view of ``image.voi``; printing that lists them.
    dtype : of the result; integers round half to even and saturate.

    Returns
    -------
    An Image without VOI: floats keep their type, integers become float32 unless ``dtype`` asks otherwise. NaN stays
    NaN.

    Raises
    ------
    ArgumentError
        An image that carries no VOI, or an index beyond what it carries; the message says what there is.
    DTypeError
        Not an Image.

    Examples
    --------
    A radiograph of 12 bits whose file says level 2000, width 1001:

    >>> import numpy as np
    >>> from fastprep.core.grid import Grid
    >>> from fastprep.core.voi import Voi, VoiWindow
    >>> x = np.array([[1000, 2000], [2500, 3000]], np.uint16)
    >>> voi = Voi((VoiWindow(2000, 1001, "linear", top=4095),))
    >>> shown = voi_lut(Image(x, Grid.from_spacing((2, 2), (0.2, 0.2)), modality="DX", voi=voi), dtype="uint16")
    >>> shown.array.tolist()
    [[0, 2050], [4095, 4095]]
    """
    if not isinstance(image, Image):
        msg = f"image of type {type(image).__name__}: expected an Image, which carries the VOI of its file"
        raise DTypeError(msg)
    if image.voi is None:
        what = image.modality or "no modality"
        msg = f"image of {what} carries no VOI: DICOM radiographs do as loaded, whose values nothing has changed yet"
        raise ArgumentError(msg)
    array, _ = numbers_of(image)
    return image.with_array(apply_view(array, image.voi.view(index), dtype=dtype))


def apply_view(x: Any, view: View, *, dtype: Any = None, into: Any = None) -> Any:
    """``x`` (...), in physical units, as a view shows it."""
    if isinstance(view, VoiTable):
        return apply_table(x, view, dtype=dtype, into=into)
    return apply_ramps(x, [view.ramp], dtype=dtype, function=view.kernel, into=into)
