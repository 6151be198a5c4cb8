"""Arrays of the host on a GPU, to be kept there."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from fastprep.registry import gpu_transfer


def upload(x: npt.NDArray[Any], device: int) -> Any:
    """A host array on the device, to be kept: an array of CuPy's."""
    transfer = gpu_transfer()
    with transfer.uploader(device).sent(x) as there:
        result = transfer.Result(x.shape, x.dtype.name, device, on_host=False)
        result.put(there, 0, 0)
    return result.finish()
