"""Arrays of the host on a GPU, to be kept there, and results of a GPU on the host."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from fastprep.core.device_view import device_view
from fastprep.core.namespace import device_of, host_view
from fastprep.registry import gpu_transfer


def upload(x: npt.NDArray[Any], device: int) -> Any:
    """A host array on the device, to be kept: an array of CuPy's."""
    transfer = gpu_transfer()
    with transfer.uploader(device).sent(x) as there:
        result = transfer.Result(x.shape, x.dtype.name, device, on_host=False)
        result.put(there, 0, 0)
    return result.finish()


def download(x: Any) -> npt.NDArray[Any]:
    """An array of a GPU on the host, waited for; one of the host as it is."""
    if device_of(x) == "cpu":
        return host_view(x)
    view = device_view(x)
    result = gpu_transfer().Result(view.shape, view.dtype.name, int(x.__dlpack_device__()[1]), on_host=True)
    result.put(view, 0, 0)
    made: npt.NDArray[Any] = result.finish()
    return made
