"""Two scans beside each other: a table of figures, a picture and a record."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

import fastprep
from fastprep.cohort.cases import Case
from fastprep.cohort.notes import collected, routed
from fastprep.cohort.outputs import write_text
from fastprep.cohort.read import PACKAGES, Irregular, read_case
from fastprep.cohort.single import one_volume, only_case
from fastprep.cohort.sources import source
from fastprep.cohort.work import Clock, relative
from fastprep.core.errors import ArgumentError, GeometryError
from fastprep.core.image import Image
from fastprep.core.namespace import host_view
from fastprep.core.threads import num_threads
from fastprep.io._extras import require
from fastprep.io.atomic import write_error
from fastprep.pipeline.sidecar import grid_form, plain, to_json, versions
from fastprep.qc.compare import Comparison, compare
from fastprep.qc.compare_picture import comparison_picture

#: Raised when a key of the record changes its meaning or goes away.
FORMAT = 1


@dataclass(frozen=True)
class CompareSettings:
    """What is compared with what, and where the picture and, where one is asked for, the record go.

    ``data_range`` None is the range of the truth, or of the scan before.
    """

    picture: Path
    truth: Path | None = None
    mask: Path | None = None
    data_range: float | None = None
    record: Path | None = None
    irregular: Irregular = "refuse"


def compare_scans(before: Path, after: Path, settings: CompareSettings) -> tuple[Comparison, dict[str, Any]]:
    """The comparison of two scans and its record; both and the picture are written.

    Raises
    ------
    GeometryError
        Scans on different grids.
    FastprepError
        As readers, `fastprep.qc.compare` and writers do.
    """
    # Missing before the work is done, not after.
    require("matplotlib.figure")
    if settings.picture.suffix.lower() != ".png":
        msg = f"output={str(settings.picture)!r}: expected a .png file"
        raise ArgumentError(msg)
    clock = Clock(lambda: None)
    paths = {"before": before, "after": after, "truth": settings.truth, "mask": settings.mask}
    given = {role: only_case(path) for role, path in paths.items() if path is not None}
    with routed(), collected() as notes:
        with clock("hash"):
            sources = {role: source(case) for role, case in given.items()}
        with clock("read"):
            scans = {role: read_case(case, settings.irregular) for role, case in given.items()}
            images = {role: one_volume(scan, given[role]) for role, scan in scans.items()}
            _check_grids(images, given)
        mask = images.get("mask")
        pair: Any = {"truth": images.get("truth"), "mask": None if mask is None else replace(mask, kind="label")}
        with clock("figures"):
            value = settings.data_range
            if value is None:
                value = _range(images.get("truth", images["before"]), pair["mask"])
            found = compare(images["before"], images["after"], data_range=value, **pair)
        with clock("write"):
            title = f"{given['before'].path.name} and {given['after'].path.name}"
            _make_folder(settings.picture)
            comparison_picture(
                images["before"],
                images["after"],
                found,
                settings.picture,
                pair["mask"],
                truth=pair["truth"],
                title=title,
            )
        packages = [name for scan in scans.values() for name in PACKAGES.get(scan.facts["format"], ())]
        record = plain({
            "format": FORMAT,
            "sources": sources,
            "irregular": settings.irregular,
            "version": fastprep.__version__,
            **found.to_dict(),
            "data_range_given": settings.data_range is not None,
            "grid": grid_form(images["before"].grid),
            "dtype": {role: str(image.array.dtype) for role, image in images.items()},
            "warnings": [
                relative(text, given[role])
                for role, scan in scans.items()
                for text in scan.warnings
            ] + list(dict.fromkeys(notes)),
            "seconds": {name: round(seconds, 6) for name, seconds in clock.seconds.items()},
            "threads": num_threads(),
            "versions": versions(tuple(dict.fromkeys((*packages, "matplotlib")))),
        })  # fmt: skip
        if settings.record is not None:
            _make_folder(settings.record)
            write_text(settings.record, to_json(record))
    return found, record


def _check_grids(images: dict[str, Image], cases: dict[str, Case]) -> None:
    first = images["before"]
    for role, image in images.items():
        if not image.grid.same_as(first.grid):
            msg = (
                f"{cases['before'].path.name} is on {first.grid}, {role} {cases[role].path.name} on {image.grid}: "
                "expected one grid; `fastprep.resample_to` brings one onto the other's"
            )
            raise GeometryError(msg)


def _range(image: Image, mask: Image | None) -> float:
    """The range of the values inside the mask, of a constant image 1."""
    values = host_view(image.array)
    if mask is not None:
        values = values[host_view(mask.array) != 0]
    finite = values[np.isfinite(values)] if values.dtype.kind == "f" else values
    return float(finite.max()) - float(finite.min()) or 1.0 if finite.size else 1.0


def _make_folder(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise write_error(path.parent, error) from error
