"""What is judged, as NumPy sees it: on the host alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.core.errors import NoKernelError
from fastprep.core.image import Image
from fastprep.core.namespace import device_of, host_view


def array_of(x: Any, name: str) -> npt.NDArray[Any]:
    """The array of an argument, a list as one.

    Raises
    ------
    NoKernelError
        It is on a GPU.
    """
    array = x.array if isinstance(x, Image) else x
    if isinstance(array, (list, tuple)):
        array = np.asarray(array)
    if device_of(array) == "gpu":
        msg = f"{name} is on a GPU: quality figures are computed on the host; move it there first"
        raise NoKernelError(msg)
    return host_view(array)
