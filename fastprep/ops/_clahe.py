"""What CLAHE and its tables share: arguments, the range of grey levels of each volume, and `ClaheTables`."""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from fastprep.core.checks import check_space
from fastprep.core.device_view import DeviceView, DType
from fastprep.core.errors import ArgumentError, DTypeError, GeometryError, NonFiniteError, ShapeError
from fastprep.core.image import Image
from fastprep.core.namespace import dtype_name
from fastprep.core.ramp import Ramp
from fastprep.core.tiles import tiles_of
from fastprep.ops._arrays import empty, for_all, with_shape
from fastprep.ops._bias import Scan, check_nan, scan_of
from fastprep.ops._masked import numbers_of
from fastprep.ops._masks import as_bytes
from fastprep.ops._pointwise import apply_ramps
from fastprep.registry import gpu_driver, kernel

MOST_BINS = 1 << 16
#: An automatic range is from this quantile to the one as far from 1, and a part of that more on either side.
_TAIL, _MORE = 1e-4, 0.1
#: Whole numbers beyond are none of float64, and their products with bins beyond 64 bits.
_LARGEST, _MOST_WIDE = 1 << 53, 1 << 62
#: Differences that float32 tables can hold.
_LEAST_SPAN, _MOST_SPAN = 1e-30, 1e30


class Levels(NamedTuple):
    """Equal ``bins`` of grey levels from ``low`` to ``high``, whole numbers of integers."""

    low: float
    high: float
    bins: int


class _Part(NamedTuple):
    """Volumes ``first`` to ``last`` of one range: tables (B, T, bins) and counts (B, T), None of constant ones."""

    first: int
    last: int
    levels: Levels | None
    tables: Any = None
    counts: Any = None


@dataclass(frozen=True, eq=False)
class ClaheTables:
    """What CLAHE does to the grey levels of each tile of an image, to be applied to the image or to patches of it.

    Attributes
    ----------
    shape : the space axes of the image.
    tiles : how many there are along each of them.
    dtype : of the images that it makes.
    """

    shape: tuple[int, ...]
    tiles: tuple[int, ...]
    dtype: str
    _size: tuple[int, ...] = field(repr=False)
    _given: DType = field(repr=False)
    _parts: tuple[_Part, ...] = field(repr=False)

    @property
    def value_ranges(self) -> tuple[tuple[float, float] | None, ...]:
        """The range of grey levels of each volume; None of one that is constant, which stays as it is."""
        each = (p.levels and (p.levels.low, p.levels.high) for p in self._parts for _ in range(p.last - p.first))
        return tuple(each)

    def apply(self, patch: Any, origin: Sequence[int] | None = None, *, mask: Any = None, dtype: Any = None) -> Any:
        """A patch through the tables of the whole image: the same voxels of `clahe` of the whole, to the bit.

        Parameters
        ----------
        patch : Image or array (..., space) of the type of the image; of a batch of images as many patches, of one any
            number.
        origin : index of its first voxel in the image, along the space axes; None is the image's own.
        mask : of the patch; outside it the patch stays as it is.
        dtype : of the result; by default the one the tables were made for, which decided whether they hold whole grey
            levels.

        Returns
        -------
        What ``patch`` was. NaN and infinity stay as they are.

        Raises
        ------
        ShapeError
            A patch that does not lie inside the image, or another number of them.
        DTypeError
            A patch of another type than the image.
        DeviceError
            A patch that is not where the tables are.
        """
        scan = _volumes(patch, mask, (1.0,) * len(self.shape))
        if scan.volumes.dtype.name != self._given.name:
            msg = f"patch of dtype {scan.volumes.dtype.name}: expected that of the image, {self._given.name}"
            raise DTypeError(msg)
        at = _origin(origin, scan.space, self.shape)
        if len(scan.volumes) != self._parts[-1].last != 1:
            msg = f"{len(scan.volumes)} patches: expected as many as the images, {self._parts[-1].last}"
            raise ShapeError(msg)
        return self.applied(scan, marks_of(scan), at, self.dtype if dtype is None else _number(dtype, scan))

    def applied(self, scan: Scan, marks: Any, origin: tuple[int, ...], name: str, into: Any = None) -> Any:
        """`apply` to volumes that have been checked; ``into`` takes the result instead of a new array."""
        out = empty((*scan.leading, *scan.space), name, scan.array, into)
        whole = with_shape(out.view, tuple(scan.volumes.shape))
        for part, first, last in self._pieces(len(scan.volumes)):
            volumes, made = scan.volumes[first:last], whole[first:last]
            if part.levels is None:
                apply_ramps(volumes, [Ramp()], dtype=name, into=made)
                continue
            low, high, bins = part.levels
            where = _three(self.tiles, 1), _three(self._size, 1), _three(origin, 0)
            inside = None if marks is None else marks[first:last]
            run = kernel("tile_blend", scan.array)
            run(volumes, inside, part.tables, part.counts, *where, bins, low, high, made)
        result = out.finish()
        return scan.x.with_array(result) if isinstance(scan.x, Image) else result

    def _pieces(self, many: int) -> list[tuple[_Part, int, int]]:
        """The parts and the volumes they are for: those of one image are for each."""
        if self._parts[-1].last == many:
            return [(part, part.first, part.last) for part in self._parts]
        return [(self._parts[0], b, b + 1) for b in range(many)]


class How(NamedTuple):
    """The arguments of CLAHE."""

    clip_limit: float
    tiles: int | Sequence[int]
    bins: int
    value_range: tuple[float, float] | None
    nan: str
    dtype: Any


class Job(NamedTuple):
    """What CLAHE is made of: volumes, their masks as bytes, their ranges, and the type of the result."""

    scan: Scan
    marks: Any
    levels: Sequence[Levels | None]
    dtype: str


def job_of(x: Any, mask: Any, how: How) -> Job:
    """The arguments, checked."""
    limit, bins = how.clip_limit, how.bins
    check_clip_limit(limit)
    if not _is_whole(bins) or not 2 <= bins <= MOST_BINS:
        msg = f"bins={bins!r}: expected a whole number from 2 to {MOST_BINS}"
        raise ArgumentError(msg)
    scan = scan_for(x, mask, how.tiles)
    tiles_for(how.tiles, scan.space)
    name = scan.volumes.dtype.name if how.dtype is None else _number(how.dtype, scan)
    marks = marks_of(scan)
    return Job(scan, marks, levels_of(scan, marks, how.value_range, int(bins), how.nan), name)


def check_clip_limit(limit: Any) -> None:
    """A number of at least 0.

    Raises
    ------
    ArgumentError
        Another.
    """
    real: bool = isinstance(limit, numbers.Real) and not isinstance(limit, bool)
    if not (real and limit >= 0):
        msg = f"clip_limit={limit!r}: expected a number of at least 0; 0 does not limit"
        raise ArgumentError(msg)


def tables_of(job: Job, tiles: int | Sequence[int], clip_limit: float) -> ClaheTables:
    """The tables of every volume."""
    scan, marks, found, name = job
    count, size = tiles_of(scan.space, tiles_for(tiles, scan.space))
    if math.prod(size) >= 1 << 31:
        msg = f"tiles={tiles!r}: tiles of {math.prod(size)} voxels; expected fewer than 2**31, ask for more tiles"
        raise ArgumentError(msg)
    # Rounded where the result is to be whole, once here, as OpenCV does.
    whole = scan.volumes.dtype.kind in "iu" and np.dtype("f4" if name == "bfloat16" else name).kind in "iu"
    parts = []
    for first, last in _alike(found):
        levels = found[first]
        if levels is None:
            parts.append(_Part(first, last, None))
            continue
        low, high, bins = levels
        shape = (last - first, math.prod(count))
        tables = empty((*shape, bins), "float32", scan.array).view
        counts = empty(shape, "int32", scan.array).view
        inside = None if marks is None else marks[first:last]
        where = scan.volumes[first:last], inside, _three(count, 1), _three(size, 1), bins, low, high
        kernel("tile_tables", scan.array)(*where, float(clip_limit), whole, tables, counts)
        if marks is not None and scan.volumes.dtype.kind != "f":
            _check_counts(counts)
        parts.append(_Part(first, last, levels, tables, counts))
    return ClaheTables(scan.space, count, name, size, scan.volumes.dtype, tuple(parts))


def scan_for(x: Any, mask: Any, tiles: Any) -> Scan:
    """``x`` and its mask as volumes: the space axes are as many as ``tiles``, or those of `scan_of`."""
    several = isinstance(tiles, Sequence) and not isinstance(tiles, str)
    scan = _volumes(x, mask, (1.0,) * len(tiles) if several else None)
    if scan.volumes.dtype.kind == "b":
        msg = "x of dtype bool: a mask has no grey levels"
        raise DTypeError(msg)
    return scan


def levels_of(
    scan: Scan, marks: Any, value_range: tuple[float, float] | None, bins: int, nan: str
) -> list[Levels | None]:
    """The `Levels` of each volume, None of a constant one.

    Raises
    ------
    NonFiniteError
        NaN or infinity inside the mask, unless ``nan`` is "ignore".
    ArgumentError
        No number inside the mask, or a range that cannot be.
    """
    check_nan(nan)
    dtype, many = scan.volumes.dtype, len(scan.volumes)
    if value_range is None and not (dtype.kind == "u" and dtype.itemsize == 1):
        return [_automatic(*ends, dtype, bins) for ends in _ends(scan, marks, nan)]
    ends = (0, 255) if value_range is None else value_range
    levels = _levels(*_checked(ends, dtype), dtype, bins)
    if dtype.kind == "f" and (nan == "raise" or marks is not None):
        check_found(kernel("moments", scan.array)(scan.volumes, marks, None), marks, nan)
    return [levels] * many


def _volumes(x: Any, mask: Any, spacing: tuple[float, ...] | None) -> Scan:
    if not isinstance(x, Image) or spacing is None or len(spacing) == x.grid.ndim:
        return scan_of(x, mask, None, None if isinstance(x, Image) else spacing)
    if isinstance(mask, Image) and not mask.grid.same_as(x.grid):
        msg = f"mask on {mask.grid}: expected the grid of x, {x.grid}; fastprep.resample_to brings it there"
        raise GeometryError(msg)
    marks = mask.array if isinstance(mask, Image) else mask
    return scan_of(numbers_of(x)[0], marks, None, spacing)._replace(x=x)


def marks_of(scan: Scan) -> Any:
    """The masks as bytes, one for each volume."""
    return None if scan.mask is None else for_all(as_bytes(scan.mask, scan.mask), len(scan.volumes))


def _ends(scan: Scan, marks: Any, nan: str) -> list[tuple[float, float]]:
    """The range of each volume that no rare value moves far: its inner quantiles and a part more, within its values."""
    q = np.array([0, _TAIL, 1 - _TAIL, 1])
    found = kernel("percentile", scan.array)(scan.volumes, marks, q)
    odd = any(one.nan or one.infinite for one in found)
    moments = kernel("moments", scan.array)(scan.volumes, marks, None) if odd else found
    check_found(moments, marks, nan)
    ends = []
    for one, finite in zip(found, moments, strict=True):
        least, low, high, most = one.quantiles(q).tolist()
        if odd:
            least, most = finite.low, finite.high
        more = _MORE * (high - low)
        # Of infinite ones the extremes of the others.
        ends.append((max(least, low - more) if more < math.inf else least, min(most, high + more)))
    return ends


def _automatic(low: float, high: float, dtype: DType, bins: int) -> Levels | None:
    if dtype.kind == "f":
        return None if high - low < _LEAST_SPAN else _levels(low, high, dtype, bins)
    first, last = math.floor(low), math.ceil(high)
    return None if first == last else _levels(first, last, dtype, bins)


def _checked(value_range: Any, dtype: DType) -> tuple[float, float]:
    try:
        low, high = value_range
        right = low < high and math.isfinite(low) and math.isfinite(high)
    except (TypeError, ValueError):
        right = False
    if not right:
        msg = f"value_range={value_range!r}: expected two finite numbers, the first below the second"
        raise ArgumentError(msg)
    if dtype.kind == "f":
        return float(low), float(high)
    if low != int(low) or high != int(high):
        msg = f"value_range={value_range!r}: expected whole numbers for x of dtype {dtype.name}"
        raise ArgumentError(msg)
    return int(low), int(high)


def _levels(low: float, high: float, dtype: DType, bins: int) -> Levels:
    if dtype.kind == "f":
        if not _LEAST_SPAN <= high - low <= _MOST_SPAN:
            msg = f"value_range=({low:g}, {high:g}): expected a difference from {_LEAST_SPAN:g} to {_MOST_SPAN:g}"
            raise ArgumentError(msg)
        return Levels(low, high, bins)
    n = int(high) - int(low) + 1
    if max(abs(low), abs(high)) > _LARGEST or n * bins >= _MOST_WIDE:
        msg = f"value_range=({low}, {high}): expected whole numbers nearer to each other and to 0, or floats"
        raise ArgumentError(msg)
    return Levels(int(low), int(high), min(bins, n))


def check_found(found: Sequence[Any], mask: Any, nan: str) -> None:
    """Errors for volumes (their moments, or order statistics without an odd value) of which nothing can be told."""
    where = "" if mask is None else " inside the mask"
    for one in found:
        bad = getattr(one, "nonfinite", 0)
        if bad and nan == "raise":
            msg = f"x holds {bad} values{where} that are NaN or infinite"
            raise NonFiniteError(msg)
        if one.count == 0:
            msg = f"x holds no number{where}: all of it is NaN or infinite" if bad else _EMPTY
            raise ArgumentError(msg)


_EMPTY = "mask holds no voxel: there is nothing to equalise"


def _check_counts(counts: Any) -> None:
    there = gpu_driver().read(counts) if isinstance(counts, DeviceView) else counts
    if not there.any(axis=1).all():
        raise ArgumentError(_EMPTY)


def tiles_for(tiles: int | Sequence[int], space: tuple[int, ...]) -> tuple[int, ...]:
    """So many along each space axis."""
    values: Any = (tiles,) * len(space) if _is_whole(tiles) else tiles
    if isinstance(values, Sequence) and len(values) == len(space) and all(_is_whole(v) and v >= 1 for v in values):
        return tuple(int(v) for v in values)
    msg = f"tiles={tiles!r}: expected a whole number of at least 1, or one for each space axis"
    raise ArgumentError(msg)


def _is_whole(value: Any) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def _number(dtype: Any, scan: Scan) -> str:
    name = dtype_name(dtype, scan.array)
    if name == "bool":
        msg = "dtype=bool: expected a type of grey levels"
        raise DTypeError(msg)
    return name


def _alike(found: Sequence[Levels | None]) -> list[tuple[int, int]]:
    """Runs of volumes of one range."""
    cuts = [b for b in range(1, len(found)) if found[b] != found[b - 1]]
    return list(zip([0, *cuts], [*cuts, len(found)], strict=True))


def _origin(origin: Sequence[int] | None, space: tuple[int, ...], shape: tuple[int, ...]) -> tuple[int, ...]:
    at = (0,) * len(shape) if origin is None else tuple(origin)
    check_space(space, len(shape), name="patch")
    fits = len(at) == len(shape) and all(_is_whole(o) for o in at)
    if not fits or not all(o >= 0 and o + n <= m for o, n, m in zip(at, space, shape, strict=True)):
        msg = f"patch of shape {space} at origin {at}: expected to lie inside the image of shape {shape}"
        raise ShapeError(msg)
    return tuple(int(o) for o in at)


def _three(values: tuple[int, ...], first: int) -> tuple[int, ...]:
    return values if len(values) == 3 else (first, *values)
