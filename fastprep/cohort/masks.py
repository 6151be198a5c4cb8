"""Masks that come with scans: one for each, in a folder of their own, found by the scan's name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from fastprep.cohort.cases import Case, find_cases
from fastprep.cohort.read import read_case
from fastprep.cohort.sources import source, stamp
from fastprep.core.errors import ConfigError, MaskError
from fastprep.core.image import Image
from fastprep.pipeline import Pipeline, Segment
from fastprep.pipeline.given_mask import GivenMask
from fastprep.pipeline.run import Finding

#: Formats that know nothing of the patient: their voxels are taken for the scan's.
_NO_GRID = frozenset({"png", "npy"})
_LOSSY = frozenset({"jpg", "jpeg"})


def masks_in(folder: Path) -> dict[str, Case]:
    """Every file or series below a folder by its name.

    Raises
    ------
    ReadError
        No such folder, or nothing in it.
    """
    return {case.id: case for case in find_cases([folder], is_label=lambda _: True).cases}


def mask_for(case: Case, masks: Mapping[str, Case], what: str) -> Case:
    """The mask of a scan: that of its own name, or of its name and ``_mask`` or what the mask is of.

    Raises
    ------
    MaskError
        There is none, or a lossy one.
    """
    names = [case.id, f"{case.id}_{what}", f"{case.id}_mask"]
    found = next((masks[name] for name in names if name in masks), None)
    if found is None:
        msg = f"{what}: no mask of this scan among {len(masks)}: expected {' or '.join(dict.fromkeys(names))}"
        raise MaskError(msg)
    if found.form in _LOSSY:
        msg = f"{what}: {found.relative(found.path)} is a JPEG, whose edges are not exact: expected PNG or NIfTI"
        raise MaskError(msg)
    return found


def read_mask(found: Case, scan: Image) -> tuple[Image, Finding]:
    """The mask as an image, and what there is to tell of it."""
    image = read_case(found).image
    fits = found.form in _NO_GRID and tuple(image.array.shape) == scan.grid.shape
    made_from = source(found)
    finding = {"file": made_from["name"], "sha256": made_from["sha256"]}
    return Image(image.array, scan.grid if fits else image.grid, kind="label"), finding


def mask_stamp(case: Case, masks: Mapping[str, Case], what: str) -> str:
    """A word that changes when the mask does; "" where there is none."""
    try:
        return stamp(mask_for(case, masks, what))
    except MaskError:
        return ""


def masked(pipeline: Pipeline, folder: Path | None, segmenter: str | None) -> tuple[Pipeline, dict[str, Case] | None]:
    """The pipeline of a run and the masks that come with its scans: those in a folder, or a model's in their place.

    Raises
    ------
    ConfigError
        A step waits for masks and neither is given, both are, or none waits for what is given.
    ReadError
        No such folder, or nothing in it.
    """
    step = next((step for step in pipeline.steps if isinstance(step, GivenMask)), None)
    given = [name for name, value in (("--masks", folder), ("--segmenter", segmenter)) if value is not None]
    if step is None and given:
        msg = f"{given[0]}: no step of {pipeline.name or 'the pipeline'} waits for a mask: put given_mask first"
        raise ConfigError(msg)
    if step is None:
        return pipeline, None
    if len(given) != 1:
        told = "both --masks and --segmenter tell them" if given else "give --masks FOLDER, or --segmenter MODEL"
        msg = f"{pipeline.name or 'the pipeline'} takes a mask of the {step.of} with each scan: {told}"
        raise ConfigError(msg)
    if folder is not None:
        return pipeline, masks_in(folder)
    model = Segment(model=segmenter, write=step.write)
    return replace(pipeline, steps=tuple(model if s is step else s for s in pipeline.steps)), None
