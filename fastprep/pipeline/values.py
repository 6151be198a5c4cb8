"""Values of steps as YAML and Python give them: checked and made plain when a step is made."""

from __future__ import annotations

import difflib
import math
import numbers
from collections.abc import Mapping, Sequence
from typing import Any

from fastprep.core.checks import ORDERS, check_order
from fastprep.core.errors import ArgumentError
from fastprep.core.index_map import check_shape


def unknown(what: str, name: Any, known: Mapping[str, Any]) -> str:
    """The message for a name that is not there, with the nearest one that is."""
    near = difflib.get_close_matches(str(name), list(known), n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"expected one of {', '.join(known)}"
    return f"unknown {what} {name!r}: {hint}"


def number(name: str, value: Any) -> float:
    """A real number, infinity included."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or value != value:
        msg = f"{name}={value!r}: expected a number"
        raise ArgumentError(msg)
    return float(value)


def positive(name: str, value: Any) -> float:
    """A finite number above 0."""
    found = number(name, value)
    if not 0 < found < math.inf:
        msg = f"{name}={value!r}: expected a number above 0"
        raise ArgumentError(msg)
    return found


def flag(name: str, value: Any) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        msg = f"{name}={value!r}: expected true or false"
        raise ArgumentError(msg)
    return value


def whole(name: str, value: Any) -> int:
    """A whole number."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        msg = f"{name}={value!r}: expected a whole number"
        raise ArgumentError(msg)
    return int(value)


def count(name: str, value: Any, *, least: int = 1, most: int | None = None) -> int:
    """A whole number of at least ``least`` and at most ``most``."""
    found = whole(name, value)
    if found < least or (most is not None and found > most):
        msg = f"{name}={value!r}: expected " + (f"at least {least}" if most is None else f"{least} to {most}")
        raise ArgumentError(msg)
    return found


def counts(name: str, value: Any, *, least: int = 1) -> int | tuple[int, ...]:
    """One whole number for all axes, or a list with one for each."""
    if isinstance(value, numbers.Integral):
        return count(name, value, least=least)
    return tuple(count(name, v, least=least) for v in sequence(name, value))


def sequence(name: str, value: Any) -> tuple[Any, ...]:
    """A list as a tuple."""
    if isinstance(value, str) or not isinstance(value, Sequence):
        msg = f"{name}={value!r}: expected a list"
        raise ArgumentError(msg)
    return tuple(value)


def several(name: str, value: Any, n: int) -> tuple[float, ...]:
    """A list of ``n`` numbers."""
    values = tuple(number(name, v) for v in sequence(name, value))
    if len(values) != n:
        msg = f"{name}={value!r}: expected {n} numbers"
        raise ArgumentError(msg)
    return values


def shape(value: Any) -> tuple[int, ...]:
    """A shape of 2 or 3 axes."""
    return check_shape(tuple(whole("shape", n) for n in sequence("shape", value)))


def order_name(order: int | str) -> str:
    """The name of an order given as a number, so that equal steps have one form."""
    return next(name for name, number in ORDERS.items() if number == check_order(order))


def set_fields(step: Any, **fields: Any) -> None:
    """Checked values into a frozen step, in its ``__post_init__`` only."""
    for key, value in fields.items():
        object.__setattr__(step, key, value)
