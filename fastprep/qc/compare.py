"""What a step did to a scan, in figures that each stand beside what doing nothing would get."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fastprep.core.errors import ArgumentError
from fastprep.core.image import Image
from fastprep.core.namespace import shape_of
from fastprep.ops._masked import moments_of
from fastprep.ops._pairs import check_data_range, differences, pair_of
from fastprep.ops.estimate_noise import estimate_noise
from fastprep.ops.psnr import decibels
from fastprep.ops.ssim import ssim
from fastprep.qc.figures import contrast, dynamic_range, edge_strength, entropy, nmse, volume_of

_WINDOW = 7
#: How many times wider or narrower one scale is than another one.
_OTHER_SCALE = 10.0
_NAN = math.nan


@dataclass(frozen=True)
class Figure:
    """One figure: of the scan before, which is what doing nothing gets, and after.

    Parameters
    ----------
    name : with its unit.
    before, after : NaN where it has no answer.
    is_ratio : whether ``after / before`` says something: of decibels it does not.
    """

    name: str
    before: float
    after: float
    is_ratio: bool = True

    @property
    def gain(self) -> float:
        """``after / before``: 1 where both are 0, NaN where it says nothing."""
        if not self.is_ratio or math.isnan(self.before) or math.isnan(self.after):
            return _NAN
        if self.before == 0:
            return 1.0 if self.after == 0 else math.inf
        return self.after / self.before


@dataclass(frozen=True)
class Comparison:
    """The figures of a scan before and after, and how far both are from the truth, or from the scan before.

    Parameters
    ----------
    against : "truth", or "before" where there is none: then doing nothing is perfect, and errors say how much changed.
    data_range : that of PSNR and SSIM.
    voxels : inside the mask.
    figures : of each image by itself.
    errors : of each image against ``against``.
    notes : what to know before the figures are believed.

    ``str`` is a table.
    """

    against: str
    data_range: float
    voxels: int
    figures: tuple[Figure, ...]
    errors: tuple[Figure, ...]
    notes: tuple[str, ...] = ()

    def __getitem__(self, name: str) -> Figure:
        """A figure by its name, with or without its unit."""
        for figure in (*self.figures, *self.errors):
            if name in (figure.name, figure.name.partition(",")[0]):
                return figure
        raise KeyError(name)

    @property
    def edge_gain(self) -> float:
        """How many times stronger edges are, noise among them: read `noise_gain` beside it."""
        return self["edge strength"].gain

    @property
    def noise_gain(self) -> float:
        """How many times stronger the noise is."""
        return self["noise"].gain

    @property
    def edge_gain_over_noise(self) -> float:
        """The quotient of both: above 1 edges gained more than noise did."""
        return self["edges over noise"].gain

    def to_dict(self) -> dict[str, Any]:
        """All of it as numbers and words by name; figures without an answer are NaN."""
        return {
            "against": self.against,
            "data_range": self.data_range,
            "voxels": self.voxels,
            "figures": {f.name: {"before": f.before, "after": f.after, "gain": f.gain} for f in self.figures},
            "errors": {f.name: {"before": f.before, "after": f.after} for f in self.errors},
            "notes": list(self.notes),
        }

    def __str__(self) -> str:
        """A table with a column for doing nothing."""
        head = ("", "before", "after", "gain")
        own = [(f.name, number(f.before), number(f.after), number(f.gain)) for f in self.figures]
        title = (f"against {'the truth' if self.against == 'truth' else 'before'}", "do nothing", "after", "")
        against = [(f.name, number(f.before), number(f.after), "") for f in self.errors]
        lines = aligned([head, *own, ("",) * 4, title, *against])
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])


def compare(before: Any, after: Any, *, data_range: float, truth: Any = None, mask: Any = None) -> Comparison:
    """Figures of a scan before and after a step, in float64, of the voxels inside ``mask``.

    Of each by itself: RMS contrast, width from the 1st to the 99th percentile, levels, entropy, edge strength, noise
    (`fastprep.estimate_noise`), and edge strength over noise, for an edge figure alone praises whatever makes noise
    stronger. Noise is told from the finest detail, which blur takes away before all else: there read the errors. These
    are against the truth, or where there is none against ``before``, and before has them too: MSE, MAE, NMSE, PSNR and
    SSIM.

    Parameters
    ----------
    before, after : Images on one grid, or arrays (z, y, x) or (y, x) of one shape; of any types, on one device.
    data_range : the largest difference that values of the truth (or of ``before``) can have: see `fastprep.psnr`.
    truth : likewise, where it is known, as of a phantom.
    mask : array or Image of that shape; non-zero is inside. None is everything, of which air may be most.

    Raises
    ------
    GeometryError, ShapeError
        Grids or shapes that differ, and batches.
    ArgumentError
        A range that is not above 0 or smaller than what is there, or an empty mask.
    NonFiniteError, DeviceError
        NaN or infinity inside the mask, or arrays on different devices.

    Examples
    --------
    Every value doubled: edges are twice as strong, and so is the noise.

    >>> import numpy as np
    >>> scan = np.random.default_rng(0).normal(100, 10, (32, 32))
    >>> found = compare(scan, 2 * scan, data_range=100)
    >>> round(found.edge_gain, 3), round(found.noise_gain, 3), round(found.edge_gain_over_noise, 3)
    (2.0, 2.0, 1.0)
    """
    against = before if truth is None else truth
    first, _, ndim = pair_of(against, before)
    pair_of(before, after)
    pair_of(against, after)
    value = check_data_range(data_range, first, mask, ndim)
    notes = list[str]()
    rows = [own_figures(x, mask, notes) for x in (before, after)]
    figures = [Figure(name, one, rows[1][name]) for name, one in rows[0].items()]
    pairs = [_against(against, x, value, mask, notes) for x in (before, after)]
    errors = [
        Figure(name, one, pairs[1][name], is_ratio=name not in ("PSNR, dB", "SSIM")) for name, one in pairs[0].items()
    ]
    _check_scales(before, after, mask, notes)
    voxels = moments_of(*volume_of(before, mask)[:2]).count
    what = "before" if truth is None else "truth"
    return Comparison(what, value, voxels, tuple(figures), tuple(errors), tuple(dict.fromkeys(notes)))


def number(value: float) -> str:
    """Four digits, of large numbers all; a dash where there is no answer."""
    return "-" if math.isnan(value) else f"{value:.0f}" if 1e3 <= abs(value) < 1e8 else f"{value:.4g}"


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table: names on the left, numbers on the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def own_figures(x: Any, mask: Any, notes: list[str]) -> dict[str, float]:
    """The figures of one image by name; what to know of them is added to ``notes``."""
    ends = dynamic_range(x, mask)
    edges, noise = edge_strength(x, mask), _noise(x, mask, notes)
    return {
        "contrast": contrast(x, mask),
        "range, p1 to p99": ends.width,
        "levels": float(ends.levels),
        "entropy, bits": entropy(x, mask),
        "edge strength": edges,
        "noise": noise,
        "edges over noise": edges / noise if noise else math.inf if edges and noise == 0 else _NAN,
    }


def _noise(x: Any, mask: Any, notes: list[str]) -> float:
    try:
        return float(estimate_noise(x, mask=mask))
    except ArgumentError as error:
        notes.append(f"no noise is told: {error}")
        return _NAN


def _against(truth: Any, x: Any, data_range: float, mask: Any, notes: list[str]) -> dict[str, float]:
    """How far an image is from another one."""
    (found,) = differences(truth, x, mask)[1]
    error = found.square / found.count
    try:
        energy = nmse(truth, x, mask)
    except ArgumentError:
        energy = _NAN
    return {
        "MSE": error,
        "MAE": found.absolute / found.count,
        "NMSE": energy,
        "PSNR, dB": decibels(data_range, error),
        "SSIM": _ssim(truth, x, data_range, mask, notes),
    }


def _ssim(truth: Any, x: Any, data_range: float, mask: Any, notes: list[str]) -> float:
    shape = shape_of(truth.array if isinstance(truth, Image) else truth)
    window = tuple(_WINDOW if n >= _WINDOW else 1 for n in shape)
    if max(window) == 1:
        notes.append(f"no SSIM is told: no axis of {shape} has {_WINDOW} voxels")
        return _NAN
    if 1 in (w for w, n in zip(window, shape, strict=True) if n > 1):
        notes.append(f"SSIM has windows of {' x '.join(map(str, window))} voxels: the scan is thin")
    return float(ssim(truth, x, data_range=data_range, window=window, mask=mask))


def _check_scales(before: Any, after: Any, mask: Any, notes: list[str]) -> None:
    """Differences of HU and of numbers from 0 to 1 are of no use, and nothing but their sizes says so."""
    one, other = (moments_of(*volume_of(x, mask)[:2]) for x in (before, after))
    if not is_one_scale((one.low, one.high), (other.low, other.high)):
        notes.append(
            f"before goes from {one.low:g} to {one.high:g} and after from {other.low:g} to {other.high:g}: on two "
            "scales their difference and its errors say little"
        )


def is_one_scale(a: tuple[float, float], b: tuple[float, float]) -> bool:
    """Whether values between two numbers, and between two others, may be of one unit."""
    (low, high), (least, most) = a, b
    widths = high - low, most - least
    alike = min(widths) <= 0 or max(widths) <= _OTHER_SCALE * min(widths)
    return alike and least <= high and most >= low
