"""Coverage: whether one scan's field of view reaches where another scan looks."""

from __future__ import annotations

from itertools import product

import numpy as np
import numpy.typing as npt

from fastprep.core.errors import ArgumentError, GeometryError
from fastprep.core.grid import Grid

_WORDS = (("left", "right"), ("posterior", "anterior"), ("inferior", "superior"))
#: Millimetres that are rounding.
_SLACK = 1e-6


def check_covers(grid: Grid, target: Grid, tolerance: float | None = None, name: str = "image") -> None:
    """GeometryError unless the field of view of ``grid`` holds every voxel centre of ``target``.

    A field ends half a voxel beyond its outermost centres. What counts is the corner of ``target`` furthest outside:
    its distance, measured along the axes of ``grid``, may be ``tolerance`` mm at most.

    Parameters
    ----------
    tolerance : millimetres; by default the largest spacing of ``grid``. Infinity allows everything.
    name : what the message calls the image of ``grid``.

    Raises
    ------
    GeometryError
        A field that ends too early, or grids of 2 and of 3 axes.
    ArgumentError
        A tolerance that is negative or NaN.

    Examples
    --------
    A FLAIR that ends below the vertex the T1 shows:

    >>> t1, flair = Grid.from_spacing((60, 9, 9), (1, 1, 1)), Grid.from_spacing((4, 9, 9), (5, 1, 1))
    >>> check_covers(flair, t1, name="flair")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    fastprep.core.errors.GeometryError: flair: its field of view ends 41.5 mm (superior) before the target grid does...
    """
    if tolerance is not None and not tolerance >= 0:
        msg = f"tolerance={tolerance!r}: expected millimetres, 0 or more"
        raise ArgumentError(msg)
    if target.ndim != grid.ndim:
        msg = f"{name}: has {grid.ndim} axes, the target grid {target.ndim}: expected the same number"
        raise GeometryError(msg)
    allowed = max(grid.spacing) if tolerance is None else float(tolerance)
    corners = grid.to_index(target.to_world(list(product(*[(0, n - 1) for n in target.shape]))))
    ends = np.array(grid.shape) - 0.5
    outside = (np.minimum(corners + 0.5, 0) + np.maximum(corners - ends, 0)) * grid.spacing
    distances = np.linalg.norm(outside, axis=1)
    worst = int(distances.argmax())
    if distances[worst] <= allowed + _SLACK:
        return
    where = _direction(grid.direction[:, : grid.ndim] @ outside[worst])
    msg = (
        f"{name}: its field of view ends {distances[worst]:.1f} mm{where} before the target grid does, "
        f"and tolerance={allowed:g} mm is allowed: register it first, take the grid of another image, "
        "or give a larger tolerance= and have the rest filled"
    )
    raise GeometryError(msg)


def _direction(away: npt.NDArray[np.float64]) -> str:
    """The anatomical word for a RAS vector that runs along one axis, else nothing."""
    axis = int(np.abs(away).argmax())
    if abs(away[axis]) < 0.9 * np.linalg.norm(away):
        return ""
    return f" ({_WORDS[axis][int(away[axis] > 0)]})"
