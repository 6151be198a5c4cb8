"""Fitting: what the learned steps of a pipeline take from training images, in one pass over them for each step."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import fastprep
from fastprep.core.errors import ArgumentError, ConfigError
from fastprep.core.image import Image
from fastprep.fitted._cases import same_modality
from fastprep.pipeline.learned import (
    LearnedStep,
    Learner,
    Seen,
    TrainingCases,
    everywhere,
    parts_of,
    unfitted,
    voxels_sha256,
)
from fastprep.pipeline.run import Run
from fastprep.pipeline.steps import Step

if TYPE_CHECKING:
    from fastprep.pipeline.pipeline import Pipeline


class Lesson(NamedTuple):
    """What a pass over the training cases tells of one: the case, its modality, and what the step learned from it."""

    case: Seen
    modality: str | None
    learned: Learner


#: Such a pass, for the steps before one that learns, that one, and the sequence they are of where there are several.
Lessons = Callable[[Sequence[Step], LearnedStep, str | None], Iterable[Lesson]]


def fit_pipeline(pipeline: Pipeline, images: Iterable[Image | Mapping[str, Image]]) -> Pipeline:
    """See `Pipeline.fit`."""

    def lessons(before: Sequence[Step], step: LearnedStep, sequence: str | None) -> Iterator[Lesson]:
        prefix = replace(pipeline, steps=tuple(before))
        for number, given in enumerate(images, 1):
            image, name = _one(given, sequence), f"image {number}" + (f", {sequence}" if sequence else "")
            yield Lesson(Seen(name, voxels_sha256(image.array)), image.modality, learn(prefix, step, image))

    return fitted(pipeline, lessons)


def fitted(pipeline: Pipeline, lessons: Lessons) -> Pipeline:
    """The pipeline after each learned step has merged what ``lessons`` tells of every case, in their order.

    It is for the modality of its training cases then, where they tell it.
    """
    fuse, now, seen = pipeline.fuse, pipeline, dict[Seen, None]()
    if not any(unfitted(part) for _, part in parts_of(pipeline.steps)):
        msg = "no step of the pipeline has anything to learn from data, or all have learned it"
        raise ConfigError(msg)
    if fuse is None:
        now = _fitted_part(pipeline, lessons, None, seen)
    else:
        for one in fuse.sequences:
            part = _fitted_part(replace(now, steps=one.steps), lessons, one.name, seen)
            fuse = fuse.with_steps(one.name, part.steps)
            now = replace(now, steps=(fuse, *pipeline.steps[1:]), modality=part.modality)
    return replace(now, fitted_on=TrainingCases(tuple(seen), fastprep.__version__))


def _fitted_part(pipeline: Pipeline, lessons: Lessons, sequence: str | None, seen: dict[Seen, None]) -> Pipeline:
    """One list of steps fitted; the cases they learned from are added to ``seen``."""
    steps, modality, before = list(pipeline.steps), pipeline.modality, 0
    for i, step in unfitted(steps):
        total, count = step.learner(), 0
        for lesson in lessons(steps[:i], step, sequence):
            total = total.merge(lesson.learned)
            modality = same_modality(modality, lesson.modality)
            seen[lesson.case] = None
            count += 1
        if count == 0 or before not in (0, count):
            which = "" if before == 0 else f" to {step.name}, and {before} to the learned step before it"
            msg = f"{count} training cases came{which}: expected at least one, and the same for every step"
            raise ArgumentError(msg)
        steps[i], before = step.learned(total), count
    return replace(pipeline, steps=tuple(steps), modality=modality)


def _one(given: Image | Mapping[str, Image], sequence: str | None) -> Image:
    if isinstance(given, Mapping) != (sequence is not None) or (isinstance(given, Mapping) and sequence not in given):
        expected = "an image" if sequence is None else f"a mapping with the sequence {sequence!r}"
        msg = f"images: {type(given).__name__}: expected {expected}"
        raise ArgumentError(msg)
    return given[str(sequence)] if isinstance(given, Mapping) else given


def learn(before: Pipeline, step: LearnedStep, image: Image, run: Run | None = None) -> Learner:
    """What a step learns from one image as the pipeline before it leaves it."""
    if image.kind == "label":
        msg = "labels have no intensities to learn from"
        raise ArgumentError(msg)
    plan = replace(before, dtype=None).look(image).pipeline.plan_for(image)
    learner = step.learner()
    for x, known in plan.prepared(image.array, run):
        learner.observe(x, everywhere if step.mask is None else known.where(step.mask, x, plan.index_map))
    return learner
