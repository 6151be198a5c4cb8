"""What a run writes beside the volumes: the BIDS description of the folder, and the table of failures."""

from __future__ import annotations

import csv
import io
import json
import os
import traceback
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import fastprep
from fastprep.cohort.cases import STATE
from fastprep.core.errors import (
    ArgumentError,
    BusyError,
    ConfigError,
    DTypeError,
    FastprepError,
    GantryTiltError,
    GeometryError,
    LeakError,
    MaskError,
    MissingExtraError,
    NonFiniteError,
    ReadError,
    SeriesError,
    TooLargeError,
    WriteError,
)
from fastprep.io.atomic import PREFIX, atomic_path, remove, write_error

BIDS_VERSION = "1.10.0"
FAILURES = "failures.csv"
_COLUMNS = ("case", "reason", "message", "remedy")
#: The first class an error belongs to counts.
_REMEDIES: tuple[tuple[type[Exception], str], ...] = (
    (GantryTiltError, "run with --irregular resample: slices go to regular positions and the tilt is straightened"),
    (SeriesError, "keep the files of one stack; for missing or uneven slices run with --irregular resample"),
    (ReadError, "copy or export the file again"),
    (GeometryError, "repair the orientation and voxel sizes in the file's header"),
    (NonFiniteError, "mask or replace NaN and infinity first"),
    (DTypeError, "convert the file to real numbers of up to 64 bits"),
    (TooLargeError, "use a coarser spacing, a smaller shape, or a machine with more memory"),
    (WriteError, "free space or give permission on the output folder, then run again: finished cases are kept"),
    (MissingExtraError, "install the missing package"),
    (ConfigError, "change the pipeline, or leave this scan out: it does not fit the scan's grid"),
    (MaskError, "look at the scan: leave it out, or give the step that looks for the mask other numbers"),
    (LeakError, "leave it out of this split, or fit the pipeline without it"),
    (ArgumentError, "use a pipeline made for this kind of scan"),
    (BusyError, "wait for the other run"),
    (MemoryError, "run fewer jobs at once, or use a machine with more memory"),
)


def remedy(error: BaseException) -> str:
    """What the user can do about an error."""
    for kind, text in _REMEDIES:
        if isinstance(error, kind):
            return text
    return "set FASTPREP_DEBUG=1, run this case alone, and report what it prints"


def prepare(output: Path) -> None:
    """Make the output folder and see that it can be written, before any work.

    Raises
    ------
    WriteError
        It cannot.
    """
    probe = output / STATE / "probe"
    try:
        probe.parent.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"probe")
        probe.unlink()
    except OSError as error:
        raise write_error(output, error) from error


def sweep(output: Path) -> None:
    """Remove the temporaries of a run that was killed; only for the holder of the folder's lock."""
    for path in list(output.rglob(f"{PREFIX}*")):
        remove(path)


def describe_folder(output: Path) -> None:
    """``dataset_description.json``: the folder is a BIDS derivative, and fastprep made it."""
    form = {
        "Name": "Scans prepared by fastprep",
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "derivative",
        "GeneratedBy": [{"Name": "fastprep", "Version": fastprep.__version__}],
    }
    write_text(output / "dataset_description.json", json.dumps(form, indent=1) + "\n")


def write_failures(output: Path, rows: Iterable[dict[str, Any]]) -> Path | None:
    """``failures.csv`` with one row per failed case, or no such file when there is none."""
    table = io.StringIO()
    writer = csv.DictWriter(table, _COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    known = list(rows)
    writer.writerows(known)
    path = output / FAILURES
    if known:
        write_text(path, table.getvalue())
        return path
    path.unlink(missing_ok=True)
    return None


def write_text(path: Path, text: str) -> None:
    """A text file, whole or not at all; one that is already so is left alone."""
    data = text.encode("utf-8", errors="replace")
    if path.is_file() and path.read_bytes() == data:
        return
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def written_before(record: Path, request: Mapping[str, Any], others: Iterable[Path]) -> dict[str, Any] | None:
    """The record of an earlier call that was asked for the same, if it and the ``others`` are there."""
    if not all(path.is_file() for path in (record, *others)):
        return None
    try:
        found: dict[str, Any] = json.loads(record.read_text("utf-8"))
        return found if all(found[key] == value for key, value in request.items()) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def show_where(error: BaseException) -> None:
    """Print the traceback of an error that does not stop the others, for those who ask by FASTPREP_DEBUG."""
    if os.environ.get("FASTPREP_DEBUG"):
        traceback.print_exception(error)


def one_line(error: BaseException) -> str:
    """The error's message on one line."""
    text = str(error) if isinstance(error, FastprepError) or str(error) else type(error).__name__
    return " ".join(text.split())
