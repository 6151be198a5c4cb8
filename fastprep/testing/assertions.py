"""One assertion for results of every array library: what they are first, then what they hold."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.core.errors import DTypeError
from fastprep.core.namespace import device_of, dtype_name, host_view


def assert_same(result: Any, expected: npt.ArrayLike, x: Any, *, tolerance: float, scale: float | None = None) -> None:
    """``result`` is of the library and on the device of ``x``, and holds ``expected``, dtype and shape included.

    Parameters
    ----------
    result : array of any library, as an operation returned it.
    expected : NumPy array of the same dtype and shape: the truth.
    x : the array the operation was given.
    tolerance : largest difference, as a fraction of ``scale``; beside it one rounding to the result's dtype is allowed,
        which for integers is one unit. 0 means the same values exactly.
    scale : the range of the finite values of ``expected``, unless given.

    NaN is equal to NaN, infinity to the same infinity.

    Examples
    --------
    >>> import numpy as np
    >>> hu = np.array([-1024, 40, 3071], np.int16)
    >>> assert_same(hu.astype(np.float32), hu.astype(np.float32), hu, tolerance=1e-6)
    """
    truth = np.asarray(expected)
    assert type(result) is type(x), f"a {_type(result)} from a {_type(x)}"
    here, there = _place(result), _place(x)
    assert here == there, f"result on {here} from an array on {there}"
    assert dtype_name(result.dtype) == truth.dtype.name, (
        f"dtype {dtype_name(result.dtype)}: expected {truth.dtype.name}"
    )
    assert tuple(result.shape) == truth.shape, f"shape {tuple(result.shape)}: expected {truth.shape}"
    _assert_values(to_numpy(result), truth, tolerance, scale)


def to_numpy(x: Any) -> npt.NDArray[Any]:
    """The values of an array of any library, copied to the host from wherever they are: for tests only."""
    if device_of(x) == "cpu":
        return host_view(x)
    if hasattr(x, "cpu"):
        return np.asarray(x.detach().cpu().numpy())
    if hasattr(x, "get"):
        return np.asarray(x.get())
    msg = f"x of type {_type(x)}: no known way to the host"
    raise DTypeError(msg)


def _assert_values(values: npt.NDArray[Any], truth: npt.NDArray[Any], tolerance: float, scale: float | None) -> None:
    if truth.size == 0:
        return
    if tolerance == 0 or truth.dtype.kind == "b":
        wrong = ~((values == truth) | ((values != values) & (truth != truth)))
        assert not wrong.any(), _report(values, truth, wrong, "exactly")
        return
    # longdouble holds every 64-bit integer.
    v, t = values.astype(np.longdouble), truth.astype(np.longdouble)
    finite = np.isfinite(t)
    span = float(np.ptp(t[finite])) if finite.any() else 0.0
    rounding = 1.0
    if truth.dtype.kind == "f":
        rounding = float(np.finfo(truth.dtype).eps) * float(np.abs(t[finite]).max(initial=0.0))
    allowed = tolerance * (span if scale is None else scale) + rounding
    same = (v == t) | (np.isnan(v) & np.isnan(t))
    with np.errstate(invalid="ignore"):
        wrong = ~(same | (finite & (np.abs(v - t) <= allowed)))
    assert not wrong.any(), _report(values, truth, wrong, f"within {allowed:.3g}")


def _report(values: npt.NDArray[Any], truth: npt.NDArray[Any], wrong: npt.NDArray[Any], how: str) -> str:
    with np.errstate(invalid="ignore", over="ignore"):
        error = np.where(wrong, np.abs(values.astype(np.longdouble) - truth.astype(np.longdouble)), -1)
    error[wrong & np.isnan(error)] = np.inf
    at = tuple(int(i) for i in np.unravel_index(error.argmax(), truth.shape))
    return (
        f"{wrong.sum()} of {truth.size} values differ, the worst at {at}: {values[at]!r}, expected {truth[at]!r} {how}"
    )


def _type(x: Any) -> str:
    return f"{type(x).__module__}.{type(x).__qualname__}"


def _place(x: Any) -> tuple[int, int]:
    """The DLPack device: NumPy arrays of the oldest kind are on the host too."""
    kind, number = x.__dlpack_device__()
    return int(kind), int(number)
