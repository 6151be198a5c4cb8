"""Which voxels are neighbours: by the number of them, as radiology counts, or by how many axes may differ, as SciPy."""

from __future__ import annotations

from numbers import Integral

from fastprep.core.errors import ArgumentError

#: Of a volume, and of an image, which is a volume of one slice: its 8 neighbours are what is left of 18 or of 26.
_SPACES = {
    3: {1: 1, 2: 2, 3: 3, 6: 1, 18: 2, 26: 3},
    2: {1: 1, 2: 2, 4: 1, 8: 2, 6: 1, 18: 2, 26: 2},
}
_EXPECTED = {3: "6, 18 or 26 neighbours (or 1, 2, 3)", 2: "4 or 8 neighbours of a pixel (or 1, 2)"}


def check_connectivity(connectivity: int, ndim: int) -> int:
    """1 for neighbours at faces, 2 at edges too, 3 at corners too; of ``ndim`` space axes.

    Raises
    ------
    ArgumentError
        No such neighbours.
    """
    whole = isinstance(connectivity, Integral) and not isinstance(connectivity, bool)
    number = _SPACES[ndim].get(connectivity) if whole else None
    if number is None:
        msg = f"connectivity={connectivity!r}: expected {_EXPECTED[ndim]}"
        raise ArgumentError(msg)
    return number
