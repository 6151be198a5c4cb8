"""Look-up tables and windows of a DICOM header: the modality LUT, and the VOI of radiographs.

Order, as the standard has it (PS3.3 C.11.1, C.11.2, C.11.6): modality LUT, VOI LUT, then inversion.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from fastprep.core.errors import ArgumentError, ReadError
from fastprep.core.voi import View, Voi, VoiTable, VoiWindow
from fastprep.core.window import ramp_of
from fastprep.io.dicom_values import Values

if TYPE_CHECKING:
    from fastprep.io.dicom_header import Frame, Header

_MODALITY_LUT = 0x00283000
_DESCRIPTOR = 0x00283002
_DATA = 0x00283006
_VOI_LUT = 0x00283010
_MOST_BITS = 16
#: VOILUTFunction; what it does not say is LINEAR.
_FUNCTIONS = {"": "linear", "LINEAR": "linear", "LINEAR_EXACT": "linear_exact", "SIGMOID": "sigmoid"}


@dataclass(frozen=True, eq=False)
class Lut:
    """``table[clip(value - first, 0, len - 1)]``, in values of ``bits`` bits."""

    first: int
    bits: int
    table: npt.NDArray[np.uint16]


def modality_lut(top: Values, *, signed: bool) -> Lut | None:
    """The modality LUT of a header, None where it has none.

    Raises
    ------
    ReadError
        A table that is not what its descriptor says.
    """
    items = top.items(_MODALITY_LUT)
    if not items:
        return None
    found = _lut(items[0], "Modality LUT", negative=signed)
    if isinstance(found, str):
        msg = f"{top.path}: {found}"
        raise ReadError(msg)
    return found


def voi_luts(top: Values, *, negative: bool) -> tuple[Lut | str, ...]:
    """The tables of the VOI LUT sequence, each broken one as what is wrong with it: pixels are readable without."""
    return tuple(_lut(item, "VOI LUT", negative=negative) for item in top.items(_VOI_LUT))


def _lut(item: Values, name: str, *, negative: bool) -> Lut | str:
    """A table, or what is wrong with it; ``negative`` says that it may begin with a number below 0."""
    descriptor, data = item.raw(_DESCRIPTOR), item.raw(_DATA)
    if descriptor is None or data is None or len(descriptor) < 6:
        return f"{name} without descriptor or data"
    order, kind = item.order(_DESCRIPTOR), item.kind(_DESCRIPTOR)
    length, first, bits = np.frombuffer(descriptor[:6], f"{order}u2").tolist()
    # 65536 does not fit into the descriptor.
    length = length or 1 << _MOST_BITS
    # Implicit files do not say that the number has a sign, and some of the explicit ones say that it has none.
    if first >= 1 << 15 and (kind == "SS" or negative):
        first -= 1 << 16
    table = _entries(data, length, item.order(_DATA), item.kind(_DATA))
    if len(table) < length or not 1 <= bits <= _MOST_BITS:
        return f"{name} of {len(table)} entries, where its descriptor says {length} of {bits} bits"
    entries = table[:length].astype(np.uint16)
    # Entries know better than a descriptor that says fewer bits.
    return Lut(first, max(bits, int(entries.max()).bit_length()), entries)


def _entries(data: bytes, length: int, order: str, kind: str) -> npt.NDArray[np.generic]:
    """Words, or bytes where there are no more than entries: of those two lie in a word, the first one lower."""
    if len(data) not in (length, length + length % 2):
        return np.frombuffer(data[: len(data) // 2 * 2], f"{order}u2")
    swapped = order == ">" and kind != "OB" and len(data) % 2 == 0
    return np.frombuffer(data, ">u2").astype("<u2").view(np.uint8) if swapped else np.frombuffer(data, np.uint8)


def voi_of(planes: Sequence[tuple[Header, Frame]], *, inverted: bool) -> Voi | None:
    """How a radiograph wants to be shown; None where its header does not say."""
    head, frame = planes[0]
    if any((f.windows, f.function) != (frame.windows, frame.function) for _, f in planes):
        return Voi(problems=("its planes have windows of their own",))
    mirror = _mirror(head, frame) if inverted else None
    top = (1 << head.bits_stored) - 1
    views: list[View] = []
    problems = []
    for lut in head.voi_luts:
        if isinstance(lut, str):
            problems.append(lut)
        else:
            views.append(VoiTable.of(lut.first, lut.table, (1 << lut.bits) - 1, mirror))
    function = _FUNCTIONS.get(frame.function.upper())
    if frame.windows and function is None:
        problems.append(f"VOILUTFunction {frame.function!r} is none of {', '.join(filter(None, _FUNCTIONS))}")
    for level, width in frame.windows if function else ():
        try:
            ramp_of(level, width, str(function), (0.0, float(top)))
        except ArgumentError as error:
            problems.append(f"window {level:g}/{width:g}: {error}")
        else:
            views.append(VoiWindow(level, width, str(function), top, mirror))
    return Voi(tuple(views), tuple(problems)) if views or problems else None


def _mirror(head: Header, frame: Frame) -> float:
    """What a value before and after inversion make together."""
    if head.lut is not None:
        return float((1 << head.lut.bits) - 1)
    return frame.slope * sum(head.stored_range) + 2 * frame.intercept
