"""homomorphic_bias: the log image, smoothed inside the mask, as its own log bias field."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastprep.ops._bias import BiasField, scan_of
from fastprep.ops._smooth import smoothed


def homomorphic_bias(
    x: Any,
    mask: Any = None,
    *,
    weights: Any = None,
    label: int | None = None,
    sigma: float = 40.0,
    spacing: Sequence[float] | None = None,
    nan: str = "raise",
) -> BiasField:
    """Homomorphic filtering: take the smooth part of the logarithm away, counting only what is inside the mask.

    ``log field = G(m log x) / G(m)`` less its mean inside the mask, with m the weights inside the mask and 0 outside
    (normalised convolution, Knutsson and Westin 1993). The image is taken for tissue of one kind: where tissues differ
    on the scale of ``sigma``, they lose contrast. `polynomial_bias` and `n4` do not take it so.

    Parameters
    ----------
    x : Image, or array (..., z, y, x) or (y, x); leading axes are a batch. The last ``len(spacing)`` axes are space, or
        those of the mask. Values not above 0 do not count.
    mask : array or Image of the same space axes; voxels count where it is ``label``, or not zero without one. By
        default all count, the background too: give a mask.
    weights : confidence of each voxel, of the mask's shape; only voxels above 0 count.
    sigma : standard deviation in mm; in voxels for an array without ``spacing``. The Gaussian ends at 4 sigma;
        farther from the mask the field is even.
    nan : "raise", or "ignore": NaN and infinity inside the mask are left out, and stay what they are.

    Returns
    -------
    BiasField
        ``corrected`` (floats keep their dtype, integers become float32), ``log_field``, ``lattice``, and ``evaluate``
        for other grids. Smoothed values are found a third of ``sigma`` apart and joined by cubic splines: within 1e-3
        of the convolution.

    Raises
    ------
    ArgumentError
        No voxel inside; a sigma of less than a voxel.
    ShapeError
        A mask or weights of another shape.
    NonFiniteError
        NaN or infinity inside the mask.
    GeometryError
        Images of a mask or weights on another grid.

    Notes
    -----
    Source: Axel, Costantini and Listerud 1987 for division by a smoothed image; Brinkmann, Manduca and Robb 1998 for
    the homomorphic filter.

    Examples
    --------
    >>> import numpy as np
    >>> z, y, x = np.ogrid[-1:1:24j, -1:1:24j, -1:1:24j]
    >>> ball = np.where(z**2 + y**2 + x**2 < 0.8, 90.0, 0.0)
    >>> result = homomorphic_bias(ball * np.exp(0.3 * x), ball > 0, sigma=4)
    >>> inner = result.corrected[ball > 0]
    >>> bool(inner.std() / inner.mean() < 0.05)
    True
    """
    scan = scan_of(x, mask, weights, spacing)
    return smoothed("homomorphic_bias", scan, label, sigma, logarithm=True, nan=nan)
