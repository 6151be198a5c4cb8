"""kde_normalize: the mode of white matter at 1."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from fastprep.core.density import Mode
from fastprep.core.errors import ArgumentError
from fastprep.core.ramp import Ramp
from fastprep.ops._masked import distribution_of
from fastprep.ops._modes import BINS, tissue_mode
from fastprep.ops._normalized import check_positive, volume_of


@dataclass(frozen=True)
class Peak:
    """The mode of white matter.

    Attributes
    ----------
    mode : its value.
    modes : all modes of the density by value, each with its height, the share of voxels per unit of ``x``.
    bandwidth : standard deviation of the Gaussian that smoothed the histogram.
    """

    mode: float
    modes: tuple[Mode, ...] = field(repr=False)
    bandwidth: float


@dataclass(frozen=True, eq=False)
class KDE(Peak):
    """A `Peak`, and the image it makes.

    Attributes
    ----------
    normalized : what ``x`` was, array or Image.
    ramp : what made it of ``x``.
    """

    normalized: Any = field(repr=False)
    ramp: Ramp


def kde_normalize(
    x: Any, *, mask: Any = None, modality: str = "t1", norm: float = 1.0, bandwidth: float | None = None
) -> KDE:
    """Scale by white matter: ``y = x / mode * norm``, the mode that of the density of the values inside the mask.

    The density is the histogram smoothed by a Gaussian, its modes those of at least a fifth of the highest: what a
    kernel density estimate (Parzen 1962) of the voxels is, at the cost of one pass over them. See Reinhold et al.
    (2019) for what it does to synthesis beside other ways.

    Parameters
    ----------
    x : Image, or array (z, y, x) or (y, x).
    mask : array or Image of the shape of ``x``, non-zero inside: the brain, or one tissue. By default
        `foreground_mask`, the whole head where the skull has not been stripped.
    modality : "t1" or "fa", the last mode, the brightest; "t2" or "flair", the highest; "pd" or "md", the first.
    norm : what the mode becomes.
    bandwidth : of the Gaussian, in units of ``x``. By default Silverman's rule, at least 1.5 steps between values.

    Returns
    -------
    KDE
        ``normalized`` (floats keep their dtype, integers become float32), and what was found.

    Raises
    ------
    NonFiniteError
        NaN or infinity inside the mask.
    ArgumentError
        An empty mask, or one value only inside it; a mode at the edge of the values, as that of background is, or one
        not above 0, as in an image that has been standardised.
    ShapeError
        A batch, or a mask of another shape.

    Examples
    --------
    White matter is the brighter of two tissues in a T1 image:

    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> t1 = np.where(np.arange(64) < 32, rng.normal(90, 5, (64, 64)), rng.normal(150, 5, (64, 64)))
    >>> y = kde_normalize(t1, mask=t1 > 0).normalized
    >>> [round(float(np.median(part)), 1) for part in (y[:, :32], y[:, 32:])]
    [0.6, 1.0]
    """
    check_positive(norm, name="norm")
    volume = volume_of(x, mask)
    found = kde_normalize_of(volume.view, volume.inside, modality, bandwidth)
    ramp = kde_normalize_ramp(found, norm)
    return KDE(**vars(found), normalized=volume.through(ramp), ramp=ramp)


def kde_normalize_of(view: Any, mask: Any, modality: str, bandwidth: float | None) -> Peak:
    """`kde_normalize` of views."""
    found = tissue_mode(distribution_of(view, mask, BINS), modality, bandwidth)
    if found.mode <= 0:
        msg = f"x: its mode is {found.mode:g}, expected one above 0; give the image before it was standardised"
        raise ArgumentError(msg)
    return Peak(found.mode, found.modes, found.bandwidth)


def kde_normalize_ramp(found: Peak, norm: float) -> Ramp:
    """The Ramp of `kde_normalize`."""
    return Ramp(norm / found.mode)
