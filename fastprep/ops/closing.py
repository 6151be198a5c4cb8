"""closing: a mask with its gaps and notches filled."""

from __future__ import annotations

from typing import Any

from fastprep.ops._morphology import changed, check_radius, close


def closing(mask: Any, radius: float, *, spacing: Any = None) -> Any:
    """All that no ball of ``radius`` mm reaches without touching ``mask``: dilated, then eroded.

    Gaps and notches narrower than the ball are filled, as vessels in a lung. The image is padded before and cropped
    after, so that an object at its border is neither eaten, as by SciPy, nor drawn towards the border: all that was set
    stays so, and closing again changes nothing. It is what SimpleITK calls a safe border.

    Parameters
    ----------
    mask : Image, or array (..., z, y, x) or (y, x) of bool or integers; non-zero is set.
    radius : in mm; 0 changes nothing.
    spacing : mm along the space axes, which are the last of an array; an Image has its own.

    Returns
    -------
    A bool array of the library and on the device of ``mask``; of an Image a label Image on its grid.

    Raises
    ------
    ArgumentError
        A radius below 0, NaN or infinite; an array without spacing.
    DTypeError
        A mask of floats.
    TooLargeError
        A radius so large that the padded image does not fit into memory.

    Examples
    --------
    A vessel through the edge of a lung:

    >>> import numpy as np
    >>> lung = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [1, 1, 1, 1, 1]], bool)
    >>> closing(lung, 1, spacing=(1, 1)).astype(int).tolist()
    [[1, 1, 1, 1, 1], [1, 1, 1, 1, 0], [1, 1, 1, 1, 1]]
    """
    r = check_radius(radius)
    return changed(mask, spacing, lambda marks, out, steps: close(marks, out, r, steps))
