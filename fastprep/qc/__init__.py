"""Quality control: figures and pictures that tell whether a step did to a scan what it was meant to do."""

from fastprep.qc.bias import FieldStatistics, field_correlation, field_statistics, joint_cv, tissue_cv
from fastprep.qc.compare import Comparison, compare
from fastprep.qc.compare_picture import comparison_picture
from fastprep.qc.figures import DynamicRange, cnr, contrast, dynamic_range, edge_strength, entropy, nmse, snr
from fastprep.qc.metal import metal_picture
from fastprep.qc.overlap import Volumes, dice, iou, precision, sensitivity, specificity, volumes
from fastprep.qc.picture import bias_picture
from fastprep.qc.surface import SurfaceDistance, surface_distance
from fastprep.qc.sweep import Sweep, clahe_sweep, sweep_picture

__all__ = [
    "Comparison",
    "DynamicRange",
    "FieldStatistics",
    "SurfaceDistance",
    "Sweep",
    "Volumes",
    "bias_picture",
    "clahe_sweep",
    "cnr",
    "compare",
    "comparison_picture",
    "contrast",
    "dice",
    "dynamic_range",
    "edge_strength",
    "entropy",
    "field_correlation",
    "field_statistics",
    "iou",
    "joint_cv",
    "metal_picture",
    "nmse",
    "precision",
    "sensitivity",
    "snr",
    "specificity",
    "surface_distance",
    "sweep_picture",
    "tissue_cv",
    "volumes",
]
