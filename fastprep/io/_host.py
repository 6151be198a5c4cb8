"""The voxels of an Image as a NumPy array, without moving them between devices."""

from __future__ import annotations

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
