"""metal_check: a step that looks for metal, and only tells."""

from __future__ import annotations

from dataclasses import dataclass

import fastprep
from fastprep.core.connectivity import check_connectivity
from fastprep.core.errors import ArgumentError
from fastprep.core.image import Image
from fastprep.ops.detect_metal import check_limits
from fastprep.pipeline.scan_steps import Look, ScanStep
from fastprep.pipeline.values import number, set_fields, whole


@dataclass(frozen=True, kw_only=True)
class MetalCheck(ScanStep):
    """`fastprep.detect_metal`: its report goes into the record of the output, the scan through as it is."""

    name = "metal_check"
    threshold: float | str = 3000.0
    min_volume_mm3: float = 10.0
    connectivity: int = 26

    def __post_init__(self) -> None:
        volume, reach = number("min_volume_mm3", self.min_volume_mm3), whole("connectivity", self.connectivity)
        check_limits(volume, 0.0)
        check_connectivity(reach, 3)
        threshold = self.threshold
        if not isinstance(threshold, str):
            threshold = number("threshold", threshold)
        elif threshold != "adaptive":
            msg = f"threshold={threshold!r}: expected HU, or 'adaptive'"
            raise ArgumentError(msg)
        set_fields(self, threshold=threshold, min_volume_mm3=volume, connectivity=reach)

    def look(self, scan: Image) -> Look:
        """For implants, and what they do to the image."""
        report = fastprep.detect_metal(
            scan, threshold=self.threshold, min_volume_mm3=self.min_volume_mm3, connectivity=self.connectivity
        )
        finding = report.to_dict()
        if report.count:
            what = f"{report.count} implant" + ("s" if report.count > 1 else "")
            finding["warning"] = f"metal: {what} of {report.volume_mm3:.0f} mm3, artifact {report.severity}"
        return Look(None, finding)
