"""Blends of 4 or 8 table entries that lie side by side, of four voxels at a time, as vectors."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

#: Voxels that are blended together.
VOXELS = 4

_FLOAT, _INT = ir.FloatType(), ir.IntType(32)


def _mixer(lanes: int, between: bool) -> Any:
    def mix(
        context: Any,
        table: Any,
        base: Any,
        index: Any,
        filled: Any,
        near: Any,
        far: Any,
        i: Any,
        near_y: Any,
        far_y: Any,
        near_z: Any,
        far_z: Any,
        line: Any,
    ) -> Any:
        """``line[i : i + 4]``: rows ``base + index[i]`` of a table (bins, lanes), blended along x, then y, and z of 8.

        Lanes are (x, y) or (x, y, z), x slowest, weighed by ``near[i]`` and ``far[i]``, then the others. Where values
        lie between entries, ``filled[i]`` of the way from one row to the next.
        """

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            def vector_at(array: int, at: Any, width: int) -> Any:
                data = context.make_array(signature.args[array])(context, builder, args[array]).data
                return builder.bitcast(builder.gep(data, [at]), ir.VectorType(_FLOAT, width).as_pointer())

            def load(array: int, at: Any, width: int) -> Any:
                loaded = builder.load(vector_at(array, at, width))
                loaded.align = 4
                return loaded

            def chosen(one: Any, two: Any, which: list[int]) -> Any:
                return builder.shuffle_vector(one, two, ir.Constant(ir.VectorType(_INT, len(which)), which))

            def every(value: Any, width: int) -> Any:
                empty = ir.Constant(ir.VectorType(_FLOAT, width), ir.Undefined)
                one = builder.insert_element(empty, value, ir.Constant(_INT, 0))
                return chosen(one, one, [0] * width)

            def blended(left: Any, near: Any, right: Any, far: Any) -> Any:
                return builder.fadd(builder.fmul(left, near), builder.fmul(right, far))

            def item(array: int, voxel: int) -> Any:
                data = context.make_array(signature.args[array])(context, builder, args[array]).data
                return builder.load(builder.gep(data, [builder.add(args[6], ir.Constant(args[6].type, voxel))]))

            def entries(voxel: int) -> Any:
                wide = ir.IntType(64)
                row = builder.zext(builder.add(item(2, voxel), args[1]), wide)
                row = builder.mul(row, ir.Constant(wide, lanes))
                values = load(0, row, lanes)
                if between:
                    top = load(0, builder.add(row, ir.Constant(wide, lanes)), lanes)
                    way = every(item(3, voxel), lanes)
                    values = builder.fadd(values, builder.fmul(builder.fsub(top, values), way))
                if lanes == 4:
                    return values
                left, right = chosen(values, values, [0, 1, 2, 3]), chosen(values, values, [4, 5, 6, 7])
                return blended(left, every(item(4, voxel), 4), right, every(item(5, voxel), 4))

            rows = [entries(voxel) for voxel in range(VOXELS)]
            lower = [chosen(rows[k], rows[k + 1], [0, 4, 1, 5]) for k in (0, 2)]
            upper = [chosen(rows[k], rows[k + 1], [2, 6, 3, 7]) for k in (0, 2)]
            # A lane of each voxel: (x, y) of 4, (y, z) of 8.
            pieces = (lower, [0, 1, 4, 5]), (lower, [2, 3, 6, 7]), (upper, [0, 1, 4, 5]), (upper, [2, 3, 6, 7])
            a, b, c, d = (chosen(half[0], half[1], which) for half, which in pieces)
            inner = [every(args[k], VOXELS) for k in (7, 8)]
            if lanes == 4:
                outer, inner = inner, [load(k, args[6], VOXELS) for k in (4, 5)]
            else:
                outer = [every(args[k], VOXELS) for k in (9, 10)]
            result = blended(blended(a, inner[0], c, inner[1]), outer[0], blended(b, inner[0], d, inner[1]), outer[1])
            builder.store(result, vector_at(11, args[6], VOXELS)).align = 4
            return context.get_dummy_value()

        real = types.float32
        taken = table, types.uint32, index, filled, near, far, types.intp, real, real, real, real, line
        return types.void(*taken), generate

    return intrinsic(mix)


mix_four = _mixer(4, between=False)
mix_eight = _mixer(8, between=False)
mix_four_between = _mixer(4, between=True)
mix_eight_between = _mixer(8, between=True)
