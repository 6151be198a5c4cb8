"""Learned steps: what they do is told by training cases, and until it is they do nothing.

A step learns from each case a summary of its own; summaries of any cases add up. The fitted pipeline holds the numbers
learned, and the record of the cases they came from, so that no test case is prepared by itself.
"""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol, Self

import numpy as np

from fastprep.core.errors import ConfigError, NotFittedError
from fastprep.core.namespace import host_view
from fastprep.pipeline.fuse import Fuse
from fastprep.pipeline.steps import Step

_DIGITS = frozenset("0123456789abcdef")


def everywhere(_: Any) -> None:
    """A mask for learners that takes in every voxel, where none at all would be the foreground."""


class Learner(Protocol):
    """What training cases add up to: ``fastprep.Nyul`` and ``fastprep.DatasetStatistics`` are such."""

    def observe(self, x: Any, mask: Any = None) -> None:
        """Take in one volume."""

    def merge(self, other: Self) -> Self:
        """Both together."""


class LearnedStep(Step):
    """A step whose numbers are learned; ``mask`` is where it looks while it learns, as a barrier's."""

    mask: str | None

    @property
    @abstractmethod
    def is_fitted(self) -> bool:
        """Whether it has its numbers."""

    @abstractmethod
    def learner(self) -> Learner:
        """What has seen nothing."""

    @abstractmethod
    def learned(self, learner: Any) -> Step:
        """The same step with the numbers of a learner."""

    @abstractmethod
    def summary(self) -> str:
        """The numbers in a few words, for people."""


@dataclass(frozen=True)
class Seen:
    """A case that a fit has seen: SHA-256 of its voxels as stored, in whatever file, and of its files if it had any."""

    name: str
    voxels_sha256: str
    sha256: str | None = None


@dataclass(frozen=True)
class TrainingCases:
    """The cases that a pipeline was fitted on, and the version of fastprep that did it."""

    cases: tuple[Seen, ...]
    version: str = ""

    @classmethod
    def from_dict(cls, form: Any) -> TrainingCases:
        """The record of a ``to_dict`` form.

        Raises
        ------
        ConfigError
            It is none.
        """
        try:
            cases = tuple(Seen(**case) for case in form["cases"])
            version = str(form.get("version", ""))
        except (TypeError, KeyError, AttributeError) as error:
            msg = f"fitted_on: {error}: expected what `fastprep fit` writes"
            raise ConfigError(msg) from error
        for case in cases:
            if not (_is_digest(case.voxels_sha256) and (case.sha256 is None or _is_digest(case.sha256))):
                msg = f"fitted_on: case {case.name!r}: expected SHA-256 in hexadecimal"
                raise ConfigError(msg)
        return cls(cases, version)

    def to_dict(self) -> dict[str, Any]:
        """Plain form."""
        return {"version": self.version, "cases": [_without_none(asdict(case)) for case in self.cases]}

    @property
    def digest(self) -> str:
        """SHA-256 of the digests of all voxels, in any order: equal for fits on the same cases."""
        return hashlib.sha256("".join(sorted(case.voxels_sha256 for case in self.cases)).encode()).hexdigest()

    def saw(self, sha256: str | None = None, *, voxels: str | None = None) -> Seen | None:
        """The case of these files, or of these voxels, if it was among them."""
        for case in self.cases:
            if (sha256 is not None and case.sha256 == sha256) or case.voxels_sha256 == voxels:
                return case
        return None


def unfitted(steps: Sequence[Step]) -> list[tuple[int, LearnedStep]]:
    """The steps that have yet to learn, each with its index."""
    return [(i, step) for i, step in enumerate(steps) if isinstance(step, LearnedStep) and not step.is_fitted]


def require_fitted(steps: Sequence[Step]) -> None:
    """Raise unless every learned step has its numbers.

    Raises
    ------
    NotFittedError
        One has not; the message says how it gets them.
    """
    how = "`fastprep fit PIPELINE TRAINING-CASES -o fitted.yaml`, and use fitted.yaml"
    for where, part in parts_of(steps):
        for i, step in unfitted(part):
            msg = f"{where}step {i + 1}: {step.name} has learned nothing yet: {how}"
            raise NotFittedError(msg)


def parts_of(steps: Sequence[Step]) -> list[tuple[str, Sequence[Step]]]:
    """The steps themselves, and those of each sequence that one of them fuses, with where they are in words."""
    nested = [
        (f"sequence {one.name!r}, ", one.steps) for step in steps if isinstance(step, Fuse) for one in step.sequences
    ]
    return [("", steps), *nested]


def voxels_sha256(array: Any) -> str:
    """SHA-256 of the type, shape and numbers of an array as stored, in C order and little-endian."""
    x = host_view(array)
    plain = x.dtype.newbyteorder("<")
    digest = hashlib.sha256(f"{plain.str} {x.shape}".encode())
    for plane in x if x.ndim > 1 else (x,):
        digest.update(np.ascontiguousarray(plane, plain).data)
    return digest.hexdigest()


def _is_digest(text: Any) -> bool:
    return isinstance(text, str) and len(text) == 64 and set(text) <= _DIGITS


def _without_none(form: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in form.items() if value is not None}
