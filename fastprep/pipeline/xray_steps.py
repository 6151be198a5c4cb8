"""Steps for radiographs: what their file wants shown, and where the collimator shaded them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import fastprep
from fastprep.core.image import Image
from fastprep.core.voi import View, Voi
from fastprep.pipeline.scan_steps import Look, MaskStep
from fastprep.pipeline.steps import Step
from fastprep.pipeline.values import count, set_fields


@dataclass(frozen=True)
class VoiLut(Step):
    """`fastprep.voi_lut`; what carries no VOI, as pictures do not, passes it untouched."""

    name = "voi_lut"
    index: int = 0

    def __post_init__(self) -> None:
        set_fields(self, index=count("index", self.index, least=0))

    def view(self, voi: Voi | None) -> View | None:
        """What it applies to an image; None where that carries nothing that can be applied.

        Raises
        ------
        ArgumentError
            The image offers other views, but not that one.
        """
        return None if voi is None or not voi.views else voi.view(self.index)


@dataclass(frozen=True, kw_only=True)
class Collimation(MaskStep):
    """`fastprep.collimation_mask`: where the detector was exposed, everywhere if there is no border."""

    name = "collimation"

    @property
    def what(self) -> str:
        """The exposed field."""
        return "field"

    def look(self, scan: Image) -> Look:
        """For the collimator's borders."""
        found = fastprep.collimation_mask(scan)
        return Look(found.mask, found.to_dict())


def voi_used(steps: Sequence[Step], voi: Voi | None) -> str | None:
    """In words, the view that a pipeline applies, "" where its step finds none; None without such a step."""
    step = next((step for step in steps if isinstance(step, VoiLut)), None)
    if step is None:
        return None
    view = step.view(voi)
    return "" if view is None else str(view)
