"""sweep_metal: how much the metal of a scan depends on the threshold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastprep.core.connectivity import check_connectivity
from fastprep.core.errors import ArgumentError
from fastprep.ops._hu import ct_of
from fastprep.ops._metal import MetalReport
from fastprep.ops.detect_metal import check_limits, report_of


def sweep_metal(
    hu: Any,
    spacing: Sequence[float] | None = None,
    thresholds: Sequence[float | str] = (2000, 2500, 3000, 3500, 4000),
    *,
    min_volume_mm3: float = 10.0,
    connectivity: int = 26,
    ceiling: float = 3071,
) -> list[MetalReport]:
    """`detect_metal` at each of several thresholds, one read of the scan each.

    A volume that hardly changes is metal with a sharp border; one that shrinks with the threshold is dense bone, a
    blurred border, or both. On a scan that saturates all thresholds from 3071 on are the same one, as their notes say.

    Parameters
    ----------
    hu : one volume of CT in HU: Image, or array (z, y, x).
    spacing : mm along each axis; an Image has its own.
    thresholds : at least one, HU or "adaptive".
    min_volume_mm3, connectivity, ceiling : as of `detect_metal`.

    Returns
    -------
    A report for each threshold, in their order.

    Raises
    ------
    ArgumentError, ShapeError, NonFiniteError
        As `detect_metal`; and without a threshold.

    Examples
    --------
    A screw with a blurred border:

    >>> import numpy as np
    >>> ct = np.full((8, 20, 20), -1000, np.int16)
    >>> ct[3:6, 7:11, 3:15], ct[4, 8:10, 4:14] = 2200, 4500
    >>> [report.volume_mm3 for report in sweep_metal(ct, (2, 1, 1))]
    [288.0, 40.0, 40.0, 40.0, 40.0]
    """
    reach = check_connectivity(connectivity, 3)
    check_limits(min_volume_mm3, ceiling)
    wanted = [thresholds] if isinstance(thresholds, (str, int, float)) else list(thresholds)
    if not wanted:
        msg = "thresholds: expected at least one"
        raise ArgumentError(msg)
    scan = ct_of(hu, spacing)
    return [report_of(hu, scan, threshold, min_volume_mm3, reach, ceiling) for threshold in wanted]
