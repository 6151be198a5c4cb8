"""Data types of CUDA kernels: which are read, which are written, and the numbers of a job as bytes."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

NUMBERS = (
    *("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"),
    *("float16", "bfloat16", "float32", "float64"),
)
#: Results may be masks, too.
RESULTS = (*NUMBERS, "bool8")
#: What scans and results are made of: kernels instantiated for pairs of types know these, the rest `_rare` copies.
READ = ("uint8", "int16", "uint16", "int32", "float16", "bfloat16", "float32", "float64")
WRITTEN = ("uint8", "int16", "uint16", "float16", "bfloat16", "float32", "float64")

#: An exact copy moves bits, whatever they mean.
WORDS = {1: "uint8", 2: "uint16", 4: "uint32", 8: "uint64"}
#: What float32 cannot hold is computed in float64.
_WIDE = ("int32", "uint32", "int64", "uint64", "float64")

#: Channels of one launch; more are done in several.
MOST_CHANNELS = 8
#: The struct `Channels` of common.cuh.
CHANNELS = f"{MOST_CHANNELS * 4}d {MOST_CHANNELS}d qi4x"


@cache
def read_type(dtype: Any) -> str:
    """The C++ name of a type that is read: a mask is its bytes."""
    return "uint8" if dtype.kind == "b" else str(dtype.name)


def written_type(dtype: Any) -> str:
    """The C++ name of a type that is written."""
    return "bool8" if dtype.kind == "b" else str(dtype.name)


def compute_type(*names: str) -> str:
    """What a kernel computes in, as ``Compute`` of common.cuh says it too."""
    return "float64" if any(name in _WIDE for name in names) else "float32"


def pairs(read: Sequence[str] = READ, written: Sequence[str] = WRITTEN) -> list[tuple[str, str]]:
    """Every type read with every type written."""
    return [(i, o) for i in read for o in written]


def job(form: str) -> struct.Struct:
    """The layout of a C struct: native sizes, native alignment, its size a multiple of 8."""
    return struct.Struct(f"@{form}0q")


def channels(
    post: npt.NDArray[np.float64], outside: Sequence[float] | npt.NDArray[np.float64], step: int
) -> tuple[float | int, ...]:
    """The values of `CHANNELS` for at most `MOST_CHANNELS` Ramps (K, 4)."""
    idle = MOST_CHANNELS - len(post)
    ramps = [float(v) for v in post.ravel()]
    return (*ramps, *[0.0] * (4 * idle), *map(float, outside), *[0.0] * idle, step, len(post))


def bits(value: float, dtype: Any) -> int:
    """A number as the bits it has in a dtype, as an unsigned integer."""
    if dtype.name == "bfloat16":
        word = int(np.float32(value).view(np.uint32))
        # Half to even; no fill is NaN.
        return (word + 0x7FFF + (word >> 16 & 1)) >> 16
    return int(np.array(value).astype(dtype).view(f"u{dtype.itemsize}"))
