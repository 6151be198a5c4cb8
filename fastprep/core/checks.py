"""Checks that several operations share, each with one message."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastprep.core.errors import ArgumentError, DTypeError, ShapeError, TooLargeError

#: Linear interpolation of each label's indicator, for labels alone.
ONEHOT = -1
#: Interpolation orders by name and number.
ORDERS = {"nearest": 0, "linear": 1, "cubic": 3, "onehot": ONEHOT}


def check_order(order: int | str) -> int:
    """0, 1, 3 or ONEHOT."""
    number = ORDERS.get(order) if isinstance(order, str) else order
    if number not in (0, 1, 3, ONEHOT):
        msg = f"order={order!r}: expected 'nearest', 'linear', 'cubic' (or 0, 1, 3), or 'onehot' for labels"
        raise ArgumentError(msg)
    return int(number)


def check_range(lo: float, hi: float, *, name: str) -> tuple[float, float]:
    """Two numbers, the first below the second."""
    if not lo < hi or math.isinf(lo) or math.isinf(hi):
        msg = f"{name}=({lo}, {hi}): expected two finite numbers, the first below the second"
        raise ArgumentError(msg)
    return float(lo), float(hi)


def check_space(shape: Sequence[int], ndim: int, *, name: str = "x") -> tuple[tuple[int, ...], tuple[int, ...]]:
    """``shape`` split into leading (batch, channel) and space axes."""
    if ndim not in (2, 3) or len(shape) < ndim or 0 in shape:
        what = f"{name} of shape {tuple(shape)}"
        msg = f"{what}: expected at least {ndim} axes, 2 or 3 of them space, none of length zero"
        raise ShapeError(msg)
    cut = len(shape) - ndim
    return tuple(shape[:cut]), tuple(shape[cut:])


def check_interpolable(dtype: np.dtype[Any], order: int) -> None:
    """Masks are not blended, and one-hot labels are whole numbers."""
    if dtype.kind == "b" and order in (1, 3):
        msg = "x of dtype bool: a mask can't be blended, use order='nearest' or 'onehot'"
        raise DTypeError(msg)
    if dtype.kind == "f" and order == ONEHOT:
        msg = f"x of dtype {dtype}: order='onehot' expects labels, whole numbers or bool"
        raise DTypeError(msg)


def float_for(dtype: np.dtype[Any]) -> str:
    """The dtype rule of intensity operations: floats keep their type, integers and bool become float32."""
    return dtype.name if dtype.kind == "f" else "float32"


def check_memory(shape: Sequence[int], dtype: str) -> None:
    """TooLargeError when an array of this shape would not fit into this machine's memory."""
    need = math.prod(shape) * np.dtype(dtype).itemsize
    have = _physical_memory()
    if need > have:
        what = f"a result of shape {tuple(shape)} {dtype}"
        msg = f"{what} takes {need / 2**30:.1f} GiB; this machine has {have / 2**30:.1f} GiB"
        raise TooLargeError(msg)


def _physical_memory() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 2**63 - 1
