"""collimation_mask: where a radiograph was exposed."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.core import collimation
from fastprep.core.errors import ArgumentError, NonFiniteError, ShapeError
from fastprep.core.image import Image
from fastprep.core.namespace import device_of
from fastprep.core.ramp import Ramp
from fastprep.ops._arrays import empty, view_of
from fastprep.ops._masked import moments_of, numbers_of
from fastprep.ops._pointwise import apply_ramps
from fastprep.ops.resample import resample
from fastprep.registry import gpu_driver, gpu_transfer

#: Pixels of the small image along its longer side: what is looked at is larger than one of them.
_SMALL = 256


@dataclass(frozen=True, eq=False)
class CollimationMask:
    """Where a radiograph was exposed.

    Attributes
    ----------
    mask : bool, what ``x`` was, array or label Image; set everywhere where no border was found.
    ok : a border was found.
    why : if not, why; else "".
    sides : those that have a border, of "left", "right", "top" and "bottom".
    corners : (row, column) of the exposed quadrilateral in pixels, clockwise from the top left one; a side without a
        border is the image's own.
    fraction : of the image inside.
    """

    mask: Any = field(repr=False)
    ok: bool
    why: str
    sides: tuple[str, ...]
    corners: tuple[tuple[float, float], ...]
    fraction: float

    def to_dict(self) -> dict[str, Any]:
        """All but the mask, plain, for JSON."""
        corners = [[round(v, 2) for v in corner] for corner in self.corners]
        told = {"ok": self.ok, "why": self.why, "sides": list(self.sides)}
        return {**told, "corners": corners, "fraction": self.fraction}


def collimation_mask(x: Any, *, dense: str = "bright") -> CollimationMask:
    """The exposed field of a radiograph, by the straight borders that its collimator or a shutter left.

    On a small copy of the image, from each side: the line, turned by at most 12 degrees, with the clearest step that
    has flat ground beyond it. That is brighter than what is inside, as beyond a blade, where there is scatter at most;
    or of one value, as software draws a shutter. The air beside a patient is flat as well, but dark, and no straight
    line ends it. Each line must show its step along most of its length between the others. A strip so narrow that it
    lies in the penumbra of its blade need not be flat, but must show it all along. Nothing is read from the header.

    Parameters
    ----------
    x : array (y, x) or a 2-D Image, a radiograph.
    dense : "bright" as `fastprep.load` has it, or "dark" as in raw counts.

    Returns
    -------
    CollimationMask
        Give its ``mask`` to a statistic: the border is large, of one grey, and no part of the patient.

    Raises
    ------
    ShapeError
        Not one picture.
    NonFiniteError
        NaN or infinity.
    ArgumentError
        Another ``dense``.

    Examples
    --------
    >>> from fastprep.testing.xray_phantom import Collimator, xray_phantom
    >>> chest = xray_phantom((128, 128), (2.8, 2.8), collimated=Collimator(top=0.2, left=0.1))
    >>> found = collimation_mask(chest.image)
    >>> found.sides, round(found.fraction, 2)
    (('left', 'top'), 0.72)
    >>> collimation_mask(xray_phantom((128, 128), (2.8, 2.8)).image).why
    'no straight border with flat ground beyond it on any side'
    """
    if dense not in ("bright", "dark"):
        msg = f"dense={dense!r}: expected 'bright' or 'dark'"
        raise ArgumentError(msg)
    array, _ = numbers_of(x)
    view = view_of(array)
    if len(view.shape) != 2 or 0 in view.shape:
        msg = f"x of shape {tuple(view.shape)}: expected one radiograph (y, x)"
        raise ShapeError(msg)
    shape = (int(view.shape[0]), int(view.shape[1]))
    seen = moments_of(view, None)
    if seen.nonfinite:
        msg = f"x holds {seen.nonfinite} values that are NaN or infinite"
        raise NonFiniteError(msg)
    small = _small(array, shape)
    borders = collimation.find_borders(small, dense_bright=dense == "bright")
    scale = (shape[0] / small.shape[0], shape[1] / small.shape[1])
    found = collimation.inside(shape, borders, scale)
    made = _beside(found, array)
    mask = replace(x.with_array(made), kind="label") if isinstance(x, Image) else made
    high, wide = scale
    meet = collimation.corners((small.shape[0], small.shape[1]), borders)
    ends = tuple(((row + 0.5) * high - 0.5, (column + 0.5) * wide - 0.5) for row, column in meet)
    why = "" if borders else _why(seen.low, seen.high, shape)
    return CollimationMask(mask, bool(borders), why, tuple(borders), ends, float(found.mean()))


def _why(low: float, high: float, shape: tuple[int, int]) -> str:
    if low == high:
        return "the image is constant"
    if min(shape) < collimation.LEAST_ROWS:
        return f"the image has fewer than {collimation.LEAST_ROWS} pixels along a side"
    return "no straight border with flat ground beyond it on any side"


def _small(x: Any, shape: tuple[int, int]) -> npt.NDArray[np.float64]:
    """The image on the host, so many pixels along its longer side at most."""
    factor = max(1.0, max(shape) / _SMALL)
    fewer = tuple(max(1, round(n / factor)) for n in shape)
    how: dict[str, Any] = {"grid": "edges", "shape": fewer, "antialias": factor > 1, "dtype": "float32"}
    blurred = resample(x, (1.0, 1.0), (factor, factor), **how)
    view = view_of(blurred)
    return np.asarray(view if device_of(x) == "cpu" else gpu_driver().read(view), np.float64)


def _beside(mask: npt.NDArray[np.bool_], x: Any) -> Any:
    """A mask of the host as an array of the library and on the device of ``x``."""
    out = empty(mask.shape, "bool", x)
    if device_of(x) == "cpu":
        out.view[...] = mask
        return out.finish()
    with gpu_transfer().uploader(out.view.device).sent(mask) as there:
        apply_ramps(there, [Ramp()], dtype="bool", into=out.view)
    return out.finish()
