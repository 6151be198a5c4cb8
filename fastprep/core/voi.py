"""VOI: how the file of a radiograph wants its values shown, by windows or by tables (PS3.3 C.11.2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.core.errors import ArgumentError
from fastprep.core.ramp import Ramp
from fastprep.core.window import kernel_of, ramp_of


@dataclass(frozen=True)
class VoiWindow:
    """A window of the file, as it says it, onto [0, top].

    ``mirror`` is what a value of the file and that of the image make together where the image was inverted, else None:
    dense is bright in what is shown, too.
    """

    level: float
    width: float
    function: str
    top: int
    mirror: float | None = None

    @property
    def kernel(self) -> str:
        """The kernel that applies it."""
        return kernel_of(self.function)

    @property
    def ramp(self) -> Ramp:
        """The Ramp of the image's values; for "sigmoid" that of the exponent, bounded by the output's range."""
        shown = ramp_of(self.level, self.width, self.function, (0.0, float(self.top)))
        if self.mirror is None:
            return shown
        if self.function == "sigmoid":
            # 1 - 1 / (1 + exp(-t)) is 1 / (1 + exp(t)).
            return Ramp(shown.a, -shown.a * self.mirror - shown.b, shown.lo, shown.hi)
        return Ramp(-1.0, self.mirror).then(shown).then(Ramp(-1.0, float(self.top)))

    def __call__(self, x: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """What is shown of the image's values, in float64: the definition kernels are held to."""
        ramp = self.ramp
        if self.kernel == "ramp":
            return ramp(x)
        half = (ramp.a * np.asarray(x, np.float64) + ramp.b) / 2
        # 1 / (1 + exp(-t)) without its overflow.
        return np.asarray(ramp.lo + (ramp.hi - ramp.lo) * (1 + np.tanh(half)) / 2)

    def __str__(self) -> str:
        return f"window {self.level:g}/{self.width:g} ({self.function}) onto 0..{self.top}"


@dataclass(frozen=True, repr=False)
class VoiTable:
    """A VOI LUT: one entry for each whole value of the image from ``first`` on, its ends beyond; lines in between.

    ``entries`` are little-endian uint16 from 0 to ``top``. Where the image was inverted, so is the table.
    """

    first: float
    entries: bytes
    top: int

    kernel = "look_up"

    @classmethod
    def of(cls, first: float, entries: npt.ArrayLike, top: int, mirror: float | None = None) -> VoiTable:
        """The table of a file; ``mirror`` as that of `VoiWindow`."""
        table = np.asarray(entries)
        if mirror is not None:
            first, table = mirror - (first + len(table) - 1), top - table[::-1]
        return cls(float(first), table.astype("<u2").tobytes(), top)

    @property
    def values(self) -> npt.NDArray[np.float64]:
        """The entries as numbers."""
        return np.frombuffer(self.entries, "<u2").astype(np.float64)

    def __call__(self, x: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """What is shown of the image's values, in float64: the definition kernels are held to."""
        at, table = np.asarray(x, np.float64) - self.first, self.values
        return np.where(np.isnan(at), at, np.interp(at, np.arange(len(table)), table))

    def __str__(self) -> str:
        return f"table of {len(self.entries) // 2} entries from {self.first:g} onto 0..{self.top}"

    __repr__ = __str__


View = VoiWindow | VoiTable


@dataclass(frozen=True)
class Voi:
    """All views that a file offers, and what in it could not be understood.

    Tables come first: where a file has both, the standard gives them precedence.

    Examples
    --------
    A MONOCHROME1 radiograph of 12 bits, inverted when it was read, and the window its file tells:

    >>> voi = Voi((VoiWindow(1000, 801, "linear", top=4095, mirror=4095),))
    >>> voi.view(0)([2695, 3095, 3500]).round().tolist()
    [0.0, 2045.0, 4095.0]
    """

    views: tuple[View, ...] = ()
    problems: tuple[str, ...] = ()

    def view(self, index: int) -> View:
        """One of the views.

        Raises
        ------
        ArgumentError
            There is none of that number; the message says what there is.
        """
        if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < len(self.views):
            msg = f"index={index!r}: the file offers {self}"
            raise ArgumentError(msg)
        return self.views[index]

    def to_dict(self) -> dict[str, Any]:
        """Plain form for sidecars."""
        return {"views": [str(view) for view in self.views], "problems": list(self.problems)}

    def __str__(self) -> str:
        listed = ", ".join(f"[{i}] {view}" for i, view in enumerate(self.views))
        said = listed or "no window and no table that can be applied"
        return "; ".join((said, *self.problems))
