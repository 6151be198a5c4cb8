"""MetalReport: what was found of metal in a scan."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fastprep.core.errors import ArgumentError, MaskError
from fastprep.core.grid import closest_axes
from fastprep.core.image import Image
from fastprep.core.metal import ROUNDING
from fastprep.core.ramp import Ramp
from fastprep.ops._arrays import empty
from fastprep.ops._regions import Regions
from fastprep.registry import kernel

if TYPE_CHECKING:
    from fastprep.core.artifact import Artifact


@dataclass(frozen=True, eq=False)
class MetalReport:
    """The implants of a scan, and when it is asked for, their mask and what they do to the tissue around them.

    It keeps the scan and looks at it again for ``mask``, ``artifact`` and the body: leave it as it is until then.

    Attributes
    ----------
    regions : the implants as columns, ``regions[i]`` as one: volume, box, centroid, HU, the share of saturated voxels.
    threshold : HU that was used; ``requested`` is what was asked for.
    saturated : the scan's numbers end at ``ceiling`` HU, so HU of metal are a lower bound.
    dropped : parts above the threshold that are smaller than ``min_volume_mm3``, and ``dropped_mm3`` all of them.
    notes : what to know before these numbers are used, in words.
    scan : what was given, and ``stored`` its numbers, which ``units`` maps to HU.
    """

    regions: Regions
    threshold: float
    requested: float | str
    saturated: bool
    dropped: int
    dropped_mm3: float
    notes: tuple[str, ...]
    min_volume_mm3: float
    connectivity: int
    ceiling: float
    spacing: tuple[float, ...]
    units: Ramp
    scan: Any = field(repr=False)
    stored: Any = field(repr=False)
    _runs: Any = field(repr=False)
    #: The label of each part above the threshold, 0 of those that were dropped.
    _values: npt.NDArray[np.int64] = field(repr=False)

    @property
    def limit(self) -> float:
        """HU that metal is above: the threshold, or what is just below the ceiling of a scan that is held to that."""
        held = self.saturated and self.threshold == self.ceiling
        return math.nextafter(self.ceiling - ROUNDING, -math.inf) if held else self.threshold

    @property
    def count(self) -> int:
        """How many implants."""
        return len(self.regions)

    @cached_property
    def volume_mm3(self) -> float:
        """Of all implants."""
        return float(self.regions.volume_mm3.sum())

    @cached_property
    def mask(self) -> Any:
        """Where the implants are: bool, of the scan's library and on its device; of an Image a label Image."""
        return self._painted((self._values > 0).astype(np.int64), "bool")

    @cached_property
    def labels(self) -> Any:
        """The implants numbered as in ``regions``, int32, likewise."""
        return self._painted(self._values, "int32")

    @property
    def axial_axis(self) -> int:
        """The axis from slice to slice: of an Image the one nearest to inferior-superior, else the first."""
        return closest_axes(self.scan.grid.affine).index(2) if isinstance(self.scan, Image) else 0

    @cached_property
    def artifact(self) -> Artifact:
        """How badly the metal spoils the tissue, apart from how much metal there is; it takes a look around each."""
        from fastprep.ops._artifact import artifact_of

        return artifact_of(self)

    @property
    def severity(self) -> str:
        """Of the artifact: "none" (no metal), "minimal", "mild", "moderate" or "severe"."""
        return self.artifact.severity if self.count else "none"

    @cached_property
    def body(self) -> Any:
        """`fastprep.body_mask` of the scan; a mask of nothing where there is no body, as of metal alone."""
        from fastprep.ops.body_mask import body_mask

        try:
            return body_mask(self.scan, None if isinstance(self.scan, Image) else self.spacing)
        except (ArgumentError, MaskError):
            return self._painted(np.zeros_like(self._values), "bool")

    @cached_property
    def body_volume_mm3(self) -> float | None:
        """What the metal is a part of; None where there is no body."""
        from fastprep.ops.regions import regions

        found = regions(self.body, spacing=self.spacing, count=1)
        return float(found.volume_mm3[0]) or None

    @property
    def body_fraction(self) -> float | None:
        """The implants' share of the body."""
        return None if self.body_volume_mm3 is None else self.volume_mm3 / self.body_volume_mm3

    def to_dict(self, *, artifact: bool = True) -> dict[str, Any]:
        """Everything in plain numbers and words, for JSON; without ``artifact`` only what is known already."""
        form: dict[str, Any] = {
            "count": self.count,
            "volume_mm3": self.volume_mm3,
            "threshold": self.threshold,
            "requested": self.requested,
            "saturated": self.saturated,
            "ceiling": self.ceiling,
            "min_volume_mm3": self.min_volume_mm3,
            "connectivity": self.connectivity,
            "dropped": self.dropped,
            "dropped_mm3": self.dropped_mm3,
            "spacing": list(self.spacing),
            "notes": list(self.notes),
            "regions": [region.to_dict() for region in self.regions],
        }
        if artifact:
            form |= {
                "severity": self.severity,
                "artifact": self.artifact.to_dict() if self.count else None,
                "body_volume_mm3": self.body_volume_mm3,
                "body_fraction": self.body_fraction,
            }
        return form

    def _painted(self, values: npt.NDArray[np.int64], dtype: str) -> Any:
        out = empty(tuple(self.stored.shape), dtype, self.stored)
        kernel("paint", self.stored)(self._runs, values, out.view)
        made = out.finish()
        return replace(self.scan.with_array(made), kind="label") if isinstance(self.scan, Image) else made
