"""CLAHE over a grid of parameters on one scan: a picture, a table and a record."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import fastprep
from fastprep.cohort.notes import collected, routed
from fastprep.cohort.outputs import prepare, write_text
from fastprep.cohort.read import PACKAGES, Irregular, read_case
from fastprep.cohort.single import one_volume, only_case
from fastprep.cohort.sources import source
from fastprep.cohort.work import Clock, relative
from fastprep.core.errors import GeometryError
from fastprep.core.threads import num_threads
from fastprep.io._extras import require
from fastprep.pipeline.sidecar import grid_form, plain, to_json, versions
from fastprep.qc.sweep import Sweep, clahe_sweep, sweep_picture

#: Raised when a key of the record changes its meaning or goes away.
FORMAT = 1
_PICTURE, _RECORD = "sweep.png", "sweep.json"


@dataclass(frozen=True)
class SweepSettings:
    """The grid of parameters, and the folder that picture and record go to."""

    output: Path
    clip_limits: tuple[float, ...] = (1.0, 2.0, 3.0, 4.0)
    tiles: tuple[int, ...] = (4, 8, 16)
    bins: int = 256
    mask: Path | None = None
    irregular: Irregular = "refuse"


def sweep_scan(path: Path, settings: SweepSettings) -> Sweep:
    """`fastprep.qc.clahe_sweep` of one scan; its picture and its record are written.

    Raises
    ------
    FastprepError
        As readers, `fastprep.clahe` and writers do.
    """
    # Missing before the work is done, not after.
    require("matplotlib.figure")
    clock = Clock(lambda: None)
    case = only_case(path, settings.output)
    marks = None if settings.mask is None else only_case(settings.mask, settings.output)
    prepare(settings.output)
    with routed(), collected() as notes:
        with clock("hash"):
            sources = [source(each) for each in (case, marks) if each is not None]
        with clock("read"):
            scan = read_case(case, settings.irregular)
            image = one_volume(scan, case)
            mask = None if marks is None else one_volume(read_case(marks, settings.irregular), marks)
        if mask is not None and not mask.grid.same_as(image.grid):
            msg = f"{case.path.name} is on {image.grid}, its mask on {mask.grid}: expected one grid"
            raise GeometryError(msg)
        with clock("sweep"):
            found = clahe_sweep(
                image,
                clip_limits=settings.clip_limits,
                tiles=settings.tiles,
                bins=settings.bins,
                mask=None if mask is None else replace(mask, kind="label"),
            )
        with clock("write"):
            sweep_picture(found, settings.output / _PICTURE, title=case.id)
        facts: dict[str, Any] = {
            "scan": scan.facts,
            "grid": grid_form(image.grid),
            "dtype": str(image.array.dtype),
            "warnings": [relative(text, case) for text in dict.fromkeys((*scan.warnings, *notes))],
            "seconds": {name: round(seconds, 6) for name, seconds in clock.seconds.items()},
            "threads": num_threads(),
            "versions": versions((*PACKAGES.get(scan.facts["format"], ()), "matplotlib")),
        }
        request = {"format": FORMAT, "sources": sources, "version": fastprep.__version__, "bins": settings.bins}
        write_text(settings.output / _RECORD, to_json(plain({**request, **found.to_dict(), **facts})))
    return found
