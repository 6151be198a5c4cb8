"""as_segmenter: a model of any kind as a Segmenter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import array_api_compat

from fastprep.core.errors import ArgumentError, DeviceError, SegmenterError
from fastprep.core.grid import Grid
from fastprep.core.image import Image
from fastprep.core.namespace import dtype_name
from fastprep.ops._masked import numbers_of
from fastprep.pipeline import Pipeline, Plan
from fastprep.segment.answers import Meaning, channels_first
from fastprep.segment.models import Model, model_of
from fastprep.segment.protocol import Segmenter


class ModelSegmenter:
    """A model with what is done before it and what its answer means: made by `as_segmenter` and `load_segmenter`."""

    def __init__(
        self,
        model: Model,
        *,
        name: str | None = None,
        prepare: Pipeline | None = None,
        meaning: Meaning | None = None,
        slices: bool = False,
        source: str | None = None,
    ) -> None:
        self._model, self.name, self.prepare = model, name or model.name, prepare
        self.meaning, self.slices, self._source = meaning or Meaning(), slices, source

    @property
    def identity(self) -> dict[str, Any]:
        """Name, kind, SHA-256 and of what it is, parameters, and the pipeline before it, plain as JSON."""
        before = None if self.prepare is None else {"name": self.prepare.name, "hash": self.prepare.hash}
        return {
            "name": self.name,
            "kind": self._model.kind,
            "sha256": self._model.sha256(),
            "hashed": self._model.hashed,
            "parameters": {**asdict(self.meaning), "slices": self.slices},
            "prepare": before,
        }

    def loaded_from(self, source: str) -> ModelSegmenter:
        """The same, with the text that `load_segmenter` had it from."""
        return ModelSegmenter(
            self._model,
            name=self.name,
            prepare=self.prepare,
            meaning=self.meaning,
            slices=self.slices,
            source=source,
        )

    def to_config(self) -> dict[str, Any]:
        """What `load_segmenter` makes the same of, in any process, and refuses to make another of.

        Raises
        ------
        ArgumentError
            A model in memory only, which no text leads to.
        """
        if self._source is None:
            msg = f"segmenter {self.name!r} is of a model in memory: one loaded by `load_segmenter` has a config"
            raise ArgumentError(msg)
        how = {"sha256": self._model.sha256(), "name": self.name, **asdict(self.meaning), "slices": self.slices}
        prepare = {} if self.prepare is None else {"prepare": self.prepare.to_dict()}
        return {"model": self._source, **{k: v for k, v in how.items() if v is not None}, **prepare}

    def __call__(self, image: Image) -> Image:
        """The mask as a label Image on the grid of the image.

        Raises
        ------
        SegmenterError
            A model that fails, or whose answer is no mask of what it was given.
        DeviceError
            An image where the model is not.
        """
        prepared, plan = self._prepared(image)
        answer = self._answer(prepared)
        if dtype_name(answer.dtype, answer).startswith("float"):
            # Probabilities come back and are decided then: a border between voxels stays between them.
            likely = self.meaning.probabilities(answer, self._who)
            back = self._back(replace(prepared, array=likely, kind="scalar"), image, plan).array
            mask = self.meaning.mask(back)
        else:
            mask = self._back(replace(prepared, array=answer[0], kind="label"), image, plan).array
        return replace(image.with_array(mask), kind="label")

    @property
    def _who(self) -> str:
        return f"segmenter {self.name!r}"

    def _prepared(self, image: Image) -> tuple[Image, Plan | None]:
        if self.prepare is None:
            return image.with_array(numbers_of(image)[0]), None
        return self.prepare(image), self.prepare.plan_for(image)

    def _back(self, answer: Image, image: Image, plan: Plan | None) -> Image:
        if plan is None or self.prepare is None or plan.grid == image.grid:
            return answer
        return self.prepare.inverse(answer, plan)

    def _answer(self, image: Image) -> Any:
        """(K, space) floats, or (1, space) labels."""
        if not (self.slices and image.grid.ndim == 3):
            return self._checked(image)
        planes = [self._checked(_plane(image, k)) for k in range(image.grid.shape[0])]
        if len({(p.shape[0], str(p.dtype)) for p in planes}) > 1:
            msg = f"{self._who}: its answers to slices differ in channels or dtype"
            raise SegmenterError(msg)
        return array_api_compat.array_namespace(*planes).stack(planes, axis=1)

    def _checked(self, image: Image) -> Any:
        try:
            answer = self._model(image)
        except DeviceError:
            raise
        except Exception as error:
            shape = tuple(image.array.shape)
            first = str(error).strip().partition("\n")[0]
            msg = f"{self._who} failed on an image of shape {shape}: {type(error).__name__}: {first}"
            raise SegmenterError(msg) from error
        answer = channels_first(answer, image.grid.shape, self._who)
        if not dtype_name(answer.dtype, answer).startswith("float") and answer.shape[0] != 1:
            msg = f"{self._who}: {answer.shape[0]} channels of dtype {answer.dtype}: expected one of labels, or floats"
            raise SegmenterError(msg)
        return answer


def as_segmenter(
    model: Any,
    *,
    name: str | None = None,
    version: str | None = None,
    prepare: Pipeline | str | Path | Mapping[str, Any] | None = None,
    threshold: float = 0.5,
    activation: str | None = None,
    channel: int | None = None,
    slices: bool = False,
) -> Segmenter:
    """A function, a PyTorch module or an ONNX file as a Segmenter.

    Parameters
    ----------
    model : a function of an Image, which returns an array or an Image; a ``torch.nn.Module``, put into evaluation mode;
        or the path of an ONNX or TorchScript file. Modules and files take (1, channels, space). All may answer
        labels of shape (space), or floats (space), (K, space) or (1, K, space).
    name : for people and records; by default the function's, the class's or the file's.
    version : of a function, when its source alone does not tell what it does.
    prepare : pipeline, preset or its plain form that makes the image what the model was trained on. The answer comes
        back on the image's own grid by `Pipeline.inverse`, probabilities before they are decided; what the pipeline
        cropped away is 0.
    threshold, activation, channel : what an answer of floats means. ``activation`` is "sigmoid" or "softmax" for
        logits. One channel is inside above ``threshold``; of several ``channel`` is, or the likeliest is the label.
    slices : give a volume to a model of two space axes plane by plane along its first axis (after ``prepare``).

    Raises
    ------
    ArgumentError
        No model, or an option out of its domain.
    ReadError
        A file that is no such model, or that may run code when it is read.
    MissingExtraError
        ONNX Runtime or PyTorch is not installed.

    Examples
    --------
    What is above the middle of an image's own range, found at 4 mm and brought back to 2 mm:

    >>> import numpy as np
    >>> from fastprep import Grid, Pipeline
    >>> from fastprep.pipeline import Resample
    >>> def bright(image):
    ...     return image.array / image.array.max()
    >>> scan = Image(np.repeat([[0, 0, 9, 9]], 4, axis=0), Grid.from_spacing((4, 4), (2, 2)))
    >>> found = as_segmenter(bright, prepare=Pipeline([Resample(spacing=(4, 4), grid="edges")]))(scan)
    >>> found.array[0].tolist()
    [False, False, True, True]
    """
    meaning = Meaning(threshold, activation, channel)
    if isinstance(model, Segmenter) and not isinstance(model, type):
        if (name, version, prepare, meaning, slices) != (None, None, None, Meaning(), False):
            msg = f"model is a segmenter already, {model.identity.get('name')!r}: its options are its own"
            raise ArgumentError(msg)
        return model
    before = prepare if prepare is None or isinstance(prepare, Pipeline) else _pipeline(prepare)
    return ModelSegmenter(model_of(model, version), name=name, prepare=before, meaning=meaning, slices=slices)


def _pipeline(prepare: str | Path | Mapping[str, Any]) -> Pipeline:
    return Pipeline.from_dict(prepare) if isinstance(prepare, Mapping) else Pipeline.load(prepare)


def _plane(image: Image, k: int) -> Image:
    """Plane ``k`` of the first space axis, where it is in the world."""
    affine = image.grid.affine[:, [1, 2, 0, 3]].copy()
    affine[:, 3] += k * image.grid.affine[:, 0]
    return replace(image, array=image.array[..., k, :, :], grid=Grid(image.grid.shape[1:], affine))
