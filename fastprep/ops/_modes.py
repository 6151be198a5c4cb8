"""The mode of a tissue: which maximum of the density of an image's values is looked for, by its modality."""

from __future__ import annotations

from typing import NamedTuple

from fastprep.core.density import Mode, modes, share_below, silverman
from fastprep.core.distribution import Distribution
from fastprep.core.errors import ArgumentError
from fastprep.ops._normalized import check_positive

#: Bins of types with too many values for one each. Floats that came from integers do not fall on the bins' centres: of
#: 2000 bins that alone makes waves of some per cent in the density, and modes that no tissue has.
BINS = 1 << 16

#: Where among the modes white matter is (Shinohara et al. 2014): brightest, by far the most, or darkest.
_WHICH = {"t1": "last", "fa": "last", "t2": "largest", "flair": "largest", "pd": "first", "md": "first"}


class Found(NamedTuple):
    """The mode, the share of voxels below it, all that there were, and the bandwidth that they were found with."""

    mode: float
    below: float
    modes: tuple[Mode, ...]
    bandwidth: float


def check_modality(modality: str) -> None:
    """One of those whose white matter is known."""
    if modality not in _WHICH:
        msg = f"modality={modality!r}: expected one of {', '.join(map(repr, _WHICH))}"
        raise ArgumentError(msg)


def tissue_mode(d: Distribution, modality: str, bandwidth: float | None) -> Found:
    """The mode of white matter among the values of one volume inside the mask.

    Raises
    ------
    ArgumentError
        An unknown modality, a bandwidth not above 0 or wider than the values, or a mode at the edge of the values,
        where background and what is cut off pile up.
    """
    check_modality(modality)
    low, high = d.low, d.low + (d.counts.size - 1) * d.width
    if bandwidth is None:
        h = silverman(d)
    else:
        h = check_positive(bandwidth, name="bandwidth")
        if h >= high - low:
            msg = f"bandwidth={bandwidth!r}: expected less than the range of x inside the mask, {high - low:g}"
            raise ArgumentError(msg)
    found = modes(d, h)
    which = _WHICH[modality]
    if which == "largest":
        mode = max(found, key=lambda m: m.height)
    else:
        mode = found[-1 if which == "last" else 0]
    if not low + h <= mode.value <= high - h:
        msg = (
            f"modality={modality!r}: the {which} mode of x, {mode.value:g}, is at the edge of its values inside the "
            f"mask, {low:g} to {high:g}. Give a mask without background, or the modality that x has"
        )
        raise ArgumentError(msg)
    return Found(mode.value, share_below(d, h, mode.value), tuple(found), h)
