"""What tests of morphology share: balls as SciPy takes them, and masks that are worth changing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.ndimage as ndi

Mask = npt.NDArray[np.bool_]

#: Radius and spacing: across anisotropic voxels, isotropic ones with distances that are whole, and none in reach.
BALLS = [
    (3.0, (1.0, 1.0, 1.0)),
    (2.5, (2.0, 0.75, 0.75)),
    (0.9, (1.0, 1.0, 1.0)),
    (6.0, (5.0, 1.1, 1.7)),
    (0.0, (1, 1, 1)),
]


def ball(radius: float, spacing: Sequence[float]) -> Mask:
    """The voxels with centres within ``radius`` mm of that in the middle."""
    reach = [int(radius / s + 1e-6) for s in spacing]
    at = np.indices([2 * r + 1 for r in reach])
    squares = sum(((i - r) * s) ** 2 for i, r, s in zip(at, reach, spacing, strict=True))
    return np.asarray(squares <= radius**2 * (1 + 1e-6))


def pad(mask: Any, structure: Mask, value: bool = False) -> tuple[Mask, tuple[slice, ...]]:
    """A mask with room for a structure, and where it lies there."""
    room = [n // 2 for n in structure.shape]
    wide = np.pad(np.asarray(mask) != 0, [(r, r) for r in room], constant_values=value)
    return wide, tuple(slice(r, r + n) for r, n in zip(room, np.shape(mask), strict=True))


def dilated(mask: Any, radius: float, spacing: Sequence[float]) -> Mask:
    return np.asarray(ndi.binary_dilation(np.asarray(mask) != 0, ball(radius, spacing)))


def eroded(mask: Any, radius: float, spacing: Sequence[float], *, beyond: bool = True) -> Mask:
    """``beyond`` says whether what lies beyond the image is set."""
    return np.asarray(ndi.binary_erosion(np.asarray(mask) != 0, ball(radius, spacing), border_value=int(beyond)))


def closed(mask: Any, radius: float, spacing: Sequence[float]) -> Mask:
    """By the definition: padded, dilated, eroded, cropped."""
    wide, inner = pad(mask, ball(radius, spacing))
    return eroded(dilated(wide, radius, spacing), radius, spacing)[inner]


def scene(shape: Sequence[int] = (9, 22, 70), seed: int = 0) -> Mask:
    """Blobs, one at the border, with specks in and around them."""
    rng = np.random.default_rng(seed)
    smooth = ndi.gaussian_filter(rng.standard_normal(shape), 2)
    return np.asarray((smooth > 0.05) ^ (rng.random(shape) < 0.01))
