"""Host memory: an Image's voxels as NumPy without moving them between devices, and how much there is."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.core.errors import NoKernelError
from fastprep.core.image import Image


def host_array(image: Image) -> npt.NDArray[Any]:
    """``image.array`` as NumPy, or NoKernelError for one on a GPU: files are written from host memory."""
    try:
        return np.asarray(image.array)
    except TypeError as error:
        kind = f"{type(image.array).__module__}.{type(image.array).__name__}"
        msg = f"files are written from host memory, the array is a {kind}: move it there first ({error})"
        raise NoKernelError(msg) from error


def physical_memory() -> float:
    """Bytes of memory in this machine, infinite where the system does not say."""
    if not hasattr(os, "sysconf"):
        return float("inf")
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
