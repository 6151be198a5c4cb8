"""One call of a plan: what times and stops it, and what its barriers find out on the way."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

from fastprep.core.errors import ArgumentError
from fastprep.core.index_map import IndexMap
from fastprep.core.namespace import device_of, host_view, shape_of
from fastprep.core.piecewise import Piecewise
from fastprep.core.ramp import Ramp
from fastprep.ops._arrays import view_of
from fastprep.ops._masked import moments_of
from fastprep.ops._sample import sample
from fastprep.ops.foreground_mask import largest_above
from fastprep.ops.otsu import otsu
from fastprep.pipeline.transfers import upload

#: Where a step looks: the foreground of the image at hand, or the mask that a step in front has found.
FOREGROUND, FOUND = "foreground", "found"
Finding = dict[str, Any]


def _untimed(_: str) -> AbstractContextManager[None]:
    return nullcontext()


def _go_on() -> None:
    """Nobody asks to stop."""


@dataclass
class Run:
    """Who follows a call: told of each pass, asked now and then whether to go on, and given what was found."""

    #: A context around each pass, by its name.
    stage: Callable[[str], AbstractContextManager[None]] = _untimed
    #: Raises where the call should end.
    check: Callable[[], None] = _go_on
    #: What each barrier found, plain as JSON, in their order; of a batch one entry for each volume.
    found: list[Finding] = field(default_factory=list)
    #: The maps that were measured, for each volume by the barrier's number.
    maps: list[dict[int, Ramp | Piecewise]] = field(default_factory=list)
    #: Of the values inside the mask of the first normaliser, before it; measured where somebody wants it.
    wants_variance: bool = False
    variance: float | None = None


class Known:
    """What the barriers of one volume have found out, for the passes and barriers after them."""

    def __init__(self, run: Run | None = None, volume: int | None = None, mask: Any = None) -> None:
        self.run, self.volume = run, volume
        #: On the scan's grid, what a step in front of the others has found.
        self.found = mask
        self.maps: dict[int, Ramp | Piecewise] = {}
        #: The foreground, once a barrier has asked for it.
        self.mask: Any = None
        self._about: Finding = {}
        if run is not None:
            run.maps.append(self.maps)

    def where(self, mask: str | None, x: Any, index_map: IndexMap) -> Any:
        """What a step's ``mask`` names, on a volume from which ``index_map`` leads to the grid of the scan."""
        if mask == FOUND:
            return self._moved(x, index_map)
        return None if mask is None else self.foreground(x)

    def _moved(self, x: Any, index_map: IndexMap) -> Any:
        if self.found is None:
            msg = "no step has found a mask of this scan"
            raise ArgumentError(msg)
        if device_of(x) == "gpu" and device_of(self.found) != "gpu":
            self.found = upload(host_view(self.found), int(x.__dlpack_device__()[1]))
        if index_map == IndexMap.identity(index_map.shape):
            return self.found
        return sample(self.found, index_map, order=0, outside=[0.0])

    def foreground(self, x: Any) -> Any:
        """`fastprep.foreground_mask`, found for the first barrier that asks and kept until voxels move."""
        if self.mask is None:
            threshold = otsu(x)
            self.mask = largest_above(x, [threshold], len(shape_of(x)))
            if self.run is not None:
                self._about = {"threshold": threshold, "fraction": moments_of(view_of(self.mask), None).mean}
        return self.mask

    def forget_mask(self) -> None:
        """Voxels have moved: the next barrier finds its own."""
        self.mask = None

    def note_variance(self, x: Any, mask: Any) -> None:
        """Measure the variance of a volume for the call, if it wants it and has none yet."""
        if self.run is not None and self.run.wants_variance and self.run.variance is None:
            found = moments_of(view_of(x), None if mask is None else view_of(mask))
            self.run.variance = found.m2 / max(found.count, 1)

    def tell(self, step: str, mask: str | None, finding: Finding) -> None:
        """Add what a barrier found, looking where ``mask`` says, to what the call tells."""
        if self.run is not None:
            which = {} if self.volume is None else {"volume": self.volume}
            about = {"foreground": self._about} if mask == FOREGROUND else {}
            self.run.found.append({"step": step, **which, **about, **finding})

    def stage(self, name: str) -> AbstractContextManager[None]:
        """A context around a pass."""
        return _untimed(name) if self.run is None else self.run.stage(name)

    def check(self) -> None:
        """Raises where the call should end."""
        if self.run is not None:
            self.run.check()
