"""The window functions of DICOM as Ramps (PS3.3 C.11.2.1.2 and C.11.2.1.3)."""

from __future__ import annotations

from fastprep.core.errors import ArgumentError
from fastprep.core.ramp import Ramp

FUNCTIONS = ("linear_exact", "linear", "sigmoid")
#: A DICOM window of width 1 is a step; this is how steep the Ramp is that stands for it.
_STEP_SLOPE = 2.0**30
_STEP_HALF_WIDTH = 2.0**-12


def kernel_of(function: str) -> str:
    """The kernel behind a window function."""
    return "sigmoid" if function == "sigmoid" else "ramp"


def ramp_of(level: float, width: float, function: str, out_range: tuple[float, float]) -> Ramp:
    """The Ramp of a window; for "sigmoid" the Ramp of its exponent, bounded by the output's range.

    Raises
    ------
    ArgumentError
        An unknown function, or a width that is not above 0 ("linear": below 1).
    """
    if function not in FUNCTIONS:
        msg = f"function={function!r}: expected one of {', '.join(FUNCTIONS)}"
        raise ArgumentError(msg)
    c, w, (lo, hi) = level, width, out_range
    smallest = 1.0 if function == "linear" else 0.0
    if not (w >= smallest and w > 0):
        msg = f"width={w}: expected {'at least 1' if smallest else 'a number above 0'} for function={function!r}"
        raise ArgumentError(msg)
    if function == "sigmoid":
        return Ramp(4 / w, -4 * c / w, lo, hi)
    if function == "linear_exact":
        return Ramp.between((c - w / 2, c + w / 2), (lo, hi))
    if w == 1:
        slope = _STEP_SLOPE * (hi - lo)
        return Ramp(slope, -slope * (c - 0.5 + _STEP_HALF_WIDTH), lo, hi)
    return Ramp.between((c - 0.5 - (w - 1) / 2, c - 0.5 + (w - 1) / 2), (lo, hi))
