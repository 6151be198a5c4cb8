"""What the command line shows: progress, tables and the words at the end."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastprep.cohort.bias import Corrected
    from fastprep.cohort.runner import Outcome, Summary

_MOST_SHOWN = 5


@contextmanager
def progress(total: int) -> Iterator[Callable[[Outcome], None]]:
    """A bar with volumes per second and the time left; nothing where no one is looking."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=total, rate="")

        def show(outcome: Outcome) -> None:
            speed = bar.tasks[0].finished_speed or bar.tasks[0].speed
            rate = f"{speed:.2f} volumes/s" if speed else ""
            bar.update(task, advance=1, rate=rate, description=f"{outcome.case.id}: {outcome.status}")

        yield show


@contextmanager
def field_progress(most: Sequence[int]) -> Iterator[Callable[[int, int, float], None]]:
    """A bar over the iterations of all levels, with the last change of the field; a level that ends early is done."""
    if not sys.stderr.isatty() or not most:
        yield lambda *_: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (BarColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=sum(most))

        def show(level: int, iteration: int, convergence: float) -> None:
            text = f"level {level + 1}/{len(most)}, iteration {iteration}, change {convergence:.2g}"
            bar.update(task, completed=sum(most[:level]) + iteration, description=text)

        yield show


def bias_text(found: Corrected) -> str:
    """One line: what was found, and what it did to the scan."""
    record, field = found.record, found.record["field"]
    steps = f" {'+'.join(map(str, record['iterations']))} iterations," if record["iterations"] else ""
    cv = record["cv"]
    return (
        f"{found.id}: {'unchanged, ' if found.is_old else ''}{record['method']},{steps}"
        f" field {field['min']:.3g} to {field['max']:.3g} (CV {field['cv']:.3f}) inside the mask,"
        f" CV of the scan {cv['before']:.3f} -> {cv['after']:.3f}"
    )


def metal_text(outcome: Outcome, record: Mapping[str, Any] | None) -> str:
    """One line: how much metal, and what it does to the scan; or what went wrong."""
    if record is None:
        return f"failed {outcome.case.id}: {outcome.message}"
    found = record["metal"]
    old = "unchanged, " if outcome.status == "unchanged" else ""
    if not found["count"]:
        return f"{outcome.case.id}: {old}no metal above {found['threshold']:g} HU"
    s = "" if found["count"] == 1 else "s"
    return (
        f"{outcome.case.id}: {old}{found['count']} implant{s}, {found['volume_mm3']:.0f} mm3 above"
        f" {found['threshold']:g} HU, artifact {found['severity']} ({found['artifact']['index']:.0f} HU)"
    )


def sweep_rows(records: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """Volumes in mm3, and in brackets how many implants, by scan and threshold."""
    head = next(iter(records.values()))["sweep"]
    rows = [("mm3 (implants) above", *(f"{row['requested']:g} HU" for row in head))]
    for name, record in records.items():
        rows.append((name, *(f"{row['volume_mm3']:.0f} ({row['count']})" for row in record["sweep"])))
    return rows


def summary_text(summary: Summary, peak_bytes: int) -> str:
    """One line: how many of each, how fast, and in how much memory."""
    counts = [f"{summary.count(status)} {status}" for status in ("ok", "failed", "unchanged")]
    left = summary.total - sum(summary.count(status) for status in ("ok", "failed", "unchanged"))
    if left:
        counts.append(f"{left} not done")
    done = summary.count("ok")
    speed = f", {done / summary.seconds:.2f} volumes/s" if done else ""
    return (
        f"{', '.join(counts)} of {summary.total} in {summary.seconds:.1f} s{speed} with {summary.jobs} jobs;"
        f" memory: arrays at most {mib(summary.expected_bytes)}, process peak {mib(peak_bytes)}"
    )


def failures_text(summary: Summary) -> Iterator[str]:
    """A line for each of the first failures, and where the rest is."""
    failed = [outcome for outcome in summary.outcomes if outcome.status == "failed"]
    for outcome in failed[:_MOST_SHOWN]:
        yield f"failed {outcome.case.id}: {outcome.message}"
    if len(failed) > _MOST_SHOWN:
        yield f"and {len(failed) - _MOST_SHOWN} more"
    if summary.failures is not None:
        yield f"reasons and remedies: {summary.failures}"


def leaks_text(summary: Summary) -> str:
    """A warning where scans were among those that the pipeline was fitted on."""
    seen = [outcome.case.id for outcome in summary.outcomes if outcome.in_fit]
    if not seen:
        return ""
    more = f" and {len(seen) - _MOST_SHOWN} more" if len(seen) > _MOST_SHOWN else ""
    what = (
        f"the pipeline was fitted on {len(seen)} of these {summary.total} scans: {', '.join(seen[:_MOST_SHOWN])}{more}"
    )
    return f"warning: {what} (--split train says that this is meant, --split test that it must not be)"


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows in aligned columns, the first row being the head."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join(lines)


def mib(size: float) -> str:
    """Bytes as people say them."""
    return f"{size / 2**30:.2f} GiB" if size >= 2**30 else f"{size / 2**20:.{0 if size >= 2**23 else 1}f} MiB"
