"""One call of a plan: what times and stops it, and what its barriers find out on the way."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

from fastprep.core.ramp import Ramp
from fastprep.ops._arrays import view_of
from fastprep.ops._masked import moments_of
from fastprep.ops.foreground_mask import above
from fastprep.ops.otsu import otsu

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
    #: The Ramps that were measured, for each volume by the barrier's number.
    ramps: list[dict[int, Ramp]] = field(default_factory=list)


class Known:
    """What the barriers of one volume have found out, for the passes and barriers after them."""

    def __init__(self, run: Run | None = None, volume: int | None = None) -> None:
        self.run, self.volume = run, volume
        self.ramps: dict[int, Ramp] = {}
        #: The foreground, once a barrier has asked for it.
        self.mask: Any = None
        self._about: Finding = {}
        if run is not None:
            run.ramps.append(self.ramps)

    def foreground(self, x: Any) -> Any:
        """The mask of ``x > otsu(x)``, found for the first barrier that asks and kept until voxels move."""
        if self.mask is None:
            threshold = otsu(x)
            self.mask = above(x, threshold)
            if self.run is not None:
                self._about = {"threshold": threshold, "fraction": moments_of(view_of(self.mask), None).mean}
        return self.mask

    def forget_mask(self) -> None:
        """Voxels have moved: the next barrier finds its own."""
        self.mask = None

    def tell(self, step: str, mask: Any, finding: Finding) -> None:
        """Add what a barrier found to what the call tells."""
        if self.run is not None:
            which = {} if self.volume is None else {"volume": self.volume}
            about = {} if mask is None else {"foreground": self._about}
            self.run.found.append({"step": step, **which, **about, **finding})

    def stage(self, name: str) -> AbstractContextManager[None]:
        """A context around a pass."""
        return _untimed(name) if self.run is None else self.run.stage(name)

    def check(self) -> None:
        """Raises where the call should end."""
        if self.run is not None:
            self.run.check()
