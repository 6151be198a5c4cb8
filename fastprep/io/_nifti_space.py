"""Where a NIfTI header says its voxels are: index (i, j, k) to RAS millimetres, or GeometryError."""

from __future__ import annotations

import warnings
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from fastprep.core.errors import GeometryError
from fastprep.io._extras import require

AffineSource = Literal["header", "pixdim"]
Affine = npt.NDArray[np.float64]

# Codes 4 to 7 are not defined; like 0 ("unknown") they are read as millimetres, which is what writers mean.
_MILLIMETRES = {1: 1000.0, 2: 1.0, 3: 0.001}
#: Relative error allowed between pixdim and the columns of the sform.
_SPACING_TOLERANCE = 0.01
#: Farther from the scanner than any patient; also keeps squares of garbage finite.
_FARTHEST_MM = 1e7


def voxel_to_world(header: Any, ndim: int, name: str, source: AffineSource) -> Affine:
    """The 4x4 float64 affine from (i, j, k) to RAS millimetres of a nibabel NIfTI header.

    The sform where its code is set, else the qform, else (only with ``source="pixdim"``) the bare voxel sizes.
    ``ndim`` of 2 asks only for the first two columns; the third is then the plane's normal.

    Raises
    ------
    GeometryError
        Voxel sizes not positive, no orientation, not finite, singular, or voxel sizes and sform that disagree.
    """
    sizes = _voxel_sizes(header, ndim, name)
    unit = _MILLIMETRES.get(int(header["xyzt_units"]) & 7, 1.0)
    qform = _qform(header, sizes, name) if header["qform_code"] > 0 else None
    if header["sform_code"] > 0:
        sform = _in_millimetres(_sform(header, ndim, name), sizes, unit, ndim, name)
        if qform is not None:
            _warn_when_apart(sform, _scaled(qform, unit), name)
        return _checked(sform, name)
    if qform is not None:
        return _checked(_scaled(qform, unit), name)
    if source != "pixdim":
        msg = (
            f"{name}: the file has no orientation (sform_code and qform_code are 0); "
            'affine="pixdim" reads it with its voxel sizes and axes assumed to run to R, A, S'
        )
        raise GeometryError(msg)
    warnings.warn(f"{name}: no orientation in the file; axes assumed to run to R, A, S", UserWarning, stacklevel=4)
    return _checked(_scaled(np.diag([*sizes, 1.0]), unit), name)


def _voxel_sizes(header: Any, ndim: int, name: str) -> npt.NDArray[np.float64]:
    sizes = np.array(header["pixdim"][1:4], dtype=np.float64)
    sizes[ndim:] = np.where(sizes[ndim:] > 0, sizes[ndim:], 1.0)
    if not (np.isfinite(sizes).all() and sizes.min() > 0):
        msg = f"{name}: pixdim={sizes.tolist()}: expected positive voxel sizes"
        raise GeometryError(msg)
    return sizes


def _sform(header: Any, ndim: int, name: str) -> Affine:
    affine = np.eye(4)
    for row, field in enumerate(("srow_x", "srow_y", "srow_z")):
        affine[row] = header[field]
    affine = _checked(affine, name)
    if ndim == 2 and not affine[:3, 2].any():
        normal = np.cross(affine[:3, 0], affine[:3, 1])
        affine[:3, 2] = normal / (np.linalg.norm(normal) or 1.0)
    return affine


def _qform(header: Any, sizes: npt.NDArray[np.float64], name: str) -> Affine:
    quat2mat = require("nibabel.quaternions").quat2mat
    b, c, d = (float(header[field]) for field in ("quatern_b", "quatern_c", "quatern_d"))
    squares = b * b + c * c + d * d
    if not squares <= 1.001:
        msg = f"{name}: qform quaternion ({b}, {c}, {d}) is no rotation"
        raise GeometryError(msg)
    affine = np.eye(4)
    # quat2mat divides by the norm, which mends a sum of squares a rounding error above 1.
    affine[:3, :3] = np.asarray(quat2mat([max(0.0, 1.0 - squares) ** 0.5, b, c, d])) * sizes
    # The standard: any qfac but -1, also the 0 of careless writers, means +1.
    if header["pixdim"][0] < 0:
        affine[:3, 2] *= -1
    affine[:3, 3] = [header[f"qoffset_{axis}"] for axis in "xyz"]
    return affine


def _in_millimetres(sform: Affine, sizes: npt.NDArray[np.float64], unit: float, ndim: int, name: str) -> Affine:
    steps = np.linalg.norm(sform[:3, :ndim], axis=0)
    expected = sizes[:ndim]
    if _close(steps, expected):
        return _scaled(sform, unit)
    if _close(steps, expected * unit):
        warnings.warn(f"{name}: sform taken to be in millimetres, unlike xyzt_units", UserWarning, stacklevel=5)
        return sform
    if _close(steps * unit, expected):
        warnings.warn(f"{name}: pixdim taken to be in millimetres, unlike xyzt_units", UserWarning, stacklevel=5)
        return _scaled(sform, unit)
    msg = f"{name}: voxel sizes disagree: pixdim {expected.tolist()}, sform {steps.tolist()} (same units assumed)"
    raise GeometryError(msg)


def _close(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> bool:
    return bool(np.all(np.abs(a - b) <= _SPACING_TOLERANCE * b))


def _scaled(affine: Affine, unit: float) -> Affine:
    return np.asarray(np.diag([unit, unit, unit, 1.0]) @ affine)


def _warn_when_apart(sform: Affine, qform: Affine, name: str) -> None:
    longest = float(np.linalg.norm(qform[:3, :3], axis=0).max())
    turned = np.abs(sform - qform)[:3, :3].max() > 1e-3 * longest
    shift = float(np.abs(sform - qform)[:3, 3].max())
    if turned or shift > 0.1:
        text = f"{name}: sform and qform disagree (origins {shift:.3g} mm apart): the sform is used"
        warnings.warn(text, UserWarning, stacklevel=5)


def _checked(affine: Affine, name: str) -> Affine:
    # Written so that NaN fails it.
    if not np.all(np.abs(affine) < _FARTHEST_MM):
        msg = f"{name}: affine {affine.tolist()} is not finite or leaves any scanner"
        raise GeometryError(msg)
    return affine
