"""The voxels of a series: every plane decoded into one preallocated array, in physical units."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from fastprep.core.errors import SeriesError, TooLargeError
from fastprep.core.ramp import Ramp
from fastprep.core.threads import num_threads
from fastprep.io.dicom_geometry import Plane
from fastprep.io.dicom_header import Frame, Header
from fastprep.io.dicom_pixels import open_frames

_Array = npt.NDArray[Any]


@dataclass(frozen=True)
class _Units:
    """How stored values become the array's: ``kind`` of map, the array's dtype, and what is left to the caller.

    "stored": unchanged. "offset": plus an integer that is known to fit. "fitted": plus an integer that fits or not
    depending on the data. "linear": slope and intercept of each plane. "table": the modality LUT of each plane.
    """

    kind: Literal["stored", "offset", "fitted", "linear", "table"]
    dtype: np.dtype[Any]
    offset: int = 0
    rest: Ramp = field(default=Ramp())


def decode_volume(planes: Sequence[Plane], *, rescale: bool, invert: bool) -> tuple[_Array, Ramp]:
    """Array (planes, rows, columns) and the Ramp from it to physical units, the identity if ``rescale``.

    ``y = slope * x + intercept``. The array is of the stored dtype where y is x; int16 (or int32 where that does
    not hold it) for slope 1 and a whole intercept; uint16 behind a modality LUT; else float32, computed in float64.
    Slopes that differ between planes are always applied. ``invert`` maps x to (2**bits - 1) - x before the
    rescale, or behind the modality LUT.
    """
    stored = _one_format(planes)
    units = _units(planes, stored, rescale=rescale)
    shape = (len(planes), planes[0][0].rows, planes[0][0].columns)
    try:
        volume = np.empty(shape, units.dtype)
    except MemoryError as error:
        msg = f"a volume of {shape} {units.dtype} does not fit in memory"
        raise TooLargeError(msg) from error
    threads = num_threads()
    parts = _parts(planes, threads)
    inner = max(1, threads // len(parts))
    limits: list[tuple[int, int]] = []

    def work(part: tuple[Header, list[tuple[int, Frame]]]) -> None:
        header, members = part
        own = stored.itemsize == volume.itemsize and units.kind not in ("linear", "table")
        scratch = None if own else np.empty(shape[1:], stored)
        with open_frames(header, threads=inner) as read:
            for k, frame in members:
                values = volume[k].view(stored) if scratch is None else scratch
                read(frame.index, values)
                if invert and units.kind != "table":
                    _invert(header, values)
                _finish(units, header, frame, values, volume[k], invert=invert)
                if units.kind == "fitted":
                    limits.append((int(values.min()), int(values.max())))

    _run(work, parts, threads)
    if units.kind == "fitted":
        volume = _fit(volume, units.offset, limits)
    return volume, units.rest


def volume_format(planes: Sequence[Plane], *, rescale: bool) -> tuple[np.dtype[Any], Ramp]:
    """The dtype and the Ramp that ``decode_volume`` will give, from headers; data may widen the dtype to 32 bits."""
    units = _units(planes, _one_format(planes), rescale=rescale)
    return units.dtype, units.rest


def blend_planes(volume: _Array, blend: Sequence[tuple[int, float]]) -> _Array:
    """Linear interpolation between neighbouring planes; integers round half to even."""
    out = np.empty((len(blend), *volume.shape[1:]), volume.dtype)
    kind = np.float64 if volume.dtype.itemsize > 2 else np.float32

    def work(item: tuple[int, tuple[int, float]]) -> None:
        k, (lower, fraction) = item
        if fraction == 0:
            out[k] = volume[lower]
            return
        mixed = volume[lower].astype(kind)
        mixed += kind(fraction) * (volume[lower + 1] - mixed)
        out[k] = np.rint(mixed) if volume.dtype.kind in "iu" else mixed

    _run(work, list(enumerate(blend)), num_threads())
    return out


def _run(work: Callable[[Any], None], parts: Sequence[Any], threads: int) -> None:
    if threads == 1 or len(parts) == 1:
        for part in parts:
            work(part)
        return
    with ThreadPoolExecutor(min(threads, len(parts)), thread_name_prefix="fastprep-dicom") as pool:
        futures = [pool.submit(work, part) for part in parts]
        try:
            for future in futures:
                future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _parts(planes: Sequence[Plane], threads: int) -> list[tuple[Header, list[tuple[int, Frame]]]]:
    """Planes by file, in slice order; the frames of one file shared out to the threads."""
    files: dict[int, tuple[Header, list[tuple[int, Frame]]]] = {}
    for k, (header, frame) in enumerate(planes):
        files.setdefault(id(header), (header, []))[1].append((k, frame))
    parts = []
    for header, members in files.values():
        size = -(-len(members) // threads)
        parts += [(header, members[i : i + size]) for i in range(0, len(members), size)]
    return parts


def _one_format(planes: Sequence[Plane]) -> np.dtype[Any]:
    kinds = {h.stored_dtype for h, _ in planes}
    if len(kinds) > 1:
        msg = f"mixed pixel types in one series: {sorted(map(str, kinds))} at {planes[0][0].path.parent}"
        raise SeriesError(msg)
    return kinds.pop()


def _units(planes: Sequence[Plane], stored: np.dtype[Any], *, rescale: bool) -> _Units:
    if any(h.lut for h, _ in planes):
        if not all(h.lut for h, _ in planes):
            msg = f"some slices have a Modality LUT and some have none, at {planes[0][0].path.parent}"
            raise SeriesError(msg)
        return _Units("table", np.dtype(np.uint16))
    maps = {(f.slope, f.intercept) for _, f in planes}
    if len(maps) > 1:
        return _Units("linear", np.dtype(np.float32))
    slope, intercept = maps.pop()
    if (slope, intercept) == (1, 0) or not rescale:
        return _Units("stored", stored, rest=Ramp(slope, intercept))
    if slope != 1 or intercept != int(intercept):
        return _Units("linear", np.dtype(np.float32))
    offset = int(intercept)
    ranges = [h.stored_range for h, _ in {id(h): (h, f) for h, f in planes}.values()]
    low, high = min(r[0] for r in ranges) + offset, max(r[1] for r in ranges) + offset
    smallest = np.dtype(np.int32 if stored.itemsize == 4 else np.int16)
    if _fits(low, high, smallest):
        return _Units("offset", smallest, offset)
    if stored.itemsize == 1:
        return _Units("linear", np.dtype(np.float32))
    return _Units("fitted", stored, offset)


def _fits(low: int, high: int, dtype: np.dtype[Any]) -> bool:
    return bool(np.iinfo(dtype).min <= low and high <= np.iinfo(dtype).max)


def _invert(header: Header, values: _Array) -> None:
    low, high = header.stored_range
    np.subtract(np.array(low + high, values.dtype), values, out=values)


def _finish(units: _Units, header: Header, frame: Frame, values: _Array, out: _Array, *, invert: bool) -> None:
    """One plane of stored ``values`` in its units, into ``out``, which may be the same memory."""
    if units.kind == "offset" and values.itemsize == out.itemsize:
        _add_wrapping(out, units.offset)
    elif units.kind == "offset":
        np.add(values, units.offset, out=out, dtype=out.dtype)
    elif units.kind == "linear":
        out[...] = values * np.float64(frame.slope) + frame.intercept
    elif units.kind == "table" and header.lut is not None:
        index = np.clip(values.astype(np.int64) - header.lut.first, 0, len(header.lut.table) - 1)
        np.take(header.lut.table, index, out=out, mode="clip")
        if invert:
            np.subtract(np.uint16((1 << header.lut.bits) - 1), out, out=out)


def _add_wrapping(values: _Array, offset: int) -> None:
    """Add in two's complement: right for a signed reading of the sum when the true sum fits."""
    words = values.view(f"u{values.itemsize}")
    words += np.array(offset % (1 << 8 * values.itemsize), words.dtype)


def _fit(volume: _Array, offset: int, limits: Iterable[tuple[int, int]]) -> _Array:
    """Stored ``volume`` plus ``offset``, in the narrowest of its own width, int32 and float32 that holds the data."""
    limits = list(limits)
    low, high = min(a for a, _ in limits) + offset, max(b for _, b in limits) + offset
    same = np.dtype(f"i{volume.itemsize}")
    if _fits(low, high, same):
        _add_wrapping(volume, offset)
        return volume.view(same)
    if _fits(low, high, np.dtype(np.int32)):
        return np.add(volume, offset, dtype=np.int32)
    return np.add(volume, offset, dtype=np.float64).astype(np.float32)
