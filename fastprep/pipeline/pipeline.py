"""Pipeline: the same preparation for training and deployment, in Python or YAML."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from fastprep.core.errors import ArgumentError, ConfigError, GeometryError
from fastprep.core.grid import Grid
from fastprep.core.image import RADIOGRAPHS, Image, Kind
from fastprep.core.namespace import device_of, dtype_name, host_view, is_torch
from fastprep.core.ramp import Ramp
from fastprep.core.voi import Voi
from fastprep.ops._sample import IDENTITY
from fastprep.ops.resample_to import resample_to
from fastprep.pipeline import yaml_form
from fastprep.pipeline.batch import prepare_batch
from fastprep.pipeline.device import on_device, parse_device, run_on_device, tensor_on
from fastprep.pipeline.fitting import fit_pipeline
from fastprep.pipeline.fuse import Fuse
from fastprep.pipeline.fused import FusedPlan, compile_fused
from fastprep.pipeline.given_mask import with_mask
from fastprep.pipeline.learned import TrainingCases, require_fitted
from fastprep.pipeline.plan import Plan, compile_plan
from fastprep.pipeline.scan_steps import CropToMask, Found, Looked, ScanStep, look, scan_steps
from fastprep.pipeline.steps import Step
from fastprep.pipeline.values import unknown

#: Raised when the meaning of a step changes, so that a hash never names two behaviours.
FORMAT = 1
_KEYS = ("format", "name", "description", "modality", "dtype", "steps", "fitted_on")


@dataclass(frozen=True)
class Pipeline:
    """Steps in order, and the dtype of the result.

    Parameters
    ----------
    steps : frozen steps of `fastprep.pipeline`.
    name, description : for people; not part of the hash.
    modality : DICOM's word for what the steps are meant for ("CT"), or None; an image of another is refused, one
        that does not say (NIfTI) is taken for it.
    dtype : of the result of scalar images; None keeps what the last pass makes. Labels keep their own.

    Examples
    --------
    >>> from fastprep.pipeline import CropOrPad, Resample, Window
    >>> lung = Pipeline([Resample(spacing=(1, 1, 1)), Window(preset="lung"), CropOrPad((96, 96, 96))], modality="CT")
    >>> import numpy as np
    >>> scan = Image(np.zeros((20, 64, 64), np.int16), Grid.from_spacing((20, 64, 64), (2, 1, 1)), modality="CT")
    >>> lung(scan).array.shape
    (96, 96, 96)
    """

    steps: tuple[Step, ...]
    name: str = ""
    description: str = ""
    modality: str | None = None
    dtype: str | None = "float32"
    #: The training cases its learned steps were fitted on; no part of what it does, as names are not.
    fitted_on: TrainingCases | None = field(default=None, compare=False)
    #: Where it computes, see `to`; no part of what it does.
    device: str | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        steps = tuple(self.steps)
        for step in steps:
            if not isinstance(step, Step):
                msg = f"steps: {step!r} is no step of fastprep.pipeline"
                raise ConfigError(msg)
        object.__setattr__(self, "steps", steps)
        scan_steps(steps)
        if self.dtype is not None:
            object.__setattr__(self, "dtype", dtype_name(self.dtype))

    @classmethod
    def load(cls, name_or_path: str | Path) -> Pipeline:
        """A preset by name, or a YAML file by path.

        Raises
        ------
        ConfigError
            No such preset or file (the nearest preset is offered), or a file that is no pipeline.
        """
        return cls.from_dict(yaml_form.read(name_or_path))

    @classmethod
    def from_yaml(cls, text: str) -> Pipeline:
        """The pipeline of a YAML text."""
        return cls.from_dict(yaml_form.parse(text, "the text"))

    @classmethod
    def from_dict(cls, form: Any) -> Pipeline:
        """The pipeline of a ``to_dict`` form.

        Raises
        ------
        ConfigError
            An unknown key or step, a missing key, a value out of its domain; the message says where.
        """
        if not isinstance(form, Mapping):
            msg = f"a pipeline is a mapping with the key 'steps', not {type(form).__name__}"
            raise ConfigError(msg)
        for key in form:
            if key not in _KEYS:
                raise ConfigError(unknown("key", key, dict.fromkeys(_KEYS)))
        if form.get("format", FORMAT) != FORMAT:
            msg = f"format={form['format']!r}: this version reads format {FORMAT}"
            raise ConfigError(msg)
        steps = form.get("steps")
        if isinstance(steps, (str, Mapping)) or not isinstance(steps, Sequence):
            msg = "missing 'steps': a list, e.g. [{resample: {spacing: [1, 1, 1]}}, {window: {preset: lung}}]"
            raise ConfigError(msg)
        made = []
        for i, step in enumerate(steps, 1):
            try:
                made.append(Step.from_dict(step))
            except ConfigError as error:
                msg = f"step {i}: {error}"
                raise ConfigError(msg) from error
        texts = {key: form[key] for key in ("name", "description", "modality") if form.get(key) is not None}
        dtype = form.get("dtype", "float32")
        for key, value in {**texts, "dtype": dtype or ""}.items():
            if not isinstance(value, str):
                msg = f"{key}={value!r}: expected text"
                raise ConfigError(msg)
        seen = form.get("fitted_on")
        fitted_on = None if seen is None else TrainingCases.from_dict(seen)
        try:
            return cls(tuple(made), **texts, dtype=dtype, fitted_on=fitted_on)
        except (TypeError, ValueError) as error:
            raise ConfigError(str(error)) from error

    def to_dict(self) -> dict[str, Any]:
        """Plain form: ``from_dict`` and YAML restore it exactly."""
        form: dict[str, Any] = {"format": FORMAT}
        form.update({k: v for k in ("name", "description", "modality") if (v := getattr(self, k))})
        form.update({"dtype": self.dtype, "steps": [s.to_dict() for s in self.steps]})
        return form if self.fitted_on is None else {**form, "fitted_on": self.fitted_on.to_dict()}

    def to_yaml(self) -> str:
        """The YAML that `load` reads."""
        return yaml_form.dump(self.to_dict())

    @property
    def fuse(self) -> Fuse | None:
        """The first step, if it joins several sequences."""
        return self.steps[0] if self.steps and isinstance(self.steps[0], Fuse) else None

    @property
    def hash(self) -> str:
        """SHA-256 of what the pipeline does: equal hashes prepare equally, whatever they are called."""
        form = {k: v for k, v in self.to_dict().items() if k not in ("name", "description", "fitted_on")}
        return hashlib.sha256(json.dumps(form, sort_keys=True, separators=(",", ":")).encode()).hexdigest()

    def plan(
        self,
        grid: Grid,
        *,
        kind: Kind = "scalar",
        modality: str | None = None,
        rescale: Ramp = IDENTITY,
        voi: Voi | None = None,
    ) -> Plan:
        """Compile for a grid: no voxel is needed, and what cannot work fails here.

        Where a step looks at the scan first (`look`), the plan tells what follows if it crops nothing, and can't run.

        ``modality`` is the image's (default: the pipeline's), ``rescale`` what its stored values still need, and
        ``voi`` how a radiograph's file wants it shown.

        Raises
        ------
        ConfigError
            A step that does not fit the grid, naming the step.
        ArgumentError
            Another modality than the pipeline's.
        NotFittedError
            A step that has yet to learn its numbers from training cases.
        """
        require_fitted(self.steps)
        if self.fuse is not None:
            msg = f"the pipeline takes several sequences: give a mapping of {', '.join(self.fuse.names)} to images"
            raise ConfigError(msg)
        self._check_modality("image", modality)
        # What is of one scan is not worth keeping.
        make = _make_plan if any(isinstance(step, Found) for step in self.steps) else _cached_plan
        return make(self, grid, kind, modality or self.modality, rescale, voi)

    def plan_sequences(self, images: Mapping[str, Image]) -> FusedPlan:
        """The plan of a pipeline that begins with the step `Fuse`, for its sequences; as `plan`, no voxel is needed.

        Raises
        ------
        ConfigError, ArgumentError, NotFittedError
            As `plan`; also for other sequences than the pipeline's.
        GeometryError
            A sequence that does not cover the common grid; the message tells by how many mm.
        """
        require_fitted(self.steps)
        if self.fuse is None:
            msg = "the pipeline takes one image, not several sequences: one that begins with the step fuse does"
            raise ConfigError(msg)
        for name, image in images.items():
            self._check_modality(f"sequence {name!r}", image.modality)
        return compile_fused(self.fuse, self.steps[1:], images, dtype=self.dtype)

    def _check_modality(self, what: str, modality: str | None) -> None:
        wanted = RADIOGRAPHS if self.modality == "XR" else {self.modality}
        if self.modality and modality and modality not in {self.modality, *wanted}:
            msg = f"{what} of modality {modality} for a pipeline made for {self.modality}"
            raise ArgumentError(msg)

    def plan_for(self, image: Image) -> Plan:
        """The plan of an image, its stored units and kind included.

        Raises
        ------
        ArgumentError
            An image of another modality than the pipeline's.
        """
        how: dict[str, Any] = {"modality": image.modality, "rescale": image.rescale, "voi": image.voi}
        return self.plan(image.grid, kind=image.kind, **how)

    def look(self, image: Image, mask: Any = None) -> Looked:
        """What the steps in front find on a scan, and the pipeline for it and for labels on its grid.

        Steps such as `LungMask` look at the scan as it is, on the pipeline's device. A pipeline without any is the
        answer itself. ``mask``, an Image or array on the scan's grid, is what the step `GivenMask` waits for.

        Raises
        ------
        MaskError
            A mask that is not there, or is empty.
        ConfigError, ArgumentError, ShapeError
            Steps in an order that makes no sense; labels, or several volumes, instead of one scan.
        """
        self._check_modality("image", image.modality)
        image = self._to_look_at(image)
        return look(self if mask is None else with_mask(self, image, mask), image)

    def to(self, device: str) -> Pipeline:
        """The same pipeline on "cuda", "cuda:1", "cpu", or "auto": CUDA where there is a device.

        A scan of the host is copied to that device as it is stored, by pinned memory and a stream of its own, while
        the last one is still computed; one that does not fit goes in slabs. The result is there, a CuPy array, or a
        PyTorch tensor where the scan was one. Scans on a GPU stay on theirs.

        Raises
        ------
        MissingExtraError, DeviceError
            CuPy is not installed, or there is no such device.
        """
        number = parse_device(device)
        return replace(self, device=None if number is None else f"cuda:{number}")

    def fit(self, images: Iterable[Image | Mapping[str, Image]]) -> Pipeline:
        """The pipeline with the numbers that its learned steps take from training images, one held at a time.

        Each learned step sees the images as the steps before it leave them. Where several learn, ``images`` is gone
        through once for each, and must give the same again. A pipeline of several sequences takes mappings of them.

        Raises
        ------
        ConfigError
            No step has anything to learn.
        ArgumentError
            No image, or another number of them the second time.
        """
        return fit_pipeline(self, images)

    def __call__(self, image: Image | Mapping[str, Image], mask: Any = None) -> Image:
        """The prepared image, on its exact grid; channels come first.

        A pipeline that begins with the step `Fuse` takes a mapping of its sequences' names to images, one with the step
        `GivenMask` the scan's mask.
        """
        if isinstance(image, Mapping):
            return self._fused(image)
        image, plan = self._planned(image, mask)
        if self.device is None or device_of(image.array) == "gpu":
            array = plan(image.array)
        elif is_torch(image.array):
            array = plan(tensor_on(image.array, self.device))
        else:
            array = run_on_device(plan, host_view(image.array), int(self.device.partition(":")[2]))
        result = image.with_array(array, plan.grid)
        return replace(result, modality=image.modality or self.modality)

    @property
    def finds(self) -> bool:
        """Whether a step has to look at each scan first."""
        return any(isinstance(step, ScanStep) and not isinstance(step, Found) for step in self.steps)

    def _planned(self, image: Image, mask: Any = None) -> tuple[Image, Plan]:
        """An image, and what is done to it now that it has been looked at."""
        image = self._to_look_at(image)
        return image, self.look(image, mask).pipeline.plan_for(image)

    def _to_look_at(self, image: Image) -> Image:
        """On the pipeline's GPU, where what looks at it and what prepares it would both send it."""
        if self.device is None or not self.finds:
            return image
        return replace(image, array=on_device(image.array, self.device))

    def _fused(self, images: Mapping[str, Image]) -> Image:
        plan = self.plan_sequences(images)
        arrays = {name: image.array for name, image in images.items()}
        if self.device is not None:
            arrays = {name: on_device(x, self.device) for name, x in arrays.items()}
        first = images[plan.fuse.target]
        result = first.with_array(plan(arrays), plan.grid)
        return replace(result, modality=first.modality or self.modality)

    def batch(self, images: Sequence[Image]) -> Any:
        """Scans of any sizes prepared into one array (B, ..., space), on a GPU each pass as one launch.

        Examples
        --------
        >>> import numpy as np
        >>> from fastprep.pipeline import CropOrPad
        >>> scans = [Image(np.ones(s), Grid.from_spacing(s, (1, 1, 1))) for s in ((4, 6, 6), (5, 4, 9))]
        >>> Pipeline([CropOrPad((4, 5, 5))]).batch(scans).shape
        (2, 4, 5, 5)

        Raises
        ------
        ShapeError
            No image, or results of different shapes or dtypes: end the pipeline with CropOrPad, and give a dtype.
        DeviceError
            Images on different devices.
        """
        planned = [self._planned(image) for image in images]
        return prepare_batch([plan for _, plan in planned], [image.array for image, _ in planned], self.device)

    def inverse(self, image: Image, record: Plan | Grid | Mapping[str, Any], *, order: str | None = None) -> Image:
        """A prediction made on the output, back on the source's grid, voxel for voxel.

        Geometry alone is undone; values are not. Where the output had cropped the source away, the result is 0.

        Parameters
        ----------
        image : Image on the grid the pipeline produced, scalar or label, with any leading channels.
        record : where it came from: the Plan, the source's Grid, or the sidecar of the output as a mapping.
        order : interpolation; "linear", and "nearest" for labels.

        Raises
        ------
        GeometryError
            A prediction that is not on the grid the record says the pipeline produced.
        """
        source, produced = _grids_of(record)
        if produced is None and any(isinstance(step, CropToMask) for step in self.steps):
            msg = "record: a grid does not tell where this scan was cropped: give its sidecar, or its plan"
            raise ArgumentError(msg)
        produced = produced or self.plan(source).grid
        if not image.grid.same_as(produced):
            msg = f"the prediction is on {image.grid}, the pipeline produced {produced}"
            raise GeometryError(msg)
        return resample_to(image, source, order=order, fill=0.0)


def _grids_of(record: Plan | Grid | Mapping[str, Any]) -> tuple[Grid, Grid | None]:
    if isinstance(record, Plan):
        return record.source, record.grid
    if isinstance(record, Grid):
        return record, None
    try:
        before, after = record["grid"]["before"], record["grid"]["after"]
        return Grid.from_dict(before), Grid.from_dict(after)
    except (KeyError, TypeError) as error:
        msg = f"record without {error}: expected the sidecar of an output, its 'grid' with 'before' and 'after'"
        raise ArgumentError(msg) from error


def _make_plan(
    pipeline: Pipeline, grid: Grid, kind: Kind, modality: str | None, rescale: Ramp, voi: Voi | None
) -> Plan:
    return compile_plan(pipeline.steps, Header(grid, kind, modality, rescale, voi), dtype=pipeline.dtype)


_cached_plan = lru_cache(maxsize=256)(_make_plan)


class Header(Image):
    """An image without voxels: all a plan needs to know."""

    def __init__(
        self,
        grid: Grid,
        kind: Kind = "scalar",
        modality: str | None = None,
        rescale: Ramp = IDENTITY,
        voi: Voi | None = None,
    ) -> None:
        known = {"array": None, "grid": grid, "kind": kind, "modality": modality, "rescale": rescale, "voi": voi}
        for name, value in known.items():
            object.__setattr__(self, name, value)
