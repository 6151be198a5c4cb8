"""opening: a mask without what is thinner than a ball."""

from __future__ import annotations

from typing import Any

from fastprep.ops._morphology import changed, check_radius, grow
from fastprep.ops.erode import is_background


def opening(mask: Any, radius: float, *, spacing: Any = None, border: str = "foreground") -> Any:
    """The union of all balls of ``radius`` mm around voxels of the image that fit into ``mask``: eroded, then dilated.

    What is thinner goes, as tubes, sheets, and bridges between organs; what is left keeps its size, its corners
    rounded. Nothing is set that was not, and opening again changes nothing.

    Parameters
    ----------
    mask : Image, or array (..., z, y, x) or (y, x) of bool or integers; non-zero is set.
    radius : in mm; 0 changes nothing.
    spacing : mm along the space axes, which are the last of an array; an Image has its own.
    border : what lies beyond the image, as of `erode`.

    Returns
    -------
    A bool array of the library and on the device of ``mask``; of an Image a label Image on its grid.

    Raises
    ------
    ArgumentError
        A radius below 0, NaN or infinite; another border; an array without spacing.
    DTypeError
        A mask of floats.

    Examples
    --------
    A body, and the sheet of the table it lies on:

    >>> import numpy as np
    >>> scan = np.ones((5, 5), bool)
    >>> scan[3] = False
    >>> opening(scan, 1, spacing=(1, 1), border="background").astype(int).tolist()
    [[0, 1, 1, 1, 0], [1, 1, 1, 1, 1], [0, 1, 1, 1, 0], [0, 0, 0, 0, 0], [0, 0, 0, 0, 0]]
    """
    r, beyond = check_radius(radius), is_background(border)

    def open_up(marks: Any, out: Any, steps: tuple[float, ...]) -> None:
        grow(marks, out, r, steps, complement=True, beyond=beyond)
        grow(out, out, r, steps)

    return changed(mask, spacing, open_up)
