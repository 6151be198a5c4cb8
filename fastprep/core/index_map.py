"""IndexMap: the one spatial map that reorient, crop, pad, flip, resample and affine augmentation all are."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.core.errors import ArgumentError, GeometryError, ShapeError
from fastprep.core.grid import Grid, check_spacing, closest_axes

#: Off-diagonal entries below this fraction of a voxel over the whole axis are rounding, not rotation.
_ALIGNED = 1e-9


@dataclass(frozen=True, eq=False)
class IndexMap:
    """An output shape and the 4x4 matrix from output index to input index, both in array-axis order.

    Closed under composition: ``first.then(second)`` samples the input of ``first`` on the output of ``second``.
    2-D maps use the first two rows and columns; the third axis stays itself.

    Examples
    --------
    Twice as many voxels along z, the first centre kept:

    >>> m = IndexMap.spacing_change((10, 4), (2.0, 1.0), (1.0, 1.0))
    >>> m.shape, m.to_input([5, 3]).tolist()
    ((20, 4), [2.5, 3.0])
    """

    shape: tuple[int, ...]
    matrix: npt.NDArray[np.float64]

    def __post_init__(self) -> None:
        shape = check_shape(self.shape)
        # Plus zero: -0.0 is 0.0, so that equal maps have equal bytes and hashes.
        matrix = np.array(self.matrix, dtype=np.float64) + 0.0
        if matrix.shape != (4, 4) or not np.isfinite(matrix).all():
            msg = f"matrix={matrix.tolist()}: expected a finite 4x4, output index to input index"
            raise GeometryError(msg)
        if not np.array_equal(matrix[3], (0, 0, 0, 1)):
            msg = f"last row of the matrix is {matrix[3].tolist()}: expected [0, 0, 0, 1]"
            raise GeometryError(msg)
        if abs(np.linalg.det(matrix[:3, :3])) < 1e-12:
            msg = f"matrix={matrix.tolist()}: singular, the output would lie in one plane of the input"
            raise GeometryError(msg)
        matrix.setflags(write=False)
        object.__setattr__(self, "shape", shape)
        object.__setattr__(self, "matrix", matrix)

    @classmethod
    def scaled(cls, shape: Sequence[int], scale: Sequence[float], offset: Sequence[float]) -> IndexMap:
        """``input = scale * output + offset`` along each axis."""
        matrix = np.eye(4)
        for axis, (s, o) in enumerate(zip(scale, offset, strict=True)):
            matrix[axis, axis] = s
            matrix[axis, 3] = o
        return cls(tuple(shape), matrix)

    @classmethod
    def identity(cls, shape: Sequence[int]) -> IndexMap:
        """Every voxel from itself."""
        return cls(tuple(shape), np.eye(4))

    @classmethod
    def flip(cls, shape: Sequence[int], axes: Sequence[int]) -> IndexMap:
        """Axes reversed: ``input = n - 1 - output``; its own inverse."""
        chosen = {normalize_axis(a, len(shape)) for a in axes}
        scale = [-1.0 if a in chosen else 1.0 for a in range(len(shape))]
        return cls.scaled(shape, scale, [n - 1.0 if s < 0 else 0.0 for n, s in zip(shape, scale, strict=True)])

    @classmethod
    def crop(cls, start: Sequence[int], stop: Sequence[int]) -> IndexMap:
        """The box ``start <= index < stop`` of the input; beyond the input it pads."""
        shape = [b - a for a, b in zip(start, stop, strict=True)]
        return cls.scaled(shape, [1.0] * len(shape), [float(a) for a in start])

    @classmethod
    def centered(cls, shape: Sequence[int], new_shape: Sequence[int]) -> IndexMap:
        """Crop and pad about the centre: of an odd difference the larger half is cut or added at the end."""
        start = [(n - m) // 2 if n >= m else -((m - n) // 2) for n, m in zip(shape, new_shape, strict=True)]
        return cls.crop(start, [a + m for a, m in zip(start, new_shape, strict=True)])

    @classmethod
    def fitted(
        cls, shape: Sequence[int], spacing: Sequence[float], new_shape: Sequence[int], *, keep_aspect: bool = True
    ) -> IndexMap:
        """The whole field of view into ``new_shape``, centre on centre.

        With ``keep_aspect`` to voxels of one size in mm along all axes, as small as they can be; some lie beyond the
        input then. Without, each axis is stretched by itself.
        """
        old, wanted = check_spacing(spacing, len(shape)), check_shape(new_shape)
        if len(wanted) != len(shape):
            msg = f"shape={wanted}: expected {len(shape)} axes"
            raise ShapeError(msg)
        steps = [n * s / m for n, s, m in zip(shape, old, wanted, strict=True)]
        scale = [(max(steps) if keep_aspect else t) / s for t, s in zip(steps, old, strict=True)]
        offset = [(n - 1) / 2 - (m - 1) / 2 * k for n, m, k in zip(shape, wanted, scale, strict=True)]
        return cls.scaled(wanted, scale, offset)

    @classmethod
    def reorient(cls, grid: Grid, axcodes: Sequence[str]) -> IndexMap:
        """Axes permuted and flipped so that each runs closest to the wanted direction."""
        wanted = check_axcodes(axcodes, grid.ndim)
        have = closest_axes(grid.affine)
        matrix = np.zeros((4, 4))
        matrix[3, 3] = 1
        shape = []
        for out_axis, code in enumerate(wanted):
            world, positive = _CODES[code]
            if world not in have[: grid.ndim]:
                msg = f"axcodes={''.join(wanted)}: no axis of {''.join(grid.axcodes)} runs along {code}"
                raise ArgumentError(msg)
            axis = have.index(world)
            n = grid.shape[axis]
            shape.append(n)
            same = (grid.affine[world, axis] > 0) == positive
            matrix[axis, out_axis] = 1.0 if same else -1.0
            matrix[axis, 3] = 0.0 if same else n - 1.0
        for axis in range(grid.ndim, 3):
            matrix[axis, axis] = 1.0
        return cls(tuple(shape), matrix)

    @classmethod
    def spacing_change(
        cls,
        shape: Sequence[int],
        spacing: Sequence[float],
        new_spacing: Sequence[float],
        *,
        grid: str = "itk",
        new_shape: Sequence[int] | None = None,
    ) -> IndexMap:
        """From voxels of ``spacing`` to voxels of ``new_spacing``, by one of the named conventions of `GRIDS`."""
        old = check_spacing(spacing, len(shape))
        new = check_spacing(new_spacing, len(shape), name="new_spacing")
        if grid not in GRIDS:
            msg = f"grid={grid!r}: expected one of {', '.join(GRIDS)}"
            raise ArgumentError(msg)
        given: Sequence[int | None] = [None] * len(shape) if new_shape is None else check_shape(new_shape)
        if len(given) != len(shape):
            msg = f"shape={tuple(given)}: expected {len(shape)} axes"
            raise ShapeError(msg)
        axes = [GRIDS[grid](n, s, t, m) for n, s, t, m in zip(shape, old, new, given, strict=True)]
        return cls.scaled([m for m, _, _ in axes], [k for _, k, _ in axes], [o for _, _, o in axes])

    @classmethod
    def between(cls, source: Grid, target: Grid) -> IndexMap:
        """Sample ``source`` on the voxels of ``target``, wherever in the patient that is."""
        return cls(target.shape, np.linalg.inv(source.affine) @ target.affine)

    @property
    def ndim(self) -> int:
        """2 or 3."""
        return len(self.shape)

    @property
    def is_axis_aligned(self) -> bool:
        """True when every input axis follows exactly one output axis: no rotation, no shear."""
        return self.axis_order is not None

    @property
    def axis_order(self) -> tuple[int, ...] | None:
        """The input axis behind each output axis, or None when the map is oblique."""
        return self._facts[0]

    @property
    def is_lossless(self) -> bool:
        """True when every output index falls on an input index: nothing is interpolated."""
        return self._facts[1]

    @property
    def _facts(self) -> tuple[tuple[int, ...] | None, bool]:
        """What every use of a map asks first, found once.

        Not a cached_property: before Python 3.12 its lock, held in another thread at a fork, stays locked in the child.
        """
        known: tuple[tuple[int, ...] | None, bool] | None = self.__dict__.get("_known")
        if known is None:
            order = self._find_axis_order()
            known = order, order is not None and self._falls_on_voxels()
            object.__setattr__(self, "_known", known)
        return known

    def _find_axis_order(self) -> tuple[int, ...] | None:
        block = np.abs(self.matrix[: self.ndim, : self.ndim])
        order = block.argmax(axis=0)
        rest = block.copy()
        rest[order, np.arange(self.ndim)] = 0
        if len(set(order.tolist())) != self.ndim or (rest * (np.array(self.shape) - 1)).max() > _ALIGNED:
            return None
        if np.abs(self.matrix[self.ndim : 3, 3]).max(initial=0.0) > _ALIGNED:
            return None
        return tuple(int(a) for a in order)

    def _falls_on_voxels(self) -> bool:
        block = self.matrix[: self.ndim, : self.ndim]
        offset = self.matrix[: self.ndim, 3]
        unit = np.isin(np.round(block, 12), (-1.0, 0.0, 1.0)).all()
        return bool(unit and np.abs(offset - np.round(offset)).max() < _ALIGNED)

    def then(self, after: IndexMap) -> IndexMap:
        """First this map, then ``after`` on its output."""
        return IndexMap(after.shape, self.matrix @ after.matrix)

    def inverse(self, shape: Sequence[int]) -> IndexMap:
        """The map back onto the input, whose shape an IndexMap does not know."""
        return IndexMap(tuple(shape), np.asarray(np.linalg.inv(self.matrix), dtype=np.float64))

    def to_input(self, points: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Input index of output-index points, shape (..., ndim)."""
        p = np.asarray(points, dtype=np.float64)
        return np.asarray(p @ self.matrix[: self.ndim, : self.ndim].T + self.matrix[: self.ndim, 3])

    def to_output(self, points: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Output index of input-index points: where a landmark of the input lies in the result."""
        return self.inverse(self.shape).to_input(points)

    def grid(self, source: Grid) -> Grid:
        """The exact grid of the result on a source grid."""
        return Grid(self.shape, source.affine @ self.matrix)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, IndexMap) and self.shape == other.shape and np.array_equal(self.matrix, other.matrix)

    def __hash__(self) -> int:
        return hash((self.shape, self.matrix.tobytes()))

    def __reduce__(self) -> tuple[type[IndexMap], tuple[Any, ...]]:
        # Arrays come out of a pickle writable; made anew, a map is immutable in every process.
        return (IndexMap, (self.shape, self.matrix))

    def __repr__(self) -> str:
        rows = "; ".join(" ".join(f"{v:.6g}" for v in row) for row in self.matrix[:3])
        return f"IndexMap(shape={self.shape}, matrix=[{rows}])"


#: One axis of a named grid: (n, spacing, new spacing, given shape or None) -> (m, scale, offset), where
#: ``input index = scale * output index + offset``.
Convention = Callable[[int, float, float, "int | None"], tuple[int, float, float]]


def _itk(n: int, s: float, t: float, m: int | None) -> tuple[int, float, float]:
    """The first voxel's centre stays; shape round(n s / t)."""
    return _given(m, _round(n * s / t)), t / s, 0.0


def _edges(n: int, s: float, t: float, m: int | None) -> tuple[int, float, float]:
    """The field of view stays: scale is the ratio of shapes (nnU-Net, torch align_corners=False)."""
    size = _given(m, round(s / t * n))
    return size, n / size, 0.5 * n / size - 0.5


def _monai(n: int, s: float, t: float, m: int | None) -> tuple[int, float, float]:
    """MONAI Spacing: the first centre stays; shape round((n - 1) s / t + 1)."""
    # In the order of the linear solver behind MONAI, which multiplies by 1 / t.
    return _given(m, round(s * (1 / t) * (n - 1) + 1)), t / s, 0.0


def _torchio(n: int, s: float, t: float, m: int | None) -> tuple[int, float, float]:
    """TorchIO Resample: the volume's centre stays; shape floor(n s / t), one slice stays one."""
    size = _given(m, 1 if n == 1 else math.floor(n * s / t))
    return size, t / s, (n - 1) / 2 - (size - 1) / 2 * t / s


def _scipy(n: int, s: float, t: float, m: int | None) -> tuple[int, float, float]:
    """scipy.ndimage.zoom: the first and last centres stay, so the true spacing is (n - 1) s / (m - 1)."""
    size = _given(m, round(n * (s / t)))
    return size, (n - 1) / (size - 1) if size > 1 and n > 1 else 1.0, 0.0


def _given(m: int | None, computed: int) -> int:
    return m if m is not None else max(computed, 1)


def _round(x: float) -> int:
    # Spacings such as 0.7 are not exact in binary: 10 * 0.7 / 1.4 must not round as 4.999... Only our own convention
    # sees to that; the named peers' sizes are theirs to the last bit.
    return round(round(x, 9))


GRIDS: dict[str, Convention] = {
    "itk": _itk,
    "edges": _edges,
    "monai": _monai,
    "torchio": _torchio,
    "scipy": _scipy,
}

_CODES = {"R": (0, True), "L": (0, False), "A": (1, True), "P": (1, False), "S": (2, True), "I": (2, False)}


def check_axcodes(axcodes: Sequence[str], ndim: int) -> tuple[str, ...]:
    """``axcodes`` as one letter per array axis, or ArgumentError."""
    codes = tuple(str(c).upper() for c in axcodes)
    if len(codes) != ndim or not all(c in _CODES for c in codes) or len({_CODES[c][0] for c in codes}) != ndim:
        given = "".join(map(str, axcodes))
        msg = f"axcodes={given!r}: expected {ndim} of R/L, A/P, S/I, each pair once, in array-axis order"
        raise ArgumentError(msg)
    return codes


def check_shape(shape: Sequence[int], *, name: str = "shape") -> tuple[int, ...]:
    """``shape`` as positive ints, or ShapeError."""
    sizes = tuple(int(n) for n in shape)
    if len(sizes) not in (2, 3) or any(n < 1 for n in sizes) or any(n != m for n, m in zip(sizes, shape, strict=True)):
        msg = f"{name}={tuple(shape)}: expected 2 or 3 whole numbers of at least 1"
        raise ShapeError(msg)
    return sizes


def normalize_axis(axis: int, ndim: int) -> int:
    """A space axis counted from 0, negative ones from the end, or ArgumentError."""
    if not -ndim <= axis < ndim:
        msg = f"axis={axis}: expected {-ndim} to {ndim - 1}"
        raise ArgumentError(msg)
    return axis % ndim
