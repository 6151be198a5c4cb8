"""Bytes to Image and back: ``load`` and ``save`` choose the format, the modules beside this file speak it."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from fastprep.core.errors import ArgumentError, ReadError, WriteError
from fastprep.core.image import Image, Kind
from fastprep.io._nifti_space import AffineSource

if TYPE_CHECKING:
    from fastprep.io.dicom_geometry import Irregular

__all__ = ["load", "save"]

READABLE = "a DICOM folder or file, .nii, .nii.gz, .png, .jpg, .jpeg, .npy, .zarr"
WRITABLE = ".nii, .nii.gz, .npy, .zarr, .png"
_BY_SUFFIX = {
    ".nii": "nifti",
    ".nii.gz": "nifti",
    ".hdr": "nifti",
    ".img": "nifti",
    ".png": "picture",
    ".jpg": "picture",
    ".jpeg": "picture",
    ".npy": "npy",
    ".dcm": "dicom",
    ".ima": "dicom",
}
_BY_START = ((b"\x89PNG\r\n\x1a\n", "picture"), (b"\xff\xd8\xff", "picture"), (b"\x93NUMPY", "npy"))


def load(
    path: str | os.PathLike[str],
    *,
    kind: Kind = "scalar",
    rescale: bool = True,
    irregular: Irregular = "refuse",
    series: str | int | None = None,
    affine: AffineSource = "header",
    spacing: tuple[float, ...] | None = None,
) -> Image:
    """A scan as an Image, its format told by what the bytes are, then by the suffix.

    ``kind`` "label" is never blended. ``rescale=False`` keeps the stored numbers (DICOM, NIfTI). ``irregular`` and
    ``series`` are for DICOM (``fastprep.io.dicom.read_dicom``), ``affine`` for NIfTI (``read_nifti``). ``spacing`` (mm,
    in array-axis order) is for .npy, which holds none, and for pictures, whose own is seldom right. A .zarr brings
    its ``kind``; "label" overrides it.

    Raises
    ------
    ReadError
        No such file or folder, an unknown format, or a broken file; the message names it and the reason.
    GeometryError
        Bytes that are readable but describe no space.
    ArgumentError
        ``spacing`` for a format that has its own.

    Examples
    --------
    >>> ct = load("scans/patient_001/")         # doctest: +SKIP
    >>> lungs = load("lungs.nii.gz", kind="label")  # doctest: +SKIP
    """
    form = _format(path)
    if spacing is not None and form not in ("npy", "picture"):
        msg = f"spacing={spacing}: {os.fspath(path)} has its own; expected None unless it is .npy or a picture"
        raise ArgumentError(msg)
    if form == "nifti":
        from fastprep.io.nifti import read_nifti

        return read_nifti(path, rescale=rescale, kind=kind, affine=affine)
    if form == "picture":
        from fastprep.io.picture import read_picture

        return read_picture(path, kind=kind, spacing=spacing)
    if form == "npy":
        from fastprep.io.store import read_npy

        return read_npy(path, spacing=spacing, kind=kind)
    if form == "zarr":
        from fastprep.io.store import read_zarr

        image = read_zarr(path)
        return replace(image, kind=kind) if kind == "label" else image
    from fastprep.io.dicom import read_dicom

    return replace(read_dicom(path, series=series, rescale=rescale, irregular=irregular), kind=kind)


def save(image: Image, path: str | os.PathLike[str]) -> None:
    """Write ``image`` in the format of the suffix, whole or not at all: after an error ``path`` is as it was.

    .nii, .nii.gz and .zarr hold the grid, .png only its spacing, .npy nothing of it.

    Raises
    ------
    WriteError
        An unknown suffix, or the operating system refused; the message names ``path`` and the reason.
    ArgumentError, DTypeError, ShapeError
        Numbers or axes that the format cannot hold.
    """
    suffix = _suffix(path)
    if suffix in (".nii", ".nii.gz"):
        from fastprep.io.nifti import write_nifti

        write_nifti(image, path)
    elif suffix == ".npy":
        from fastprep.io.store import write_npy

        write_npy(image, path)
    elif suffix == ".zarr":
        from fastprep.io.store import write_zarr

        write_zarr(image, path)
    elif suffix == ".png":
        from fastprep.io.picture import write_png

        write_png(image, path)
    else:
        msg = f"{os.fspath(path)}: unknown suffix {suffix!r}: expected {WRITABLE}"
        raise WriteError(msg)


def _suffix(path: str | os.PathLike[str]) -> str:
    name = Path(path).name.lower()
    return ".nii.gz" if name.endswith(".nii.gz") else Path(name).suffix


def _format(path: str | os.PathLike[str]) -> str:
    if os.path.isdir(path):
        return "zarr" if os.path.isfile(os.path.join(path, "zarr.json")) or _suffix(path) == ".zarr" else "dicom"
    try:
        with open(path, "rb") as file:
            start = file.read(352)
    except FileNotFoundError as error:
        msg = f"no such file or folder: {os.fspath(path)}"
        raise ReadError(msg) from error
    except OSError as error:
        msg = f"{os.fspath(path)}: {error.strerror}"
        raise ReadError(msg) from error
    for magic, form in _BY_START:
        if start.startswith(magic):
            return form
    if start[128:132] == b"DICM":
        return "dicom"
    if start[344:347] == b"n+1" or start[4:7] == b"n+2":
        return "nifti"
    form = _BY_SUFFIX.get(_suffix(path), "")
    if not form:
        msg = f"{os.fspath(path)}: unknown format: expected {READABLE}"
        raise ReadError(msg)
    return form
