"""Sources: what a case was made from, by size, time and SHA-256, to tell whether it has changed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fastprep.cohort.cases import Case
from fastprep.core.errors import ReadError
from fastprep.core.threads import run_slabs

_PIECE = 1 << 20
_END = 1 << 16


def stamp(case: Case) -> str:
    """A word that changes when a file's name, size or time of change does: cheap, no file is opened."""
    digest = hashlib.sha256()
    try:
        for path in _files(case):
            status = path.stat()
            digest.update(f"{case.relative(path)}\0{status.st_size}\0{status.st_mtime_ns}\n".encode(errors="replace"))
    except OSError as error:
        msg = f"{case.relative(Path(error.filename))}: {error.strerror}"
        raise ReadError(msg) from error
    return digest.hexdigest()


def source(case: Case) -> dict[str, Any]:
    """Name, size and SHA-256 of the case's file, or of all its files together, whatever they are called.

    ``SHA-256`` of one file is the file's own, as ``sha256sum`` prints it; of several, that of their sorted digests.
    """
    files = _files(case)
    digests = [b""] * len(files)

    def work(start: int, stop: int) -> None:
        for i in range(start, stop):
            digests[i] = _digest(files[i])

    try:
        run_slabs(work, len(files))
        size = sum(path.stat().st_size for path in files)
    except OSError as error:
        msg = f"{case.relative(Path(error.filename))}: {error.strerror}"
        raise ReadError(msg) from error
    whole = digests[0] if len(files) == 1 else hashlib.sha256(b"".join(sorted(digests))).digest()
    name = case.relative(case.path)
    return {"name": case.root.name if name == "." else name, "files": len(files), "size": size, "sha256": whole.hex()}


def fingerprint(path: Path) -> str | None:
    """Size and SHA-256 of both ends of an output (of every file of a folder), None where there is none.

    A cheap check: it sees what a crash does to a file, a cut or a tail of zeros, without reading all of it.
    """
    try:
        files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
        digest = hashlib.sha256()
        for file in files:
            digest.update(_ends(file))
    except OSError:
        return None
    return digest.hexdigest()[:32] if files else None


def _files(case: Case) -> Sequence[Path]:
    return tuple(p for f in case.files for p in (sorted(f.rglob("*")) if f.is_dir() else (f,)) if not p.is_dir())


def _digest(path: Path) -> bytes:
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    return digest.digest()


def _ends(path: Path) -> bytes:
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        start = file.read(_END)
        file.seek(max(0, size - _END))
        return str(size).encode() + start + file.read(_END)
