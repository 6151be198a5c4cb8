"""DICOM series as Images.

Slices are placed by ImagePositionPatient and ImageOrientationPatient alone; array axes are (z, y, x), z along the
slice normal; the affine is exact, RAS millimetres. What forms no regular volume is refused with the remedy named.
Modality LUT first, then MONOCHROME1 inversion; windows and VOI LUTs are not applied: ``Image.voi`` of a radiograph
holds them, inverted as it is, for `fastprep.voi_lut`.
"""

from __future__ import annotations

import os
import warnings as python_warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from fastprep.core.errors import ArgumentError, ReadError, SeriesError
from fastprep.core.image import RADIOGRAPHS, Image
from fastprep.core.voi import Voi
from fastprep.io.describe import Description
from fastprep.io.dicom_geometry import Irregular, Stack, flat_stack, stack
from fastprep.io.dicom_header import Header, hash_uid, image_files, read_headers
from fastprep.io.dicom_luts import voi_of
from fastprep.io.dicom_volume import blend_planes, decode_volume, volume_format

__all__ = [
    "Series",
    "SeriesInfo",
    "SeriesScan",
    "describe_series",
    "find_series",
    "hash_uid",
    "read_dicom",
    "read_series",
]

_PathLike = str | os.PathLike[str]


@dataclass(frozen=True, eq=False)
class Series:
    """The files of one SeriesInstanceUID, their headers read."""

    headers: tuple[Header, ...]

    @property
    def uid(self) -> str:
        """SeriesInstanceUID; print ``hash_uid`` of it instead."""
        return self.headers[0].series_uid

    @property
    def files(self) -> tuple[Path, ...]:
        """Files in the order found; ``SeriesInfo.files`` has them by position."""
        return tuple(header.path for header in self.headers)

    @property
    def modality(self) -> str:
        """DICOM's word: "CT", "MR", "CR", ..."""
        return self.headers[0].modality

    def __repr__(self) -> str:
        head = self.headers[0]
        slices = sum(len(h.frames) for h in self.headers)
        return (
            f"series {head.series_number} ({hash_uid(self.uid)}): {self.modality or 'no modality'},"
            f" {slices} slices of {head.rows} x {head.columns}"
        )


@dataclass(frozen=True)
class SeriesScan:
    """What a folder holds: its series by number, and (file, reason) of all that is no image."""

    series: tuple[Series, ...]
    skipped: tuple[tuple[Path, str], ...]


@dataclass(frozen=True)
class SeriesInfo:
    """What was read, without anything that names the patient.

    ``files`` are sorted by position; ``windows`` are the file's (center, width) pairs, in physical units, reported
    and not applied; ``voi`` is what of them, and of VOI LUTs, a radiograph's image carries; ``inverted`` says that
    MONOCHROME1 (or PresentationLUTShape INVERSE) was turned; ``tilt_degrees`` is 0 within tolerance.
    """

    modality: str
    series_uid: str = field(repr=False)
    study_uid: str = field(repr=False)
    series_number: int
    files: tuple[Path, ...] = field(repr=False)
    photometric: str
    inverted: bool
    windows: tuple[tuple[float, float], ...]
    stored_dtype: str
    bits_stored: int
    transfer_syntax: str
    tilt_degrees: float
    interpolated: bool
    voi: Voi | None
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain form for sidecars: UIDs hashed, file names left out, since both may name the patient."""
        return {
            "modality": self.modality,
            "series": hash_uid(self.series_uid),
            "study": hash_uid(self.study_uid),
            "series_number": self.series_number,
            "slices": len(self.files),
            "photometric": self.photometric,
            "inverted": self.inverted,
            "windows": [list(pair) for pair in self.windows],
            "stored_dtype": self.stored_dtype,
            "bits_stored": self.bits_stored,
            "transfer_syntax": self.transfer_syntax,
            "tilt_degrees": self.tilt_degrees,
            "interpolated": self.interpolated,
            **({} if self.voi is None else {"voi": [str(view) for view in self.voi.views]}),
            "warnings": list(self.warnings),
        }


def find_series(paths: _PathLike | Iterable[_PathLike]) -> SeriesScan:
    """Group files, or everything under folders, by SeriesInstanceUID; headers only.

    Files that are no DICOM image (text, DICOMDIR, reports, cut or damaged files) are listed in ``skipped``.

    Raises
    ------
    ReadError
        A path does not exist, or no image was found.
    MissingExtraError
        pydicom is not installed.
    """
    given = [Path(paths)] if isinstance(paths, (str, os.PathLike)) else [Path(p) for p in paths]
    files = list(dict.fromkeys(_expand(given)))
    headers, skipped = read_headers(files)
    if not headers:
        where = ", ".join(str(p) for p in given[:3]) or "no path given"
        why = "".join(f"\n  {path}: {reason}" for path, reason in skipped[:5])
        msg = f"{where}: no DICOM image among {len(files)} files{why}"
        raise ReadError(msg)
    groups: dict[str, list[Header]] = {}
    for header in headers:
        groups.setdefault(header.series_uid, []).append(header)
    ordered = sorted(groups.values(), key=lambda g: (g[0].study_uid, g[0].series_number, g[0].series_uid))
    return SeriesScan(tuple(Series(tuple(group)) for group in ordered), tuple(skipped))


def read_series(
    files: Series | Iterable[_PathLike],
    *,
    rescale: bool = True,
    irregular: Irregular = "refuse",
    invert_monochrome1: bool = True,
) -> tuple[Image, SeriesInfo]:
    """One series as an Image: a volume (z, y, x), or a radiograph (y, x).

    Parameters
    ----------
    files
        A ``Series`` of ``find_series``, or files of one series in any order.
    rescale
        True gives physical units: HU for CT, int16 where the file's slope is 1 and its intercept whole, else
        float32. False keeps stored values and puts slope and intercept in ``Image.rescale``; a modality LUT and
        slopes that differ between slices (PET) are applied all the same.
    irregular
        "refuse": a tilted or irregular stack is an error. "keep": a constant tilt with regular gaps is kept as an
        exact sheared affine. "resample": besides, irregular gaps and missing slices are interpolated linearly
        between neighbouring slices to regular positions; a tilt stays in the affine.
    invert_monochrome1
        Turn radiographs that say MONOCHROME1, or PresentationLUTShape INVERSE, so that dense is bright. Other
        modalities hold quantities and are left alone.

    Raises
    ------
    ReadError
        A file that cannot be read or decoded.
    SeriesError
        Slices that form no regular volume; the message says which, where, and the remedy.
    GantryTiltError
        Slices stacked off their normal.
    """
    headers, pile, radiograph = _arranged(files, irregular)
    head = headers[0]
    invert = _inverts(head, radiograph, invert_monochrome1)
    voi = voi_of(pile.planes, inverted=invert) if radiograph else None
    array, rest = decode_volume(pile.planes, rescale=rescale, invert=invert)
    if pile.blend is not None:
        array = blend_planes(array, pile.blend)
    image = Image(array.reshape(pile.grid.shape), pile.grid, modality=head.modality or None, rescale=rest, voi=voi)
    return image, _info(head, pile, inverted=invert, radiograph=radiograph, voi=voi)


def describe_series(
    files: Series | Iterable[_PathLike],
    *,
    rescale: bool = True,
    irregular: Irregular = "refuse",
    invert_monochrome1: bool = True,
) -> tuple[Description, SeriesInfo]:
    """What ``read_series`` would return, without its voxels, from the headers alone; raises as it does."""
    headers, pile, radiograph = _arranged(files, irregular)
    inverted = _inverts(headers[0], radiograph, invert_monochrome1)
    voi = voi_of(pile.planes, inverted=inverted) if radiograph else None
    dtype, rest = volume_format(pile.planes, rescale=rescale)
    scan = Description(pile.grid, pile.grid.shape, dtype, headers[0].modality or None, rest, voi)
    return scan, _info(headers[0], pile, inverted=inverted, radiograph=radiograph, voi=voi)


def _arranged(files: Series | Iterable[_PathLike], irregular: Irregular) -> tuple[tuple[Header, ...], Stack, bool]:
    """Headers of one series, its planes in order, and whether it is a radiograph."""
    if irregular not in get_args(Irregular):
        msg = f"irregular={irregular!r}: expected 'refuse', 'keep' or 'resample'"
        raise ArgumentError(msg)
    headers = files.headers if isinstance(files, Series) else _headers_of(files)
    _check_one_series(headers)
    planes = tuple((header, frame) for header in headers for frame in header.frames)
    flat = len(planes) == 1 and None in (planes[0][1].position, planes[0][1].orientation)
    pile = flat_stack(planes[0]) if flat else stack(planes, irregular)
    return headers, pile, flat or headers[0].modality in RADIOGRAPHS


def _inverts(head: Header, radiograph: bool, wanted: bool) -> bool:
    return wanted and radiograph and (head.photometric == "MONOCHROME1" or head.shape == "INVERSE")


def _info(head: Header, pile: Stack, *, inverted: bool, radiograph: bool, voi: Voi | None) -> SeriesInfo:
    notes = dict.fromkeys(note for header, _ in pile.planes for note in header.notes)
    if radiograph and (head.photometric, head.shape) in (("MONOCHROME1", "IDENTITY"), ("MONOCHROME2", "INVERSE")):
        notes[f"{head.photometric} with PresentationLUTShape {head.shape}: one says that dense is dark"] = None
    notes.update(dict.fromkeys(voi.problems if voi else ()))
    if head.photometric == "MONOCHROME1" and not radiograph:
        notes[f"MONOCHROME1 in {head.modality}: its values are quantities and were not inverted"] = None
    return SeriesInfo(
        modality=head.modality,
        series_uid=head.series_uid,
        study_uid=head.study_uid,
        series_number=head.series_number,
        files=tuple(dict.fromkeys(header.path for header, _ in pile.planes)),
        photometric=head.photometric,
        inverted=inverted,
        windows=tuple(dict.fromkeys(pair for _, frame in pile.planes for pair in frame.windows)),
        stored_dtype=str(head.stored_dtype),
        bits_stored=head.bits_stored,
        transfer_syntax=head.syntax,
        tilt_degrees=pile.tilt_degrees,
        interpolated=pile.blend is not None,
        voi=voi,
        warnings=(*notes, *pile.notes),
    )


def read_dicom(
    path: _PathLike,
    *,
    series: str | int | None = None,
    rescale: bool = True,
    irregular: Irregular = "refuse",
    invert_monochrome1: bool = True,
) -> Image:
    """The Image of one DICOM file, or of a folder with one series.

    ``series`` picks one of several: an index into ``find_series(path).series``, a SeriesInstanceUID, or its hash.
    What was skipped and what was assumed comes as one Python warning.

    Raises
    ------
    SeriesError
        Several series and no choice, or none that fits it; the message lists them.
    ReadError, GantryTiltError
        As ``read_series``.

    Examples
    --------
    >>> ct = read_dicom("scans/chest")  # doctest: +SKIP
    >>> ct.array.dtype, ct.grid.axcodes  # doctest: +SKIP
    (dtype('int16'), ('S', 'P', 'L'))
    """
    scan = find_series(path)
    chosen = _choose(scan, path, series)
    image, info = read_series(chosen, rescale=rescale, irregular=irregular, invert_monochrome1=invert_monochrome1)
    said = list(info.warnings)
    if scan.skipped:
        first, reason = scan.skipped[0]
        said.append(f"{len(scan.skipped)} files skipped, first {first.name}: {reason}")
    if said:
        python_warnings.warn(f"{path}: {'; '.join(said)}", stacklevel=2)
    return image


def _choose(scan: SeriesScan, path: _PathLike, series: str | int | None) -> Series:
    if series is None and len(scan.series) == 1:
        return scan.series[0]
    if isinstance(series, int) and 0 <= series < len(scan.series):
        return scan.series[series]
    fitting = [s for s in scan.series if isinstance(series, str) and series in (s.uid, hash_uid(s.uid))]
    if fitting:
        return fitting[0]
    asked = "several series" if series is None else f"no series {series!r}"
    listed = "".join(f"\n  [{i}] {s!r}" for i, s in enumerate(scan.series))
    msg = f"{path}: {asked}; choose by index or UID with series=:{listed}"
    raise SeriesError(msg)


def _expand(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            yield from image_files(path)
        elif path.exists():
            yield path
        else:
            msg = f"{path}: no such file or folder"
            raise ReadError(msg)


def _headers_of(files: Iterable[_PathLike]) -> tuple[Header, ...]:
    paths = [Path(files)] if isinstance(files, (str, os.PathLike)) else [Path(file) for file in files]
    if not paths:
        msg = "files=[]: expected at least one DICOM file"
        raise ArgumentError(msg)
    return tuple(read_headers(list(_expand(paths)), strict=True)[0])


def _check_one_series(headers: Sequence[Header]) -> None:
    uids = {header.series_uid for header in headers}
    if len(uids) > 1:
        msg = f"files of {len(uids)} series ({', '.join(sorted(map(hash_uid, uids))[:5])}): expected one"
        raise SeriesError(msg)
    photometrics = {header.photometric for header in headers}
    if len(photometrics) > 1:
        msg = f"mixed PhotometricInterpretation in one series: {sorted(photometrics)}"
        raise SeriesError(msg)
