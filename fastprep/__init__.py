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
    from fastprep.io import load, save
    from fastprep.ops._bias import BiasField
    from fastprep.ops.clip_hu import clip_hu
    from fastprep.ops.crop_or_pad import crop_or_pad
    from fastprep.ops.crop_to_mask import crop_to_mask
    from fastprep.ops.deskew import deskew
    from fastprep.ops.flip import flip
    from fastprep.ops.foreground_mask import foreground_mask
    from fastprep.ops.gaussian_bias import gaussian_bias
    from fastprep.ops.homomorphic_bias import homomorphic_bias
    from fastprep.ops.invert import invert
    from fastprep.ops.multi_window import multi_window
    from fastprep.ops.n4 import n4
    from fastprep.ops.otsu import otsu
    from fastprep.ops.polynomial_bias import polynomial_bias
    from fastprep.ops.reorient import reorient
    from fastprep.ops.resample import resample
    from fastprep.ops.resample_to import resample_to
    from fastprep.ops.rescale import rescale
    from fastprep.ops.warp import warp
    from fastprep.ops.window import window
    from fastprep.ops.zscore import zscore
    from fastprep.pipeline import Pipeline
    from fastprep.pipeline.warmup import warmup
    from fastprep.registry import which

__version__ = "0.1.0"

__all__ = [
    "BiasField",
    "Grid",
    "Image",
    "IndexMap",
    "Pipeline",
    "Ramp",
    "clip_hu",
    "crop_or_pad",
    "crop_to_mask",
    "deskew",
    "flip",
    "foreground_mask",
    "gaussian_bias",
    "homomorphic_bias",
    "invert",
    "load",
    "multi_window",
    "n4",
    "otsu",
    "polynomial_bias",
    "reorient",
    "resample",
    "resample_to",
    "rescale",
    "save",
    "set_num_threads",
    "warmup",
    "warp",
    "which",
    "window",
    "zscore",
]

_HOME = {
    "BiasField": "ops._bias",
    "Grid": "core.grid",
    "Image": "core.image",
    "IndexMap": "core.index_map",
    "Pipeline": "pipeline",
    "Ramp": "core.ramp",
    "clip_hu": "ops.clip_hu",
    "crop_or_pad": "ops.crop_or_pad",
    "crop_to_mask": "ops.crop_to_mask",
    "deskew": "ops.deskew",
    "flip": "ops.flip",
    "foreground_mask": "ops.foreground_mask",
    "gaussian_bias": "ops.gaussian_bias",
    "homomorphic_bias": "ops.homomorphic_bias",
    "invert": "ops.invert",
    "load": "io",
    "multi_window": "ops.multi_window",
    "n4": "ops.n4",
    "polynomial_bias": "ops.polynomial_bias",
    "otsu": "ops.otsu",
    "reorient": "ops.reorient",
    "resample": "ops.resample",
    "resample_to": "ops.resample_to",
    "rescale": "ops.rescale",
    "save": "io",
    "set_num_threads": "core.threads",
    "warmup": "pipeline.warmup",
    "warp": "ops.warp",
    "which": "registry",
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
