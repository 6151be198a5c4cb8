"""Quality control: figures and pictures that tell whether a step did to a scan what it was meant to do."""

from fastprep.qc.bias import FieldStatistics, field_correlation, field_statistics, joint_cv, tissue_cv
from fastprep.qc.picture import bias_picture

__all__ = ["FieldStatistics", "bias_picture", "field_correlation", "field_statistics", "joint_cv", "tissue_cv"]
