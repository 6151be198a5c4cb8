"""fcm_normalize: the mean of one tissue at 1, the tissues told apart by fuzzy c-means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fastprep.core.errors import ArgumentError
from fastprep.core.fuzzy import MOST_CLASSES, fuzzy_means, spread_out, tissue_means
from fastprep.core.ramp import Ramp
from fastprep.ops._masked import distribution_of
from fastprep.ops._modes import BINS
from fastprep.ops._normalized import Volume, check_positive, volume_of

#: Tissues from dark to bright.
_ORDER = {
    "t1": ("csf", "gm", "wm"),
    "t2": ("wm", "gm", "csf"),
    "pd": ("wm", "gm", "csf"),
    "flair": ("csf", "wm", "gm"),
}


@dataclass(frozen=True)
class Tissues:
    """Classes of values, from dark to bright.

    Attributes
    ----------
    centers : of each class, the mean weighted by the squares of the memberships.
    means : of each class, weighted by the memberships themselves.
    iterations : done.
    change : of the memberships of all voxels in the last one, as ``tolerance`` counts it.
    """

    centers: tuple[float, ...]
    means: tuple[float, ...]
    iterations: int
    change: float = field(repr=False)


@dataclass(frozen=True, eq=False)
class FCM(Tissues):
    """`Tissues`, and the image that one of them makes.

    Attributes
    ----------
    normalized : what ``x`` was, array or Image.
    mean : that of the tissue.
    ramp : what made ``normalized`` of ``x``.
    """

    normalized: Any = field(repr=False)
    mean: float
    ramp: Ramp
    _modality: str = field(repr=False)
    _volume: Volume = field(repr=False)

    def membership(self, tissue: str | int) -> Any:
        """How much each voxel is of a tissue, 0 to 1 and 0 outside the mask, in float32.

        An array of the library and on the device of ``x``; of an Image an Image.
        """
        at = class_of(tissue, len(self.centers), self._modality)
        return self._volume.made_by("membership", "float32", np.array(self.centers), at)


def fcm_normalize(
    x: Any,
    *,
    mask: Any = None,
    tissue: str | int = "wm",
    classes: int = 3,
    modality: str = "t1",
    norm: float = 1.0,
    tolerance: float = 0.005,
    iterations: int = 50,
    centers: Sequence[float] | None = None,
) -> FCM:
    """Scale by the mean of a tissue: ``y = x / mean * norm`` with ``mean = sum(u x) / sum(u)``, u its memberships.

    Fuzzy c-means with exponent 2 (Bezdek 1981) of the values inside the mask: memberships ``u_i = d_i^-2 / sum_j
    d_j^-2`` by the distance to each centre, and centres ``sum(u_i^2 x) / sum(u_i^2)``, by turns. It works on how often
    each value occurs, which is exact for bool and for integers of 8 and 16 bits; values of other types are taken for
    those of 65536 bins, off by at most 1/131072 of their range.

    Parameters
    ----------
    x : Image, or array (z, y, x) or (y, x).
    mask : array or Image of the shape of ``x``, non-zero inside: the brain. By default `foreground_mask`, the whole
        head where the skull has not been stripped.
    tissue : "wm", "gm" or "csf"; or a class by number, 0 the darkest, as any number of classes but 3 wants it.
    classes : how many. 1 where ``mask`` is the tissue itself, found elsewhere: ``mean`` is that inside it.
    modality : how tissues are ordered from dark to bright: "t1" csf, gm, wm; "t2" and "pd" wm, gm, csf; "flair" csf,
        wm, gm.
    norm : what the mean becomes.
    tolerance : the end, once the memberships of all voxels change by less (Frobenius norm); or so many ``iterations``.
    centers : to start from. By default quantiles of the values, evenly from 0.1 to 0.9: no chance is involved.

    Returns
    -------
    FCM
        ``normalized`` (floats keep their dtype, integers become float32), and what was found.

    Raises
    ------
    NonFiniteError
        NaN or infinity inside the mask.
    ArgumentError
        An empty mask, or fewer values inside it than classes; an unknown tissue or modality; a mean not above 0.
    ShapeError
        A batch, or a mask of another shape.

    Examples
    --------
    Fluid, grey and white matter of a T1 image:

    >>> import numpy as np
    >>> t1 = np.array([[30, 32, 90, 92], [88, 90, 150, 150]], np.uint8)
    >>> found = fcm_normalize(t1, mask=t1 > 0)
    >>> [round(c) for c in found.centers]
    [31, 90, 150]
    >>> [round(float(y), 1) for y in found.normalized[1]]
    [0.6, 0.6, 1.0, 1.0]
    """
    check_positive(norm, name="norm")
    at = class_of(tissue, classes, modality)
    volume = volume_of(x, mask)
    found = fcm_normalize_of(volume.view, volume.inside, classes, tolerance, iterations, centers)
    ramp = fcm_normalize_ramp(found, at, norm)
    y = volume.through(ramp)
    return FCM(**vars(found), normalized=y, mean=found.means[at], ramp=ramp, _modality=modality, _volume=volume)


def fcm_normalize_of(
    view: Any, mask: Any, classes: int, tolerance: float, iterations: int, centers: Sequence[float] | None
) -> Tissues:
    """The classes of `fcm_normalize` of views."""
    check_positive(tolerance, name="tolerance")
    if isinstance(iterations, bool) or not isinstance(iterations, int) or iterations < 1:
        msg = f"iterations={iterations!r}: expected a whole number of at least 1"
        raise ArgumentError(msg)
    start = None if centers is None else np.sort(np.asarray(centers, np.float64))
    if start is not None and (start.shape != (classes,) or not (np.isfinite(start).all() and np.diff(start).all())):
        msg = f"centers={centers!r}: expected a number for each of {classes} classes, no two alike"
        raise ArgumentError(msg)
    d = distribution_of(view, mask, BINS)
    held = np.flatnonzero(d.counts)
    values, counts = d.centers[held], d.counts[held].astype(np.float64)
    if held.size < classes:
        msg = f"x has {held.size} values inside the mask: expected at least as many as classes={classes}"
        raise ArgumentError(msg)
    if start is None:
        start = spread_out(values, counts, classes)
    found = fuzzy_means(values, counts, start, tolerance=tolerance, iterations=iterations)
    ends = np.sort(found.centers)
    means = tissue_means(values, counts, ends)
    return Tissues(tuple(ends.tolist()), tuple(means.tolist()), found.iterations, found.change)


def fcm_normalize_ramp(found: Tissues, at: int, norm: float) -> Ramp:
    """The Ramp of `fcm_normalize` for the class of that number."""
    mean = found.means[at]
    if mean <= 0:
        msg = f"x: the mean of the tissue is {mean:g}, expected one above 0; give the image before it was standardised"
        raise ArgumentError(msg)
    return Ramp(norm / mean)


def order_of(modality: str) -> tuple[str, str, str]:
    """The tissues from dark to bright."""
    if modality not in _ORDER:
        msg = f"modality={modality!r}: expected one of {', '.join(map(repr, _ORDER))}"
        raise ArgumentError(msg)
    return _ORDER[modality]


def class_of(tissue: str | int, classes: int, modality: str) -> int:
    """The number of a tissue's class, 0 the darkest."""
    if isinstance(classes, bool) or not isinstance(classes, int) or not 1 <= classes <= MOST_CLASSES:
        msg = f"classes={classes!r}: expected a whole number from 1 to {MOST_CLASSES}"
        raise ArgumentError(msg)
    order = order_of(modality)
    if classes == 1 and tissue in order:
        return 0
    if isinstance(tissue, int) and not isinstance(tissue, bool) and 0 <= tissue < classes:
        return tissue
    if classes == 3 and tissue in order:
        return order.index(str(tissue))
    expected = f"a number from 0 to {classes - 1}" + (", 'csf', 'gm' or 'wm'" if classes in (1, 3) else "")
    msg = f"tissue={tissue!r}: expected {expected}"
    raise ArgumentError(msg)
