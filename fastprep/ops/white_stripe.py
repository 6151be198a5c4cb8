"""white_stripe: mean 0 and standard deviation 1 of normal-appearing white matter."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from fastprep.core.density import Mode
from fastprep.core.errors import ArgumentError
from fastprep.core.ramp import Ramp
from fastprep.ops._masked import distribution_of, moments_of, quantiles_of
from fastprep.ops._modes import BINS, tissue_mode
from fastprep.ops._normalized import Volume, volume_of


@dataclass(frozen=True)
class Stripe:
    """The white stripe: voxels inside the mask whose values lie around the mode of white matter.

    Attributes
    ----------
    mean, std : of the voxels of the stripe (ddof 0).
    mode : of white matter.
    bounds : the stripe lies between them, without them.
    voxels : how many they are.
    modes : all modes of the density by value, each with its height, the share of voxels per unit of ``x``.
    bandwidth : standard deviation of the Gaussian that smoothed the histogram.
    """

    mean: float
    std: float
    mode: float
    bounds: tuple[float, float]
    voxels: int
    modes: tuple[Mode, ...] = field(repr=False)
    bandwidth: float


@dataclass(frozen=True, eq=False)
class WhiteStripe(Stripe):
    """A `Stripe`, and the image it makes.

    Attributes
    ----------
    normalized : what ``x`` was, array or Image.
    ramp : what made it of ``x``.
    """

    normalized: Any = field(repr=False)
    ramp: Ramp
    _volume: Volume = field(repr=False)

    @cached_property
    def stripe(self) -> Any:
        """The stripe as a mask: a bool array of the library and on the device of ``x``; of an Image a label Image."""
        return self._volume.made_by("between", "bool", *self.bounds)


def white_stripe(
    x: Any,
    *,
    mask: Any = None,
    modality: str = "t1",
    width: float = 0.05,
    width_low: float | None = None,
    width_high: float | None = None,
    bandwidth: float | None = None,
) -> WhiteStripe:
    """Standardise by white matter: ``y = (x - mean) / std`` of the voxels around its mode (Shinohara et al. 2014).

    The histogram inside the mask, smoothed by a Gaussian, has a mode for each tissue: those of at least a fifth of the
    highest count. With p the share of voxels below that of white matter, the stripe is what lies between the quantiles
    ``p - width`` and ``p + width``, held within 0 and 1.

    Parameters
    ----------
    x : Image, or array (z, y, x) or (y, x).
    mask : array or Image of the shape of ``x``, non-zero inside: the brain. By default `foreground_mask`, which is the
        brain where the skull has been stripped, and the whole head where not.
    modality : "t1" or "fa", white matter is the last mode, the brightest; "t2" or "flair", the highest; "pd" or "md",
        the first.
    width : share of voxels on each side of the mode; ``width_low`` and ``width_high`` where the sides differ.
    bandwidth : of the Gaussian, in units of ``x``. By default Silverman's rule, at least 1.5 steps between values.

    Returns
    -------
    WhiteStripe
        ``normalized`` (floats keep their dtype, integers become float32), and what was found. Where white matter is
        known, from a segmentation or as ``stripe`` of another image of the head, ``zscore(x, mask=white_matter)`` is
        the same without a search.

    Raises
    ------
    NonFiniteError
        NaN or infinity inside the mask.
    ArgumentError
        An empty mask, or one value only inside it; a mode at the edge of the values, as that of background is; a stripe
        of fewer than two values.
    ShapeError
        A batch, or a mask of another shape.

    Examples
    --------
    White matter is the brighter of two tissues in a T1 image:

    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> t1 = np.where(np.arange(64) < 32, rng.normal(90, 5, (64, 64)), rng.normal(150, 5, (64, 64)))
    >>> found = white_stripe(t1, mask=t1 > 0)
    >>> len(found.modes), round(found.mode / 10)
    (2, 15)
    """
    low, high = (width if side is None else side for side in (width_low, width_high))
    volume = volume_of(x, mask)
    found = white_stripe_of(volume.view, volume.inside, modality, (low, high), bandwidth)
    ramp = white_stripe_ramp(found)
    return WhiteStripe(**vars(found), normalized=volume.through(ramp), ramp=ramp, _volume=volume)


def check_width(width: tuple[float, float]) -> None:
    """Shares of the voxels below and above the mode."""
    if not (all(0 <= side <= 1 for side in width) and sum(width) > 0):
        msg = f"width={width}: expected shares of voxels on both sides of the mode, in [0, 1] and not both 0"
        raise ArgumentError(msg)


def white_stripe_of(view: Any, mask: Any, modality: str, width: tuple[float, float], bandwidth: float | None) -> Stripe:
    """`white_stripe` of views."""
    check_width(width)
    d = distribution_of(view, mask, BINS)
    found = tissue_mode(d, modality, bandwidth)
    shares = np.array([max(found.below - width[0], 0.0), min(found.below + width[1], 1.0)])
    # Counts of the values themselves tell all that another look at the voxels would.
    low, high = map(float, d.quantiles(shares) if d.is_exact else quantiles_of(view, mask, shares))
    inner = d.moments((low, high)) if d.is_exact else moments_of(view, mask, (low, high))
    if inner.count < 2 or inner.low == inner.high:
        msg = f"width={width}: the stripe between {low:g} and {high:g} holds fewer than 2 values, expected a wider one"
        raise ArgumentError(msg)
    return Stripe(inner.mean, inner.std, found.mode, (low, high), inner.count, found.modes, found.bandwidth)


def white_stripe_ramp(found: Stripe) -> Ramp:
    """The Ramp of `white_stripe`."""
    return Ramp(1 / found.std, -found.mean / found.std)
