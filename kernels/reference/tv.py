"""Total variation by Chambolle's dual iteration."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.kernels.reference._store import store


def tv(x: npt.NDArray[Any], out: npt.NDArray[Any], weight: float, eps: float, iterations: int) -> None:
    """``out`` = each volume of ``x`` (B, Z, Y, X) with less total variation; axes of one voxel are none.

    The dual field ``p`` starts at 0. With ``u = x + d`` of its divergence ``d`` and the forward gradient ``g`` of ``u``
    it becomes ``(p - t g) / (1 + t |g| / weight)``, t of half the inverse of the number of axes, until the energy
    ``sum d^2 + weight sum |g|`` changes by less than ``eps`` times the first, or ``iterations`` are done.
    """
    for given, result in zip(x, out, strict=True):
        space = tuple(n for n in given.shape if n > 1)
        found = _denoised(given.astype(np.float64).reshape(space), weight, eps, iterations) if space else given
        store(result, np.asarray(found).reshape(given.shape))


def _denoised(f: npt.NDArray[np.float64], weight: float, eps: float, iterations: int) -> npt.NDArray[np.float64]:
    p = np.zeros((f.ndim, *f.shape))
    step = 1 / (2 * f.ndim)
    u, first, before = f, 0.0, 0.0
    for i in range(iterations):
        d = _divergence(p)
        u = f + d
        g = _gradient(u)
        norm = np.sqrt(np.square(g).sum(axis=0))
        energy = float((np.square(d).sum() + weight * norm.sum()) / f.size)
        if i == 0:
            first = energy
        elif abs(before - energy) < eps * first:
            break
        before = energy
        p = (p - step * g) / (1 + norm * (step / weight))
    return u


def _gradient(u: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Differences to the next voxel along each axis, 0 at the end."""
    return np.stack([np.diff(u, axis=a, append=u.take([-1], axis=a)) for a in range(u.ndim)])


def _divergence(p: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """What flows in from the voxel before along each axis, less what flows out."""
    into = np.zeros(p.shape[1:])
    for a, field in enumerate(p):
        ahead, behind = [slice(None)] * field.ndim, [slice(None)] * field.ndim
        ahead[a], behind[a] = slice(1, None), slice(-1)
        into[tuple(ahead)] += field[tuple(behind)]
    return np.asarray(into - p.sum(axis=0))
