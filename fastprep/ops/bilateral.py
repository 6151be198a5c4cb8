"""bilateral: the mean of those neighbours that are alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.core.errors import ArgumentError
from fastprep.ops._denoise import check_above, denoised, finite, noisy, per_axis
from fastprep.registry import kernel

#: Sigmas within which a neighbour counts: farther away its weight is below 0.044.
_REACH = 2.5
#: Weights of a place that no digit of a mean would show.
_NONE = 1e-10
#: Of what a difference is weighed with: 1 / (2 sigma_value^2), as far as float32 goes.
_STEEP = 1e38


def bilateral(
    x: Any,
    *,
    sigma_value: float,
    sigma_space: float | Sequence[float] = 1.0,
    spacing: Sequence[float] | None = None,
    radius: int | Sequence[int] | None = None,
    dtype: Any = None,
) -> Any:
    """The mean of the voxels around each, weighed by how near and how alike they are (Tomasi and Manduchi 1998).

    ``y(p) = sum w(p, q) x(q) / sum w(p, q)`` over the box around p, as far as it lies in the image, with
    ``w = exp(-|p - q|^2 / (2 sigma_space^2)) exp(-(x(p) - x(q))^2 / (2 sigma_value^2))``. Across an edge of a few
    ``sigma_value`` nothing is mixed; what is less of an edge than the noise goes with it.

    Parameters
    ----------
    x : Image, or array (..., z, y, x) or (y, x); each volume by itself. The last ``len(spacing)`` axes are space.
    sigma_value : in the units of ``x``: two to three times the standard deviation of the noise (`estimate_noise`).
        Below it noise is taken for edges; what differs by less is smoothed as by a Gaussian.
    sigma_space : in mm, for all axes or one for each; in voxels for an array without ``spacing``.
    radius : voxels of the box on each side, for all axes or one for each. By default those within 2.5 sigma_space.
    dtype : of the result: floats keep their type, integers become float32 unless asked for, then rounded half to even
        and saturated.

    Returns
    -------
    What ``x`` was. Differences are weighed and summed in float32; float64 keeps its digits.

    Raises
    ------
    ArgumentError
        A sigma not above 0, or a radius below 0.
    NonFiniteError
        NaN or infinity in ``x``.
    DTypeError
        bool.

    Examples
    --------
    Noise of 1 on either side of an edge of 60, as from fat to muscle:

    >>> import numpy as np
    >>> ct = np.array([[-100.0, -102, -101, -40, -41, -39]])
    >>> np.round(bilateral(ct, sigma_value=5, sigma_space=2), 1).tolist()
    [[-100.9, -101.1, -101.1, -40.1, -40.1, -39.9]]
    """
    check_above(0, sigma_value=sigma_value)
    scan = noisy(x, spacing=spacing)
    sigmas = _sigmas(sigma_space, len(scan.space))
    # A voxel in sigmas, and the only one of an axis.
    steps = (1.0,) * (3 - len(sigmas)) + tuple(
        step / s for step, s in zip(scan.spacing or (1.0,) * len(sigmas), sigmas, strict=True)
    )
    if radius is None:
        wanted = tuple(_REACH / step + 1e-9 for step in steps)
    else:
        wanted = per_axis("radius", radius, scan.space, least=0)
    reach = tuple(int(min(r, n - 1)) for r, n in zip(wanted, scan.volumes.shape[1:], strict=True))
    finite(scan)
    how = reach, _near(reach, steps), min(0.5 / sigma_value / sigma_value, _STEEP)
    run = kernel("bilateral", scan.volumes)
    return denoised(scan, dtype, lambda out: run(scan.volumes, out, *how))


def _sigmas(sigma: float | Sequence[float], ndim: int) -> tuple[float, ...]:
    many: tuple[Any, ...] = tuple(sigma) if isinstance(sigma, tuple | list) else (sigma,) * ndim
    if len(many) != ndim:
        msg = f"sigma_space={sigma!r}: expected a number above 0, or {ndim} of them"
        raise ArgumentError(msg)
    for one in many:
        check_above(0, sigma_space=one)
    return many


def _near(reach: tuple[int, ...], steps: tuple[float, ...]) -> npt.NDArray[np.float32]:
    """The weight of each place in the box; ``steps`` are voxels in sigmas."""
    away = np.ogrid[tuple(slice(-r, r + 1) for r in reach)]
    weight = np.exp(-0.5 * sum(np.square(a * step) for a, step in zip(away, steps, strict=True)))
    return np.where(weight < _NONE, 0, weight).astype(np.float32)
