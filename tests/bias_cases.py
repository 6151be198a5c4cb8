"""Heads for tests of the bias correctors: two tissues, a smooth field, noise, and a mask."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastprep.testing.assertions import assert_same, to_numpy
from layouts import LAYOUTS, same_error

Array = npt.NDArray[Any]


class Head(NamedTuple):
    """An image, where it counts, and the logarithm of the field in it."""

    image: Array
    mask: npt.NDArray[np.bool_]
    log_field: Array


def head(shape: Sequence[int] = (17, 21, 26), dtype: str = "float32", *, seed: int = 0, noise: float = 0.03) -> Head:
    """A ball of white and grey, 50 and 80 before the field."""
    rng = np.random.default_rng(seed)
    at = np.meshgrid(*[(2 * np.arange(n) + 1 - n) / n for n in shape], indexing="ij")
    radius = sum(a**2 for a in at)
    mask = radius < 0.9
    tissue = np.where(radius < 0.4, 80.0, 50.0)
    log_field = 0.3 * at[-1] + 0.2 * at[-2] * at[0] - 0.15 * at[-2] ** 2
    image = np.where(mask, tissue * np.exp(log_field) * (1 + noise * rng.standard_normal(shape)), rng.random(shape))
    if np.dtype(dtype).kind in "iu":
        image = np.rint(image)
    return Head(image.astype(dtype), mask, log_field)


def check_every_layout(correct: Callable[[Any, Any], Any], put: Any, backend: str, dtype: str) -> None:
    """The same field whatever the memory looks like; the corrected image keeps a float dtype, integers are float32."""
    case = head((9, 11, 13), dtype)
    truth = to_numpy(correct(put(case.image), put(case.mask)).corrected)
    assert truth.dtype == (case.image.dtype if np.dtype(dtype).kind == "f" else np.float32)
    for name, layout in LAYOUTS.items():
        if backend == "gpu" and name in ("big-endian", "unaligned", "read-only"):
            continue
        given, marks = layout(case.image), layout(case.mask)
        before = given.tobytes()
        there = put(given)
        assert_same(correct(there, put(marks)).corrected, truth, there, tolerance=0)
        assert given.tobytes() == before, f"{name}: the input was modified"


def check_bad_input(correct: Callable[..., Any], put: Any) -> None:
    """What every corrector refuses, with the same words on every backend."""
    from fastprep.core.errors import ArgumentError, DTypeError, NonFiniteError, ShapeError

    case = head((7, 8, 9))
    x, mask = put(case.image), put(case.mask)
    same_error(lambda: correct(x, put(np.zeros((7, 8, 9), bool))), ArgumentError, "no voxel is inside the mask")
    same_error(lambda: correct(x, put(np.ones((7, 8, 8), bool))), ShapeError, r"mask of shape \(7, 8, 8\)")
    same_error(lambda: correct(x, mask, label=3), ArgumentError, "no voxel is inside")
    same_error(
        lambda: correct(x, mask, weights=put(np.full((7, 8, 9), -1, np.float32))), ArgumentError, "of weight above 0"
    )
    same_error(lambda: correct(x, mask, nan="omit"), ArgumentError, "nan='omit'")
    same_error(lambda: correct(put(np.zeros((0, 3, 4), np.float32))), ShapeError, "none of length zero")
    broken = case.image.copy()
    broken[3, 4, 4], broken[3, 4, 5] = np.nan, np.inf
    same_error(lambda: correct(put(broken), mask), NonFiniteError, "holds 2 NaN or infinite values inside the mask")
    ignored = to_numpy(correct(put(broken), mask, nan="ignore").corrected)
    assert np.isnan(ignored[3, 4, 4]) and np.isinf(ignored[3, 4, 5]) and np.isfinite(ignored).sum() == ignored.size - 2
    outside = case.image.copy()
    outside[0, 0, 0] = np.nan
    assert np.isnan(to_numpy(correct(put(outside), mask).corrected)).sum() == 1
    same_error(lambda: correct(put(np.zeros((4, 5, 6), np.complex64))), DTypeError, "complex64")


def check_even_images(correct: Callable[..., Any], put: Any) -> None:
    """A constant image, a mask of one voxel, one slice: the field is nothing, or finite."""
    flat = np.full((6, 7, 8), 5.0, np.float32)
    np.testing.assert_allclose(to_numpy(correct(put(flat)).corrected), flat, rtol=1e-5)
    case = head((6, 7, 8))
    one = np.zeros((6, 7, 8), bool)
    one[3, 3, 4] = True
    np.testing.assert_allclose(to_numpy(correct(put(case.image), put(one)).corrected), case.image, rtol=1e-5)
    for shape in ((1, 12, 13), (12, 1, 13), (5, 12, 1), (1, 1, 9), (1, 1, 1), (2, 2, 2), (2, 3, 31)):
        small = head(shape)
        result = to_numpy(correct(put(small.image + 10)).corrected)
        assert result.shape == shape
        assert np.isfinite(result).all()


def check_zeros_and_negatives(correct: Callable[..., Any], put: Any) -> None:
    """Values that have no logarithm are defined: finite everywhere, zeros stay zero."""
    case = head((9, 10, 11))
    x = case.image.copy()
    x[2:4, 3, 3:6], x[5, 5, 5] = 0, -7
    result = to_numpy(correct(put(x), put(case.mask)).corrected)
    assert np.isfinite(result).all()
    assert (result[x == 0] == 0).all()
    assert result[5, 5, 5] < 0
