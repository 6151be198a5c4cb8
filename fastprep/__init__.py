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
    from fastprep.ops._clahe import ClaheTables
    from fastprep.ops._metal import MetalReport
    from fastprep.ops._regions import Regions
    from fastprep.ops.bad_pixels import BadPixels, bad_pixels
    from fastprep.ops.bilateral import bilateral
    from fastprep.ops.body_mask import body_mask
    from fastprep.ops.clahe import clahe
    from fastprep.ops.clahe_parameters import ClaheParameters, clahe_parameters
    from fastprep.ops.clahe_tables import clahe_tables
    from fastprep.ops.clip_hu import clip_hu
    from fastprep.ops.closing import closing
    from fastprep.ops.collimation_mask import CollimationMask, collimation_mask
    from fastprep.ops.crop_or_pad import crop_or_pad
    from fastprep.ops.crop_to_mask import crop_to_mask
    from fastprep.ops.denoise_nlm import denoise_nlm
    from fastprep.ops.denoise_tv import denoise_tv
    from fastprep.ops.deskew import deskew
    from fastprep.ops.detect_metal import detect_metal
    from fastprep.ops.dilate import dilate
    from fastprep.ops.erode import erode
    from fastprep.ops.estimate_noise import estimate_noise
    from fastprep.ops.fcm_normalize import fcm_normalize
    from fastprep.ops.fill_holes import fill_holes
    from fastprep.ops.flat_field import flat_field
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
    from fastprep.ops.mae import mae
    from fastprep.ops.median import median
    from fastprep.ops.mend_pixels import mend_pixels
    from fastprep.ops.minmax import minmax
    from fastprep.ops.mse import mse
    from fastprep.ops.multi_window import multi_window
    from fastprep.ops.multiscale_clahe import multiscale_clahe
    from fastprep.ops.n4 import n4
    from fastprep.ops.normalize_in_mask import normalize_in_mask
    from fastprep.ops.opening import opening
    from fastprep.ops.otsu import otsu
    from fastprep.ops.percentile import percentile
    from fastprep.ops.percentile_clip import percentile_clip
    from fastprep.ops.piecewise import piecewise
    from fastprep.ops.polynomial_bias import polynomial_bias
    from fastprep.ops.psnr import psnr
    from fastprep.ops.regions import regions
    from fastprep.ops.remove_small import remove_small
    from fastprep.ops.reorient import reorient
    from fastprep.ops.resample import resample
    from fastprep.ops.resample_to import resample_to
    from fastprep.ops.rescale import rescale
    from fastprep.ops.resize import resize
    from fastprep.ops.robust import robust
    from fastprep.ops.ssim import ssim
    from fastprep.ops.stack import stack
    from fastprep.ops.sweep_metal import sweep_metal
    from fastprep.ops.voi_lut import voi_lut
    from fastprep.ops.warp import warp
    from fastprep.ops.white_stripe import white_stripe
    from fastprep.ops.window import window
    from fastprep.ops.zscore import zscore
    from fastprep.pipeline import Pipeline
    from fastprep.pipeline.warmup import warmup
    from fastprep.registry import which

__version__ = "0.1.0"

__all__ = [
    "BadPixels",
    "BiasField",
    "ClaheParameters",
    "ClaheTables",
    "CollimationMask",
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
    "bad_pixels",
    "bilateral",
    "body_mask",
    "clahe",
    "clahe_parameters",
    "clahe_tables",
    "clip_hu",
    "closing",
    "collimation_mask",
    "crop_or_pad",
    "crop_to_mask",
    "denoise_nlm",
    "denoise_tv",
    "deskew",
    "detect_metal",
    "dilate",
    "erode",
    "estimate_noise",
    "fcm_normalize",
    "fill_holes",
    "flat_field",
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
    "mae",
    "median",
    "mend_pixels",
    "minmax",
    "mse",
    "multi_window",
    "multiscale_clahe",
    "n4",
    "normalize_in_mask",
    "opening",
    "otsu",
    "percentile",
    "percentile_clip",
    "piecewise",
    "polynomial_bias",
    "psnr",
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
    "ssim",
    "stack",
    "sweep_metal",
    "voi_lut",
    "warmup",
    "warp",
    "which",
    "white_stripe",
    "window",
    "zscore",
]

_HOME = {
    "BadPixels": "ops.bad_pixels",
    "BiasField": "ops._bias",
    "ClaheParameters": "ops.clahe_parameters",
    "ClaheTables": "ops._clahe",
    "CollimationMask": "ops.collimation_mask",
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
    "bad_pixels": "ops.bad_pixels",
    "bilateral": "ops.bilateral",
    "body_mask": "ops.body_mask",
    "clahe": "ops.clahe",
    "clahe_parameters": "ops.clahe_parameters",
    "clahe_tables": "ops.clahe_tables",
    "clip_hu": "ops.clip_hu",
    "closing": "ops.closing",
    "collimation_mask": "ops.collimation_mask",
    "crop_or_pad": "ops.crop_or_pad",
    "crop_to_mask": "ops.crop_to_mask",
    "denoise_nlm": "ops.denoise_nlm",
    "denoise_tv": "ops.denoise_tv",
    "deskew": "ops.deskew",
    "detect_metal": "ops.detect_metal",
    "dilate": "ops.dilate",
    "erode": "ops.erode",
    "estimate_noise": "ops.estimate_noise",
    "fcm_normalize": "ops.fcm_normalize",
    "fill_holes": "ops.fill_holes",
    "flat_field": "ops.flat_field",
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
    "mae": "ops.mae",
    "median": "ops.median",
    "mend_pixels": "ops.mend_pixels",
    "minmax": "ops.minmax",
    "mse": "ops.mse",
    "multi_window": "ops.multi_window",
    "multiscale_clahe": "ops.multiscale_clahe",
    "n4": "ops.n4",
    "normalize_in_mask": "ops.normalize_in_mask",
    "opening": "ops.opening",
    "percentile": "ops.percentile",
    "percentile_clip": "ops.percentile_clip",
    "piecewise": "ops.piecewise",
    "polynomial_bias": "ops.polynomial_bias",
    "psnr": "ops.psnr",
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
    "ssim": "ops.ssim",
    "stack": "ops.stack",
    "sweep_metal": "ops.sweep_metal",
    "voi_lut": "ops.voi_lut",
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
