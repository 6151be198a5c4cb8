"""Quality control: figures and pictures that tell whether a step did to a scan what it was meant to do."""

from fastprep.qc.bias import FieldStatistics, field_correlation, field_statistics, joint_cv, tissue_cv
from fastprep.qc.metal import metal_picture
from fastprep.qc.metrics import SurfaceDistance, dice, surface_distance
from fastprep.qc.picture import bias_picture

__all__ = [
    "FieldStatistics",
    "SurfaceDistance",
    "bias_picture",
    "dice",
    "field_correlation",
    "field_statistics",
    "joint_cv",
    "metal_picture",
    "surface_distance",
    "tissue_cv",
]
