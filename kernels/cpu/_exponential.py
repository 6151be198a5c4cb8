"""exp in float32, in operations that vectorise and that a GPU does alike."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from fastprep.kernels.cpu._numba import fma, inline

_LOG2E = np.float32(1.4426950408889634)
# ln 2 in two parts: the first has so few bits that its product with an exponent is exact.
_LN2_HIGH = np.float32(0.693359375)
_LN2_LOW = np.float32(-2.12194440e-4)
_MOST = np.float32(88.0)
_LEAST = np.float32(87.0)
_ROUNDER = np.float32(1.5 * 2**23)


@intrinsic  # type: ignore[untyped-decorator]
def _power_of_two(typing_context: Any, shifted: Any) -> Any:
    """2 ** n of a float32 that is n + 1.5 * 2 ** 23, from its bits."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        word = ir.IntType(32)
        bits = builder.bitcast(args[0], word)
        moved = builder.shl(builder.add(bits, ir.Constant(word, 127)), ir.Constant(word, 23))
        return builder.bitcast(moved, ir.FloatType())

    return types.float32(types.float32), generate


@inline
def exponential_less_one(x: Any) -> Any:
    """``exp(x) - 1`` of a float32, without losing the digits of a small x; held beyond 88, NaN stays NaN."""
    x = x if x < _MOST else (_MOST if x >= _MOST else x)
    x = x if x > -_MOST else (-_MOST if x <= -_MOST else x)
    shifted = fma(x, _LOG2E, _ROUNDER)
    n = shifted - _ROUNDER
    r = fma(n, -_LN2_HIGH, x)
    r = fma(n, -_LN2_LOW, r)
    # Taylor, |r| <= ln 2 / 2: the next term is below half an ulp.
    p = np.float32(1 / 5040)
    p = fma(p, r, np.float32(1 / 720))
    p = fma(p, r, np.float32(1 / 120))
    p = fma(p, r, np.float32(1 / 24))
    p = fma(p, r, np.float32(1 / 6))
    p = fma(p, r, np.float32(0.5))
    p = fma(p * r, r, r)
    scale = _power_of_two(shifted)
    return fma(p, scale, scale - np.float32(1))


@inline
def falling_exponential(x: Any) -> Any:
    """``exp(x)`` of a float32 that is at most 0, within 2e-7 of itself; held below -87."""
    x = x if x > -_LEAST else -_LEAST
    shifted = fma(x, _LOG2E, _ROUNDER)
    n = shifted - _ROUNDER
    r = fma(n, -_LN2_HIGH, x)
    r = fma(n, -_LN2_LOW, r)
    # Minimax of the relative error, |r| <= ln 2 / 2.
    p = np.float32(0.008312525)
    p = fma(p, r, np.float32(0.041890113))
    p = fma(p, r, np.float32(0.166671145))
    p = fma(p, r, np.float32(0.499992318))
    p = fma(p * r, r, r)
    scale = _power_of_two(shifted)
    return fma(p, scale, scale)
