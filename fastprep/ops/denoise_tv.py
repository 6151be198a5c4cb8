"""denoise_tv: the image of least total variation near the one given."""

from __future__ import annotations

from typing import Any

from fastprep.ops._bias import check_whole
from fastprep.ops._denoise import check_above, denoised, finite, noisy
from fastprep.ops.estimate_noise import noise_of
from fastprep.registry import kernel

#: The weight in standard deviations of the noise.
_OF_NOISE = 0.5
#: A weight that changes nothing, and that float32 can be divided by.
_LEAST = 1e-30


def denoise_tv(
    x: Any, *, weight: float | None = None, eps: float = 2e-4, iterations: int = 200, dtype: Any = None
) -> Any:
    """Total variation denoising (Rudin, Osher and Fatemi 1992) by Chambolle's (2004) dual iteration.

    Towards the image y of the least ``sum (y - x)^2 / 2 + weight sum |grad y|``: gradients cost as much in one sharp
    step as in a slow one, so noise goes and edges stay. Voxels count as cubes: spacing plays no part.

    Parameters
    ----------
    x : Image, or array (..., z, y, x) or (y, x); each volume by itself. Axes of one voxel do not count.
    weight : in the units of ``x``, which no scanner shares with another. None is half the standard deviation of each
        volume's noise (`estimate_noise`), which keeps anatomy; up to twice that suits smooth images, radiographs. It
        has a price: a disc of r voxels' radius loses ``2 weight / r`` of its contrast, a ball ``3 weight / r``.
    eps : the iteration ends when the energy changes by less than this part of its first value; 0 never ends.
    iterations : at the most.
    dtype : of the result: floats keep their type, integers become float32 unless asked for, then rounded half to even
        and saturated.

    Returns
    -------
    What ``x`` was. Computed in float32, in float64 of float64, energies always in float64: scikit-image's
    ``denoise_tv_chambolle`` of the same numbers as floats. (That divides integers by their type's largest value; here
    they stay in their units.)

    Raises
    ------
    ArgumentError
        A weight not above 0, a negative eps, or no iteration.
    ShapeError
        Without a weight, no axis of 4 voxels to see noise along.
    NonFiniteError
        NaN or infinity in ``x``.
    DTypeError
        bool.

    Examples
    --------
    Noise of 12 HU in soft tissue, and the edge of bone:

    >>> import numpy as np
    >>> hu = np.random.default_rng(0).normal(40, 12, (9, 32, 32))
    >>> hu[:, :, 16:] += 300
    >>> smooth = denoise_tv(hu)
    >>> bool(smooth[..., :15].std() < 4 and np.diff(smooth, axis=2)[..., 15].min() > 260)
    True
    """
    if weight is not None:
        check_above(0, weight=weight)
    check_above(0, equal=True, eps=eps)
    check_whole(iterations=(iterations, 1, 10**6))
    scan = noisy(x)
    finite(scan)
    weights = [weight] if weight is not None else (_OF_NOISE * noise_of(scan, rician=False)).tolist()
    return denoised(scan, dtype, lambda out: _each(scan.volumes, out, weights, float(eps), int(iterations)))


def _each(volumes: Any, out: Any, weights: list[float], eps: float, iterations: int) -> None:
    run = kernel("tv", volumes)
    if len(weights) == 1:
        run(volumes, out, max(weights[0], _LEAST), eps, iterations)
        return
    for b, weight in enumerate(weights):
        run(volumes[b : b + 1], out[b : b + 1], max(weight, _LEAST), eps, iterations)
