"""Arrays as callers bring them: every dtype, every memory layout, and what tests ask of each."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import scipy.ndimage as ndi

from fastprep import registry
from fastprep.testing.assertions import assert_same

Array = npt.NDArray[Any]

DTYPES = ("bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "float16", "float32", "float64")


def values(shape: Sequence[int], dtype: str, seed: int = 0) -> Array:
    """Random numbers over the whole range of narrow integers, and over that of CT for the rest."""
    rng = np.random.default_rng(seed)
    kind = np.dtype(dtype)
    if kind.kind == "b":
        return rng.random(shape) > 0.5
    if kind.kind in "iu":
        info = np.iinfo(kind)
        low, high = max(info.min, -100_000), min(info.max, 100_000)
        return rng.integers(low, high, shape, dtype=kind, endpoint=True)
    return (rng.standard_normal(shape) * 500).astype(kind)


def _sliced(x: Array) -> Array:
    wide = np.zeros([2 * n + 1 for n in x.shape], x.dtype)
    view = wide[tuple(slice(1, None, 2) for _ in x.shape)]
    view[...] = x
    return view


def _unaligned(x: Array) -> Array:
    memory = np.zeros(x.nbytes + 1, np.uint8)[1:].view(x.dtype).reshape(x.shape)
    memory[...] = x
    return memory


def _read_only(x: Array) -> Array:
    copy = x.copy()
    copy.setflags(write=False)
    return copy


#: The same values in other memory.
LAYOUTS: dict[str, Callable[[Array], Array]] = {
    "contiguous": lambda x: x.copy(),
    "read-only": _read_only,
    "sliced": _sliced,
    "reversed": lambda x: np.flip(np.flip(x).copy()),
    "transposed": lambda x: np.asfortranarray(x),
    "big-endian": lambda x: x.astype(x.dtype.newbyteorder(">")),
    "unaligned": _unaligned,
}


def check_layouts(
    call: Callable[[Any], Any],
    truth: Array,
    x: Array,
    put: Callable[[Any], Any],
    backend: str,
    *,
    tolerance: float,
    scale: float | None = None,
) -> None:
    """``call`` gives ``truth`` for ``x`` in every layout, and leaves its input as it was."""
    for name, layout in LAYOUTS.items():
        if backend == "gpu" and name in ("big-endian", "unaligned", "read-only"):
            continue
        given = layout(x)
        before = given.tobytes()
        there = put(given)
        try:
            assert_same(call(there), truth, there, tolerance=tolerance, scale=scale)
        except AssertionError as error:
            raise AssertionError(f"{name}: {error}") from error
        assert given.tobytes() == before, f"{name}: the input was modified"


def one_for_all(masks: Any) -> Any:
    """The first of masks (B, Z, Y, X), as kernels see it, for every volume."""
    if isinstance(masks, np.ndarray):
        return np.broadcast_to(masks[:1], masks.shape)
    return dataclasses.replace(masks, strides=(0, *masks.strides[1:]))


def same_error(call: Callable[[], Any], error: type[Exception], match: str) -> None:
    """``call`` fails as ``error`` here, and on the reference with the same words."""
    with pytest.raises(error, match=match) as here:
        call()
    with registry.backend("reference"), pytest.raises(error) as there:
        call()
    assert type(here.value) is type(there.value)
    assert str(here.value) == str(there.value)


def tolerance(op: str) -> float:
    return registry.find_op(op).tolerance


def matrix_of(scale: Sequence[float], offset: Sequence[float]) -> Array:
    """4x4 of ``input = scale * output + offset`` per axis."""
    matrix = np.eye(4)
    for axis, (k, o) in enumerate(zip(scale, offset, strict=True)):
        matrix[axis, axis], matrix[axis, 3] = k, o
    return matrix


def coordinates(matrix: Array, shape: Sequence[int]) -> Array:
    """Input index (ndim, *shape) of every output voxel."""
    n = len(shape)
    where = np.einsum("ij,j...->i...", matrix[:n, :n], np.indices(shape, dtype=np.float64))
    return where + matrix[:n, 3].reshape(n, *[1] * n)


def interpolated(x: Array, where: Array, order: int, fill: float) -> Array:
    """float64 truth by SciPy under fastprep's rule of the half voxel; ``where`` rounded as fastprep rounds it."""
    at = np.round(where, 9)
    size = np.array(x.shape).reshape(-1, *[1] * x.ndim)
    inside = ((at >= -0.5) & (at < size - 0.5)).all(axis=0)
    if order == 0:
        index = np.clip(np.floor(at + 0.5).astype(int), 0, size - 1)
        return np.where(inside, x[tuple(index)], np.array(fill).astype(x.dtype))
    mode = "mirror" if order == 3 else "nearest"
    return np.where(inside, ndi.map_coordinates(x.astype(np.float64), at, order=order, mode=mode), fill)


def on_an_edge(where: Array, shape: Sequence[int], order: int | str) -> npt.NDArray[np.bool_]:
    """Output voxels where ITK's rounding of the coordinate decides: the border, and halfway for orders that choose."""
    size = np.array(shape).reshape(-1, *[1] * len(shape))
    edge = (np.abs(where + 0.5) < 1e-9) | (np.abs(where - size + 0.5) < 1e-9)
    if order in ("nearest", "onehot", 0):
        edge |= np.abs(where - np.floor(where) - 0.5) < 1e-9
    return np.asarray(edge.any(axis=0))
