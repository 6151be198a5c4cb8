"""detect_metal: implants in a CT, in mm3 and HU, and how badly they spoil it."""

from __future__ import annotations

import math
import numbers
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from fastprep.core import metal
from fastprep.core.connectivity import check_connectivity
from fastprep.core.distribution import Distribution
from fastprep.core.errors import ArgumentError, NonFiniteError
from fastprep.core.regions import Clusters, RegionTable
from fastprep.ops._hu import Scan, ct_of
from fastprep.ops._masked import counts_of, histogram_of, is_counted, moments_of
from fastprep.ops._masks import cell_of
from fastprep.ops._metal import MetalReport
from fastprep.ops._regions import Regions
from fastprep.registry import kernel

#: What sums of floats are scaled by: a millionth of a HU, up to four thousand million.
_SCALE = 2.0**20
#: Bins of a histogram of values that are not counted one by one.
_BINS = 1 << 14


def detect_metal(
    hu: Any,
    spacing: Sequence[float] | None = None,
    *,
    threshold: float | str = 3000,
    min_volume_mm3: float = 10.0,
    connectivity: int = 26,
    ceiling: float = 3071,
) -> MetalReport:
    """The connected parts of ``hu > threshold`` of at least ``min_volume_mm3``, with what is known of each.

    The scan is read once, in its own dtype; a mask, the severity of the artifact and the share of the body are made
    when they are asked for. A scan without metal has a report too: count 0, severity "none".

    Many scanners store HU in 12 bits, which end at 3071. Where a scan ends there, with several voxels, it is saturated:
    no voxel can be above 3071 or more, so such a threshold is taken for "3071 or more", and the HU of its implants are
    a lower bound. The report's ``notes`` say so.

    Parameters
    ----------
    hu : one volume of CT in HU: Image, or array (z, y, x). Of an Image whose ``rescale`` is not the identity the
        threshold is brought to stored numbers, exactly, instead of the scan to HU.
    spacing : mm along each axis; an Image has its own.
    threshold : HU, or "adaptive": the valley between bone and metal in the scan's histogram
        (`fastprep.core.metal.valley` has the formula), and 3000 where there is no mode of metal; it takes a read more.
    min_volume_mm3 : smaller parts are told as ``dropped`` only.
    connectivity : 26, 18 or 6; also 3, 2 or 1.
    ceiling : the last HU of a scanner that saturates.

    Returns
    -------
    MetalReport
        ``regions`` (volumes, boxes, centroids, HU), ``count``, ``volume_mm3``, ``severity``, ``artifact``, ``mask``,
        ``labels``, ``notes`` and ``to_dict()``. Regions are numbered from 1 in the C order of their first voxels.

    Raises
    ------
    ArgumentError
        Values that are no HU, no spacing, no CT; a threshold, a volume or a connectivity out of its domain.
    ShapeError
        A plane or a batch: metal is told in mm3.
    NonFiniteError
        Infinity above the threshold. NaN is no metal.

    Notes
    -----
    Severity is of the artifact, not of the amount of metal: ``index = sqrt(shadow**2 + ray**2)`` HU around the worst
    implant. ``shadow`` is how far the tissue within 20 mm of it is, on average, below the soft tissue of slices without
    metal; ``ray`` how much rays from it differ from their neighbours, beyond what they do in those slices. Below 15 it
    is "minimal", from 15 "mild", from 25 "moderate", from 60 "severe". The measure is ours; `fastprep.ops._artifact`
    has it in full, and `fastprep.core.artifact.Definition` its constants.

    Examples
    --------
    A screw of 2 x 2 x 10 mm in a scan of 12 bits:

    >>> import numpy as np
    >>> ct = np.full((8, 20, 20), 40, np.int16)
    >>> ct[:, :, 15:], ct[4, 8:10, 4:14] = -1000, 3071
    >>> report = detect_metal(ct, spacing=(2, 1, 1), threshold=3500)
    >>> report.count, report.volume_mm3, report.saturated
    (1, 40.0, True)
    >>> report.regions[0].centroid
    (4.0, 8.5, 8.5)
    >>> detect_metal(ct[:4], spacing=(2, 1, 1)).severity
    'none'
    """
    reach = check_connectivity(connectivity, 3)
    check_limits(min_volume_mm3, ceiling)
    scan = ct_of(hu, spacing)
    return report_of(hu, scan, threshold, min_volume_mm3, reach, ceiling)


def check_limits(min_volume_mm3: float, ceiling: float) -> None:
    """A volume of at least 0, and a finite ceiling."""
    if not _is_finite(min_volume_mm3) or min_volume_mm3 < 0:
        msg = f"min_volume_mm3={min_volume_mm3!r}: expected a number of at least 0"
        raise ArgumentError(msg)
    if not _is_finite(ceiling):
        msg = f"ceiling={ceiling!r}: expected a number of HU"
        raise ArgumentError(msg)


def report_of(
    hu: Any, scan: Scan, threshold: float | str, min_volume_mm3: float, reach: int, ceiling: float
) -> MetalReport:
    """`detect_metal` of a scan that was checked."""
    cell = cell_of(scan.spacing, scan.grid)
    notes: list[str] = []
    wanted = _adaptive(scan, min_volume_mm3 / cell, notes) if threshold == "adaptive" else threshold
    if isinstance(wanted, str) or not _is_finite(wanted):
        msg = f"threshold={threshold!r}: expected HU, or 'adaptive'"
        raise ArgumentError(msg)
    used, saturated, found = _found(scan, float(wanted), reach, ceiling, notes)
    table = found.table
    volumes = table.voxels * cell
    kept = volumes >= min_volume_mm3
    count = int(kept.sum())
    values = np.zeros(len(kept), np.int64)
    values[kept] = np.arange(1, count + 1)
    some = RegionTable._make(column[kept] for column in table)
    scale = _SCALE if scan.view.dtype.kind == "f" else 1.0
    regions = Regions(
        label=np.arange(1, count + 1),
        spacing=scan.spacing,
        grid=scan.grid,
        _shape=tuple(scan.view.shape),
        _cell=cell,
        _table=some,
        _units=scan.units,
        _scale=scale,
        _has_ceiling=True,
    )
    if saturated and count:
        notes.append(f"saturated: the scan ends at {ceiling:g} HU, so the HU of its metal are a lower bound")
    cut = int(regions.touches_border.sum())
    if cut:
        notes.append(f"{cut} of {count} touch the border: there may be more of them outside the scan")
    return MetalReport(
        regions=regions,
        threshold=used,
        requested=threshold,
        saturated=saturated,
        dropped=len(kept) - count,
        dropped_mm3=float(volumes[~kept].sum()),
        notes=tuple(notes),
        min_volume_mm3=float(min_volume_mm3),
        connectivity={1: 6, 2: 18, 3: 26}[reach],
        ceiling=float(ceiling),
        scan=hu,
        spacing=scan.spacing,
        units=scan.units,
        stored=scan.array,
        _runs=found.runs,
        _values=values,
    )


def _found(scan: Scan, threshold: float, reach: int, ceiling: float, notes: list[str]) -> tuple[float, bool, Clusters]:
    """The threshold that was used, whether the scan ends at the ceiling, and what is above."""
    units = scan.units
    below = metal.last_below(units, ceiling - metal.ROUNDING)
    top = math.nextafter(below, math.inf)

    def above(stored: float) -> Clusters:
        found: Clusters = kernel("clusters", scan.array)(scan.view, stored, reach, top, _SCALE)
        if len(found.table.most) and found.table.most.max() == math.inf:
            _refuse_infinity(scan, reach, top)
        return found

    def ends(found: Clusters) -> bool:
        if not len(found.table.most):
            return False
        highest = units.a * float(found.table.most.max()) + units.b
        return metal.ends_at(ceiling, highest, int(found.table.capped.sum()))

    if threshold < ceiling:
        found = above(metal.last_up_to(units, threshold))
        return threshold, ends(found), found
    found = above(below)
    if ends(found):
        notes.append(
            f"threshold {threshold:g} taken for {ceiling:g} or more: no voxel of the scan is above {ceiling:g}"
        )
        return float(ceiling), True, found
    # Nothing at or above the ceiling: nothing above the threshold either.
    return threshold, False, above(metal.last_up_to(units, threshold)) if len(found.table.voxels) else found


def _refuse_infinity(scan: Scan, reach: int, top: float) -> None:
    # Of whatever type: nothing finite is above the largest float64.
    count = int(kernel("clusters", scan.array)(scan.view, sys.float_info.max, reach, top, _SCALE).table.voxels.sum())
    msg = f"hu holds {count} values that are infinite"
    raise NonFiniteError(msg)


def _adaptive(scan: Scan, least: float, notes: list[str]) -> float:
    """Between bone and metal, or the usual threshold; metal is at least so many voxels."""
    found = _distribution(scan)
    between = metal.valley(scan.units.a * found.centers + scan.units.b, found.counts, max(least, 1.0))
    if between is None:
        notes.append(f"adaptive: the histogram has no mode of metal, so the threshold is {metal.USUAL:g}")
        return metal.USUAL
    return between


def _distribution(scan: Scan) -> Distribution:
    """How often values occur; of types that are not counted those above 0 HU."""
    if is_counted(scan.view.dtype):
        return counts_of(scan.view, None)
    found = moments_of(scan.view, None)
    found = replace(found, low=max(found.low, metal.last_up_to(scan.units, 0.0)))
    if found.low >= found.high:
        return Distribution(found.low, 1.0, np.zeros(1, np.uint64))
    width = (found.high - found.low) / _BINS
    return Distribution(found.low + width / 2, width, histogram_of(scan.view, None, found, _BINS))


def _is_finite(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)
