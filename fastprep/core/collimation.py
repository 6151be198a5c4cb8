"""Where a collimator's borders lie on a radiograph: straight lines, and nothing beyond them.

Beyond a blade of the collimator there is hardly any light: with dense bright that is brighter than any patient, flat
but for scatter and noise. A shutter that software drew is of one value, as a rule black. The air beside a patient is
flat too, but dark and noisy, and its border is curved. So a border is a line across the image, nearly along an edge of
it, with a step of one sign nearly all along, and beyond it a flat region on the right side of the grey scale.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

_Array = npt.NDArray[Any]

SIDES = ("left", "right", "top", "bottom")
#: Degrees that a border may be turned, how many of them are tried, and how far inside it may lie.
_TURN, _TURNS, _DEEPEST = 12.0, 25, 0.45
#: Pixels averaged on each side of a line, and those left out for the penumbra.
_REACH, _PENUMBRA = 3, 2
#: Shares of the image's range: a step that counts, the largest that counts more, the spread of what is flat, and how
#: little values differ where software wrote one.
_STEP, _FULL_STEP, _FLAT, _ONE_VALUE = 0.04, 0.2, 0.3, 0.0015
#: Of the rows that a line crosses: those with a step, of a blade and of a shutter, and those with one the other way.
_ALONG, _ALONG_SHUTTER, _AGAINST = 0.5, 0.8, 0.1
#: How much of the contrast a step has at least, in most of the rows that have any.
_SHARP, _ALONG_SHARP = 0.5, 0.88
#: A bright strip so narrow is in the penumbra of its blade and need not be flat, but its step has to go all along.
_NARROW, _ALONG_NARROW, _BRIGHT = 0.04, 0.9, 0.9
#: Candidates of each side that are looked at, so many pixels apart, with a step along so much of them at least.
_CANDIDATES, _APART, _LEAST_ALONG = 24, 6, 0.3
#: Rows of a line, and pixels beyond it, at least; and pixels beyond it that tell how flat that is, at most.
LEAST_ROWS, _SOME = 24, 4000


@dataclass(frozen=True)
class Border:
    """A line ``at + slope * (i - middle)`` across rows (or columns) i, counted from its own side inwards."""

    at: float
    slope: float
    #: Of what is beyond, in shares of the image's range; whether what is inside is darker (1) or brighter (-1).
    level: float
    sign: int
    #: How strong the step is along the line.
    score: float


def find_borders(x: _Array, *, dense_bright: bool = True) -> dict[str, Border]:
    """The borders on a small image (y, x), by the side they are on; {} where there are none.

    Each is in the frame of `facing`: as if it were on the left.
    """
    low, high = np.percentile(x, (1, 99))
    if not high > low or min(x.shape) < LEAST_ROWS:
        return {}
    shares = np.clip((x - low) / (high - low), 0, 1)
    shares = shares if dense_bright else 1 - shares
    waiting = {side: _candidates(facing(shares, side)) for side in SIDES}
    found = {side: border for side in SIDES if (border := next(waiting[side], None)) is not None}
    # A line may be crossed by others: only what lies inside all of them has to show a step.
    while found:
        worst, share = min(((side, _along(shares, found, side)) for side in found), key=lambda pair: pair[1])
        if share >= 1:
            break
        other = next(waiting[worst], None)
        if other is None:
            del found[worst]
        else:
            found[worst] = other
    return {side: _refined(shares, found, side) for side in found}


def facing(x: _Array, side: str) -> _Array:
    """The image turned so that a side is on the left."""
    return {"left": x, "right": x[:, ::-1], "top": x.T, "bottom": x[::-1].T}[side]


def inside(shape: tuple[int, int], borders: dict[str, Border], scale: tuple[float, float] = (1.0, 1.0)) -> _Array:
    """Mask of an image that is ``scale`` times as large as the one the borders were found on."""
    mask = np.ones(shape, np.bool_)
    for side, border in borders.items():
        view = facing(mask, side)
        across, along = (scale[1], scale[0]) if side in ("left", "right") else scale
        rows = (np.arange(view.shape[0]) + 0.5) / along - 0.5
        middle = (view.shape[0] / along - 1) / 2
        edge = (border.at + border.slope * (rows - middle) + 0.5) * across - 0.5
        view &= np.arange(view.shape[1]) >= edge[:, None]
    return mask


def corners(shape: tuple[int, int], borders: dict[str, Border]) -> list[tuple[float, float]]:
    """Where the four lines meet as (row, column), clockwise from the top left; a side without one is the image's."""
    # Each line as a r + b c = d.
    lines = {}
    for side in SIDES:
        n, m = shape if side in ("left", "right") else shape[::-1]
        border = borders.get(side)
        at, slope = (-0.5, 0.0) if border is None else (border.at, border.slope)
        if side in ("right", "bottom"):
            at, slope = m - 1 - at, -slope
        if side == "bottom" or side == "top":
            lines[side] = (1.0, -slope, at - slope * (n - 1) / 2)
        else:
            lines[side] = (-slope, 1.0, at - slope * (n - 1) / 2)
    around = ["left", "top", "right", "bottom", "left"]
    meet = []
    for one, two in pairwise(around):
        matrix = np.array([lines[one][:2], lines[two][:2]])
        r, c = np.linalg.solve(matrix, [lines[one][2], lines[two][2]])
        meet.append((float(r), float(c)))
    return meet


def _steps(x: _Array) -> _Array:
    """How much brighter the pixels from each column on are than those before it."""
    sums = np.pad(np.cumsum(x, axis=1), ((0, 0), (1, 0)))
    k, n = _REACH, x.shape[1]
    out = np.zeros(x.shape)
    here = np.arange(k, n - k + 1)
    out[:, k : n - k + 1] = (sums[:, here + k] - 2 * sums[:, here] + sums[:, here - k])[:, : n - 2 * k + 1] / k
    return out


def _candidates(x: _Array) -> Iterator[Border]:
    """Lines on the left with flat ground beyond them, the clearest first."""
    n, m = x.shape
    steps, smooth = _steps(x), _smoothed(x)
    middle = (n - 1) / 2
    slopes = np.tan(np.radians(np.linspace(-_TURN, _TURN, _TURNS)))
    offsets = np.arange(2, int(m * _DEEPEST))
    rows = np.arange(0, n, 2)[:, None]
    for_each = []
    for slope in slopes:
        columns = np.rint(offsets + slope * (rows - middle)).astype(np.intp)
        there = (columns >= 0) & (columns < m)
        along = steps[rows, np.clip(columns, 0, m - 1)]
        along = np.clip(np.where(there, along, 0), -_FULL_STEP, _FULL_STEP)
        for_each.append((np.maximum(-along, 0).mean(0), np.maximum(along, 0).mean(0)))
    scores = np.array(for_each)  # (slope, sign, offset)
    steepest = scores.argmax(axis=0)
    best = scores.max(axis=0)
    seen: list[tuple[float, int]] = []
    for flat in np.argsort(best, axis=None)[::-1].tolist():
        s, o = divmod(flat, len(offsets))
        at, sign, slope = float(offsets[o]), 1 - 2 * s, float(slopes[steepest[s, o]])
        if best[s, o] < _STEP * _LEAST_ALONG or len(seen) >= _CANDIDATES:
            return
        if any(abs(at - other) < _APART and sign == which for other, which in seen):
            continue
        seen.append((at, sign))
        level = _flat_level(x, smooth, at, slope, sign)
        if level is not None:
            # The line lies between two columns.
            yield Border(at - 0.5, slope, level, sign, float(best[s, o]))


def _flat_level(x: _Array, smooth: _Array, at: float, slope: float, sign: int) -> float | None:
    """The value beyond a line, if that is flat and no air."""
    n, m = x.shape
    edge = at + slope * (np.arange(n) - (n - 1) / 2) - _PENUMBRA
    beyond = x[np.arange(m) < edge[:, None]]
    if beyond.size < LEAST_ROWS:
        return None
    level = float(np.median(beyond))
    if sign > 0 and at <= _NARROW * m and level >= _BRIGHT:
        return level
    # What is darker than the inside is air, unless it is of one value.
    if sign < 0 and np.percentile(np.abs(beyond - level), 90) > _ONE_VALUE:
        return None
    # Other blades may shade most of the rows.
    step = np.percentile(np.abs(x[_strip(x, at, slope)] - level), 80)
    return level if _spread(smooth, edge) < min(_FLAT, max(0.6 * step, 1e-6)) else None


def _spread(smooth: _Array, edge: _Array) -> float:
    """How far values before an edge are from a surface through them: scatter fades with the distance."""
    rows, columns = np.nonzero(np.arange(smooth.shape[1]) < edge[:, None])
    some = slice(None, None, -(-rows.size // _SOME))
    rows, columns = rows[some], columns[some]
    plane = np.stack([np.ones(rows.size), rows, columns, columns.astype(float) ** 2], axis=1)
    values = smooth[rows, columns]
    rest = values - plane @ np.linalg.lstsq(plane, values, rcond=None)[0]
    least, most = np.percentile(rest, (4, 96))
    return float(most - least)


def _smoothed(x: _Array) -> _Array:
    """Means of 3x3 pixels."""
    wide = np.pad(x, 1, mode="edge")
    down = wide[:-2] + wide[1:-1] + wide[2:]
    return np.asarray((down[:, :-2] + down[:, 1:-1] + down[:, 2:]) / 9)


def _strip(x: _Array, at: float, slope: float) -> _Array:
    """The pixels just inside a line."""
    edge = at + slope * (np.arange(x.shape[0])[:, None] - (x.shape[0] - 1) / 2)
    columns = np.arange(x.shape[1])
    return np.asarray((columns >= edge + _PENUMBRA) & (columns < edge + _PENUMBRA + 8))


def _along(shares: _Array, borders: dict[str, Border], side: str) -> float:
    """How much of a line shows its step, as a share of what is asked for; 0 where it steps the other way."""
    border = borders[side]
    others = {name: other for name, other in borders.items() if name != side}
    x = facing(shares, side)
    open_ = facing(inside(shares.shape, others), side)
    n, m = x.shape
    steps = -border.sign * _steps(x)
    rows = np.arange(n)
    columns = np.rint(border.at + 0.5 + border.slope * (rows - (n - 1) / 2)).astype(np.intp)
    # What is near a line that crosses is in its penumbra.
    there = (columns >= _REACH) & (columns < m - _REACH)
    there &= open_[rows, np.clip(columns + 2 * _REACH, 0, m - 1)]
    if np.count_nonzero(there) < max(LEAST_ROWS, n // 8):
        return 0.0
    near = np.stack([steps[rows, np.clip(columns + d, 0, m - 1)] for d in (-1, 0, 1)])[:, there]
    step = near.max(axis=0)
    with_step = np.mean(step > _STEP)
    against = np.mean(near.min(axis=0) < -_STEP)
    if against > _AGAINST:
        return 0.0
    if border.sign > 0 and border.at <= _NARROW * m:
        return float(with_step / _ALONG_NARROW)
    # The edge of a lung or of the heart leaves a line, or takes its time: here all of the contrast is in one step.
    inner = np.stack([x[rows, np.clip(columns + d, 0, m - 1)] for d in range(_PENUMBRA, _PENUMBRA + _REACH)])[:, there]
    contrast = border.sign * (border.level - inner.mean(axis=0))
    tells = contrast > 2 * _STEP
    sharp = np.mean(step[tells] > _SHARP * contrast[tells]) if tells.any() else 0.0
    wanted = _ALONG_SHUTTER if border.sign < 0 else _ALONG
    return float(min(with_step / wanted, sharp / _ALONG_SHARP))


def _refined(shares: _Array, borders: dict[str, Border], side: str) -> Border:
    """The line through the places where half of the step is done."""
    border = borders[side]
    x = facing(shares, side)
    open_ = facing(inside(shares.shape, {k: v for k, v in borders.items() if k != side}), side)
    n, m = x.shape
    rows = np.arange(n) - (n - 1) / 2
    points = []
    for i in range(n):
        guess = border.at + 0.5 + border.slope * rows[i]
        start = math.floor(guess) - 5
        if start < 0 or start + 12 >= m or not open_[i, min(m - 1, start + 11)]:
            continue
        line = x[i, start : start + 12]
        inner = line[8:].mean()
        half = (border.level + inner) / 2
        if abs(inner - border.level) < _STEP:
            continue
        done = border.sign * (half - line)
        crossing = np.flatnonzero((done[:-1] < 0) & (done[1:] >= 0))
        if crossing.size == 1:
            j = int(crossing[0])
            points.append((rows[i], start + j + done[j] / (done[j] - done[j + 1])))
    if len(points) < LEAST_ROWS:
        return border
    at, columns = np.array(points).T
    keep = np.ones(len(at), np.bool_)
    line_fit = np.array([0.0, 0.0])
    for limit in (4.0, 2.0, 1.0):
        if np.count_nonzero(keep) < LEAST_ROWS:
            return border
        line_fit = np.polyfit(at[keep], columns[keep], 1)
        keep = np.abs(np.polyval(line_fit, at) - columns) < limit
    slope, offset = line_fit.tolist()
    return replace(border, at=offset, slope=slope)
