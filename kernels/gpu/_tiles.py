"""What counting and blending of tiles share: the struct ``BinsJob``."""

from __future__ import annotations

from fastprep.core.device_view import DeviceView
from fastprep.kernels.gpu._types import NUMBERS, read_type

#: How values are read: whole numbers, and real ones.
VALUES = ("int64", "float64")
#: Types that fit int32.
_SMALL = ("int8", "uint8", "int16", "uint16", "int32")
#: The struct `BinsJob`.
BINS = "qqqddffiii4x"
#: Rows of a column.
ROWS = 4
#: Words of shared memory for the counts, or the tables, of a block.
MOST_SHARED = 1 << 14
#: Differences of what is below in size fit int32.
HALF = 1 << 30
_EACH, _NARROW, _WIDE, _REAL = range(4)


def values_of(x: DeviceView) -> str:
    """The one of `VALUES`."""
    return "float64" if x.dtype.kind == "f" else "int64"


def bytes_of(x: DeviceView) -> list[int]:
    """Strides in bytes."""
    return [s * x.dtype.itemsize for s in x.strides]


def bins_of(x: DeviceView, bins: int, low: float, high: float) -> tuple[float | int, ...]:
    """The values of `BINS` for equal bins from ``low`` to ``high`` of values of the type of ``x``."""
    kind = NUMBERS.index(read_type(x.dtype))
    if x.dtype.kind == "f":
        return (0, 0, 0, float(low), bins / (float(high) - float(low)), 0.0, 0.0, bins, _REAL, kind)
    least, most = int(low), int(high)
    width = most - least + 1
    fits = NUMBERS[kind] in _SMALL and least >= -HALF and most < HALF
    narrow = fits and width * bins < 1 << 32 and bins <= 1 << 16
    rule = _EACH if fits and bins == width else _NARROW if narrow else _WIDE
    # Far less than a quotient of 16 bits can tell.
    inverse = (1 - 2.0**-22) / width
    return (least, most, width, float(low), 0.0, float(width), inverse, bins, rule, kind)
