"""erode: a mask shrunk by millimetres."""

from __future__ import annotations

from typing import Any

from fastprep.core.errors import ArgumentError
from fastprep.ops._morphology import changed, check_radius, grow


def erode(mask: Any, radius: float, *, spacing: Any = None, border: str = "foreground") -> Any:
    """Every voxel of ``mask`` without one that is not set within ``radius`` mm, from centre to centre.

    ``out(p) = min over q of mask(q), sum_i (s_i (p_i - q_i))^2 <= radius^2``.

    Parameters
    ----------
    mask : Image, or array (..., z, y, x) or (y, x) of bool or integers; non-zero is set.
    radius : in mm; 0 changes nothing.
    spacing : mm along the space axes, which are the last of an array; an Image has its own.
    border : what lies beyond the image. "foreground": a body that a field of view cuts through loses nothing there;
        "background": it does, as with SciPy.

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
    What is surely inside an organ that the image cuts off on the left:

    >>> import numpy as np
    >>> organ = np.zeros((5, 6), bool)
    >>> organ[1:4, :5] = True
    >>> erode(organ, 1, spacing=(1, 1)).astype(int)[2].tolist()
    [1, 1, 1, 1, 0, 0]
    >>> erode(organ, 1, spacing=(1, 1), border="background").astype(int)[2].tolist()
    [0, 1, 1, 1, 0, 0]
    """
    r, beyond = check_radius(radius), is_background(border)
    return changed(mask, spacing, lambda marks, out, steps: grow(marks, out, r, steps, complement=True, beyond=beyond))


def is_background(border: str) -> bool:
    """Whether what lies beyond the image is not set."""
    if border not in ("foreground", "background"):
        msg = f"border={border!r}: expected 'foreground' or 'background'"
        raise ArgumentError(msg)
    return border == "background"
