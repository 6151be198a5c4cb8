"""Phantoms and assertions for the tests of fastprep and of what is built on it."""

from fastprep.testing.assertions import assert_same, to_numpy
from fastprep.testing.bias_phantom import BiasPhantom, bias_phantom, bias_phantom_on
from fastprep.testing.metal_phantom import Implant, MetalPhantom, metal_phantom, metal_phantom_on
from fastprep.testing.phantoms import (
    BRAIN,
    CHEST,
    brain_mri,
    brain_mri_on,
    chest_ct,
    chest_ct_on,
    chest_xray,
    labels_on,
    log_bias,
    patient_grid,
    write_demo_cohort,
)
from fastprep.testing.xray_phantom import Collimator, XrayPhantom, xray_phantom

__all__ = [
    "BRAIN",
    "CHEST",
    "BiasPhantom",
    "Collimator",
    "Implant",
    "MetalPhantom",
    "XrayPhantom",
    "assert_same",
    "bias_phantom",
    "bias_phantom_on",
    "brain_mri",
    "brain_mri_on",
    "chest_ct",
    "chest_ct_on",
    "chest_xray",
    "labels_on",
    "log_bias",
    "metal_phantom",
    "metal_phantom_on",
    "patient_grid",
    "to_numpy",
    "write_demo_cohort",
    "xray_phantom",
]
