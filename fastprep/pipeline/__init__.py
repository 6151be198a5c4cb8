"""Pipelines: steps that compile to as few passes over memory as they can."""

from fastprep.pipeline.barriers import N4, GaussianBias, HomomorphicBias, PolynomialBias, ZScore
from fastprep.pipeline.passes import Barrier, Pass
from fastprep.pipeline.pipeline import Pipeline
from fastprep.pipeline.plan import Plan
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
    "N4",
    "Barrier",
    "ClipHu",
    "CropOrPad",
    "Deskew",
    "Flip",
    "GaussianBias",
    "HomomorphicBias",
    "Invert",
    "MultiWindow",
    "Pass",
    "Pipeline",
    "Plan",
    "PolynomialBias",
    "Reorient",
    "Resample",
    "Rescale",
    "Window",
    "ZScore",
]
