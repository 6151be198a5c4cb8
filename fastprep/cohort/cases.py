"""Cases: the scans among files and folders, each with a name of its own.

A DICOM series is one case, and so is every .nii, .nii.gz, .zarr, .npy, .png and .jpg. Names come from the user's own
files and folders, never from what is written inside a file.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fastprep.core.errors import ArgumentError, FastprepError, ReadError
from fastprep.core.image import Kind
from fastprep.io.dicom import Series, hash_uid
from fastprep.io.dicom_header import Header, read_headers

#: The folder inside an output that holds the journal; where it lies, there is an output of ours.
STATE = ".fastprep"
#: What a case may not be called, for its sidecar would overwrite the folder's own.
_RESERVED = frozenset({"dataset_description"})
_SUFFIXES = (".nii.gz", ".nii", ".hdr", ".zarr", ".npy", ".png", ".jpg", ".jpeg")
_DICOM_SUFFIXES = (".dcm", ".ima")
#: Files that lie beside scans and are none: not worth opening to see that they are no DICOM.
_OTHER = frozenset(
    {".json", ".tsv", ".csv", ".txt", ".md", ".bval", ".bvec", ".xml", ".html", ".pdf", ".py", ".yaml", ".yml", ".log"}
    | {".zip", ".gz", ".tar", ".ini", ".db", ".img", ".sha256"}
)
_NO_DICOM = ("not a DICOM file", "empty file")
_NOT_IMAGES = re.compile(r"\(modality (SR|PR|KO|REG|RTSTRUCT|RTPLAN|RTRECORD|DOC|PLAN|AU|ECG|FID|RWV)\)|DICOMDIR")


@dataclass(frozen=True, eq=False)
class Case:
    """One scan: its name, what it is made of, and the folder its file names are relative to."""

    id: str
    form: str
    files: tuple[Path, ...]
    root: Path
    series: Series | None = None
    kind: Kind = "scalar"
    #: Found unreadable while looking: the case fails with this.
    error: FastprepError | None = None
    #: What lies beside it that should be known.
    warnings: tuple[str, ...] = ()
    #: Of a subject: its scans by sequence; ``form`` is "sequences" then.
    members: tuple[tuple[str, Case], ...] = ()

    def relative(self, path: Path) -> str:
        """A file's name below the input, with forward slashes."""
        return path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else path.name

    @property
    def path(self) -> Path:
        """The file, or the folder that all files of a series lie in."""
        return self.files[0] if len(self.files) == 1 else Path(os.path.commonpath([f.parent for f in self.files]))


@dataclass(frozen=True)
class Found:
    """The cases by name, and (file, reason) of what is no scan."""

    cases: tuple[Case, ...]
    skipped: tuple[tuple[str, str], ...]


def find_cases(
    inputs: Iterable[str | os.PathLike[str]],
    *,
    output: str | os.PathLike[str] | None = None,
    is_label: Callable[[str], bool] = lambda _: False,
) -> Found:
    """Every scan in files and folders; ``output`` and other outputs of fastprep inside them are left out.

    ``is_label`` tells label maps by file name.

    Raises
    ------
    ReadError
        A path that does not exist, or no scan at all.
    ArgumentError
        ``output`` is one of the inputs.
    """
    out = None if output is None else Path(output).resolve()
    cases: list[Case] = []
    skipped: list[tuple[str, str]] = []
    seen: set[Path] = set()
    given = [Path(p) for p in inputs]
    for path in (p.resolve() for p in given):
        if not path.exists():
            msg = f"{path}: no such file or folder"
            raise ReadError(msg)
        if path == out:
            msg = f"output={path.name!r} is also an input: choose another folder for the results"
            raise ArgumentError(msg)
        whole = path.is_file() or path.suffix.lower() == ".zarr"
        root = path.parent if whole else path
        files = [f for f in ([path] if whole else sorted(_walk(path, out, skipped))) if f not in seen]
        seen.update(files)
        cases += _cases_of(files, root, is_label, skipped)
    if not cases:
        names = ", ".join(str(p) for p in given[:3])
        why = f" ({len(skipped)} files are none, first {skipped[0][0]}: {skipped[0][1]})" if skipped else ""
        msg = f"{names}: no scan found{why}"
        raise ReadError(msg)
    return Found(tuple(sorted(_distinct(cases), key=lambda c: c.id)), tuple(skipped))


def _walk(folder: Path, output: Path | None, skipped: list[tuple[str, str]]) -> Iterator[Path]:
    def refused(error: OSError) -> None:
        skipped.append((Path(error.filename).relative_to(folder).as_posix(), error.strerror or str(error)))

    walked: set[str] = set()
    for at, folders, names in os.walk(folder, onerror=refused, followlinks=True):
        here, real = Path(at), os.path.realpath(at)
        if real in walked:  # a link back up, or to what was walked already
            folders.clear()
            continue
        walked.add(real)
        kept = []
        for name in sorted(folders):
            path = here / name
            if name.lower().endswith(".zarr"):
                yield path
            elif path.resolve() == output or (path / STATE).is_dir():
                skipped.append((path.relative_to(folder).as_posix(), "an output folder of fastprep"))
            elif not name.startswith(".") and name != "__MACOSX":
                kept.append(name)
        folders[:] = kept
        for name in names:
            path = here / name
            if name.startswith("."):
                skipped.append((path.relative_to(folder).as_posix(), "hidden"))
            elif path.is_file():
                yield path


def _cases_of(
    files: Sequence[Path], root: Path, is_label: Callable[[str], bool], skipped: list[tuple[str, str]]
) -> Iterator[Case]:
    maybe_dicom: list[Path] = []
    for path in files:
        suffix = next((s for s in _SUFFIXES if path.name.lower().endswith(s)), "")
        if suffix:
            kind: Kind = "label" if is_label(path.name) else "scalar"
            name = path.relative_to(root).as_posix()[: -len(suffix)]
            yield Case(_safe(name), suffix.lstrip("."), (path,), root, kind=kind)
        elif path.suffix.lower() in _OTHER:
            skipped.append((path.relative_to(root).as_posix(), "not an image"))
        else:
            maybe_dicom.append(path)
    if maybe_dicom:
        yield from _dicom_cases(maybe_dicom, root, skipped)


def _dicom_cases(files: Sequence[Path], root: Path, skipped: list[tuple[str, str]]) -> Iterator[Case]:
    headers, refused = read_headers(files)
    damaged: dict[Path, list[str]] = defaultdict(list)
    for path, reason in refused:
        relative = path.relative_to(root).as_posix()
        if _is_damaged(path, reason):
            damaged[path.parent].append(f"{path.name}: {reason}")
            yield Case(_safe(_stem(relative)), "dicom", (path,), root, error=ReadError(f"{relative}: {reason}"))
        else:
            skipped.append((relative, reason))
    groups = _series_of(headers)
    in_folder = Counter(_folder(group) for group in groups)
    for group in groups:
        folder = _folder(group)
        relative = folder.relative_to(root).as_posix()
        name = root.name if relative == "." else relative
        if len(group) == 1:
            name = _stem(group[0].path.relative_to(root).as_posix())
        elif in_folder[folder] > 1:
            name += f"-{hash_uid(group[0].series_uid)[:8]}"
        beside = damaged[folder]
        notes = (f"{len(beside)} unreadable files beside this series, first {beside[0]}",) if beside else ()
        series = Series(tuple(group))
        yield Case(_safe(name), "dicom", series.files, root, series, warnings=notes)


def _series_of(headers: Sequence[Header]) -> list[list[Header]]:
    """Headers by series; copies of one series in several folders, and files without a UID, by folder."""
    by_uid: dict[str, list[Header]] = defaultdict(list)
    for header in headers:
        by_uid[header.series_uid].append(header)
    groups: list[list[Header]] = []
    for uid, members in by_uid.items():
        folders: dict[Path, list[Header]] = defaultdict(list)
        for header in members:
            folders[header.path.parent].append(header)
        places = [h.frames[0].position for h in members]
        copies = len(folders) > 1 and len(set(places)) < len(places)
        groups += folders.values() if copies or not uid else [members]
    return groups


def _folder(group: Sequence[Header]) -> Path:
    return Path(os.path.commonpath([h.path.parent for h in group]))


def _is_damaged(path: Path, reason: str) -> bool:
    """True for what was meant to be an image: the name or the bytes say DICOM, and it is no report or index."""
    if _NOT_IMAGES.search(reason) or path.name.upper() == "DICOMDIR":
        return False
    return path.suffix.lower() in _DICOM_SUFFIXES or not reason.startswith(_NO_DICOM)


def _stem(name: str) -> str:
    for suffix in _DICOM_SUFFIXES:
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return name


def _safe(name: str) -> str:
    """A relative path that any system can hold: no control characters, nothing hidden, no way out of the folder."""
    parts = [re.sub(r'[\x00-\x1f\x7f<>:"|?*\\]', "_", part).lstrip(".") or "_" for part in name.split("/")]
    return "/".join(parts)


def _distinct(cases: Sequence[Case]) -> list[Case]:
    """The same cases under names that differ: first by format, then by where they come from."""
    forms: tuple[Callable[[Case], str], ...] = (
        lambda case: f"{case.id}_{case.form.replace('.', '_')}",
        lambda case: f"{case.root.name}/{case.id}",
        lambda case: f"{case.id}-{hashlib.sha256(os.fsencode(case.files[0])).hexdigest()[:8]}",
    )
    result = list(cases)
    for rename in forms:
        uses = Counter(case.id.lower() for case in result)
        taken = [uses[case.id.lower()] > 1 or case.id.lower() in _RESERVED for case in result]
        if not any(taken):
            break
        result = [replace(c, id=rename(c)) if clash else c for c, clash in zip(result, taken, strict=True)]
    return result
