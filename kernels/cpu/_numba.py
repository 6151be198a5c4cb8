"""How every CPU kernel is compiled, and how it reads an array of any layout.

Contraction of ``a * b + c`` stays off, so results have the same bits on every processor and on a GPU
compiled likewise.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numba
import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic, overload

_SOURCES = hashlib.sha256(b"".join(p.read_bytes() for p in sorted(Path(__file__).parent.glob("*.py")))).hexdigest()

F = TypeVar("F", bound=Callable[..., Any])

# Adding and subtracting 1.5 * 2**23 rounds a small float32 half to even, in two vector instructions; for float64 2**52.
_ROUNDER = np.float32(1.5 * 2**23)
_WIDE_ROUNDER = np.float64(1.5 * 2**52)


def jit(function: F) -> F:
    """Compile on first call for the types met, without the GIL, and keep the machine code on disk.

    Nobody calls a kernel from C: the wrapper for that is an eighth of the time to compile.
    """
    compiled: F = numba.njit(nogil=True, cache=True, error_model="numpy", no_cfunc_wrapper=True)(function)
    # Numba stamps a cached kernel with its own file alone, not with the helpers compiled into it.
    file = getattr(getattr(compiled, "_cache", None), "_cache_file", None)
    if file is not None:
        file._source_stamp = (file._source_stamp, _SOURCES)
    return compiled


def inline(function: F) -> F:
    """The same for a helper that belongs into its caller's loop."""
    compiled: F = numba.njit(nogil=True, cache=True, error_model="numpy", inline="always")(function)
    return compiled


class Source(NamedTuple):
    """An array of four axes as its flat memory, so one compiled kernel reads crops, flips and transposes in place."""

    flat: Any
    start: int
    sb: int
    sz: int
    sy: int
    sx: int


def source(x: npt.NDArray[Any]) -> Source:
    """``x`` (B, Z, Y, X) in native byte order and a type Numba reads; copied only where it is not."""
    x = native(x)
    if any(s % x.itemsize for s in x.strides) or x.size == 0:
        x = np.ascontiguousarray(x)
    steps = [s // x.itemsize if n > 1 else 0 for s, n in zip(x.strides, x.shape, strict=True)]
    if x.shape[3] == 1:
        steps[3] = 1
    back = [s * (n - 1) if s < 0 else 0 for s, n in zip(steps, x.shape, strict=True)]
    length = 1 + sum(abs(s) * (n - 1) for s, n in zip(steps, x.shape, strict=True))
    first = x[tuple(slice(n - 1, n) if s < 0 else slice(0, 1) for s, n in zip(steps, x.shape, strict=True))]
    flat = np.lib.stride_tricks.as_strided(first, shape=(length,), strides=(x.itemsize,), writeable=False)
    return Source(flat, -sum(back), *steps)


def native(x: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """``x`` as a type Numba has: bool as its bytes, float16 widened, bytes in this machine's order."""
    if x.dtype == np.bool_:
        return x.view(np.uint8)
    if x.dtype.kind == "f" and x.dtype.itemsize == 2:
        return x.astype(np.float32)
    return x.astype(x.dtype.newbyteorder("="), copy=False)


def read_only(x: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """``x`` as a view that cannot be written: to Numba that is a type, and a loop is compiled for one of the two."""
    view = x.view()
    view.setflags(write=False)
    return view


def as_bits(x: npt.NDArray[Any], out: npt.NDArray[Any], outside: float) -> tuple[Source, npt.NDArray[Any], Any]:
    """Input, output and fill of an exact copy: no arithmetic, so bits move as integers of the same width."""
    bits = np.dtype(f"u{out.dtype.itemsize}")
    ordered = x.astype(x.dtype.newbyteorder("="), copy=False)
    return source(ordered.view(bits)), out.view(bits), np.array(outside, dtype=out.dtype).view(bits)[()]


def compute_dtype(x: npt.NDArray[Any], out: npt.NDArray[Any]) -> np.dtype[Any]:
    """float32, except where float64 or wide integers go in or come out."""
    wide = any(a.dtype.itemsize > 4 or (a.dtype.kind in "iu" and a.dtype.itemsize == 4) for a in (x, out))
    return np.dtype(np.float64 if wide else np.float32)


def as_compute(ramps: npt.NDArray[np.float64], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """Ramp coefficients in the type the loop computes in."""
    return np.ascontiguousarray(ramps, dtype=dtype)


def put(out: Any, i: Any, value: Any) -> None:
    """``out[i] = value``: integers round half to even and saturate, NaN becomes 0."""
    msg = "compiled code only"
    raise AssertionError(msg)


@overload(put)  # type: ignore[untyped-decorator]
def _put(out: Any, i: Any, value: Any) -> Any:
    if not isinstance(out.dtype, types.Integer):

        def put_float(out: Any, i: Any, value: Any) -> None:
            out[i] = value

        return put_float

    info = np.iinfo(str(out.dtype))
    if out.dtype.bitwidth <= 16:
        # In the value's own type: a float64 rounded to float32 first may become a tie it was not.
        real, rounder = (np.float64, _WIDE_ROUNDER) if value == types.float64 else (np.float32, _ROUNDER)
        zero, lo, hi = real(0), real(info.min), real(info.max)

        def put_narrow(out: Any, i: Any, value: Any) -> None:
            v = real(value)
            v = v if v > lo else (zero if v != v else lo)
            v = v if v < hi else hi
            out[i] = np.int32((v + rounder) - rounder)

        return put_narrow

    low, high = info.min, info.max
    top, bottom = float(info.max), float(info.min)

    def put_wide(out: Any, i: Any, value: Any) -> None:
        v = np.rint(np.float64(value))
        if v != v:
            out[i] = 0
        elif v >= top:
            out[i] = high
        elif v <= bottom:
            out[i] = low
        else:
            out[i] = out.dtype.type(v)

    return put_wide


def _load_word(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    """Code that loads elements of an array from an index as one integer, that of the result, wherever they lie."""
    array = signature.args[0]
    data = context.make_array(array)(context, builder, args[0]).data
    word = context.get_value_type(signature.return_type)
    loaded = builder.load(builder.bitcast(builder.gep(data, [args[1]]), word.as_pointer()))
    loaded.align = array.dtype.bitwidth // 8
    return loaded


@intrinsic  # type: ignore[untyped-decorator]
def load_pair(typing_context: Any, flat: Any, i: Any) -> Any:
    """``flat[i]`` and ``flat[i + 1]`` of a 16-bit array as one 32-bit load: half the loads of an interpolation."""
    return types.int32(flat, types.uint64), _load_word


@intrinsic  # type: ignore[untyped-decorator]
def load_eight(typing_context: Any, flat: Any, i: Any) -> Any:
    """Eight elements of a byte array from ``flat[i]`` as one 64-bit word, the first in its low byte."""
    return types.uint64(flat, types.int64), _load_word


def ask_for(builder: Any, pointer: Any) -> None:
    """Code that asks for the cache line of an address, whatever is there."""
    address = builder.bitcast(pointer, ir.IntType(8).as_pointer())
    word = ir.IntType(32)
    kind = ir.FunctionType(ir.VoidType(), [address.type, word, word, word])
    to_read, keep_long, data_cache = (ir.Constant(word, n) for n in (0, 3, 1))
    call = builder.module.declare_intrinsic("llvm.prefetch", [address.type], kind)
    builder.call(call, [address, to_read, keep_long, data_cache])


@intrinsic  # type: ignore[untyped-decorator]
def prefetch(typing_context: Any, flat: Any, i: Any) -> Any:
    """Ask for the cache line of ``flat[i]``, which may lie beyond the array: nothing is read."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        ask_for(builder, builder.gep(data, [args[1]]))
        return context.get_dummy_value()

    return types.void(flat, types.uint64), generate


@intrinsic  # type: ignore[untyped-decorator]
def fma(typing_context: Any, a: Any, b: Any, c: Any) -> Any:
    """``a * b + c`` rounded once, where a loop says so itself: the same bits wherever it is compiled."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.fma(*args)

    return c(c, c, c), generate
