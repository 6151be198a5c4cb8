"""Pipelines: steps that compile to as few passes over memory as they can."""

from fastprep.pipeline.barriers import N4, GaussianBias, HomomorphicBias, LocalNormalize, PolynomialBias
from fastprep.pipeline.enhance_steps import Bilateral, Clahe, DenoiseNlm, DenoiseTv, Median
from fastprep.pipeline.fuse import Fuse
from fastprep.pipeline.given_mask import GivenMask
from fastprep.pipeline.learned_steps import DatasetNormalize, LeastSquaresNormalize, Nyul
from fastprep.pipeline.mask_steps import BodyMask, LungMask, NormalizeInMask, Segment
from fastprep.pipeline.metal_check import MetalCheck
from fastprep.pipeline.normalisers import (
    FcmNormalize,
    KdeNormalize,
    MinMax,
    PercentileClip,
    Robust,
    WhiteStripe,
    ZScore,
)
from fastprep.pipeline.passes import Barrier, Pass
from fastprep.pipeline.pipeline import Pipeline
from fastprep.pipeline.plan import Plan
from fastprep.pipeline.scan_steps import CropToMask
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
    Resize,
    Window,
)
from fastprep.pipeline.xray_steps import Collimation, VoiLut

__all__ = [
    "N4",
    "Barrier",
    "Bilateral",
    "BodyMask",
    "Clahe",
    "ClipHu",
    "Collimation",
    "CropOrPad",
    "CropToMask",
    "DatasetNormalize",
    "DenoiseNlm",
    "DenoiseTv",
    "Deskew",
    "FcmNormalize",
    "Flip",
    "Fuse",
    "GaussianBias",
    "GivenMask",
    "HomomorphicBias",
    "Invert",
    "KdeNormalize",
    "LeastSquaresNormalize",
    "LocalNormalize",
    "LungMask",
    "Median",
    "MetalCheck",
    "MinMax",
    "MultiWindow",
    "NormalizeInMask",
    "Nyul",
    "Pass",
    "PercentileClip",
    "Pipeline",
    "Plan",
    "PolynomialBias",
    "Reorient",
    "Resample",
    "Rescale",
    "Resize",
    "Robust",
    "Segment",
    "VoiLut",
    "WhiteStripe",
    "Window",
    "ZScore",
]
