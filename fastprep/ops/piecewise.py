"""piecewise: values along a line of straight parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastprep.core.image import Image
from fastprep.core.piecewise import Piecewise
from fastprep.ops._masked import numbers_of
from fastprep.ops._pointwise import apply_piecewise


def piecewise(x: Any, xs: Sequence[float], ys: Sequence[float], *, dtype: Any = None) -> Any:
    """Map values along the straight lines through the knots ``(xs[i], ys[i])``.

    ``y = ys[i] + (ys[i+1] - ys[i]) (x - xs[i]) / (xs[i+1] - xs[i])`` between knots i and i + 1; below the first knot
    the first line goes on, above the last knot the last one.

    Parameters
    ----------
    x : Image, or array of any shape; an Image in physical units.
    xs : strictly increasing, from 2 to 64.
    ys : as many.
    dtype : of the result; integers round half to even and saturate.

    Returns
    -------
    What ``x`` was: floats keep their type, integers become float32 unless ``dtype`` asks otherwise. NaN stays NaN.

    Raises
    ------
    ArgumentError
        Knots that are too few, too many, not finite, or not in order.

    Examples
    --------
    One map that keeps lung, soft tissue and bone apart, where a window would show one of them:

    >>> import numpy as np
    >>> hu = np.array([-1000, -600, 0, 200, 1000], np.int16)
    >>> piecewise(hu, [-1000, -200, 200, 1800], [0.0, 0.25, 0.75, 1.0]).tolist()
    [0.0, 0.125, 0.5, 0.75, 0.875]
    """
    array, _ = numbers_of(x)
    result = apply_piecewise(array, [Piecewise(tuple(xs), tuple(ys))], dtype=dtype)
    return x.with_array(result) if isinstance(x, Image) else result
