"""Trunks of ellipsoids and tubes, small and quick, for what a lung mask has to tell apart."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

SHAPE, SPACING = (40, 52, 72), (6.0, 4.5, 5.0)
Array = npt.NDArray[Any]


def world(shape: tuple[int, ...] = SHAPE, spacing: tuple[float, ...] = SPACING) -> Array:
    """Millimetres from the middle, along z, y, x."""
    at = np.indices(shape) + 0.5
    size = np.array(shape).reshape(-1, 1, 1, 1)
    return np.asarray((at - size / 2) * np.array(spacing).reshape(-1, 1, 1, 1))


def ellipsoid(at: Array, center: tuple[float, ...], radii: tuple[float, ...]) -> Array:
    return np.asarray(sum(((a - c) / r) ** 2 for a, c, r in zip(at, center, radii, strict=True)) < 1)


#: The second is smaller, as on the side of the heart.
LUNGS = (((0.0, 0.0, -70.0), (95.0, 60.0, 45.0)), ((0.0, 2.0, 73.0), (90.0, 60.0, 41.0)))


def lungs(sides: tuple[int, ...] = (0, 1), at: Array | None = None) -> Array:
    """Uint8: 1 where x is small, 2 where it is large."""
    at = world() if at is None else at
    out = np.zeros(at.shape[1:], np.uint8)
    for side in sides:
        out[ellipsoid(at, *LUNGS[side])] = side + 1
    return out


def torso(
    sides: tuple[int, ...] = (0, 1),
    *,
    lung: float = -850,
    bronchi: bool = False,
    bridge: bool = False,
    bowel: tuple[float, float, float] | None = None,
    noise: float = 12.0,
) -> Array:
    """Int16 HU of a trunk on a couch.

    ``bronchi`` lead from a trachea into both lungs, a ``bridge`` joins them in front, ``bowel`` has the radii of gas
    below the lungs.
    """
    at = world()
    z, y, x = at
    hu = np.full(at.shape[1:], -1000.0)
    hu[(np.abs(x) < 165) & (np.abs(y - 112) < 3)] = 200
    hu[(x / 155) ** 2 + (y / 95) ** 2 < 1] = 40
    hu[lungs(sides, at) > 0] = lung
    if bridge:
        hu[(np.abs(z - 20) < 25) & (np.abs(y + 25) < 4) & (np.abs(x) < 60)] = lung
    if bronchi:
        hu[(x**2 + (y - 10) ** 2 < 9**2) & (z > 0)] = -1000
        hu[(np.abs(z - 4) < 6) & ((y - 10) ** 2 < 7**2) & (np.abs(x) < 45)] = -1000
    if bowel:
        hu[ellipsoid(at, (-109.0, -30.0, 0.0), bowel)] = -1000
    hu += np.random.default_rng(0).normal(0, noise, hu.shape)
    return np.rint(hu).astype(np.int16)
