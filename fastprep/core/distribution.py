"""Distribution: how often values occur, on an even grid of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, eq=False)
class Distribution:
    """``counts[k]`` voxels, maybe none, have a value within half a ``width`` of ``low + k * width``."""

    low: float
    width: float
    counts: npt.NDArray[np.uint64]

    @property
    def centers(self) -> npt.NDArray[np.float64]:
        """The value each count stands for."""
        return self.low + self.width * np.arange(self.counts.size, dtype=np.float64)

    @property
    def total(self) -> int:
        """Voxels in all."""
        return int(self.counts.sum())
