"""Outputs that are whole or absent, whatever stops the writer."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fastprep.core.errors import FastprepError, WriteError

#: What a killed process may leave behind starts with this, so that it can be told from data and swept.
PREFIX = ".fastprep-"


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary name beside ``path`` for the caller to fill with a file or a folder; renamed over it on success.

    The name keeps the suffix (writers choose a format by it). On success the bytes are on disk before the rename,
    and the rename before the return. On any exception, Ctrl-C included, nothing new is left and an older
    ``path`` is as it was. A file replaces a file in one step; a folder replaces a folder in two renames, the only
    moment at which a kill leaves the older folder under its temporary name.

    Raises
    ------
    WriteError
        The operating system refused (disk full, permission, no such folder); names ``path`` and the reason.
    """
    # A link is written through, as open() does, not replaced by a file.
    target = Path(os.path.realpath(path))
    temporary = _beside(target)
    try:
        yield temporary
        _flush(temporary)
        _rename(temporary, target)
    except BaseException as error:
        remove(temporary)
        if isinstance(error, OSError) and not isinstance(error, FastprepError):
            raise write_error(path, error) from error
        raise


def write_error(path: str | os.PathLike[str], error: OSError) -> WriteError:
    """The operating system's refusal as a WriteError with its ``errno``, reason and ``path``."""
    if error.errno is None:
        return WriteError(f"{os.fspath(path)}: {error}")
    return WriteError(error.errno, error.strerror or os.strerror(error.errno), os.fspath(path))


def _beside(target: Path) -> Path:
    suffix = ".nii.gz" if target.name.lower().endswith(".nii.gz") else target.suffix
    return target.with_name(f"{PREFIX}{secrets.token_hex(6)}{suffix}")


def _flush(path: Path) -> None:
    if path.is_dir():
        for folder, _, names in os.walk(path):
            for name in names:
                _fsync(Path(folder, name))
            _fsync(Path(folder))
    else:
        _fsync(path)


def _fsync(path: Path) -> None:
    is_folder = path.is_dir()
    if is_folder and os.name != "posix":
        return  # Windows has no handle for a folder
    descriptor = os.open(path, os.O_RDONLY if is_folder else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _rename(temporary: Path, target: Path) -> None:
    if temporary.is_dir() and target.is_dir():
        older = _beside(target)
        os.rename(target, older)
        try:
            os.rename(temporary, target)
        except BaseException:
            os.rename(older, target)
            raise
        remove(older)
    else:
        os.replace(temporary, target)
    _fsync(target.parent)


def remove(path: Path) -> None:
    """Remove a file or a folder, quietly."""
    # os.path.isdir, unlike Path.is_dir, answers False where it may not look.
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path, ignore_errors=True)
    else:
        # A second failure must not hide the first one.
        with suppress(OSError):
            path.unlink(missing_ok=True)
