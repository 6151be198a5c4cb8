"""fuse: several sequences of one subject, each prepared by its own steps, on one grid as one image.

Each sequence is interpolated once: what moves it onto the common grid and what the pipeline does after it are one map.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fastprep.core.errors import ArgumentError, ConfigError
from fastprep.pipeline.steps import Step
from fastprep.pipeline.values import number, order_name, positive, sequence, set_fields, unknown

METHODS = ("stack", "weighted", "pca")
_KEYS = ("match", "steps")


@dataclass(frozen=True)
class SequenceSteps:
    """One sequence: its name, the glob that tells its files by name, and what is done to it before it is fused."""

    name: str
    steps: tuple[Step, ...]
    match: str = ""

    @classmethod
    def from_dict(cls, name: str, form: Any) -> SequenceSteps:
        """Of ``{match: GLOB, steps: [...]}``.

        Raises
        ------
        ConfigError
            It is not so.
        """
        if not isinstance(form, Mapping):
            msg = f"sequence {name!r}: expected a mapping with 'match' and 'steps'"
            raise ConfigError(msg)
        for key in form:
            if key not in _KEYS:
                raise ConfigError(unknown(f"key of sequence {name!r}", key, dict.fromkeys(_KEYS)))
        steps = []
        for i, step in enumerate(sequence("steps", form.get("steps", [])), 1):
            try:
                steps.append(Step.from_dict(step))
            except ConfigError as error:
                msg = f"sequence {name!r}, step {i}: {error}"
                raise ConfigError(msg) from error
        return cls(name, tuple(steps), str(form.get("match", f"*{name}*")))

    def to_dict(self) -> dict[str, Any]:
        """The form of ``from_dict``."""
        return {"match": self.match, "steps": [step.to_dict() for step in self.steps]}


@dataclass(frozen=True, kw_only=True)
class Fuse(Step):
    """`fastprep.stack` and `fastprep.fuse`, the first step of a pipeline whose input is a mapping of sequences.

    Parameters
    ----------
    sequences : name -> its steps, as a mapping to ``{match: GLOB, steps: [...]}``, or `SequenceSteps`. ``match`` tells
        its files (default ``*NAME*``, upper or lower case).
    onto : the sequence whose grid, after its own steps, all come to lie on; the first by default.
    method : "stack" (channels in the order of the sequences), "weighted" or "pca" (one image, see `fastprep.fuse`).
    weights : of "weighted", one for each sequence; by default the variances inside the foreground before normalisation.
    tolerance : mm by which the common grid may reach beyond a sequence's field of view; by default its largest spacing.
    order : of the interpolation onto the grid.
    """

    name = "fuse"
    sequences: tuple[SequenceSteps, ...]
    onto: str | None = None
    method: str = "stack"
    weights: tuple[float, ...] | None = None
    tolerance: float | None = None
    order: str = "linear"

    def __post_init__(self) -> None:
        given: Any = self.sequences
        if isinstance(given, Mapping):
            given = tuple(SequenceSteps.from_dict(str(name), form) for name, form in given.items())
        names = [one.name for one in sequence("sequences", given)]
        if len(names) < 2 or len(set(names)) < len(names):
            msg = f"sequences={names}: expected two or more, each with a name of its own"
            raise ArgumentError(msg)
        onto = names[0] if self.onto is None else self.onto
        if onto not in names:
            raise ConfigError(unknown("sequence", onto, dict.fromkeys(names)))
        if self.method not in METHODS:
            raise ConfigError(unknown("method", self.method, dict.fromkeys(METHODS)))
        weights = None
        if self.weights is not None:
            weights = tuple(number("weights", w) for w in sequence("weights", self.weights))
            if self.method != "weighted" or len(weights) != len(names):
                msg = f"weights={self.weights!r}: expected {len(names)} numbers, with method='weighted'"
                raise ArgumentError(msg)
        tolerance = None if self.tolerance is None else positive("tolerance", self.tolerance)
        set_fields(self, sequences=tuple(given), weights=weights, tolerance=tolerance)
        set_fields(self, order=order_name(self.order))

    def to_dict(self) -> dict[str, Any]:
        """As every step's, the sequences by name."""
        form = super().to_dict()
        form[self.name]["sequences"] = {one.name: one.to_dict() for one in self.sequences}
        return form

    def with_steps(self, name: str, steps: Sequence[Step]) -> Fuse:
        """With other steps for one of the sequences."""
        parts = tuple(replace(one, steps=tuple(steps)) if one.name == name else one for one in self.sequences)
        return replace(self, sequences=parts)

    @property
    def target(self) -> str:
        """The sequence whose grid the others come to lie on."""
        return self.onto or self.sequences[0].name

    @property
    def names(self) -> tuple[str, ...]:
        """Of the sequences, in the order of the channels."""
        return tuple(one.name for one in self.sequences)
