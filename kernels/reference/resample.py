"""Separable interpolation: a few weighted taps per axis, between a Ramp before and Ramps after.

``out[k, b, z, y, x] = post_k( sum_tuv wz[t, z] wy[u, y] wx[v, x] * c[b, iz[t, z], iy[u, y], ix[v, x]] )`` where
``c`` is ``pre(x)``, or its cubic B-spline coefficients (mirror boundary) when ``prefilter``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.ndimage as ndi
import scipy.sparse as sparse

from fastprep.kernels.reference._store import apply_ramp, store

Tables = tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]


def resample(
    x: npt.NDArray[Any],
    out: npt.NDArray[Any],
    index: Tables,
    weight: Tables,
    inside: npt.NDArray[np.int64],
    prefilter: bool,
    pre: npt.NDArray[np.float64],
    post: npt.NDArray[np.float64],
    outside: npt.NDArray[np.float64],
) -> None:
    """``x`` (B, Z, Y, X), ``out`` (K, B, z, y, x), ``index`` and ``weight`` (taps, m) per axis.

    ``inside`` (3, 2): along each axis the outputs ``start <= i < stop`` have a source; the rest of ``out[k]`` is
    ``outside[k]``. ``pre`` (4,) and ``post`` (K, 4) are Ramps.
    """
    for k in range(len(post)):
        out[k] = outside[k]
    box = tuple(slice(int(a), int(b)) for a, b in inside)
    for b in range(x.shape[0]):
        values = apply_ramp(x[b], pre)
        for axis in range(3):
            if prefilter and values.shape[axis] > 1:
                values = ndi.spline_filter1d(values, 3, axis=axis, mode="mirror")
            values = _along(values, axis, index[axis][:, box[axis]], weight[axis][:, box[axis]])
        for k in range(len(post)):
            store(out[k, b][box], apply_ramp(values, post[k]))


def _along(
    values: npt.NDArray[np.float64], axis: int, index: npt.NDArray[Any], weight: npt.NDArray[Any]
) -> npt.NDArray[np.float64]:
    taps, m = index.shape
    rows = np.tile(np.arange(m), taps)
    matrix = sparse.csr_array((weight.ravel(), (rows, index.ravel())), shape=(m, values.shape[axis]))
    front = np.moveaxis(values, axis, 0)
    result = matrix @ front.reshape(front.shape[0], -1)
    return np.moveaxis(result.reshape(m, *front.shape[1:]), 0, axis)
