"""From the planes of a series to one grid: order, affine, and what is wrong with it.

Everything is decided by ImagePositionPatient and ImageOrientationPatient; file names, InstanceNumber,
SliceLocation and the gantry tilt tag are not believed. A radiograph has neither, but PatientOrientation. LPS becomes
RAS here.

Tolerances: gaps are equal within 1 % of the spacing, or 0.01 mm where that is more (never beyond 10 %); planes are
parallel within 1e-4 per direction cosine; a stack is tilted when its direction is more than 0.1 degrees off the
normal and drifts more than the gap tolerance.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from fastprep.core.errors import GantryTiltError, ReadError, SeriesError
from fastprep.core.grid import RAS_TO_LPS, Grid
from fastprep.io.dicom_header import Frame, Header

Irregular = Literal["refuse", "keep", "resample"]
Plane = tuple[Header, Frame]
_Array = npt.NDArray[np.float64]

#: The letters of PatientOrientation as directions in RAS.
_SIDES = {"R": (1, 0, 0), "L": (-1, 0, 0), "A": (0, 1, 0), "P": (0, -1, 0), "H": (0, 0, 1), "F": (0, 0, -1)}
_PARALLEL = 1e-4
_TILT_DEGREES = 0.1
_REMEDY = 'Use --irregular resample on the command line; in Python read it with irregular="resample"'


@dataclass(frozen=True, eq=False)
class Stack:
    """Planes by increasing position along their normal, and the grid of the volume they make.

    ``blend`` is None, or per output slice (lower plane, fraction of the next one) for irregular stacks.
    """

    planes: tuple[Plane, ...]
    grid: Grid
    tilt_degrees: float
    blend: tuple[tuple[int, float], ...] | None
    notes: tuple[str, ...]


def flat_stack(plane: Plane) -> Stack:
    """An image without a place in the patient, a radiograph: a 2-D grid from (0, 0, 0), turned as the file tells."""
    header, frame = plane
    spacing: tuple[float, ...] = (1.0, 1.0)
    notes: tuple[str, ...] = ("no pixel spacing in the file: 1 mm assumed",)
    # Writers that do not know the spacing put 0; a volume cannot live with that, a radiograph can.
    if frame.spacing is not None and any(frame.spacing):
        spacing, notes = _positive(header, frame.spacing), ()
    elif frame.imager_spacing is not None and any(frame.imager_spacing):
        spacing = _positive(header, frame.imager_spacing)
        notes = ("spacing is ImagerPixelSpacing: millimetres at the detector",)
    grid = Grid.from_spacing((header.rows, header.columns), spacing)
    turned = _turned(header.sides)
    if turned is not None:
        affine = np.eye(4)
        affine[:3, :3] = turned * [*spacing, 1.0]
        grid = Grid(grid.shape, affine)
    return Stack((plane,), grid, 0.0, None, notes)


def _turned(sides: Sequence[str]) -> _Array | None:
    """Directions of the axes (y, x) and their normal in RAS, from where rows and columns run; None if that is not said.

    Of two letters the first is the larger part: "FP" is towards the feet.
    """
    letters = [side[:1] for side in sides]
    if len(letters) != 2 or any(letter not in _SIDES for letter in letters):
        return None
    along_rows, along_columns = (np.array(_SIDES[letter], np.float64) for letter in letters)
    if along_rows @ along_columns:
        return None
    return np.stack([along_columns, along_rows, np.cross(along_columns, along_rows)], axis=1)


def stack(planes: Sequence[Plane], irregular: Irregular) -> Stack:
    """Sort planes by position and give the volume's grid.

    The affine's first column is (last - first) / (n - 1) of the positions, so a tilt that is kept is kept exactly.

    Raises
    ------
    SeriesError
        Planes of different size, orientation or spacing, at one position, or at irregular gaps.
    GantryTiltError
        Planes stacked along a direction that is not their normal, unless ``irregular`` accepts it.
    """
    _check_alike(planes)
    header, frame = planes[0]
    if frame.orientation is None:
        msg = f"{header.path}: no ImageOrientationPatient: the slice's place in the patient is unknown"
        raise SeriesError(msg)
    along_x, along_y = _directions(header, frame.orientation)
    normal = np.cross(along_x, along_y)
    positions = np.array([f.position for _, f in planes], dtype=np.float64)
    distance = positions @ normal
    order = np.argsort(distance, kind="stable")
    planes, positions, distance = [planes[i] for i in order], positions[order], distance[order]
    dy, dx = _positive(header, frame.spacing)
    if len(planes) == 1:
        step, note = _single_step(planes[0])
        grid = _grid(planes, (step * normal, dy * along_y, dx * along_x), positions[0])
        return Stack(tuple(planes), grid, 0.0, None, note)
    _check_distinct(planes, distance)
    column = (positions[-1] - positions[0]) / (len(planes) - 1)
    tilt = _tilt(column, normal, len(planes))
    faults = [_tilt_text(tilt)] if tilt else []
    gaps = _gap_fault(distance)
    _check_straight(planes, positions, distance)
    if (irregular == "refuse" and (tilt or gaps)) or (irregular == "keep" and gaps):
        kind = GantryTiltError if tilt else SeriesError
        raise kind(_refusal(planes[0], [*faults, *([gaps] if gaps else [])], tilt_only=not gaps))
    blend = None
    if gaps:
        column, blend = _regular(distance, column / (column @ normal))
    grid = _grid(planes, (column, dy * along_y, dx * along_x), positions[0], len(blend) if blend else None)
    notes = (f"{gaps}; slices interpolated to a spacing of {np.linalg.norm(column):.6g} mm",) if gaps else ()
    return Stack(tuple(planes), grid, tilt, blend, (*notes, *faults))


def _check_alike(planes: Sequence[Plane]) -> None:
    missing = [h.path for h, f in planes if f.position is None or f.orientation is None]
    if missing:
        msg = (
            f"{len(missing)} of {len(planes)} slices have no ImagePositionPatient or ImageOrientationPatient,"
            f" first {missing[0]}: their order is unknown. Read such images one at a time"
        )
        raise SeriesError(msg)
    _one_value("sizes (rows, columns)", planes, [(h.rows, h.columns) for h, _ in planes], 0.0)
    _one_value("orientations", planes, [f.orientation or () for _, f in planes], _PARALLEL)
    _one_value("PixelSpacing", planes, [f.spacing or () for _, f in planes], 1e-5)


def _one_value(what: str, planes: Sequence[Plane], values: Sequence[tuple[float, ...]], tolerance: float) -> None:
    """SeriesError unless all ``values`` agree; it names the most frequent and the first that differs."""
    usual = Counter(values).most_common(1)[0][0]
    if all(v == usual for v in values):
        return
    odd = [
        i for i, v in enumerate(values)
        if len(v) != len(usual) or max(abs(a - b) for a, b in zip(v, usual, strict=True)) > tolerance
    ]  # fmt: skip
    if odd:
        msg = (
            f"mixed {what} in one series: {len(odd)} of {len(planes)} slices differ from {usual}, first"
            f" {planes[odd[0]][0].path} with {values[odd[0]]}. A localizer? Pass the files of one stack only"
        )
        raise SeriesError(msg)


def _directions(header: Header, orientation: tuple[float, ...]) -> tuple[_Array, _Array]:
    """Unit vectors towards increasing column and row index."""
    along_x, along_y = np.array(orientation[:3]), np.array(orientation[3:])
    lengths = np.linalg.norm(along_x), np.linalg.norm(along_y)
    if max(abs(n - 1) for n in lengths) > 1e-2 or abs(along_x @ along_y) > 1e-3:
        msg = f"{header.path}: ImageOrientationPatient {orientation}: expected two perpendicular unit vectors"
        raise SeriesError(msg)
    return along_x / lengths[0], along_y / lengths[1]


def _positive(header: Header, spacing: tuple[float, ...] | None) -> tuple[float, float]:
    if spacing is None or not all(math.isfinite(s) and s > 0 for s in spacing):
        msg = f"{header.path}: PixelSpacing is {spacing}: expected two positive numbers of millimetres"
        raise ReadError(msg)
    return spacing[0], spacing[1]


def _single_step(plane: Plane) -> tuple[float, tuple[str, ...]]:
    _, frame = plane
    for step in (frame.spacing_between, frame.thickness):
        # SpacingBetweenSlices may be negative in nuclear medicine; 0 stands for unknown.
        if step:
            return abs(step), ()
    return 1.0, ("one slice, of unknown thickness: 1 mm assumed",)


def _check_distinct(planes: Sequence[Plane], distance: _Array) -> None:
    gaps = np.diff(distance)
    same = gaps <= min(0.01, 0.01 * float(gaps.max()))
    if not same.any():
        return
    groups = np.split(np.arange(len(planes)), np.flatnonzero(~same) + 1)
    repeats = {len(group) for group in groups}
    first = int(np.flatnonzero(same)[0])
    (header, frame), (twin, other) = planes[first], planes[first + 1]
    if len(repeats) == 1:
        differing = ", ".join(sorted({name for name, _ in set(frame.phase) ^ set(other.phase)}))
        msg = (
            f"{repeats.pop()} slices at each of {len(groups)} positions: several phases, echoes or repetitions in one"
            f" series{f' (they differ in {differing})' if differing else ''}. Pass the files of one of them"
        )
    else:
        msg = (
            f"duplicate position: {_label(header, frame)} and {_label(twin, other)} both lie"
            f" {distance[first]:.2f} mm along the normal; {int(same.sum())} such pairs. Remove one file of each"
        )
    raise SeriesError(msg)


def _label(header: Header, frame: Frame) -> str:
    return f"{header.path}, frame {frame.index}" if len(header.frames) > 1 else str(header.path)


def _tolerance(gap: float) -> float:
    return max(0.01 * gap, min(0.01, 0.1 * gap))


def _tilt(column: _Array, normal: _Array, count: int) -> float:
    """Degrees between the stack's direction and the slice normal, 0 within the tolerance."""
    across = float(np.linalg.norm(column - (column @ normal) * normal))
    angle = math.degrees(math.atan2(across, float(column @ normal)))
    drift = across * (count - 1)
    return angle if angle > _TILT_DEGREES and drift > _tolerance(float(column @ normal)) else 0.0


def _tilt_text(tilt: float) -> str:
    return f"gantry tilt: slices are stacked {tilt:.2f} degrees off their normal"


def _gap_fault(distance: _Array) -> str:
    """What is irregular about the gaps, "" if nothing is."""
    gaps = np.diff(distance)
    usual = float(np.median(gaps))
    if np.abs(gaps - usual).max() <= _tolerance(usual):
        return ""
    unit, steps = _whole_steps(gaps)
    if steps is None:
        return f"irregular slice gaps: {gaps.min():.2f} to {gaps.max():.2f} mm, median {usual:.2f} mm"
    after = [
        f"{int(n - 1)} between {distance[i]:.2f} and {distance[i + 1]:.2f} mm"
        for i, n in enumerate(steps) if n > 1
    ]  # fmt: skip
    listed = ", ".join(after[:5]) + (f" and {len(after) - 5} more places" if len(after) > 5 else "")
    return f"{int((steps - 1).sum())} missing slices (spacing {unit:.3g} mm): {listed} along the normal"


def _whole_steps(gaps: _Array) -> tuple[float, npt.NDArray[np.int64] | None]:
    """The spacing all gaps are whole multiples of and the multiples, or None for the multiples."""
    unit = float(gaps.min())
    steps = np.rint(gaps / unit).astype(np.int64)
    unit = float(gaps.sum() / steps.sum())
    regular = bool((np.abs(gaps - steps * unit) <= _tolerance(unit)).all())
    return unit, steps if regular else None


def _check_straight(planes: Sequence[Plane], positions: _Array, distance: _Array) -> None:
    """SeriesError when first corners do not lie on one line: no affine describes such a stack."""
    direction = (positions[-1] - positions[0]) / (distance[-1] - distance[0])
    off = np.linalg.norm(positions - positions[0] - np.outer(distance - distance[0], direction), axis=1)
    worst = int(off.argmax())
    if off[worst] > max(0.05, _tolerance(float(np.median(np.diff(distance))))):
        msg = (
            f"slices are shifted sideways: {_label(*planes[worst])} lies {off[worst]:.2f} mm off the line through"
            " the first and last slice, so the stack is no regular grid. Pass the files of one straight stack"
        )
        raise SeriesError(msg)


def _refusal(plane: Plane, faults: Sequence[str], *, tilt_only: bool) -> str:
    where = f"{plane[0].path.parent} (series {plane[0].series_number})"
    if tilt_only:
        remedy = (
            "Use --irregular resample on the command line; in Python read it with"
            ' irregular="keep" for the exact sheared grid, then deskew'
        )
    else:
        remedy = _REMEDY + (", then deskew" if len(faults) > 1 else "")
    return f"{where}: {'; '.join(faults)}. {remedy}"


def _regular(distance: _Array, direction: _Array) -> tuple[_Array, tuple[tuple[int, float], ...]]:
    """The slice column of regular positions, and for each the planes it lies between.

    The step is the median gap, or the true spacing where slices are only missing. Positions within the tolerance
    of a plane take that plane unchanged.
    """
    gaps = np.diff(distance)
    unit, steps = _whole_steps(gaps)
    gap = unit if steps is not None else float(np.median(gaps))
    tolerance = _tolerance(gap)
    count = int((distance[-1] - distance[0] + tolerance) // gap) + 1
    blend: list[tuple[int, float]] = []
    for target in distance[0] + gap * np.arange(count):
        nearest = int(np.abs(distance - target).argmin())
        if abs(distance[nearest] - target) <= tolerance:
            blend.append((nearest, 0.0))
            continue
        lower = int(np.searchsorted(distance, target)) - 1
        blend.append((lower, float((target - distance[lower]) / gaps[lower])))
    return gap * direction, tuple(blend)


def _grid(
    planes: Sequence[Plane], columns: tuple[_Array, _Array, _Array], origin: _Array, count: int | None = None
) -> Grid:
    lps = np.eye(4)
    lps[:3, :3] = np.stack(columns, axis=1)
    lps[:3, 3] = origin
    header = planes[0][0]
    shape = (len(planes) if count is None else count, header.rows, header.columns)
    return Grid(shape, RAS_TO_LPS @ lps)
