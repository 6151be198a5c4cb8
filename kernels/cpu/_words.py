"""Sixty-four comparisons at once, and their answer as the bits of a word."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from fastprep.kernels.cpu._numba import ask_for

#: Values of a word.
WORD = 64
#: Bytes ahead of those at work that are asked for, and bytes of a cache line.
_AHEAD, _LINE = 4096, 64
_I1, _I8, _I32, _I64 = (ir.IntType(bits) for bits in (1, 8, 32, 64))


@intrinsic  # type: ignore[untyped-decorator]
def large_ones(typing_context: Any, values: Any, at: Any, least: Any) -> Any:
    """Bit i of the word is whether ``values[at + i] >= least``, of contiguous values; never so of NaN."""
    return types.uint64(values, types.int64, values.dtype), _compared(">=")


@intrinsic  # type: ignore[untyped-decorator]
def other_ones(typing_context: Any, values: Any, at: Any, value: Any) -> Any:
    """Bit i of the word is whether ``values[at + i] != value``, of contiguous whole numbers."""
    return types.uint64(values, types.int64, values.dtype), _compared("!=")


def _compared(sign: str) -> Any:
    """Code that compares a word of values with one."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = signature.args[0].dtype
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        vector = ir.VectorType(context.get_value_type(kind), WORD)
        start = builder.gep(data, [args[1]])
        there = builder.bitcast(start, _I8.as_pointer())
        for byte in range(_AHEAD, _AHEAD + WORD * kind.bitwidth // 8, _LINE):
            ask_for(builder, builder.gep(there, [ir.Constant(_I64, byte)]))
        loaded = builder.load(builder.bitcast(start, vector.as_pointer()))
        loaded.align = kind.bitwidth // 8
        nothing = ir.Constant(vector, ir.Undefined)
        one = builder.insert_element(nothing, args[2], ir.Constant(_I32, 0))
        limit = builder.shuffle_vector(one, nothing, ir.Constant(ir.VectorType(_I32, WORD), None))
        if isinstance(kind, types.Float):
            found = builder.fcmp_ordered(sign, loaded, limit)
        else:
            found = (builder.icmp_signed if kind.signed else builder.icmp_unsigned)(sign, loaded, limit)
        return builder.bitcast(found, _I64)

    return generate


@intrinsic  # type: ignore[untyped-decorator]
def first_bit(typing_context: Any, word: Any) -> Any:
    """The number of the lowest bit of a word that is not 0."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(_I1, 1))

    return types.int64(types.uint64), generate
