"""Cases as text: what they are, and what a run would do with them."""

from __future__ import annotations

from fastprep.cohort.cases import Case, Found
from fastprep.cohort.journal import Journal
from fastprep.cohort.notes import collected, routed
from fastprep.cohort.outputs import one_line
from fastprep.cohort.read import describe_case
from fastprep.cohort.runner import plan_case
from fastprep.cohort.sources import stamp
from fastprep.cohort.work import Settings, may_be_done, relative
from fastprep.core.errors import FastprepError
from fastprep.io.describe import Description
from fastprep.io.dicom import describe_series
from fastprep.pipeline.plan import Plan


def describe_lines(case: Case) -> tuple[list[str], bool]:
    """The facts of a case and its problems, without identity; False when it cannot be read as it is."""
    lines = [f"{case.id}:"]
    problem: FastprepError | None = None
    with routed(), collected() as notes:
        try:
            scan, _ = describe_case(case)
        except FastprepError as error:
            problem = error
            if case.series is None:
                return [*lines, f"  problem   {_said(error, case)}"], False
        else:
            lines += _scan_lines(case, scan)
        if case.series is not None:
            lines += _series_lines(case, tolerant=problem is not None)
    lines += [f"  warning   {relative(text, case)}" for text in dict.fromkeys((*case.warnings, *notes))]
    if problem is not None:
        lines.append(f"  problem   {_said(problem, case)}")
    return lines, problem is None


def forecast(found: Found, settings: Settings) -> tuple[list[tuple[str, ...]], int]:
    """A table of what a run would do, and how many cases it would refuse. Nothing is read but headers."""
    journal = Journal(settings.output)
    rows: list[tuple[str, ...]] = [("case", "scan", "result", "memory", "to do")]
    refused = 0
    for case in found.cases:
        with routed(), collected():
            try:
                record = journal.records.get(case.id)
                plan, need = plan_case(case, settings)
            except FastprepError as error:
                refused += 1
                rows.append((case.id, "", "", "", f"refuse: {_said(error, case)}"))
                continue
            same = record is not None and record.get("stamp") == stamp(case)
            todo = "nothing, unchanged" if same and may_be_done(case, settings, record) else "prepare"
        channels = (plan.channels,) if plan.channels else ()
        most = "up to " if isinstance(plan, Plan) and plan.looks else ""
        shapes = (_times(plan.source.shape), most + _times((*channels, *plan.grid.shape)))
        rows.append((case.id, *shapes, f"{need / 2**20:.1f} MiB", todo))
    return rows, refused


def _scan_lines(case: Case, scan: Description) -> list[str]:
    spacing = " x ".join(f"{s:.6g}" for s in scan.grid.spacing)
    units = "" if scan.rescale.is_identity else f", times {scan.rescale.a:.6g} {scan.rescale.b:+.6g}"
    return [
        f"  format    {case.form}, {len(case.files)} files",
        f"  modality  {scan.modality or 'not said'}",
        f"  shape     {_times(scan.shape)} {scan.dtype}{units}",
        f"  spacing   {spacing} mm",
        f"  axes      {''.join(scan.grid.axcodes)}, origin {tuple(round(v, 3) for v in scan.grid.origin)} mm RAS",
    ]


def _series_lines(case: Case, *, tolerant: bool) -> list[str]:
    """Facts of a DICOM series; one that is refused is described as it would be resampled."""
    if case.series is None:
        return []
    lines = [f"  series    {case.series!r}"]
    try:
        _, info = describe_series(case.series, irregular="resample" if tolerant else "refuse")
    except FastprepError:
        return lines
    windows = ", ".join(f"{center:g}/{width:g}" for center, width in info.windows)
    lines.append(f"  pixels    {info.photometric}, {info.bits_stored} bits, transfer syntax {info.transfer_syntax}")
    if windows:
        lines.append(f"  windows   {windows} (level/width, not applied)")
    lines += [f"  voi       [{i}] {view}" for i, view in enumerate(info.voi.views if info.voi else ())]
    return lines + [f"  warning   {relative(text, case)}" for text in info.warnings]


def _said(error: FastprepError, case: Case) -> str:
    return relative(one_line(error), case)


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
