"""least_squares_normalize: the means of three tissues as near to standard ones as a factor brings them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fastprep.core.errors import ArgumentError
from fastprep.core.ramp import Ramp
from fastprep.ops._masked import moments_of, spread_of
from fastprep.ops._normalized import Volume, volume_of
from fastprep.ops.fcm_normalize import fcm_normalize_of, order_of

_TISSUES = ("csf", "gm", "wm")
Three = tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class LeastSquares:
    """The image, and what made it.

    Attributes
    ----------
    normalized : what ``x`` was, array or Image.
    scale : that ``x`` was divided by.
    means : of fluid, grey and white matter in ``x``.
    standard : what they are brought near to; of the first image of a study, that of all others.
    ramp : what made ``normalized`` of ``x``.
    """

    normalized: Any = field(repr=False)
    scale: float
    means: Three
    standard: Three
    ramp: Ramp


def least_squares_normalize(
    x: Any,
    *,
    mask: Any = None,
    tissues: Sequence[Any] | None = None,
    standard: Sequence[float] | None = None,
    modality: str = "t1",
) -> LeastSquares:
    """Scale by three tissues: ``y = x / scale``, which brings their means m nearest to standard ones s.

    ``scale = m.m / m.s`` for m and s of fluid, grey and white matter (Reinhold et al. 2019): no difference is left
    along m, ``m . (m / scale - s) = 0``. The first image of a study sets the standard, its own means divided by that of
    fluid; give ``standard=first.standard`` with all others.

    Parameters
    ----------
    x : Image, or array (z, y, x) or (y, x).
    mask : array or Image of the shape of ``x``, non-zero inside: the brain, whose tissues are found as `fcm_normalize`
        finds them. By default `foreground_mask`, the whole head where the skull has not been stripped.
    tissues : instead, three masks of ``x``: fluid, grey and white matter.
    standard : means of fluid, grey and white matter, above 0. By default those of ``x`` divided by that of fluid.
    modality : how tissues are ordered from dark to bright: "t1" csf, gm, wm; "t2" and "pd" wm, gm, csf; "flair" csf,
        wm, gm.

    Returns
    -------
    LeastSquares
        ``normalized`` (floats keep their dtype, integers become float32), and what was found.

    Raises
    ------
    NonFiniteError
        NaN or infinity inside the mask.
    ArgumentError
        An empty mask, or fewer than three values inside it; means or a standard not above 0; a mask beside tissues.
    ShapeError
        A batch, or a mask of another shape.

    Examples
    --------
    The same head on two scanners:

    >>> import numpy as np
    >>> first = np.array([[30, 32, 90, 92], [88, 90, 150, 150]], np.uint8)
    >>> second = 4.0 * first
    >>> ruler = least_squares_normalize(first, mask=first > 0)
    >>> other = least_squares_normalize(second, mask=second > 0, standard=ruler.standard)
    >>> bool(np.allclose(other.normalized, ruler.normalized, rtol=1e-4))
    True
    """
    order = order_of(modality)
    if tissues is None:
        volume = volume_of(x, mask)
        means = least_squares_normalize_of(volume.view, volume.inside, order)
    else:
        volume, means = _of_tissues(x, mask, tissues)
    csf, gm, wm = check_means(means, "x")
    wanted = (1.0, gm / csf, wm / csf) if standard is None else check_means(standard, "standard")
    scale, ramp = least_squares_normalize_ramp(means, wanted)
    return LeastSquares(volume.through(ramp), scale, means, wanted, ramp)


def least_squares_normalize_of(view: Any, mask: Any, order: Sequence[str]) -> Three:
    """Means of fluid, grey and white matter of views, for the tissues from dark to bright."""
    found = fcm_normalize_of(view, mask, 3, 0.005, 50, None)
    csf, gm, wm = (found.means[order.index(tissue)] for tissue in _TISSUES)
    return csf, gm, wm


def least_squares_normalize_ramp(means: Three, standard: Three) -> tuple[float, Ramp]:
    """The scale and the Ramp of `least_squares_normalize`."""
    scale = float(np.dot(means, means) / np.dot(means, standard))
    return scale, Ramp(1 / scale)


def _of_tissues(x: Any, mask: Any, tissues: Sequence[Any]) -> tuple[Volume, Three]:
    if mask is not None or len(tissues) != 3 or any(tissue is None for tissue in tissues):
        what = "mask and tissues" if mask is not None else f"tissues of length {len(tissues)}"
        msg = f"{what}: expected three masks, of fluid, grey and white matter, and no other"
        raise ArgumentError(msg)
    volumes = [volume_of(x, tissue) for tissue in tissues]
    csf, gm, wm = (_mean(v.view, v.inside) for v in volumes)
    return volumes[0], (csf, gm, wm)


def _mean(view: Any, mask: Any) -> float:
    found = moments_of(view, mask)
    # A tissue may be of one value, but not empty, nor hold NaN: its errors are those of every statistic.
    return found.mean if found.count and not found.nonfinite else spread_of(view, mask).mean


def check_means(means: Sequence[float], name: str) -> Three:
    """Three finite means above 0, as everything that a factor brings near to each other must be."""
    if len(means) != 3 or not all(0 < mean < float("inf") for mean in means):
        why = ", of fluid, grey and white matter" + ("; give it before it was standardised" if name == "x" else "")
        told = ", ".join(f"{mean:g}" for mean in means)
        msg = f"{name} with means ({told}): expected three finite ones above 0{why}"
        raise ArgumentError(msg)
    csf, gm, wm = map(float, means)
    return csf, gm, wm
