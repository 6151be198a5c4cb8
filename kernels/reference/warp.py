"""Interpolation through any affine: oblique, sheared, rotated."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.ndimage as ndi

from fastprep.kernels.reference._store import apply_ramp, store


def warp(
    x: npt.NDArray[Any],
    out: npt.NDArray[Any],
    matrix: npt.NDArray[np.float64],
    order: int,
    pre: npt.NDArray[np.float64],
    post: npt.NDArray[np.float64],
    outside: npt.NDArray[np.float64],
) -> None:
    """``out[k, b, p] = post_k(pre(x)[b] at matrix @ p)``, ``x`` (B, Z, Y, X), ``out`` (K, B, z, y, x).

    ``matrix`` (4, 4) takes an output index to an input index, both (z, y, x, 1). Inside means
    ``-0.5 <= index < n - 0.5`` on every axis: there nearest and linear clamp to the edge voxel and cubic
    mirrors; elsewhere ``out[k]`` is ``outside[k]``. Order 0 without Ramps copies values exactly.
    """
    same = x.dtype.newbyteorder("=") == out.dtype
    copies = order == 0 and same and len(post) == 1 and _is_identity(pre) and _is_identity(post[0])
    for b in range(x.shape[0]):
        values = x[b] if copies else apply_ramp(x[b], pre)
        if order == 3:
            for axis in range(3):
                if values.shape[axis] > 1:
                    values = ndi.spline_filter1d(values, 3, axis=axis, mode="mirror")
        for z in range(out.shape[2]):
            where = plane_coordinates(matrix, z, out.shape[3:])
            inside = is_inside(where, x.shape[1:])
            if order == 0:
                nearest = [
                    np.clip(np.floor(c + 0.5), 0, n - 1).astype(np.int64)
                    for c, n in zip(where, x.shape[1:], strict=True)
                ]
                sampled = values[tuple(nearest)]
            else:
                mode = "mirror" if order == 3 else "nearest"
                sampled = ndi.map_coordinates(values, where, order=order, mode=mode, prefilter=False)
            for k in range(len(post)):
                plane = out[k, b, z]
                if copies:
                    plane[...] = sampled
                else:
                    store(plane, apply_ramp(sampled, post[k]))
                plane[~inside] = outside[k]


def plane_coordinates(matrix: npt.NDArray[np.float64], z: int, shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
    """Input index (3, y, x) of every voxel of output plane ``z``."""
    y, x = np.meshgrid(np.arange(shape[0]), np.arange(shape[1]), indexing="ij")
    base = matrix[:3, 0] * z + matrix[:3, 3]
    return base[:, None, None] + matrix[:3, 1, None, None] * y + matrix[:3, 2, None, None] * x


def is_inside(where: npt.NDArray[np.float64], shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    """Half-open, half a voxel around the field: the buffer rule of ITK."""
    n = np.array(shape)[:, None, None]
    return np.asarray(((where >= -0.5) & (where < n - 0.5)).all(axis=0))


def _is_identity(ramp: npt.NDArray[np.float64]) -> bool:
    return bool(np.array_equal(ramp, (1.0, 0.0, -np.inf, np.inf)))
