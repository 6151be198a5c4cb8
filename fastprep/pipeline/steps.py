"""Steps: what a pipeline is made of. Frozen, checked when made, and the same in Python and in YAML.

An intensity step is its Ramps; a spatial step is its IndexMap on a grid. That is all `plan` needs to know of them;
steps that need the whole volume are in `barriers`.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from fastprep.core.checks import ONEHOT, check_order
from fastprep.core.errors import ArgumentError, ConfigError, FastprepError, ShapeError
from fastprep.core.grid import Grid, check_spacing
from fastprep.core.index_map import GRIDS, IndexMap, check_axcodes
from fastprep.core.ramp import Ramp
from fastprep.core.window import kernel_of
from fastprep.ops.clip_hu import clip_ramp
from fastprep.ops.deskew import is_straight, orthogonal_grid
from fastprep.ops.invert import invert_ramp
from fastprep.ops.multi_window import multi_window_ramps
from fastprep.ops.window import window_ramp
from fastprep.pipeline import values
from fastprep.pipeline.values import number, order_name, sequence, set_fields, several, unknown, whole

#: Every step by its name; a class with a name of its own is one.
STEPS: dict[str, type[Step]] = {}


@dataclass(frozen=True)
class Step:
    """Base: a name in YAML, and a plain form that restores it."""

    name: ClassVar[str]

    def __init_subclass__(cls) -> None:
        if "name" in cls.__dict__:
            STEPS[cls.name] = cls

    def to_dict(self) -> dict[str, Any]:
        """``{name: {key: value}}`` with the keys that differ from their defaults."""
        form = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value != field.default:
                form[field.name] = _plain(value)
        return {self.name: form}

    @staticmethod
    def from_dict(form: Any) -> Step:
        """The step of a ``to_dict`` form, or of a bare name.

        Raises
        ------
        ConfigError
            An unknown step or key (the nearest name is offered), a missing key, or a value out of its domain.
        """
        if isinstance(form, str):
            form = {form: {}}
        if not isinstance(form, Mapping) or len(form) != 1:
            msg = f"step {form!r}: expected one name with its keys, e.g. 'resample: {{spacing: [1, 1, 1]}}'"
            raise ConfigError(msg)
        name, keys = next(iter(form.items()))
        if name not in STEPS:
            raise ConfigError(unknown("step", name, dict.fromkeys(sorted(STEPS))))
        keys = {} if keys is None else keys
        if not isinstance(keys, Mapping):
            msg = f"{name}: {keys!r} is no mapping of keys to values"
            raise ConfigError(msg)
        fields = {f.name: f for f in dataclasses.fields(STEPS[name])}
        for key in keys:
            if key not in fields:
                raise ConfigError(unknown(f"key of {name!r}", key, fields))
        missing = [f.name for f in fields.values() if f.default is dataclasses.MISSING and f.name not in keys]
        if missing:
            msg = f"{name}: missing {', '.join(missing)}"
            raise ConfigError(msg)
        try:
            return STEPS[name](**keys)
        except ConfigError:
            raise
        except (FastprepError, TypeError, ValueError) as error:
            msg = f"{name}: {error}"
            raise ConfigError(msg) from error


@dataclass(frozen=True)
class IntensityStep(Step, ABC):
    """A step that maps values and leaves the grid alone; labels pass it untouched."""

    @property
    @abstractmethod
    def ramps(self) -> list[Ramp]:
        """One Ramp per output channel."""

    @property
    def kernel(self) -> str:
        """The kernel: "ramp", or "sigmoid" whose one Ramp is the exponent."""
        return "ramp"


@dataclass(frozen=True)
class SpatialStep(Step, ABC):
    """A step that moves voxels; images and labels go through it alike.

    ``fill`` is in the units the image has at this step; None is the image's own (-1024 HU for CT, else 0) seen
    through the intensity steps before.
    """

    @abstractmethod
    def index_map(self, grid: Grid) -> IndexMap:
        """Output index to index of ``grid``."""


@dataclass(frozen=True)
class ClipHu(IntensityStep):
    """`fastprep.clip_hu`."""

    name = "clip_hu"
    lo: float = -1000.0
    hi: float = 1000.0
    preset: str | None = None

    def __post_init__(self) -> None:
        set_fields(self, lo=number("lo", self.lo), hi=number("hi", self.hi))
        clip_ramp(self.lo, self.hi, self.preset)

    @property
    def ramps(self) -> list[Ramp]:
        """The clip."""
        return [clip_ramp(self.lo, self.hi, self.preset)]


@dataclass(frozen=True)
class Window(IntensityStep):
    """`fastprep.window`."""

    name = "window"
    level: float | None = None
    width: float | None = None
    preset: str | None = None
    function: str = "linear_exact"
    out_range: tuple[float, float] = (0.0, 1.0)

    def __post_init__(self) -> None:
        level = None if self.level is None else number("level", self.level)
        width = None if self.width is None else number("width", self.width)
        lo, hi = several("out_range", self.out_range, 2)
        set_fields(self, level=level, width=width, out_range=(lo, hi))
        window_ramp(self.level, self.width, self.preset, self.function, self.out_range)

    @property
    def ramps(self) -> list[Ramp]:
        """The window, or the exponent of its sigmoid."""
        return [window_ramp(self.level, self.width, self.preset, self.function, self.out_range)]

    @property
    def kernel(self) -> str:
        """The kernel: "sigmoid" for that function."""
        return kernel_of(self.function)


@dataclass(frozen=True)
class MultiWindow(IntensityStep):
    """`fastprep.multi_window`."""

    name = "multi_window"
    presets: tuple[Any, ...]
    out_range: tuple[float, float] = (0.0, 1.0)

    def __post_init__(self) -> None:
        if isinstance(self.presets, str) or not isinstance(self.presets, Sequence):
            msg = f"presets={self.presets!r}: expected a list of window names or (level, width) pairs"
            raise ArgumentError(msg)
        presets = tuple(p if isinstance(p, str) else several("presets", p, 2) for p in self.presets)
        lo, hi = several("out_range", self.out_range, 2)
        set_fields(self, presets=presets, out_range=(lo, hi))
        multi_window_ramps(self.presets, self.out_range)

    @property
    def ramps(self) -> list[Ramp]:
        """One window per channel."""
        return multi_window_ramps(self.presets, self.out_range)


@dataclass(frozen=True)
class Rescale(IntensityStep):
    """`fastprep.rescale`."""

    name = "rescale"
    slope: float = 1.0
    intercept: float = 0.0

    def __post_init__(self) -> None:
        set_fields(self, slope=number("slope", self.slope), intercept=number("intercept", self.intercept))
        Ramp(self.slope, self.intercept)

    @property
    def ramps(self) -> list[Ramp]:
        """Slope and intercept."""
        return [Ramp(self.slope, self.intercept)]


@dataclass(frozen=True)
class Invert(IntensityStep):
    """`fastprep.invert`."""

    name = "invert"
    value_range: tuple[float, float]

    def __post_init__(self) -> None:
        lo, hi = several("value_range", self.value_range, 2)
        set_fields(self, value_range=(lo, hi))
        invert_ramp(self.value_range)

    @property
    def ramps(self) -> list[Ramp]:
        """The mirrored scale."""
        return [invert_ramp(self.value_range)]


@dataclass(frozen=True)
class Reorient(SpatialStep):
    """`fastprep.reorient`."""

    name = "reorient"
    axcodes: str

    def __post_init__(self) -> None:
        if not isinstance(self.axcodes, str):
            msg = f"axcodes={self.axcodes!r}: expected letters such as SPL, first array axis first"
            raise ArgumentError(msg)
        set_fields(self, axcodes="".join(check_axcodes(self.axcodes, 2 if len(self.axcodes) == 2 else 3)))

    def index_map(self, grid: Grid) -> IndexMap:
        """A permutation and flips."""
        return IndexMap.reorient(grid, self.axcodes)


@dataclass(frozen=True)
class Flip(SpatialStep):
    """`fastprep.flip`."""

    name = "flip"
    axes: tuple[int, ...]

    def __post_init__(self) -> None:
        axes = (self.axes,) if isinstance(self.axes, int) else self.axes
        set_fields(self, axes=tuple(whole("axes", a) for a in sequence("axes", axes)))

    def index_map(self, grid: Grid) -> IndexMap:
        """The flip."""
        return IndexMap.flip(grid.shape, self.axes)


@dataclass(frozen=True)
class InterpolatingStep(SpatialStep):
    """A spatial step with an interpolation for images and one for labels."""

    order: str = "linear"
    label_order: str = "nearest"
    fill: float | None = None

    @property
    def blurs(self) -> bool:
        """Whether what gets coarser is blurred first."""
        return False

    def __post_init__(self) -> None:
        if check_order(self.order) == ONEHOT:
            msg = "order='onehot' is for labels: set label_order"
            raise ArgumentError(msg)
        if check_order(self.label_order) not in (0, ONEHOT):
            msg = f"label_order={self.label_order!r}: expected 'nearest' or 'onehot'"
            raise ArgumentError(msg)
        if self.fill is not None:
            set_fields(self, fill=number("fill", self.fill))
        set_fields(self, order=order_name(self.order), label_order=order_name(self.label_order))


@dataclass(frozen=True, kw_only=True)
class Resample(InterpolatingStep):
    """`fastprep.resample`."""

    name = "resample"
    spacing: tuple[float, ...]
    grid: str = "itk"
    shape: tuple[int, ...] | None = None
    antialias: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        spacing = tuple(number("spacing", s) for s in sequence("spacing", self.spacing))
        check_spacing(spacing, len(spacing))
        if self.grid not in GRIDS:
            raise ConfigError(unknown("grid", self.grid, GRIDS))
        shape = None if self.shape is None else values.shape(self.shape)
        set_fields(self, spacing=spacing, shape=shape, antialias=values.flag("antialias", self.antialias))

    @property
    def blurs(self) -> bool:
        """As it was told."""
        return self.antialias

    def index_map(self, grid: Grid) -> IndexMap:
        """A scale and an offset per axis."""
        return IndexMap.spacing_change(grid.shape, grid.spacing, self.spacing, grid=self.grid, new_shape=self.shape)


@dataclass(frozen=True, kw_only=True)
class Resize(InterpolatingStep):
    """`fastprep.resize`."""

    name = "resize"
    shape: tuple[int, ...]
    keep_aspect: bool = True
    antialias: bool | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.antialias is not None:
            values.flag("antialias", self.antialias)
        set_fields(self, shape=values.shape(self.shape), keep_aspect=values.flag("keep_aspect", self.keep_aspect))

    @property
    def blurs(self) -> bool:
        """As it was told, or where values are interpolated."""
        return check_order(self.order) != 0 if self.antialias is None else self.antialias

    def index_map(self, grid: Grid) -> IndexMap:
        """One scale for all axes in mm, and the offset that keeps the centre."""
        return IndexMap.fitted(grid.shape, grid.spacing, self.shape, keep_aspect=self.keep_aspect)


@dataclass(frozen=True)
class Deskew(InterpolatingStep):
    """`fastprep.deskew`."""

    name = "deskew"

    def index_map(self, grid: Grid) -> IndexMap:
        """Onto the orthogonal grid; nothing when it is orthogonal already."""
        if is_straight(grid):
            return IndexMap.identity(grid.shape)
        return IndexMap.between(grid, orthogonal_grid(grid))


@dataclass(frozen=True)
class CropOrPad(SpatialStep):
    """`fastprep.crop_or_pad`."""

    name = "crop_or_pad"
    shape: tuple[int, ...]
    fill: float | None = None

    def __post_init__(self) -> None:
        set_fields(self, shape=values.shape(self.shape))
        if self.fill is not None:
            set_fields(self, fill=number("fill", self.fill))

    def index_map(self, grid: Grid) -> IndexMap:
        """An offset per axis."""
        if len(self.shape) != grid.ndim:
            msg = f"shape={self.shape}: expected {grid.ndim} axes"
            raise ShapeError(msg)
        return IndexMap.centered(grid.shape, self.shape)


def _plain(value: Any) -> Any:
    return [_plain(v) for v in value] if isinstance(value, tuple) else value
