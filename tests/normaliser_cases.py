"""A brain of three tissues in air, as the tests of the normalisers look at it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

#: Means of fluid, grey and white matter by modality; the standard deviation of each is 6.
MEANS = {"t1": (40, 95, 150), "t2": (210, 120, 70), "flair": (40, 150, 100), "pd": (200, 140, 80)}
#: Voxels of each tissue, in per cent of the brain.
SHARES = (15, 45, 40)


def brain(
    modality: str = "t1",
    dtype: str = "float32",
    shape: tuple[int, ...] = (20, 24, 26),
    shares: tuple[int, ...] = SHARES,
) -> tuple[Array, Array]:
    """The image, air 0 to 5 around the brain, and the mask of the brain."""
    rng = np.random.default_rng(3)
    inside = np.zeros(shape, bool)
    inside[tuple(slice(n // 8, n - n // 8) for n in shape)] = True
    tissue = rng.choice(3, shape, p=np.array(shares) / 100)
    x = np.where(inside, rng.normal(np.array(MEANS[modality])[tissue], 6), rng.uniform(0, 5, shape))
    return (np.rint(x) if np.dtype(dtype).kind in "iu" else x).astype(dtype), inside


def standardised(x: Array, scale: float, offset: float = 0.0) -> Array:
    """``x * scale + offset`` under the dtype rule of the normalisers."""
    return (x.astype(np.float64) * scale + offset).astype(x.dtype if x.dtype.kind == "f" else np.float32)
