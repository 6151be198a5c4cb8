"""Sums and extremes of voxels, sixteen at a time.

Written as vectors, because the compiler may not reorder a sum of floats by itself: the bits are the same on every
processor, however wide its registers are.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from fastprep.kernels.cpu._numba import ask_for

LANES = 16
#: Values ahead of those at work that are asked for, so that they are there in time.
_AHEAD = 2048
_F64, _I64, _I32, _I8 = ir.DoubleType(), ir.IntType(64), ir.IntType(32), ir.IntType(8)


@intrinsic  # type: ignore[untyped-decorator]
def summarise(typing_context: Any, values: Any, marks: Any, low: Any, high: Any, center: Any) -> Any:
    """Of the values with a mark and ``low <= v <= high``: how many, their sum, sum of squares, minimum and maximum.

    Sums are exact integers of integers of 8 and 16 bits, else of ``v - center`` in float64; at most 2**16 values, a
    multiple of `LANES`. Last comes how many have a mark.
    """
    kind = values.dtype
    exact = isinstance(kind, types.Integer) and kind.bitwidth <= 16
    total = types.int64 if exact else types.float64
    answer = types.Tuple((types.int64, total, total, low, low, types.int64))

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        x, m = (context.make_array(t)(context, builder, a) for t, a in zip(signature.args[:2], args[:2], strict=True))
        least, most, middle = (_splat(builder, a) for a in args[2:])
        element, real = context.get_value_type(kind), least.type.element
        signed = getattr(kind, "signed", True)
        compare = builder.fcmp_ordered if not exact else (builder.icmp_signed if signed else builder.icmp_unsigned)
        # A lane takes in at most 2**12 values: 16-bit halves of squares cannot overflow, nor two counts in one word.
        starts = [_all(_I32, 0)] * 4 if exact else [_all(_I32, 0), _all(_F64, 0.0), _all(_F64, 0.0)]
        kept = [cgutils.alloca_once_value(builder, v) for v in (*starts, most, least)]
        blocks = builder.udiv(x.nitems, ir.Constant(x.nitems.type, LANES))
        with cgutils.for_range(builder, blocks) as loop:
            at = builder.mul(loop.index, ir.Constant(loop.index.type, LANES))
            _prefetch(builder, x, builder.add(at, ir.Constant(at.type, _AHEAD)))
            there = builder.icmp_unsigned("!=", _load(builder, m, at, _I8, 1), _all(_I8, 0))
            v = _load(builder, x, at, element, kind.bitwidth // 8)
            if element != real:
                v = (builder.sitofp if signed else builder.uitofp)(v, _vector(real))
            ok = builder.and_(there, builder.and_(compare(">=", v, least), compare("<=", v, most)))
            counts, *sums, low_, high_ = (builder.load(p) for p in kept)
            for which, one in ((there, 1 << 16), (ok, 1)):
                counts = builder.select(which, builder.add(counts, _all(_I32, one)), counts)
            sums = (_add_exact if exact else _add)(builder, ok, v, middle, signed, sums)
            low_ = builder.select(ok, builder.select(compare("<", v, low_), v, low_), low_)
            high_ = builder.select(ok, builder.select(compare(">", v, high_), v, high_), high_)
            for p, value in zip(kept, (counts, *sums, low_, high_), strict=True):
                builder.store(value, p)
        counts, *sums, low_, high_ = (builder.load(p) for p in kept)
        halves = builder.and_(counts, _all(_I32, 0xFFFF)), builder.lshr(counts, _all(_I32, 16))
        n, inside = (builder.zext(_tree(builder, v, builder.add), _I64) for v in halves)
        if exact:
            widen = builder.sext if signed else builder.zext
            one = widen(_tree(builder, sums[0], builder.add), _I64)
            small, large = (builder.zext(_tree(builder, v, builder.add), _I64) for v in sums[1:])
            two = builder.add(small, builder.shl(large, ir.Constant(_I64, 16)))
        else:
            one, two = (_tree(builder, v, builder.fadd) for v in sums)
        ends = [
            _tree(builder, v, lambda a, b, sign=sign: builder.select(compare(sign, b, a), b, a))
            for v, sign in ((low_, "<"), (high_, ">"))
        ]
        return context.make_tuple(builder, answer, [n, one, two, *ends, inside])

    return answer(values, marks, low, high, center), generate


@intrinsic  # type: ignore[untyped-decorator]
def summarise_all(typing_context: Any, values: Any, marks: Any, center: Any) -> Any:
    """Of the floats with a mark: sum of ``v - center``, sum of squares, minimum and maximum, in a third of the time.

    ``center`` is one of the values. Without a meaning where one of them is NaN or infinite: the sum of squares is
    neither finite then.
    """
    kind = values.dtype
    answer = types.Tuple((types.float64, types.float64, kind, kind))

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        x, m = (context.make_array(t)(context, builder, a) for t, a in zip(signature.args[:2], args[:2], strict=True))
        element = context.get_value_type(kind)
        middle = _splat(builder, args[2])
        wide = middle if element == _F64 else builder.fpext(middle, _vector(_F64))
        starts = _all(_F64, 0.0), _all(_F64, 0.0), middle, middle
        kept = [cgutils.alloca_once_value(builder, v) for v in starts]
        blocks = builder.udiv(x.nitems, ir.Constant(x.nitems.type, LANES))
        with cgutils.for_range(builder, blocks) as loop:
            at = builder.mul(loop.index, ir.Constant(loop.index.type, LANES))
            there = builder.icmp_unsigned("!=", _load(builder, m, at, _I8, 1), _all(_I8, 0))
            _prefetch(builder, x, builder.add(at, ir.Constant(at.type, _AHEAD)))
            # What has no mark is the center, and so changes nothing.
            v = builder.select(there, _load(builder, x, at, element, kind.bitwidth // 8), middle)
            one, two, low, high = (builder.load(p) for p in kept)
            d = builder.fsub(v if element == _F64 else builder.fpext(v, wide.type), wide)
            low = builder.select(builder.fcmp_ordered("<", v, low), v, low)
            high = builder.select(builder.fcmp_ordered(">", v, high), v, high)
            new = builder.fadd(one, d), _fused(builder, d, d, two), low, high
            for p, value in zip(kept, new, strict=True):
                builder.store(value, p)
        one, two, low, high = (builder.load(p) for p in kept)
        sums = [_tree(builder, v, builder.fadd) for v in (one, two)]
        ends = [
            _tree(builder, v, lambda a, b, sign=sign: builder.select(builder.fcmp_ordered(sign, b, a), b, a))
            for v, sign in ((low, "<"), (high, ">"))
        ]
        return context.make_tuple(builder, answer, [*sums, *ends])

    return answer(values, marks, center), generate


def _add(builder: Any, ok: Any, v: Any, center: Any, signed: bool, sums: Any) -> list[Any]:
    """Distances from the center, and their squares."""
    v = v if v.type == center.type else builder.fpext(v, center.type)
    d = builder.select(ok, builder.fsub(v, center), _all(_F64, 0.0))
    return [builder.fadd(sums[0], d), builder.fadd(sums[1], builder.fmul(d, d))]


def _add_exact(builder: Any, ok: Any, v: Any, center: Any, signed: bool, sums: Any) -> list[Any]:
    """Values, and the low and the high half of their squares."""
    w = builder.select(ok, (builder.sext if signed else builder.zext)(v, _vector(_I32)), _all(_I32, 0))
    q = builder.mul(w, w)
    halves = q, ir.Constant(q.type, None)
    if v.type.element.width > 8:
        halves = builder.and_(q, _all(_I32, 0xFFFF)), builder.lshr(q, _all(_I32, 16))
    return [builder.add(old, new) for old, new in zip(sums, (w, *halves), strict=True)]


def _vector(t: Any) -> Any:
    return ir.VectorType(t, LANES)


def _all(t: Any, value: float) -> Any:
    return ir.Constant(_vector(t), [value] * LANES)


def _splat(builder: Any, value: Any) -> Any:
    nothing = ir.Constant(_vector(value.type), ir.Undefined)
    first = builder.insert_element(nothing, value, ir.Constant(_I32, 0))
    return builder.shuffle_vector(first, nothing, _all(_I32, 0))


def _load(builder: Any, array: Any, at: Any, element: Any, align: int) -> Any:
    address = builder.bitcast(builder.gep(array.data, [at]), _vector(element).as_pointer())
    loaded = builder.load(address)
    loaded.align = align
    return loaded


def _prefetch(builder: Any, array: Any, at: Any) -> None:
    """Ask for what comes later, which may lie beyond the array: nothing is read."""
    ask_for(builder, builder.gep(array.data, [at]))


def _fused(builder: Any, a: Any, b: Any, c: Any) -> Any:
    """``a * b + c`` rounded once, on any processor."""
    wide = _vector(_F64)
    fma = cgutils.get_or_insert_function(builder.module, ir.FunctionType(wide, [wide] * 3), f"llvm.fma.v{LANES}f64")
    return builder.call(fma, (a, b, c))


def _tree(builder: Any, v: Any, f: Any) -> Any:
    """All lanes as one: lane i takes in lane i + step."""
    step = LANES // 2
    while step:
        shifted = [(i + step) % LANES for i in range(LANES)]
        v = f(v, builder.shuffle_vector(v, v, ir.Constant(_vector(_I32), shifted)))
        step //= 2
    return builder.extract_element(v, ir.Constant(_I32, 0))
