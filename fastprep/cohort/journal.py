"""Journal: what a run has finished, one fsynced line of JSON each, so that a killed run goes on where it stopped.

The last record of a case counts. A line that is no JSON, as a kill in the middle of writing leaves, counts for nothing.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fastprep.cohort.cases import STATE
from fastprep.core.errors import BusyError
from fastprep.io._extras import require
from fastprep.io.atomic import write_error

Record = dict[str, Any]


class Journal:
    """The records of one output folder; appending is safe from any thread."""

    def __init__(self, output: Path) -> None:
        self.path = output / STATE / "journal.jsonl"
        self._lock = threading.Lock()
        self.records = dict(_read(self.path))

    def append(self, case: str, record: Mapping[str, Any]) -> None:
        """Add the record of a case; it is on disk when this returns.

        Raises
        ------
        WriteError
            The operating system refused; the file is as it was.
        """
        entry = {"case": case, **record}
        self.note(entry)
        self.records[case] = entry

    def note(self, entry: Mapping[str, Any]) -> None:
        """Add a line for people, which decides nothing; raises as `append`."""
        line = json.dumps(entry, allow_nan=False, separators=(",", ":")).encode() + b"\n"
        with self._lock:
            try:
                _append(self.path, line)
            except OSError as error:
                raise write_error(self.path, error) from error


@contextmanager
def locked(output: Path) -> Iterator[None]:
    """Hold the output folder alone. The kernel lets go of a lock when its process dies, so none is ever stale.

    Raises
    ------
    BusyError
        Another run holds it; the message says which process on which host.
    """
    filelock = require("filelock")
    state = output / STATE
    owner = state / "owner.json"
    lock = filelock.FileLock(state / "lock", timeout=0)
    try:
        lock.acquire()
    except filelock.Timeout as error:
        msg = f"{output}: another run is writing here ({_who(owner)}): wait for it or choose another folder"
        raise BusyError(msg) from error
    try:
        owner.write_text(json.dumps({"pid": os.getpid(), "host": _host()}), "utf-8")
        yield
    finally:
        owner.unlink(missing_ok=True)
        lock.release()


def _read(path: Path) -> Iterator[tuple[str, Record]]:
    if not path.exists():
        return
    for line in path.read_bytes().splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict) and isinstance(record.get("case"), str):
            yield record["case"], record


def _append(path: Path, line: bytes) -> None:
    with path.open("ab+") as file:
        end = file.seek(0, os.SEEK_END)
        if end:
            file.seek(end - 1)
            if file.read(1) != b"\n":
                line = b"\n" + line
        try:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
        except OSError:
            file.truncate(end)
            raise


def _host() -> str:
    import socket

    return socket.gethostname()


def _who(owner: Path) -> str:
    try:
        form = json.loads(owner.read_text("utf-8"))
        return f"process {form['pid']} on {form['host']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "process unknown"
