"""fastprep: medical scans on one ruler.

Names are loaded on first use, so ``import fastprep`` costs no more than NumPy.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastprep.core.grid import Grid
    from fastprep.core.image import Image
    from fastprep.core.index_map import IndexMap
    from fastprep.core.ramp import Ramp
    from fastprep.core.threads import set_num_threads
    from fastprep.fitted.dataset import DatasetStatistics
    from fastprep.fitted.nyul import Nyul
    from fastprep.io import load, save
    from fastprep.ops._bias import BiasField
    from fastprep.ops._metal import MetalReport
    from fastprep.ops._regions import Regions
    from fastprep.ops.body_mask import body_mask
    from fastprep.ops.clip_hu import clip_hu
    from fastprep.ops.closing import closing
    from fastprep.ops.crop_or_pad import crop_or_pad
    from fastprep.ops.crop_to_mask import crop_to_mask
    from fastprep.ops.deskew import deskew
    from fastprep.ops.detect_metal import detect_metal
    from fastprep.ops.dilate import dilate
    from fastprep.ops.erode import erode
    from fastprep.ops.fcm_normalize import fcm_normalize
    from fastprep.ops.fill_holes import fill_holes
    from fastprep.ops.flip import flip
    from fastprep.ops.foreground_mask import foreground_mask
    from fastprep.ops.fuse import Fused, fuse
    from fastprep.ops.gaussian_bias import gaussian_bias
    from fastprep.ops.homomorphic_bias import homomorphic_bias
    from fastprep.ops.invert import invert
    from fastprep.ops.kde_normalize import kde_normalize
    from fastprep.ops.keep_largest import keep_largest
    from fastprep.ops.label import label
    from fastprep.ops.least_squares_normalize import least_squares_normalize
    from fastprep.ops.local_normalize import local_normalize
    from fastprep.ops.lung_mask import LungMask, lung_mask
    from fastprep.ops.minmax import minmax
    from fastprep.ops.multi_window import multi_window
    from fastprep.ops.n4 import n4
    from fastprep.ops.normalize_in_mask import normalize_in_mask
    from fastprep.ops.opening import opening
    from fastprep.ops.otsu import otsu
    from fastprep.ops.percentile import percentile
    from fastprep.ops.percentile_clip import percentile_clip
    from fastprep.ops.piecewise import piecewise
    from fastprep.ops.polynomial_bias import polynomial_bias
    from fastprep.ops.regions import regions
    from fastprep.ops.remove_small import remove_small
    from fastprep.ops.reorient import reorient
    from fastprep.ops.resample import resample
    from fastprep.ops.resample_to import resample_to
    from fastprep.ops.rescale import rescale
    from fastprep.ops.resize import resize
    from fastprep.ops.robust import robust
    from fastprep.ops.stack import stack
    from fastprep.ops.sweep_metal import sweep_metal
    from fastprep.ops.warp import warp
    from fastprep.ops.white_stripe import white_stripe
    from fastprep.ops.window import window
    from fastprep.ops.zscore import zscore
    from fastprep.pipeline import Pipeline
    from fastprep.pipeline.warmup import warmup
    from fastprep.registry import which

__version__ = "0.1.0"

__all__ = [
    "BiasField",
    "DatasetStatistics",
    "Fused",
    "Grid",
    "Image",
    "IndexMap",
    "LungMask",
    "MetalReport",
    "Nyul",
    "Pipeline",
    "Ramp",
    "Regions",
    "body_mask",
    "clip_hu",
    "closing",
    "crop_or_pad",
    "crop_to_mask",
    "deskew",
    "detect_metal",
    "dilate",
    "erode",
    "fcm_normalize",
    "fill_holes",
    "flip",
    "foreground_mask",
    "fuse",
    "gaussian_bias",
    "homomorphic_bias",
    "invert",
    "kde_normalize",
    "keep_largest",
    "label",
    "least_squares_normalize",
    "load",
    "local_normalize",
    "lung_mask",
    "minmax",
    "multi_window",
    "n4",
    "normalize_in_mask",
    "opening",
    "otsu",
    "percentile",
    "percentile_clip",
    "piecewise",
    "polynomial_bias",
    "regions",
    "remove_small",
    "reorient",
    "resample",
    "resample_to",
    "rescale",
    "resize",
    "robust",
    "save",
    "set_num_threads",
    "stack",
    "sweep_metal",
    "warmup",
    "warp",
    "which",
    "white_stripe",
    "window",
    "zscore",
]

_HOME = {
    "BiasField": "ops._bias",
    "Fused": "ops.fuse",
    "DatasetStatistics": "fitted.dataset",
    "Grid": "core.grid",
    "Image": "core.image",
    "IndexMap": "core.index_map",
    "LungMask": "ops.lung_mask",
    "MetalReport": "ops._metal",
    "Nyul": "fitted.nyul",
    "Pipeline": "pipeline",
    "Ramp": "core.ramp",
    "Regions": "ops._regions",
    "body_mask": "ops.body_mask",
    "clip_hu": "ops.clip_hu",
    "closing": "ops.closing",
    "crop_or_pad": "ops.crop_or_pad",
    "crop_to_mask": "ops.crop_to_mask",
    "deskew": "ops.deskew",
    "detect_metal": "ops.detect_metal",
    "dilate": "ops.dilate",
    "erode": "ops.erode",
    "fcm_normalize": "ops.fcm_normalize",
    "fill_holes": "ops.fill_holes",
    "flip": "ops.flip",
    "foreground_mask": "ops.foreground_mask",
    "fuse": "ops.fuse",
    "gaussian_bias": "ops.gaussian_bias",
    "homomorphic_bias": "ops.homomorphic_bias",
    "invert": "ops.invert",
    "kde_normalize": "ops.kde_normalize",
    "keep_largest": "ops.keep_largest",
    "label": "ops.label",
    "least_squares_normalize": "ops.least_squares_normalize",
    "load": "io",
    "local_normalize": "ops.local_normalize",
    "lung_mask": "ops.lung_mask",
    "minmax": "ops.minmax",
    "multi_window": "ops.multi_window",
    "n4": "ops.n4",
    "normalize_in_mask": "ops.normalize_in_mask",
    "opening": "ops.opening",
    "percentile": "ops.percentile",
    "percentile_clip": "ops.percentile_clip",
    "piecewise": "ops.piecewise",
    "polynomial_bias": "ops.polynomial_bias",
    "regions": "ops.regions",
    "remove_small": "ops.remove_small",
    "otsu": "ops.otsu",
    "reorient": "ops.reorient",
    "resample": "ops.resample",
    "resample_to": "ops.resample_to",
    "rescale": "ops.rescale",
    "resize": "ops.resize",
    "robust": "ops.robust",
    "save": "io",
    "set_num_threads": "core.threads",
    "stack": "ops.stack",
    "sweep_metal": "ops.sweep_metal",
    "warmup": "pipeline.warmup",
    "warp": "ops.warp",
    "which": "registry",
    "white_stripe": "ops.white_stripe",
    "window": "ops.window",
    "zscore": "ops.zscore",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        msg = f"module 'fastprep' has no attribute {name!r}"
        raise AttributeError(msg)
    value = getattr(importlib.import_module(f"fastprep.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
