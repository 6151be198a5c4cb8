"""Metal in CT scans: of each a record, a picture and a mask; a scan that fails does not stop the others."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import fastprep
from fastprep.cohort.cases import Case, Found
from fastprep.cohort.notes import collected, routed
from fastprep.cohort.outputs import prepare, show_where, write_text, written_before
from fastprep.cohort.read import PACKAGES, Irregular, Scan, read_case
from fastprep.cohort.runner import Outcome
from fastprep.cohort.sources import source
from fastprep.cohort.work import Cancelled, Clock, relative
from fastprep.core.errors import ArgumentError
from fastprep.core.namespace import host_view
from fastprep.core.threads import num_threads
from fastprep.io import save
from fastprep.io._extras import require
from fastprep.io.atomic import write_error
from fastprep.ops._metal import MetalReport
from fastprep.pipeline.sidecar import grid_form, plain, to_json, versions
from fastprep.qc import metal_picture

#: Raised when a key of the record changes its meaning or goes away.
FORMAT = 1
Record = dict[str, Any]
_RECORD, _PICTURE, _MASK = "metal.json", "metal.png", "metal.nii.gz"


@dataclass(frozen=True)
class MetalSettings:
    """How metal is looked for in every scan, and what is written: keywords are `fastprep.detect_metal`'s."""

    output: Path
    threshold: float | str = 3000.0
    min_volume_mm3: float = 10.0
    connectivity: int = 26
    #: Thresholds that volumes are told for besides.
    sweep: tuple[float, ...] = ()
    picture: bool = True
    mask: bool = False
    irregular: Irregular = "refuse"
    overwrite: bool = False

    def parameters(self) -> dict[str, Any]:
        """What decides the answer."""
        return {
            "threshold": self.threshold,
            "min_volume_mm3": self.min_volume_mm3,
            "connectivity": self.connectivity,
            "sweep": list(self.sweep),
        }

    def path(self, case: Case, what: str) -> Path:
        """Where a result goes."""
        return self.output / f"{case.id}_{what}"

    @property
    def beside(self) -> tuple[str, ...]:
        """What is written beside the record of each scan."""
        return (*((_PICTURE,) if self.picture else ()), *((_MASK,) if self.mask else ()))


def survey_metal(
    found: Found,
    settings: MetalSettings,
    *,
    stop: threading.Event | None = None,
    on_outcome: Callable[[Outcome, Record | None], None] = lambda *_: None,
) -> list[tuple[Outcome, Record | None]]:
    """`measure_metal` of every scan, one after the other on all threads; label maps are left out.

    Parameters
    ----------
    stop : set it to end at the next stage of the scan at work.
    on_outcome : called as each case ends, with its record where it has one.

    Returns
    -------
    How each case ended, with its record, in their order.

    Raises
    ------
    ArgumentError
        Label maps alone.
    MissingExtraError
        A picture is asked for and Matplotlib is not installed.
    WriteError
        The output folder cannot be written.
    """
    cases = [case for case in found.cases if case.kind != "label"]
    if not cases:
        msg = f"{len(found.cases)} label maps and no scan: nothing to look for metal in"
        raise ArgumentError(msg)
    if settings.picture:
        # Missing before the work is done, not after.
        require("matplotlib.figure")
    prepare(settings.output)
    halt = stop or threading.Event()

    def check() -> None:
        if halt.is_set():
            raise Cancelled

    done: list[tuple[Outcome, Record | None]] = []
    with routed():
        for case in cases:
            if halt.is_set():
                break
            record: Record | None = None
            try:
                record, is_old = measure_metal(case, settings, Clock(check))
                outcome = Outcome(case, "unchanged" if is_old else "ok")
            except Cancelled:
                break
            except Exception as error:
                show_where(error)
                outcome = Outcome(case, "failed", error)
            done.append((outcome, record))
            on_outcome(outcome, record)
    return done


def measure_metal(case: Case, settings: MetalSettings, clock: Clock) -> tuple[Record, bool]:
    """Look for metal in one scan and write what was found: its record, and whether it was there already.

    What an earlier call wrote from the same files in the same way is left as it is. Inside `routed`.

    Raises
    ------
    FastprepError
        As readers, `fastprep.detect_metal` and writers do.
    """
    with collected() as notes:
        if case.error is not None:
            raise case.error
        with clock("hash"):
            made_from = source(case)
        request = plain({
            "format": FORMAT,
            "sources": [made_from],
            "parameters": settings.parameters(),
            "irregular": settings.irregular,
            "version": fastprep.__version__,
        })  # fmt: skip
        path, others = settings.path(case, _RECORD), [settings.path(case, what) for what in settings.beside]
        if not settings.overwrite and (record := written_before(path, request, others)) is not None:
            return record, True
        with clock("read"):
            scan = read_case(case, settings.irregular)
        with clock("metal"):
            how: Any = {"min_volume_mm3": settings.min_volume_mm3, "connectivity": settings.connectivity}
            report = fastprep.detect_metal(scan.image, threshold=settings.threshold, **how)
        with clock("artifact"):
            form = report.to_dict()
        with clock("sweep"):
            swept = fastprep.sweep_metal(scan.image, thresholds=settings.sweep, **how) if settings.sweep else []
        # From here on the work is not interrupted: a record is never beside files that it does not describe.
        with clock("write"):
            _write(settings, case, scan, report)
        facts = {
            "metal": form,
            "sweep": [_row(each) for each in swept],
            "scan": scan.facts,
            "grid": grid_form(scan.image.grid),
            "dtype": str(scan.image.array.dtype),
            "warnings": [relative(text, case) for text in dict.fromkeys((*scan.warnings, *notes))],
            "seconds": {name: round(seconds, 6) for name, seconds in clock.seconds.items()},
            "threads": num_threads(),
            "versions": versions((*PACKAGES.get(scan.facts["format"], ()), *_packages(settings))),
        }
        record = {**request, **plain(facts)}
        write_text(path, to_json(record))
    return record, False


def _row(report: MetalReport) -> dict[str, Any]:
    row = ("requested", "threshold", "count", "volume_mm3", "dropped", "dropped_mm3")
    return {name: getattr(report, name) for name in row}


def _packages(settings: MetalSettings) -> Sequence[str]:
    return (*(("matplotlib",) if settings.picture else ()), *(PACKAGES["nii.gz"] if settings.mask else ()))


def _write(settings: MetalSettings, case: Case, scan: Scan, report: MetalReport) -> None:
    """All but the record; what an earlier call wrote goes first, for it would be of another one."""
    record = settings.path(case, _RECORD)
    try:
        record.parent.mkdir(parents=True, exist_ok=True)
        for what in (_RECORD, _PICTURE, _MASK):
            settings.path(case, what).unlink(missing_ok=True)
    except OSError as error:
        raise write_error(settings.output, error) from error
    if settings.mask:
        mask = report.mask
        save(mask.with_array(host_view(mask.array).astype(np.uint8)), settings.path(case, _MASK))
    if settings.picture:
        metal_picture(scan.image, report, settings.path(case, _PICTURE), title=case.id)
