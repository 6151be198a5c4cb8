"""One scan of a path, in physical units, for commands that look at one."""

from __future__ import annotations

from pathlib import Path

import fastprep
from fastprep.cohort.cases import Case, find_cases
from fastprep.cohort.read import Scan
from fastprep.core.errors import ArgumentError, ShapeError
from fastprep.core.image import Image


def only_case(path: Path, output: Path | None = None) -> Case:
    """The scan in a path; what lies in ``output`` is none.

    Raises
    ------
    ArgumentError
        There are several.
    """
    cases = find_cases([path], output=output).cases
    if len(cases) > 1:
        msg = f"{path}: {len(cases)} scans, {', '.join(case.id for case in cases[:3])}, ...: expected one"
        raise ArgumentError(msg)
    return cases[0]


def one_volume(scan: Scan, case: Case) -> Image:
    """The scan in physical units.

    Raises
    ------
    ShapeError
        It is of several volumes.
    """
    image = scan.image
    if len(image.array.shape) != image.grid.ndim:
        msg = f"{case.id}: array of shape {tuple(image.array.shape)}: expected one volume, not several"
        raise ShapeError(msg)
    if image.rescale.is_identity:
        return image
    return image.with_array(fastprep.rescale(image.array, image.rescale.a, image.rescale.b))
