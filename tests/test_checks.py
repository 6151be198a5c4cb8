"""Checks and errors: one message each, and the builtin a caller would catch."""

from __future__ import annotations

import inspect
import math
from typing import Any

import numpy as np
import pytest

from fastprep.core import checks, errors
from fastprep.core.checks import (
    ONEHOT,
    check_interpolable,
    check_memory,
    check_order,
    check_range,
    check_space,
    float_for,
)
from fastprep.core.errors import ArgumentError, DTypeError, FastprepError, ShapeError, TooLargeError

ERRORS = [e for _, e in inspect.getmembers(errors, inspect.isclass) if e is not FastprepError]


@pytest.mark.parametrize("error", ERRORS, ids=lambda e: e.__name__)
def test_every_error_is_ours_and_a_builtin(error: type[Exception]) -> None:
    assert issubclass(error, FastprepError)
    builtins = [base for base in error.__mro__ if base.__module__ == "builtins" and base not in (Exception, object)]
    assert builtins, "no builtin but Exception: nobody catches it"
    assert error.__doc__
    assert error.__name__.endswith("Error")


@pytest.mark.parametrize(
    ("given", "order"),
    [("nearest", 0), ("linear", 1), ("cubic", 3), ("onehot", ONEHOT), (0, 0), (1, 1), (3, 3), (np.int64(3), 3)],
)
def test_order(given: Any, order: int) -> None:
    assert check_order(given) == order
    assert type(check_order(given)) is int


@pytest.mark.parametrize("given", ["quintic", "", "Linear", 2, 4, -2, 1.5, None, math.nan])
def test_no_order(given: Any) -> None:
    with pytest.raises(ArgumentError, match=r"order=.*expected 'nearest', 'linear', 'cubic' \(or 0, 1, 3\)"):
        check_order(given)


def test_range() -> None:
    assert check_range(-1000, 400, name="hu") == (-1000.0, 400.0)


@pytest.mark.parametrize("bounds", [(1, 1), (2, 1), (math.nan, 1), (0, math.nan), (-math.inf, 0), (0, math.inf)])
def test_no_range(bounds: tuple[float, float]) -> None:
    with pytest.raises(ArgumentError, match=r"hu=\(.*expected two finite numbers, the first below the second"):
        check_range(*bounds, name="hu")


def test_space() -> None:
    assert check_space((5, 1, 2, 3), 3) == ((5,), (1, 2, 3))
    assert check_space((2, 3), 2) == ((), (2, 3))


NO_SPACE = [((3,), 2), ((2, 3), 3), ((2, 3), 1), ((1, 2, 3, 4), 4), ((0, 2, 3), 3), ((2, 0), 2)]


@pytest.mark.parametrize(("shape", "ndim"), NO_SPACE)
def test_no_space(shape: tuple[int, ...], ndim: int) -> None:
    with pytest.raises(ShapeError, match=r"x of shape \("):
        check_space(shape, ndim)


@pytest.mark.parametrize("order", [1, 3])
def test_a_mask_is_not_blended(order: int) -> None:
    with pytest.raises(DTypeError, match="a mask can't be blended"):
        check_interpolable(np.dtype(bool), order)


def test_labels_are_whole_numbers() -> None:
    with pytest.raises(DTypeError, match="x of dtype float32: order='onehot' expects labels"):
        check_interpolable(np.dtype(np.float32), ONEHOT)
    for dtype in (bool, np.uint8, np.int64):
        check_interpolable(np.dtype(dtype), ONEHOT)
        check_interpolable(np.dtype(dtype), 0)


def test_float_rule() -> None:
    floats = {"float16": "float16", "float32": "float32", "float64": "float64", ">f4": "float32"}
    others = dict.fromkeys(["bool", "int8", "uint16", "int64", ">i2"], "float32")
    for dtype, result in (floats | others).items():
        assert float_for(np.dtype(dtype)) == result


def test_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "_physical_memory", lambda: 4 * 2**30)
    check_memory((1024, 1024, 1024), "float32")
    with pytest.raises(TooLargeError, match=r"shape \(1025, .*\) float32 takes 4\.0 GiB; .* has 4\.0 GiB") as caught:
        check_memory((1025, 1024, 1024), "float32")
    assert isinstance(caught.value, MemoryError)


def test_memory_of_this_machine_is_known() -> None:
    assert checks._physical_memory() > 2**27
    # A machine that does not tell is taken to have enough.
    with pytest.MonkeyPatch.context() as patch:
        patch.delattr("os.sysconf")
        assert checks._physical_memory() > 2**60
