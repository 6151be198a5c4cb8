"""Leaks: a case that a pipeline was fitted on tells nothing about how well it does on others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, get_args

from fastprep.cohort.cases import Case
from fastprep.cohort.sources import source
from fastprep.core.errors import ArgumentError, FastprepError, LeakError
from fastprep.core.image import Image
from fastprep.pipeline import Pipeline
from fastprep.pipeline.learned import Seen, voxels_sha256

Split = Literal["train", "val", "test"]
_MOST_NAMED = 5


def check_split(split: str | None) -> Split | None:
    """One of the splits, or None where nobody says."""
    for known in get_args(Split):
        if split == known:
            return known  # type: ignore[no-any-return]
    if split is not None:
        msg = f"split={split!r}: expected one of {', '.join(get_args(Split))}"
        raise ArgumentError(msg)
    return None


def refuse_overlap(cases: Sequence[Case], pipeline: Pipeline, split: Split | None) -> None:
    """Raise where cases of a test or validation split are among those the pipeline was fitted on, by their files.

    Raises
    ------
    LeakError
        Some are; the message names them.
    """
    trained = pipeline.fitted_on
    if trained is None or split in (None, "train"):
        return
    both, known = [], {seen.sha256: seen for seen in trained.cases if seen.sha256 is not None}
    scans = [scan for case in cases for scan in (dict(case.members).values() or (case,))]
    for case in scans:
        try:
            seen = known.get(source(case)["sha256"]) if case.kind != "label" else None
        except FastprepError:
            continue  # it fails by itself when its turn comes
        if seen is not None:
            both.append(_named(case, seen))
    if both:
        more = f" and {len(both) - _MOST_NAMED} more" if len(both) > _MOST_NAMED else ""
        msg = (
            f"{len(both)} of {len(scans)} scans of the {split} split are among the {len(trained.cases)} that the "
            f"pipeline was fitted on: {', '.join(both[:_MOST_NAMED])}{more}"
        )
        raise LeakError(msg)


class Trained(NamedTuple):
    """What is known of a case and the fit of its pipeline: nothing for one that learned nothing."""

    #: For the sidecar: how many cases, their digest, and whether this is one of them.
    record: dict[str, Any] | None = None
    has_this_case: bool = False
    warnings: tuple[str, ...] = ()


def trained_on(pipeline: Pipeline, split: Split | None, case: Case, sha256: str, image: Image) -> Trained:
    """Whether a case was in the fit, told by its files, or else by its voxels; unless it is for training, a warning.

    Raises
    ------
    LeakError
        It is one of them, and of a test or validation split.
    """
    trained = pipeline.fitted_on
    if trained is None:
        return Trained()
    seen: Seen | None = None
    warnings: tuple[str, ...] = ()
    if image.kind != "label":
        seen = trained.saw(sha256) or trained.saw(voxels=voxels_sha256(image.array))
    if seen is not None and split != "train":
        msg = f"{_named(case, seen)} is one of the {len(trained.cases)} cases that the pipeline was fitted on"
        if split is not None:
            msg += f", expected none of them in a {split} split"
            raise LeakError(msg)
        warnings = (msg,)
    found = seen is not None
    about = {"cases": len(trained.cases), "sha256": trained.digest, "split": split, "has_this_case": found}
    return Trained(about, found, warnings)


def _named(case: Case, seen: Seen) -> str:
    return case.id if seen.name == case.id else f"{case.id} (there {seen.name})"
