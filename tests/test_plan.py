"""The law of fusing: a plan gives what its steps give one by one, in as few passes as that allows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from scipy.special import expit

import fastprep as fp
from fastprep import registry
from fastprep.core.errors import ConfigError
from fastprep.core.index_map import GRIDS
from fastprep.core.ramp import Ramp
from fastprep.pipeline import (
    ClipHu,
    CropOrPad,
    Deskew,
    Flip,
    Invert,
    MultiWindow,
    Pipeline,
    Reorient,
    Resample,
    Rescale,
    Window,
)
from fastprep.pipeline.steps import IntensityStep, InterpolatingStep, SpatialStep, Step
from fastprep.pipeline.yaml_form import presets

EPS = float(np.finfo(np.float32).eps)
PAIRS = ("LR", "PA", "IS")
SPACINGS = (0.5, 0.7, 1.0, 1.3, 2.0, 3.0)
CT_VALUES = (-1100, 1900)
Case = tuple[fp.Image, list[Step]]


# One by one: the public operations, each result held in float32.


@dataclass(frozen=True)
class Held:
    """One channel between two steps, what lies beyond it, and how far rounding may have moved its values."""

    image: fp.Image
    fill: float
    error: float

    @property
    def largest(self) -> float:
        return max(float(np.abs(self.image.array).max()), abs(self.fill))

    def mapped(self, array: Any, ramp: Ramp, fill: float, gain: float = 1.0) -> Held:
        """After a Ramp, or a logistic of slope ``gain`` on its exponent."""
        slope, size = abs(ramp.a) * gain, (abs(ramp.a) * self.largest + abs(ramp.b)) * gain
        return Held(self.image.with_array(array), fill, slope * self.error + EPS * (size + abs(fill) + 1e-30))


def one_by_one(image: fp.Image, steps: Sequence[Step]) -> list[Held]:
    """The result, one entry per channel."""
    held = [start(image)]
    for step in steps:
        if image.kind == "label" and isinstance(step, IntensityStep):
            continue
        if isinstance(step, MultiWindow):
            stack = fp.multi_window(held[0].image.array, step.presets, out_range=step.out_range)
            held = [held[0].mapped(a, r, float(r(held[0].fill))) for a, r in zip(stack, step.ramps, strict=True)]
        elif isinstance(step, IntensityStep):
            held = [intensity(h, step) for h in held]
        else:
            held = [spatial(h, step) for h in held]
    return held


def start(image: fp.Image) -> Held:
    if image.kind == "label":
        return Held(image, 0.0, 0.0)
    r = image.rescale
    array = image.array.astype(np.float32) if r.is_identity else fp.rescale(image.array, r.a, r.b, dtype="float32")
    size = abs(r.a) * float(np.abs(image.array).max()) + abs(r.b)
    return Held(image.with_array(array), -1024.0 if image.modality == "CT" else 0.0, EPS * size)


def intensity(held: Held, step: IntensityStep) -> Held:
    x, (ramp,) = held.image.array, step.ramps
    if isinstance(step, ClipHu):
        array = fp.clip_hu(x, step.lo, step.hi, preset=step.preset)
    elif isinstance(step, Rescale):
        array = fp.rescale(x, step.slope, step.intercept)
    elif isinstance(step, Invert):
        array = fp.invert(x, step.value_range)
    else:
        assert isinstance(step, Window)
        how = {"preset": step.preset, "function": step.function, "out_range": step.out_range}
        array = fp.window(x, step.level, step.width, **how)
        if step.function == "sigmoid":
            fill = ramp.lo + (ramp.hi - ramp.lo) * expit(ramp.a * held.fill + ramp.b)
            return held.mapped(array, ramp, float(fill), gain=(ramp.hi - ramp.lo) / 4)
    return held.mapped(array, ramp, float(ramp(held.fill)))


def spatial(held: Held, step: SpatialStep) -> Held:
    image = held.image
    if isinstance(step, Reorient):
        return replace(held, image=fp.reorient(image, step.axcodes))
    if isinstance(step, Flip):
        return replace(held, image=fp.flip(image, step.axes))
    given_fill = getattr(step, "fill", None)
    fill = 0.0 if image.kind == "label" else held.fill if given_fill is None else given_fill
    if isinstance(step, CropOrPad):
        return replace(held, image=fp.crop_or_pad(image, step.shape, fill=fill))
    assert isinstance(step, InterpolatingStep)
    label = image.kind == "label"
    order = step.label_order if label else step.order
    if isinstance(step, Resample):
        index_map = step.index_map(image.grid)
        array = fp.resample(
            image.array,
            image.spacing,
            step.spacing,
            order=order,
            grid=step.grid,
            shape=step.shape,
            antialias=step.antialias and not label,
            fill=fill,
        )
        result = image.with_array(array, index_map.grid(image.grid))
    else:
        result = fp.deskew(image, order=order, fill=fill)
    # Cubic coefficients are up to 3 times the values along each axis.
    gain = 27.0 if order == "cubic" else 1.0
    return Held(result, held.fill, gain * held.error + 8 * gain * EPS * held.largest)


# What is drawn.


@st.composite
def grids(draw: st.DrawFn) -> fp.Grid:
    ndim = draw(st.sampled_from([2, 3, 3, 3]))
    shape = draw(st.tuples(*[st.integers(1, 7)] * ndim))
    spacing = [draw(st.sampled_from(SPACINGS)) for _ in shape]
    affine = fp.Grid.from_spacing(shape, spacing).affine.copy()
    if ndim == 3 and draw(st.booleans()):
        # A tilted gantry: slices shift along y, by no neat fraction of a voxel.
        affine[1, 0] = spacing[0] * np.tan(draw(st.sampled_from([-0.31, 0.1234, 0.477])))
        affine[0, 0] = spacing[0] * draw(st.sampled_from([0.0, 0.0, 0.0617]))
    if ndim == 3 and draw(st.booleans()):
        affine[:3, :3] = affine[:3, draw(st.permutations(range(3)))]
        affine[:3, :3] = affine[:3, :3] * draw(st.tuples(*[st.sampled_from([-1, 1])] * 3))
    turn = np.eye(4)
    for a, b in ((0, 1), (1, 2)):
        angle = draw(st.sampled_from([0.0, 0.0, 0.21, -0.4]))
        one = np.eye(4)
        one[[a, a, b, b], [a, b, a, b]] = np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)
        turn = one @ turn
    affine = turn @ affine
    affine[:3, 3] = draw(st.sampled_from([(0, 0, 0), (-120.5, 33.25, 800.125)]))
    return fp.Grid(shape, affine)


@st.composite
def images(draw: st.DrawFn) -> fp.Image:
    grid = draw(grids())
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    if draw(st.sampled_from(["scalar", "scalar", "label"])) == "label":
        array = rng.choice([0, 1, 2, 5], grid.shape).astype(draw(st.sampled_from(["uint8", "int16"])))
        return fp.Image(array, grid, kind="label", modality=draw(st.sampled_from([None, "CT"])))
    dtype = draw(st.sampled_from(["int16", "uint8", "float32"]))
    low, high = (0, 255) if dtype == "uint8" else CT_VALUES
    array = rng.uniform(low, high, grid.shape).astype(dtype)
    rescale = draw(st.sampled_from([Ramp(), Ramp(1, -1024), Ramp(-0.5, 31.5), Ramp(3.7, 0.1)]))
    return fp.Image(array, grid, modality=draw(st.sampled_from([None, "CT"])), rescale=rescale)


FILLS = st.sampled_from([None, None, 0.0, -1024.0, 0.25, 37.5])
OUT_RANGES = st.sampled_from([(0.0, 1.0), (-1.0, 1.0), (0.0, 255.0)])
LEVELS = st.sampled_from([(0.3, 0.9), (0.5, 2.0), (40.0, 400.0), (-600.0, 1500.0), (128.0, 200.0)])


@st.composite
def intensity_steps(draw: st.DrawFn) -> IntensityStep:
    kind = draw(st.sampled_from(["clip", "window", "rescale", "invert", "sigmoid", "multi", "multi"]))
    if kind == "clip":
        return ClipHu(*draw(st.sampled_from([(-1000, 1000), (-200.0, 400.0), (0.1, 0.7), (20, 230)])))
    if kind == "rescale":
        return Rescale(*draw(st.sampled_from([(1, 0), (2, -3), (0.001, 0.5), (-1.5, 10)])))
    if kind == "invert":
        return Invert(draw(st.sampled_from([(0, 1), (0, 255), (-1000, 1000)])))
    if kind == "multi":
        return MultiWindow(draw(st.lists(LEVELS, min_size=1, max_size=3)), draw(OUT_RANGES))
    level, width = draw(LEVELS)
    function = "sigmoid" if kind == "sigmoid" else draw(st.sampled_from(["linear_exact", "linear"]))
    return Window(level, width + (function == "linear"), function=function, out_range=draw(OUT_RANGES))


@st.composite
def spatial_steps(draw: st.DrawFn, grid: fp.Grid) -> SpatialStep:
    kind = draw(st.sampled_from(["reorient", "flip", "crop", "crop", "resample", "resample", "resample", "deskew"]))
    if kind == "reorient":
        pairs = [next(p for p in PAIRS if code in p) for code in grid.axcodes]
        return Reorient("".join(draw(st.sampled_from(p)) for p in draw(st.permutations(pairs))))
    if kind == "flip":
        return Flip(draw(st.lists(st.integers(-grid.ndim, grid.ndim - 1), max_size=3)))
    if kind == "crop":
        return CropOrPad(tuple(draw(st.integers(max(1, n - 4), n + 4)) for n in grid.shape), draw(FILLS))
    how = {
        "order": draw(st.sampled_from(["nearest", "linear", "linear", "cubic"])),
        "label_order": draw(st.sampled_from(["nearest", "onehot"])),
        "fill": draw(FILLS),
    }
    if kind == "deskew":
        return Deskew(**how)
    spacing = [draw(st.sampled_from([s, *SPACINGS])) for s in grid.spacing]
    shape = draw(st.none() | st.none() | st.tuples(*[st.integers(1, 9)] * grid.ndim))
    # TorchIO floors n s / t: where that is a whole number, the last bit of a spacing decides.
    sizes = np.array(grid.shape) * grid.spacing / spacing
    names = [name for name in GRIDS if name != "torchio" or np.abs(sizes - np.round(sizes)).min() > 1e-6]
    name = draw(st.sampled_from(names))
    return Resample(spacing=spacing, grid=name, shape=shape, antialias=draw(st.booleans()), **how)


@st.composite
def cases(draw: st.DrawFn, most: int = 1) -> Case:
    """An image and steps that fit it, at most ``most`` of them interpolating, and channels split at most once."""
    image = draw(images())
    grid, steps, split, blended = image.grid, [], False, 0
    for _ in range(draw(st.integers(1, 8))):
        if draw(st.booleans()):
            step: Step = draw(intensity_steps())
            if isinstance(step, MultiWindow) and split:
                continue
            split |= isinstance(step, MultiWindow)
        else:
            step = draw(spatial_steps(grid))
            index_map = step.index_map(grid)
            if not index_map.is_lossless:
                if blended == most or max(index_map.shape) > 24:
                    continue
                blended += 1
            grid = index_map.grid(grid)
        steps.append(step)
    return image, steps


def check(image: fp.Image, steps: Sequence[Step]) -> None:
    """The fused result is the one of the operations, on the same grid."""
    pipeline = Pipeline(steps)
    try:
        plan = pipeline.plan_for(image)
    except ConfigError as error:
        # The one thing that is refused though it could be done step by step.
        if "differs between its channels" not in str(error):
            raise
        event("refused: one fill per channel")
        return
    result = pipeline(image)
    truth = one_by_one(image, steps)
    event(f"{len(plan.passes)} passes")
    assert np.abs(result.grid.affine - truth[0].image.grid.affine).max() < 1e-9
    assert result.grid.shape == truth[0].image.grid.shape
    assert result.grid == plan.grid
    if image.kind == "label":
        expected = truth[0].image.array
        assert result.array.dtype == image.array.dtype
        np.testing.assert_array_equal(result.array, expected)
        return
    channels = any(isinstance(s, MultiWindow) for s in steps)
    assert result.array.dtype == np.float32
    assert result.array.shape == ((len(truth),) if channels else ()) + result.grid.shape
    assert plan.channels == (len(truth) if channels else None)
    for values, held in zip(result.array if channels else [result.array], truth, strict=True):
        expected, allowed = held.image.array, 4 * held.error
        spread = float(np.ptp(expected))
        event("sharp" if allowed < 1e-3 * spread else "constant" if spread == 0 else "blunt")
        worst = float(np.abs(values.astype(np.float64) - expected).max())
        assert worst <= allowed, f"{worst:.3g} apart, {allowed:.3g} allowed\n{steps}\n{plan}\n{values}\n{expected}"


@settings(max_examples=250)
@given(cases())
def test_fused_is_one_by_one(case):
    check(*case)


# Several interpolations are one: not the same numbers, but every value where it belongs.


def positions(grid: fp.Grid) -> Any:
    """World millimetres of every voxel, (3, ...): linear, so linear interpolation of them is exact."""
    return np.moveaxis(grid.to_world(np.stack(np.indices(grid.shape), -1)), -1, 0)


@st.composite
def blended_cases(draw: st.DrawFn) -> Case:
    """Positions through several linear interpolations, and Ramps that leave them alone."""
    grid = draw(grids())
    image, steps = fp.Image(positions(grid).astype(np.float32), grid), []
    for _ in range(draw(st.integers(2, 6))):
        step: Step = draw(spatial_steps(grid))
        if isinstance(step, InterpolatingStep):
            step = replace(step, order="linear")
            step = replace(step, antialias=False) if isinstance(step, Resample) else step
        index_map = step.index_map(grid)
        if max(index_map.shape) <= 24:
            steps.append(step)
            grid = index_map.grid(grid)
        steps += draw(st.sampled_from([[], [], [ClipHu(-1e5, 1e5)], [Rescale(2.0, 1.0), Rescale(0.5, -0.5)]]))
    return image, steps


@settings(max_examples=120)
@given(blended_cases())
def test_voxels_stay_in_place(case):
    image, steps = case
    plan = Pipeline(steps).plan_for(image)
    result, (held,) = Pipeline(steps)(image), one_by_one(image, steps)
    truth = positions(result.grid)
    inside = (np.abs(held.image.array - truth) < 1e-2).all(axis=0)
    event(f"inside: {inside.any()}, {len(plan.passes)} passes")
    assert np.abs(result.grid.affine - held.image.grid.affine).max() < 1e-9
    np.testing.assert_allclose(result.array[:, inside], truth[:, inside], atol=2e-2)


# How many passes.


def ct_grid(shape: tuple[int, int, int] = (37, 60, 64), turn: float = 0.0) -> fp.Grid:
    """As a scanner makes them: (S, P, L), 2 mm slices of 0.75 mm pixels."""
    affine = np.array([[0, 0, -0.75, 170.0], [0, -0.75, 0, 165], [2, 0, 0, -400], [0, 0, 0, 1]])
    tilt = np.eye(4)
    tilt[1:3, 1:3] = [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
    return fp.Grid(shape, tilt @ affine)


def tilted_grid() -> fp.Grid:
    affine = ct_grid().affine.copy()
    affine[1, 0] = 0.613
    return fp.Grid((37, 60, 64), affine)


@pytest.mark.parametrize("turn", [0.0, 0.05, -0.3])
@pytest.mark.parametrize("shape", [(148, 512, 512), (60, 512, 512), (700, 512, 512), (288, 320, 320)])
@pytest.mark.parametrize("name", [name for name in presets() if name.startswith("ct-")])
def test_ct_presets_are_one_pass(name, shape, turn):
    for kind, rescale in (("scalar", Ramp(1, -1024)), ("scalar", Ramp()), ("label", Ramp())):
        plan = Pipeline.load(name).plan(ct_grid(shape, turn), kind=kind, rescale=rescale)
        assert len(plan.passes) == 1, str(plan)


LUNG, MORE, FINE = Window(preset="lung"), CropOrPad((50, 70, 70)), Resample(spacing=(1, 1, 1))
LESS, OTHER = CropOrPad((30, 40, 40)), Resample(spacing=(1.5, 1.5, 1.5))


@pytest.mark.parametrize(
    ("steps", "passes"),
    [
        ([], 0),
        ([Rescale()], 0),
        ([Flip((0,)), Flip((0,))], 0),
        ([Reorient("SPL")], 0),
        ([Deskew()], 0),
        ([Resample(spacing=(2, 0.75, 0.75))], 0),
        ([CropOrPad((50, 70, 70), 7), CropOrPad((37, 60, 64))], 0),
        ([LUNG], 1),
        ([Reorient("RAS"), Flip((0, 1))], 1),
        ([LESS, MORE, Flip((2,))], 1),
        ([ClipHu(), LUNG, Invert((0, 1)), Rescale(255)], 1),
        ([LESS, LUNG, FINE, Reorient("RAS"), Invert((0, 1)), CropOrPad((96, 96, 96))], 1),
        ([FINE, MultiWindow(("lung", "bone")), MORE], 1),
        ([MultiWindow(("lung", "bone")), Flip((0,)), Invert((0, 1))], 1),
        # Padding may not be blended,
        ([MORE, FINE], 2),
        # nor channels,
        ([MultiWindow(("lung", "bone")), Resample(spacing=(3, 1.5, 1.5))], 2),
        # and a function that is no Ramp stands alone.
        ([Window(40, 400, function="sigmoid")], 1),
        ([FINE, Window(40, 400, function="sigmoid")], 2),
        ([FINE, Window(40, 400, function="sigmoid"), MORE], 3),
        # One fill per pass, unless a Ramp makes them one.
        ([MORE, CropOrPad((60, 80, 80), 7)], 2),
        ([CropOrPad((50, 70, 70), -1024), MORE], 1),
        ([MORE, ClipHu(-1000, 400), CropOrPad((60, 80, 80), -1000)], 1),
        # Two interpolations are one,
        ([Resample(spacing=(1, 1, 1), antialias=True), OTHER], 1),
        ([FINE, Rescale(2), Flip((0,)), OTHER], 1),
        # but not through a clip, a crop or a pad.
        ([FINE, LUNG, Resample(spacing=(3, 3, 3))], 2),
        ([FINE, LESS, OTHER], 2),
        ([FINE, CropOrPad((90, 90, 90)), OTHER], 2),
    ],
)
def test_passes(steps, passes):
    plan = Pipeline(steps, dtype=None).plan(ct_grid(), modality="CT")
    assert len(plan.passes) == passes, str(plan)


def test_antialias_stays_on_axes():
    """A Gaussian along oblique axes is another function: deskew first, then blur along the axes."""
    steps = [Deskew(), Resample(spacing=(4, 2, 2), antialias=True)]
    assert len(Pipeline(steps).plan(tilted_grid()).passes) == 2
    assert len(Pipeline([Deskew(), Resample(spacing=(4, 2, 2))]).plan(tilted_grid()).passes) == 1
    image = fp.Image(np.zeros((37, 60, 64), np.float32), tilted_grid())
    assert Pipeline(steps)(image).grid.shear < 1e-12


@pytest.fixture
def calls(monkeypatch) -> list[tuple[str, Any, Any]]:
    """Name, input and output of every kernel call."""
    seen: list[tuple[str, Any, Any]] = []

    def spy(name, x):
        run = registry.kernel(name, x)

        def spied(source, out, *rest):
            seen.append((name, source, out))
            run(source, out, *rest)

        return spied

    monkeypatch.setattr("fastprep.ops._sample.kernel", spy)
    monkeypatch.setattr("fastprep.ops._pointwise.kernel", spy)
    return seen


def test_one_read_one_write(calls):
    """The stored numbers are what the one kernel reads, the channels of the result what it writes."""
    steps = [Reorient("RAS"), ClipHu(), FINE, MultiWindow(("lung", "bone")), Flip((0,)), CropOrPad((90, 40, 40))]
    stored = np.zeros((37, 60, 64), np.int16)
    image = fp.Image(stored, ct_grid(), modality="CT", rescale=Ramp(1, -1024))
    result = Pipeline(steps, dtype="float16")(image)
    ((name, source, out),) = calls
    assert name == "resample" and source.dtype == np.int16 and np.shares_memory(source, stored)
    assert np.shares_memory(out, result.array) and result.array.shape == (2, 90, 40, 40)


def test_a_crop_reads_its_box(calls):
    image = fp.Image(np.zeros((37, 60, 64), np.int16), ct_grid(), modality="CT")
    Pipeline([CropOrPad((10, 20, 30)), FINE])(image)
    assert [source.shape for _, source, _ in calls] == [(1, 10, 20, 30)]


def test_one_kernel_per_pass(calls):
    steps = [MORE, FINE, Window(40, 400, function="sigmoid"), CropOrPad((60, 80, 80))]
    image = fp.Image(np.zeros((37, 60, 64), np.int16), ct_grid(), modality="CT")
    Pipeline(steps, dtype="float32")(image)
    assert [name for name, _, _ in calls] == ["resample", "resample", "sigmoid", "take"]


def test_nothing_to_do_copies_nothing(calls):
    image = fp.Image(np.zeros((37, 60, 64), np.int16), ct_grid(), modality="CT")
    assert Pipeline([Reorient("SPL"), Deskew()], dtype=None)(image).array is image.array
    assert not calls


# What a plan says.


def test_printed():
    steps = [Reorient("RAS"), FINE, LUNG, CropOrPad((90, 60, 60)), Window(0.5, 1, function="sigmoid")]
    text = str(Pipeline(steps).plan(ct_grid(), modality="CT", rescale=Ramp(1, -1024)))
    assert text.splitlines() == [
        "in   Grid(shape=(37, 60, 64), spacing=(2, 0.75, 0.75) mm, axes=SPL, origin=(170, 165, -400) mm)",
        "1.   x -1024 -> gather (linear) to (90, 60, 60) -> clip(0.000666667 x +0.9, 0, 1) -> float32"
        "   [reorient, resample, window, crop_or_pad]",
        "2.   sigmoid -> float32   [window]",
        "out  Grid(shape=(90, 60, 60), spacing=(1, 1, 1) mm, axes=RAS, origin=(101.75, 113.75, -393) mm)",
    ]


def test_printed_channels_and_oblique():
    text = str(Pipeline([Deskew(), MultiWindow(("lung", "bone"))]).plan(tilted_grid(), modality="CT"))
    assert "gather (linear, oblique) to" in text and text.endswith(" x 2 channels")
    assert "onehot" in str(Pipeline([Resample(spacing=(1, 1, 1), label_order="onehot")]).plan(ct_grid(), kind="label"))
    assert "antialiased" in str(Pipeline([Resample(spacing=(3, 3, 3), antialias=True)]).plan(ct_grid()))
    assert "1.   float32   [nothing]" in str(Pipeline([]).plan(ct_grid()))
    assert "same dtype" in str(Pipeline([Flip((0,))], dtype=None).plan(ct_grid()))
    assert "-> float  " in str(Pipeline([FINE], dtype=None).plan(ct_grid()))


@pytest.mark.parametrize(
    ("step", "match"),
    [
        (Resample(spacing=(1, 1)), r"step 2 \(resample\) on Grid\(shape=\(37, 60, 64\).*expected 3 positive numbers"),
        (Resample(spacing=(1, 1, 1), shape=(4, 4)), r"step 2 \(resample\).*expected 3 axes"),
        (CropOrPad((4, 4)), r"step 2 \(crop_or_pad\).*expected 3 axes"),
        (Reorient("AR"), r"step 2 \(reorient\).*expected 3 of R/L"),
        (Flip((3,)), r"step 2 \(flip\).*axis=3: expected -3 to 2"),
        (MultiWindow(("bone",)), r"step 2 \(multi_window\).*channels already"),
    ],
)
def test_what_cannot_work_fails_in_the_plan(step, match):
    with pytest.raises(ConfigError, match=match):
        Pipeline([MultiWindow(("lung",)), step]).plan(ct_grid())


def test_channels_that_need_two_fills():
    steps = [MultiWindow(("lung", "bone")), FINE]
    with pytest.raises(ConfigError, match=r"step 2 \(resample\).*differs between its channels.*give fill"):
        Pipeline(steps).plan(ct_grid(), modality="CT")
    given_fill = replace(FINE, fill=0.0)
    assert len(Pipeline([steps[0], given_fill]).plan(ct_grid(), modality="CT").passes) == 2


@given(cases(most=3))
def test_points_follow_voxels(case):
    image, steps = case
    plan = Pipeline([s for s in steps if isinstance(s, SpatialStep)]).plan(image.grid)
    points = np.array([np.zeros(image.grid.ndim), np.array(image.grid.shape) - 1, np.full(image.grid.ndim, 0.3)])
    there = plan.map_points(points)
    np.testing.assert_allclose(plan.grid.to_world(there), image.grid.to_world(points), atol=1e-6)
    np.testing.assert_allclose(plan.index_map.to_input(there), points, atol=1e-6)
