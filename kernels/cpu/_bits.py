"""Masks as words of 64 voxels, the first in the lowest bit."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from fastprep.kernels.cpu._numba import inline

_BYTES, _BITS = ir.VectorType(ir.IntType(8), 64), ir.VectorType(ir.IntType(1), 64)
ALL = np.uint64(0xFFFFFFFFFFFFFFFF)


@intrinsic  # type: ignore[untyped-decorator]
def store_64(typing_context: Any, flat: Any, i: Any, word: Any) -> Any:
    """The bits of a word as 64 bytes of 0 and 1 from ``flat[i]``."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        place = builder.bitcast(builder.gep(data, [args[1]]), _BYTES.as_pointer())
        stored = builder.store(builder.zext(builder.bitcast(args[2], _BITS), _BYTES), place)
        stored.align = 1
        return context.get_dummy_value()

    return types.void(flat, types.int64, types.uint64), generate


@inline
def load_some(flat: Any, i: int, count: int) -> Any:
    """The word of ``count`` bytes from ``flat[i]``, at most 64."""
    word = np.uint64(0)
    for k in range(count):
        if flat[i + k] != 0:
            word |= np.uint64(1) << np.uint64(k)
    return word


@inline
def store_some(flat: Any, i: int, count: int, word: Any) -> None:
    """The lowest ``count`` bits of a word as bytes."""
    for k in range(count):
        flat[i + k] = np.uint8((word >> np.uint64(k)) & np.uint64(1))


@inline
def lowest(count: int) -> Any:
    """A word whose lowest ``count`` bits are set, from none to all."""
    return ALL if count >= 64 else (np.uint64(1) << np.uint64(max(count, 0))) - np.uint64(1)
