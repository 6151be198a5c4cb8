"""What a scan is, from its header alone: enough to plan, to budget memory and to show, without reading a voxel."""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from fastprep.core.errors import FastprepError, GeometryError, ReadError
from fastprep.core.grid import Grid
from fastprep.core.ramp import Ramp
from fastprep.core.voi import Voi
from fastprep.io._extras import require


@dataclass(frozen=True)
class Description:
    """Grid, array shape, stored dtype, and what is known of the numbers."""

    grid: Grid
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    modality: str | None = None
    rescale: Ramp = field(default=Ramp())
    voi: Voi | None = None

    @property
    def nbytes(self) -> int:
        """Bytes of the voxels in memory, as stored."""
        return math.prod(self.shape) * self.dtype.itemsize


def describe(path: str | os.PathLike[str]) -> Description:
    """The description of one NIfTI, .npy (with a sidecar), .zarr or picture; DICOM has ``describe_series``.

    Raises
    ------
    ReadError, GeometryError, DTypeError
        As ``fastprep.load`` would.
    """
    name = os.fspath(path)
    lower = name.lower()
    if lower.endswith((".nii", ".nii.gz", ".hdr", ".img")):
        from fastprep.io.nifti import describe_nifti

        grid, shape, dtype, rescale = describe_nifti(name)
        return Description(grid, shape, dtype, rescale=rescale)
    if lower.endswith((".png", ".jpg", ".jpeg")):
        from fastprep.io.picture import describe_picture

        grid, dtype = describe_picture(name)
        return Description(grid, grid.shape, dtype)
    try:
        if lower.endswith(".npy"):
            mapped = np.lib.format.open_memmap(name, mode="r")
            return Description(sidecar_grid(name), mapped.shape, mapped.dtype)
        if lower.endswith(".zarr"):
            return _describe_zarr(name)
        msg = f"{name}: unknown format"
        raise ReadError(msg)
    except FastprepError:
        raise
    # Broken headers reach parsers that raise almost anything.
    except Exception as error:
        msg = f"{name}: {error or type(error).__name__}"
        raise ReadError(msg) from error


def sidecar_grid(path: str | os.PathLike[str]) -> Grid:
    """The grid that fastprep's sidecar beside a .npy file records.

    Raises
    ------
    GeometryError
        No sidecar, or one without a grid: a .npy file says nothing of the patient.
    """
    sidecar = Path(path).with_suffix(".json")
    try:
        return Grid.from_dict(json.loads(sidecar.read_text("utf-8"))["grid"]["after"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        msg = f"{os.fspath(path)}: .npy holds no grid, and no sidecar {sidecar.name} beside it tells one"
        raise GeometryError(msg) from error


def _describe_zarr(name: str) -> Description:
    array = require("zarr").open_array(name, mode="r")
    attributes = dict(array.attrs)
    if "affine" not in attributes:
        msg = f"{name}: no affine attribute: not written by fastprep"
        raise GeometryError(msg)
    ndim = len(attributes["axes"])
    grid = Grid(array.shape[-ndim:], np.array(attributes["affine"], dtype=np.float64))
    return Description(grid, array.shape, np.dtype(array.dtype), attributes.get("modality"))
