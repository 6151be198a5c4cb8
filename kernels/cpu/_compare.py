"""The smaller and the larger of two rows, in vectors: the compiler does not see by itself that rows are apart."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

#: Bytes at a time: rows begin and end with whole ones.
BLOCK = 64


@intrinsic  # type: ignore[untyped-decorator]
def compare(typing_context: Any, room: Any, a: Any, b: Any, least: Any, most: Any, blocks: Any) -> Any:
    """The smaller values of the rows of ``room`` from ``a`` and ``b`` on to ``least``, the larger to ``most``.

    All are elements of a flat array; a result below 0 is not wanted. A result may be in place of what is compared.
    """
    kind = room.dtype
    lanes = BLOCK * 8 // kind.bitwidth

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        element = context.get_value_type(kind)
        vector = ir.VectorType(element, lanes)
        zero, step = ir.Constant(args[1].type, 0), ir.Constant(args[1].type, lanes)

        def where(start: Any, index: Any) -> Any:
            place = builder.gep(data, [builder.add(start, builder.mul(index, step))])
            return builder.bitcast(place, vector.as_pointer())

        def loop(wanted: tuple[bool, bool]) -> None:
            with cgutils.for_range(builder, args[5]) as each:
                u, v = (builder.load(where(start, each.index), align=kind.bitwidth // 8) for start in args[1:3])
                if isinstance(kind, types.Float):
                    smaller = builder.fcmp_ordered("<", u, v)
                else:
                    smaller = (builder.icmp_signed if kind.signed else builder.icmp_unsigned)("<", u, v)
                results = builder.select(smaller, u, v), builder.select(smaller, v, u)
                for result, start, asked in zip(results, args[3:5], wanted, strict=True):
                    if asked:
                        builder.store(result, where(start, each.index), align=kind.bitwidth // 8)

        low, high = (builder.icmp_signed(">=", start, zero) for start in args[3:5])
        with builder.if_else(builder.and_(low, high)) as (both, one):
            with both:
                loop((True, True))
            with one, builder.if_else(low) as (first, second):
                with first:
                    loop((True, False))
                with second:
                    loop((False, True))
        return context.get_dummy_value()

    return types.void(room, *(types.int64,) * 5), generate
