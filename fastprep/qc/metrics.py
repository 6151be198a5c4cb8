"""Every figure by name: of segmentations, of an image beside the truth, and of an image by itself.

All are float64. Nothing is good by itself: `fastprep.qc.compare` tells each beside what doing nothing would get.
"""

from fastprep.ops.estimate_noise import estimate_noise
from fastprep.ops.mae import mae
from fastprep.ops.mse import mse
from fastprep.ops.psnr import psnr
from fastprep.ops.ssim import ssim
from fastprep.qc.figures import DynamicRange, cnr, contrast, dynamic_range, edge_strength, entropy, nmse, snr
from fastprep.qc.overlap import Volumes, dice, iou, precision, sensitivity, specificity, volumes
from fastprep.qc.surface import SurfaceDistance, surface_distance

__all__ = [
    "DynamicRange",
    "SurfaceDistance",
    "Volumes",
    "cnr",
    "contrast",
    "dice",
    "dynamic_range",
    "edge_strength",
    "entropy",
    "estimate_noise",
    "iou",
    "mae",
    "mse",
    "nmse",
    "precision",
    "psnr",
    "sensitivity",
    "snr",
    "specificity",
    "ssim",
    "surface_distance",
    "volumes",
]
