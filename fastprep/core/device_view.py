"""DeviceView: an array in a GPU's memory as kernels see it, whatever library owns it. Nothing is copied."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fastprep.core.errors import DTypeError

_CUDA = 2


@dataclass(frozen=True)
class BFloat16:
    """What stands for bfloat16 where NumPy has no such dtype."""

    name: str = "bfloat16"
    kind: str = "f"
    itemsize: int = 2


BFLOAT16 = BFloat16()
#: A data type as operations look at it: NumPy's, or bfloat16.
DType = np.dtype[Any] | BFloat16


@dataclass(frozen=True, eq=False)
class DeviceView:
    """Address, shape and strides (in elements) of an array on a GPU, and its owner, which keeps it alive.

    ``stream`` is the CUDA stream its library works on now, or None for CuPy's current one.
    """

    address: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: DType
    device: int
    owner: Any
    stream: int | None = None

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def is_contiguous(self) -> bool:
        """True when the elements lie in C order without gaps."""
        return self.strides == _c_strides(self.shape) or 0 in self.shape

    @property
    def span(self) -> tuple[int, int]:
        """The first address of the elements, and the one behind the last."""
        if self.size == 0:
            return self.address, self.address
        ends = [s * (n - 1) for s, n in zip(self.strides, self.shape, strict=True)]
        low, high = sum(e for e in ends if e < 0), sum(e for e in ends if e > 0)
        return self.address + low * self.dtype.itemsize, self.address + (high + 1) * self.dtype.itemsize

    def __dlpack_device__(self) -> tuple[int, int]:
        """On a CUDA device, as DLPack numbers them."""
        return (_CUDA, self.device)

    def transpose(self, *axes: int) -> DeviceView:
        """The axes in another order."""
        return replace(self, shape=tuple(self.shape[a] for a in axes), strides=tuple(self.strides[a] for a in axes))

    def __getitem__(self, key: Any) -> DeviceView:
        """Integers and slices, one per leading axis."""
        keys = key if isinstance(key, tuple) else (key,)
        address, shape, strides = self.address, list[int](), list[int]()
        for k, n, s in zip(keys, self.shape, self.strides, strict=False):
            if isinstance(k, slice):
                start, stop, step = k.indices(n)
                count = len(range(start, stop, step))
                shape.append(count)
                strides.append(s * step)
                address += (start if count else 0) * s * self.dtype.itemsize
            else:
                address += range(n)[k] * s * self.dtype.itemsize
        rest = len(keys)
        return replace(
            self,
            address=address,
            shape=(*shape, *self.shape[rest:]),
            strides=(*strides, *self.strides[rest:]),
        )

    def grouped(self, ndim: int) -> DeviceView | None:
        """All axes but the last ``ndim`` as one; None where no single stride steps through them."""
        cut = self.ndim - ndim
        count, step = 1, 0
        for n, s in reversed(list(zip(self.shape[:cut], self.strides[:cut], strict=True))):
            if n == 1:
                continue
            if count > 1 and s != count * step:
                return None
            step = step if count > 1 else s
            count *= n
        return replace(self, shape=(count, *self.shape[cut:]), strides=(step, *self.strides[cut:]))

    def with_shape(self, shape: Sequence[int]) -> DeviceView:
        """A contiguous array under another shape of the same size."""
        return replace(self, shape=tuple(shape), strides=_c_strides(shape))


def has_device_view(x: Any) -> bool:
    """True where `device_view` knows how: PyTorch, CuPy, and whatever tells its address as CuPy does."""
    torch = sys.modules.get("torch")
    known = isinstance(x, DeviceView) or (torch is not None and isinstance(x, torch.Tensor))
    return known or hasattr(x, "__cuda_array_interface__")


def device_view(x: Any) -> DeviceView:
    """The view of a PyTorch CUDA tensor or of anything with ``__cuda_array_interface__``.

    Raises
    ------
    DTypeError
        A tensor that requires grad, or a data type fastprep does not know.
    """
    if isinstance(x, DeviceView):
        return x
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(x, torch.Tensor):
        return _torch_view(x, torch)
    about = x.__cuda_array_interface__
    dtype = np.dtype(about["typestr"])
    if about["typestr"][1] == "V" and str(x.dtype) == "bfloat16":
        kind: DType = BFLOAT16
    else:
        kind = _checked(dtype)
    shape = tuple(about["shape"])
    steps = about.get("strides")
    strides = _c_strides(shape) if steps is None else tuple(s // kind.itemsize for s in steps)
    return DeviceView(about["data"][0], shape, strides, kind, int(x.__dlpack_device__()[1]), x)


def _torch_view(x: Any, torch: Any) -> DeviceView:
    if x.requires_grad:
        msg = "x requires grad: fastprep's operations have no gradient, pass x.detach()"
        raise DTypeError(msg)
    name = str(x.dtype).rpartition(".")[2]
    dtype = BFLOAT16 if name == "bfloat16" else _checked(_numpy_dtype(name))
    stream = torch.cuda.current_stream(x.device).cuda_stream
    return DeviceView(x.data_ptr(), tuple(x.shape), tuple(x.stride()), dtype, x.device.index or 0, x, stream)


def _numpy_dtype(name: str) -> np.dtype[Any]:
    try:
        return np.dtype(name)
    except TypeError as error:
        msg = f"x of dtype {name}: expected bool, integers, or floats of at most 64 bits"
        raise DTypeError(msg) from error


def _checked(dtype: np.dtype[Any]) -> np.dtype[Any]:
    if dtype.kind not in "biuf" or dtype.itemsize > 8:
        msg = f"x of dtype {dtype}: expected bool, integers, or floats of at most 64 bits"
        raise DTypeError(msg)
    return dtype


def _c_strides(shape: Sequence[int]) -> tuple[int, ...]:
    strides, step = list[int](), 1
    for n in reversed(shape):
        strides.append(step)
        step *= max(n, 1)
    return tuple(reversed(strides))
