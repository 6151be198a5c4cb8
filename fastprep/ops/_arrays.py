"""Arrays in and results out: what kernels see of them on the host and on a GPU, and where results are made."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import array_api_compat
import numpy as np

from fastprep.core.checks import check_memory
from fastprep.core.device_view import DeviceView, device_view, has_device_view
from fastprep.core.errors import DTypeError, ShapeError, TooLargeError
from fastprep.core.namespace import device_of, host_view, is_torch, like
from fastprep.registry import gpu_driver


class Output(NamedTuple):
    """A result being made: what kernels write, and how it becomes an array of the caller's library."""

    view: Any
    finish: Callable[[], Any]


def view_of(x: Any) -> Any:
    """What kernels see of an array of any library, without a copy.

    Raises
    ------
    DTypeError
        No array, a tensor that requires grad, or a data type fastprep does not know.
    """
    if device_of(x) == "cpu":
        return host_view(x)
    # JAX lends its memory by DLPack, in the order of its streams and CuPy's; others tell an address.
    return device_view(x if has_device_view(x) and not _is_jax(x) else gpu_driver().adopt(x))


def empty(shape: Sequence[int], dtype: str, x: Any, into: Any = None) -> Output:
    """A new contiguous array of the library and on the device of ``x``, from that library's memory pool.

    ``into`` is a part of a larger one instead, of that shape and dtype.

    Raises
    ------
    TooLargeError
        It does not fit into the memory there.
    """
    shape = tuple(shape)
    if into is not None:
        view = view_of(into)
        if (tuple(view.shape), view.dtype.name) != (shape, dtype):
            msg = f"a result of shape {shape} {dtype} into one of shape {tuple(view.shape)} {view.dtype.name}"
            raise ShapeError(msg)
        return Output(view, lambda: into)
    if device_of(x) == "cpu":
        check_memory(shape, dtype)
        out = np.empty(shape, dtype)
        return Output(out, lambda: like(out, x))
    size = math.prod(shape) * (2 if dtype == "bfloat16" else np.dtype(dtype).itemsize)
    total = gpu_driver().total_memory(int(x.__dlpack_device__()[1]))
    if size > total:
        raise _too_large(shape, dtype, size, total, "")
    try:
        made = _on_device(shape, dtype, x)
    except (MemoryError, RuntimeError) as error:
        if type(error).__name__ != "OutOfMemoryError":
            raise
        raise _too_large(shape, dtype, size, total, ", in use by others") from error
    view = device_view(made)
    # A foreign library gets the array when kernels have been told to write it.
    own = is_torch(x) or isinstance(x, DeviceView) or type(made) is type(x)
    return Output(view, lambda: made if own else array_api_compat.array_namespace(x).from_dlpack(made))


def volumes(x: Any, out: Any, ndim: int) -> Iterator[tuple[Any, Any]]:
    """``x`` (..., space) as (B, Z, Y, X) and ``out`` (K, ..., space) as (K, B, z, y, x), in one piece if it can be."""
    if not isinstance(x, DeviceView):
        yield x.reshape(-1, *three(x.shape[x.ndim - ndim :])), out.reshape(len(out), -1, *three(out.shape[-ndim:]))
        return
    four = x.grouped(ndim)
    if four is None:
        for i in range(x.shape[0]):
            yield from volumes(x[i], out[:, i], ndim)
        return
    space = out.shape[out.ndim - ndim :]
    batches = math.prod(out.shape[1 : out.ndim - ndim])
    # Whatever the step between channels is, what is inside one is contiguous.
    five = out[0].with_shape((batches, *space))
    five = replace(five, shape=(out.shape[0], *five.shape), strides=(out.strides[0], *five.strides))
    if ndim == 2:
        four, five = with_axis(four, 1), with_axis(five, 2)
    yield four, five


def with_shape(view: Any, shape: tuple[int, ...]) -> Any:
    """Axes of length one put in front; of a contiguous array any other shape too."""
    if view.shape == shape:
        return view
    if not isinstance(view, DeviceView):
        return view.reshape(shape)
    if view.is_contiguous:
        return view.with_shape(shape)
    return replace(view, shape=shape, strides=(0,) * (len(shape) - view.ndim) + view.strides)


def with_axis(view: Any, at: int) -> Any:
    """An axis of length one put in front of axis ``at``."""
    shape, strides = list(view.shape), list(view.strides)
    shape.insert(at, 1)
    if not isinstance(view, DeviceView):
        return view.reshape(shape)
    strides.insert(at, 0)
    return replace(view, shape=tuple(shape), strides=tuple(strides))


def for_all(view: Any, many: int) -> Any:
    """``many`` volumes; one (1, ...) as that of each."""
    if len(view) == many:
        return view
    shape = (many, *view.shape[1:])
    if isinstance(view, DeviceView):
        return replace(view, shape=shape, strides=(0, *view.strides[1:]))
    return np.broadcast_to(view, shape)


def three(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Two space axes as three."""
    return shape if len(shape) == 3 else (1, *shape)


def _too_large(shape: tuple[int, ...], dtype: str, size: int, total: int, why: str) -> TooLargeError:
    what = f"a result of shape {shape} {dtype} takes {size / 2**30:.1f} GiB"
    return TooLargeError(f"{what}; the GPU has {total / 2**30:.1f} GiB{why}")


def _is_jax(x: Any) -> bool:
    return type(x).__module__.partition(".")[0] in ("jax", "jaxlib")


def _on_device(shape: tuple[int, ...], dtype: str, x: Any) -> Any:
    if is_torch(x):
        return x.new_empty(shape, dtype=getattr(sys.modules["torch"], dtype))
    if dtype == "bfloat16":
        msg = "dtype='bfloat16': of the libraries on a GPU PyTorch alone has it"
        raise DTypeError(msg)
    return gpu_driver().empty(shape, dtype, int(x.__dlpack_device__()[1]))
