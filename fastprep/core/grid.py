"""Grid: where the voxels of an array are in the patient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.core.errors import GeometryError

RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
_LETTERS = (("L", "R"), ("P", "A"), ("I", "S"))
#: Unit vectors along the axes that span less volume than this lie in one plane.
_SINGULAR = 1e-9


@dataclass(frozen=True, eq=False)
class Grid:
    """Shape of the space axes and the affine from array index to world millimetres.

    ``world = affine @ (i, j, k, 1)`` with ``(i, j, k)`` in *array-axis order* (z, y, x) and world = RAS
    (x to the patient's Right, y Anterior, z Superior). A 2-D grid uses the first two columns; its third
    is the plane's normal.

    Raises
    ------
    GeometryError
        The affine is not 4x4, not finite, singular, or the shape has no voxel.

    Examples
    --------
    A chest CT of 2 mm slices, first array axis towards the head:

    >>> grid = Grid.from_spacing((148, 512, 512), (2.0, 0.75, 0.75))
    >>> grid.axcodes
    ('S', 'A', 'R')
    """

    shape: tuple[int, ...]
    affine: npt.NDArray[np.float64]

    def __post_init__(self) -> None:
        shape = tuple(int(n) for n in self.shape)
        if len(shape) not in (2, 3) or any(n < 1 or n != m for n, m in zip(shape, self.shape, strict=True)):
            msg = f"shape={tuple(self.shape)}: expected 2 or 3 axes of at least one voxel each"
            raise GeometryError(msg)
        # Plus zero: -0.0 is 0.0, so that equal grids have equal bytes and hashes.
        affine = np.array(self.affine, dtype=np.float64) + 0.0
        if affine.shape != (4, 4):
            msg = f"affine of shape {affine.shape}: expected (4, 4), array index to RAS millimetres"
            raise GeometryError(msg)
        if not np.isfinite(affine).all():
            msg = f"affine={affine.tolist()}: holds NaN or infinity"
            raise GeometryError(msg)
        if not np.array_equal(affine[3], (0, 0, 0, 1)):
            msg = f"last row of the affine is {affine[3].tolist()}: expected [0, 0, 0, 1]"
            raise GeometryError(msg)
        columns = np.linalg.norm(affine[:3, :3], axis=0)
        if columns.min() == 0 or abs(np.linalg.det(affine[:3, :3] / columns)) < _SINGULAR:
            msg = f"affine={affine.tolist()}: singular, its axes span no volume"
            raise GeometryError(msg)
        affine.setflags(write=False)
        object.__setattr__(self, "shape", shape)
        object.__setattr__(self, "affine", affine)

    @classmethod
    def from_spacing(cls, shape: Sequence[int], spacing: Sequence[float]) -> Grid:
        """The grid of an array (z, y, x) or (y, x) whose x runs to R, y to A, z to S, from world (0, 0, 0)."""
        steps = check_spacing(spacing, len(shape))
        affine = np.zeros((4, 4))
        affine[3, 3] = 1
        for axis in range(3):
            world = len(steps) - 1 - axis if axis < len(steps) else axis
            affine[world, axis] = steps[axis] if axis < len(steps) else 1.0
        return cls(tuple(shape), affine)

    @property
    def ndim(self) -> int:
        """2 or 3."""
        return len(self.shape)

    @property
    def spacing(self) -> tuple[float, ...]:
        """Millimetres between neighbours along each array axis: the norms of the affine's columns."""
        return tuple(float(s) for s in np.linalg.norm(self.affine[:3, : self.ndim], axis=0))

    @property
    def direction(self) -> npt.NDArray[np.float64]:
        """Unit vectors of the array axes in RAS, as columns."""
        block = self.affine[:3, :3]
        return np.asarray(block / np.linalg.norm(block, axis=0))

    @property
    def origin(self) -> tuple[float, float, float]:
        """World position of the first voxel's centre."""
        x, y, z = self.affine[:3, 3].tolist()
        return (x, y, z)

    @property
    def lps(self) -> npt.NDArray[np.float64]:
        """The same affine in the LPS world of DICOM and ITK."""
        return np.asarray(RAS_TO_LPS @ self.affine)

    @property
    def axcodes(self) -> tuple[str, ...]:
        """The anatomical direction each array axis runs towards, e.g. ('S', 'P', 'L') for a DICOM CT as (z, y, x)."""
        best = closest_axes(self.affine)[: self.ndim]
        return tuple(_LETTERS[world][int(self.affine[world, axis] > 0)] for axis, world in enumerate(best))

    @property
    def shear(self) -> float:
        """Largest absolute cosine between two axes: 0 for an orthogonal grid, sin(tilt) for a tilted gantry."""
        unit = self.direction
        cosines = np.abs(unit.T @ unit - np.eye(3))
        return float(cosines.max())

    def to_world(self, points: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """RAS millimetres of index points, shape (..., ndim) -> (..., 3)."""
        p = np.asarray(points, dtype=np.float64)
        return np.asarray(p @ self.affine[:3, : self.ndim].T + self.affine[:3, 3])

    def to_index(self, points: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Index of RAS points in millimetres, shape (..., 3) -> (..., ndim)."""
        p = np.asarray(points, dtype=np.float64) - self.affine[:3, 3]
        return np.asarray(p @ np.linalg.inv(self.affine[:3, :3]).T)[..., : self.ndim]

    def same_as(self, other: Grid, *, tolerance: float = 1e-4) -> bool:
        """True when shapes are equal and no corner voxel is further than ``tolerance`` mm from its twin."""
        if self.shape != other.shape:
            return False
        corners = np.stack(np.meshgrid(*[(0, n - 1) for n in self.shape], indexing="ij"), -1).reshape(-1, self.ndim)
        return bool(np.abs(self.to_world(corners) - other.to_world(corners)).max() <= tolerance)

    def to_dict(self) -> dict[str, Any]:
        """Plain form for sidecars: ``from_dict`` restores it exactly."""
        return {"shape": list(self.shape), "affine": self.affine.tolist()}

    @classmethod
    def from_dict(cls, form: dict[str, Any]) -> Grid:
        """The grid of a ``to_dict`` form."""
        return cls(tuple(form["shape"]), np.array(form["affine"], dtype=np.float64))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Grid) and self.shape == other.shape and np.array_equal(self.affine, other.affine)

    def __hash__(self) -> int:
        return hash((self.shape, self.affine.tobytes()))

    def __reduce__(self) -> tuple[type[Grid], tuple[Any, ...]]:
        # Arrays come out of a pickle writable; made anew, a grid is immutable in every process.
        return (Grid, (self.shape, self.affine))

    def __repr__(self) -> str:
        spacing = ", ".join(f"{s:.6g}" for s in self.spacing)
        origin = ", ".join(f"{v:.6g}" for v in self.origin)
        return f"Grid(shape={self.shape}, spacing=({spacing}) mm, axes={''.join(self.axcodes)}, origin=({origin}) mm)"


def check_spacing(spacing: Sequence[float], ndim: int, *, name: str = "spacing") -> tuple[float, ...]:
    """``spacing`` as floats, or GeometryError: one positive finite number of millimetres per space axis."""
    steps = tuple(float(s) for s in spacing)
    if len(steps) != ndim or not all(np.isfinite(s) and s > 0 for s in steps):
        msg = f"{name}={tuple(spacing)}: expected {ndim} positive numbers of millimetres, in array-axis order"
        raise GeometryError(msg)
    return steps


def closest_axes(affine: npt.NDArray[np.float64]) -> tuple[int, int, int]:
    """World axis (0 = R, 1 = A, 2 = S) each array axis is closest to, each world axis used once.

    The assignment with the largest summed absolute cosine, so near-diagonal obliques have one answer.
    """
    from itertools import permutations

    unit = np.abs(affine[:3, :3]) / np.linalg.norm(affine[:3, :3], axis=0)
    orders = ((a, b, c) for a, b, c in permutations(range(3)))
    return max(orders, key=lambda order: float(sum(unit[world, axis] for axis, world in enumerate(order))))
