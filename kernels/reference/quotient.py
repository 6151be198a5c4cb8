"""A smooth log field from sums of values and of shares around the nodes of a lattice."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

#: Shares below this are no more than rounding.
LEAST = 1e-30


def quotient(
    values: npt.NDArray[np.float32],
    shares: npt.NDArray[np.float32],
    balance: npt.NDArray[np.float32],
    logarithm: bool,
    lattice: npt.NDArray[np.float64],
) -> None:
    """Cubic B-splines through ``values / shares``, or its logarithm unless it is one, less the mean by ``balance``.

    ``values`` and ``shares`` (B, kz + 2, ky + 2, kx + 2) have a node more at each end than ``lattice`` (B, kz, ky, kx)
    and ``balance``: a control value is ``(8 f[k] - f[k - 1] - f[k + 1]) / 6`` along each axis, which is exact for
    cubics. Where there are no shares, the mean by shares stands in.
    """
    for b in range(len(values)):
        share = np.where(shares[b] > LEAST, shares[b], 0).astype(np.float64)
        known = share > 0
        f = np.divide(values[b], share, out=np.ones(share.shape), where=known)
        f = f if logarithm else np.log(f)
        f = np.where(known, f - (f * share).sum() / share.sum(), 0)
        for axis in range(3):
            a = np.moveaxis(f, axis, 0)
            f = np.moveaxis((8 * a[1:-1] - a[:-2] - a[2:]) / 6, 0, axis)
        lattice[b] = f - (f * balance[b]).sum() / balance[b].sum(dtype=np.float64)
