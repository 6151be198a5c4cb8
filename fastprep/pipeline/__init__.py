"""Pipelines: steps that compile to as few passes over memory as they can."""

from fastprep.pipeline.pipeline import Pipeline
from fastprep.pipeline.plan import Pass, Plan
from fastprep.pipeline.steps import (
    ClipHu,
    CropOrPad,
    Deskew,
    Flip,
    Invert,
    MultiWindow,
    Reorient,
    Resample,
    Rescale,
    Window,
)

__all__ = [
    "ClipHu",
    "CropOrPad",
    "Deskew",
    "Flip",
    "Invert",
    "MultiWindow",
    "Pass",
    "Pipeline",
    "Plan",
    "Reorient",
    "Resample",
    "Rescale",
    "Window",
]
