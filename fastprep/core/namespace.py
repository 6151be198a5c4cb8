"""Arrays of any library in, arrays of the same library out, on the same device.

Kernels see NumPy views of host memory (and, on a GPU, the device's own arrays). Nothing is copied and
nothing crosses between host and device here.
"""

from __future__ import annotations

import sys
from typing import Any

import array_api_compat
import numpy as np
import numpy.typing as npt

from fastprep.core.errors import DeviceError, DTypeError

# The device types of the DLPack standard.
_HOST, _CUDA, _CUDA_PINNED, _CUDA_MANAGED = 1, 2, 3, 13


def device_of(x: Any) -> str:
    """Where the memory of ``x`` is: "cpu" or "gpu".

    Raises
    ------
    DTypeError
        ``x`` is no array, or lives on a device fastprep knows nothing of.
    """
    if isinstance(x, np.ndarray):
        return "cpu"
    if not hasattr(x, "__dlpack_device__"):
        msg = f"x of type {type(x).__name__}: expected an array (NumPy, CuPy, PyTorch, JAX or any DLPack array)"
        raise DTypeError(msg)
    kind = int(x.__dlpack_device__()[0])
    if kind in (_HOST, _CUDA_PINNED):
        return "cpu"
    if kind in (_CUDA, _CUDA_MANAGED):
        return "gpu"
    msg = f"x of type {type(x).__name__} is on DLPack device {kind}: expected host memory or a CUDA device"
    raise DTypeError(msg)


def check_together(**arrays: Any) -> None:
    """DeviceError unless all arrays are on one device."""
    places = {name: _place(x) for name, x in arrays.items()}
    if len(set(places.values())) > 1:
        where = ", ".join(f"{name} on {place}" for name, place in places.items())
        msg = f"{where}: expected one device; fastprep never moves data by itself"
        raise DeviceError(msg)


def _place(x: Any) -> str:
    return "the CPU" if device_of(x) == "cpu" else f"GPU {int(x.__dlpack_device__()[1])}"


def shape_of(x: Any) -> tuple[int, ...]:
    """The shape of an array of any library."""
    device_of(x)
    return tuple(int(n) for n in x.shape)


def host_view(x: Any) -> npt.NDArray[Any]:
    """A NumPy array over the memory of a host array, without a copy.

    Raises
    ------
    DTypeError
        A tensor that requires grad, or a data type NumPy does not have.
    """
    if isinstance(x, np.ndarray):
        view = np.asarray(x)
    elif is_torch(x):
        view = _torch_view(x)
    else:
        try:
            view = np.from_dlpack(x)
        except (BufferError, RuntimeError, TypeError):
            # JAX and read-only exporters refuse DLPack to older consumers, but lend their buffer.
            view = np.asarray(x)
    if view.dtype.kind not in "biuf" or view.dtype.itemsize > 8:
        msg = f"x of dtype {view.dtype}: expected bool, integers, or floats of at most 64 bits"
        raise DTypeError(msg)
    return view


def like(result: npt.NDArray[Any], x: Any) -> Any:
    """``result`` as an array of the library of ``x``, without a copy where that library can take one over."""
    if isinstance(x, np.ndarray):
        return result
    if is_torch(x):
        torch = sys.modules["torch"]
        return torch.from_numpy(result)
    xp = array_api_compat.array_namespace(x)
    return xp.asarray(result)


def dtype_name(dtype: Any, x: Any = None) -> str:
    """The NumPy name of a data type of any library: ``torch.float32`` is "float32".

    For results of ``x`` on a GPU that may be "bfloat16", which NumPy does not have.
    """
    if x is not None and str(dtype).rpartition(".")[2] == "bfloat16" and device_of(x) == "gpu":
        return "bfloat16"
    name = dtype if isinstance(dtype, str) else getattr(dtype, "name", None)
    found: np.dtype[Any] | None
    try:
        found = np.dtype(dtype if name is None else name)
    except (TypeError, ValueError):
        # A library's own type object, torch.float32 or array_api_strict.float32: its last word is the name.
        found = _known(str(dtype).rpartition(".")[2])
    if found is None or found.kind not in "biuf" or found.itemsize > 8:
        msg = f"dtype={dtype!r}: expected bool, an integer type, or float16, float32, float64"
        raise DTypeError(msg)
    return found.name


def is_torch(x: Any) -> bool:
    """True for a PyTorch tensor; PyTorch is not imported for the question."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(x, torch.Tensor)


def _known(name: str) -> np.dtype[Any] | None:
    try:
        return np.dtype(name)
    except TypeError:
        return None


def _torch_view(x: Any) -> npt.NDArray[Any]:
    if x.requires_grad:
        msg = "x requires grad: fastprep's operations have no gradient, pass x.detach()"
        raise DTypeError(msg)
    try:
        return np.asarray(x.numpy())
    except TypeError as error:
        msg = f"x of dtype {x.dtype}: expected a data type NumPy has"
        raise DTypeError(msg) from error
