"""A case as an Image in stored values, and its description from the header alone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from fastprep.cohort.cases import Case
from fastprep.core.image import Image
from fastprep.io.describe import Description, describe, sidecar_grid
from fastprep.io.dicom import SeriesInfo, describe_series, read_series

Irregular = Literal["refuse", "resample"]

#: The distributions that read and write each format.
PACKAGES = {
    "dicom": ("pydicom", "imagecodecs"),
    "nii": ("nibabel",),
    "nii.gz": ("nibabel", "isal"),
    "png": ("pillow",),
    "jpg": ("pillow",),
    "jpeg": ("pillow",),
    "zarr": ("zarr", "numcodecs"),
}


@dataclass(frozen=True, eq=False)
class Scan:
    """What was read: the image, and facts and warnings for the sidecar."""

    image: Image
    facts: dict[str, Any]
    warnings: tuple[str, ...]


def describe_case(case: Case, irregular: Irregular = "refuse") -> tuple[Description, int]:
    """What `read_case` would give the pipeline, and the bytes it holds besides."""
    if case.error is not None:
        raise case.error
    if case.series is None:
        return describe(case.files[0]), 0
    scan, info = describe_series(case.series, rescale=False, irregular=irregular)
    return scan, scan.nbytes if info.interpolated else 0


def read_case(case: Case, irregular: Irregular = "refuse") -> Scan:
    """The scan with its stored numbers, so that the pipeline's first pass also applies slope and intercept."""
    if case.error is not None:
        raise case.error
    if case.series is not None:
        image, info = read_series(case.series, rescale=False, irregular=irregular)
        return Scan(image, {"format": "dicom", **_facts(info)}, (*case.warnings, *info.warnings))
    image = replace(_read_file(case), kind=case.kind)
    return Scan(image, {"format": case.form, "modality": image.modality}, case.warnings)


def _facts(info: SeriesInfo) -> dict[str, Any]:
    return {key: value for key, value in info.to_dict().items() if key != "warnings"}


def _read_file(case: Case) -> Image:
    path: Path = case.files[0]
    if case.form in ("nii", "nii.gz", "hdr"):
        from fastprep.io.nifti import read_nifti

        return read_nifti(path, rescale=False)
    if case.form == "npy":
        from fastprep.io.store import read_npy

        grid = sidecar_grid(path)
        return replace(read_npy(path, spacing=grid.spacing), grid=grid)
    from fastprep.io import load

    return load(path)
