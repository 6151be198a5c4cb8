"""Pipelines as files and as objects: what they are called, what they refuse, what they undo."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given

import fastprep as fp
from fastprep.core.errors import ArgumentError, ConfigError, DTypeError, GeometryError
from fastprep.core.ramp import Ramp
from fastprep.pipeline import (
    N4,
    Bilateral,
    BodyMask,
    Clahe,
    ClipHu,
    Collimation,
    CropOrPad,
    CropToMask,
    DatasetNormalize,
    DenoiseNlm,
    DenoiseTv,
    Deskew,
    FcmNormalize,
    Flip,
    Fuse,
    GaussianBias,
    GivenMask,
    HomomorphicBias,
    Invert,
    KdeNormalize,
    LeastSquaresNormalize,
    LocalNormalize,
    LungMask,
    Median,
    MetalCheck,
    MinMax,
    MultiWindow,
    NormalizeInMask,
    Nyul,
    PercentileClip,
    Pipeline,
    PolynomialBias,
    Reorient,
    Resample,
    Rescale,
    Resize,
    Robust,
    Segment,
    VoiLut,
    WhiteStripe,
    Window,
    ZScore,
)
from fastprep.pipeline.steps import STEPS
from fastprep.pipeline.yaml_form import presets
from test_plan import cases, ct_grid

FULL = Pipeline(
    [
        MetalCheck(threshold="adaptive", connectivity=6),
        Segment(model="fastprep.ops.foreground_mask:foreground_mask", prepare="ct-chest", threshold=0.4, write=False),
        Reorient("SPL"),
        Resample(spacing=(1, 2, 2), order="cubic", label_order="onehot", grid="edges", shape=(9, 8, 7), antialias=True),
        Deskew(order="nearest", fill=-1000),
        N4(mask=None, iterations=(20, 10), shrink_factor=(1, 2, 2), control_points=5, spline_spacing=50),
        PolynomialBias(order=2),
        HomomorphicBias(sigma=30),
        GaussianBias(mask=None),
        LocalNormalize(window=(5, 40, 40), floor=0),
        CropToMask(margin=(1, 2, 3)),
        NormalizeInMask(method="robust", outside=-1, mask="foreground"),
        ZScore(),
        MinMax(out_range=(-1, 1), clip=False),
        Robust(mask=None),
        PercentileClip(low=1, high=99, out_range=(0, 1)),
        WhiteStripe(modality="t2", width_low=0.1, bandwidth=3),
        KdeNormalize(modality="flair", norm=1000),
        FcmNormalize(tissue="gm", iterations=20),
        Nyul(percentiles=(1, 50, 99), output_range=(0, 1), landmarks=(0, 0.4, 1)),
        DatasetNormalize(mean=-100, std=300, low=-900, high=400),
        LeastSquaresNormalize(standard=(1, 1.5, 2)),
        Clahe(clip_limit=3, tiles=(2, 4, 4), bins=64, value_range=(-1000, 400), scales=(1, 2), mask=None),
        DenoiseNlm(patch=(1, 3, 3), distance=2, h=0.5, sigma=20, rician=True),
        DenoiseTv(weight=10, eps=0, iterations=5),
        Median(size=(1, 3, 3)),
        Bilateral(sigma_value=60, sigma_space=1.5),
        VoiLut(index=1),
        ClipHu(preset="lung"),
        MultiWindow(("lung", (40, 400)), out_range=(0, 255)),
        Invert((0, 255)),
        Rescale(0.5, 3),
        Flip((0, -1)),
        CropOrPad((8, 8, 8), fill=7),
        Resize(shape=(9, 9, 9), keep_aspect=False, antialias=False, order="nearest"),
        Window(level=40, width=400, function="linear"),
    ],
    name="everything",
    description="each step once",
    modality="CT",
    dtype="float16",
)

MASKS = (
    BodyMask(threshold=-300, write=False),
    LungMask(threshold=None, closing_mm=5),
    Collimation(write=False),
    GivenMask(of="lungs"),
)


def image(dtype: str = "int16", **how: Any) -> fp.Image:
    array = np.random.default_rng(1).integers(0, 200, (12, 14, 16)).astype(dtype)
    return fp.Image(array, ct_grid(array.shape, turn=0.1), **how)


# Files.


def test_yaml_round_trip():
    assert {type(s) for s in FULL.steps} == set(STEPS.values()) - {Fuse, BodyMask, LungMask, Collimation, GivenMask}
    sequences = {"t1": {"match": "*T1*", "steps": [s.to_dict() for s in FULL.steps[2:8]]}, "pd": {}}
    fused = Pipeline(
        [Fuse(sequences=sequences, onto="pd", method="weighted", weights=(1, 2), tolerance=9, order="cubic")]
    )
    masks = [Pipeline([step]) for step in MASKS]
    for pipeline in (FULL, fused, *masks, Pipeline([]), *map(Pipeline.load, presets())):
        text = pipeline.to_yaml()
        again = Pipeline.from_yaml(text)
        assert again == pipeline and again.hash == pipeline.hash and again.to_yaml() == text


@given(cases(most=3))
def test_every_step_survives_yaml(case):
    pipeline = Pipeline(case[1])
    again = Pipeline.from_yaml(pipeline.to_yaml())
    assert again == pipeline and again.hash == pipeline.hash


def test_load(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(FULL.to_yaml())
    assert Pipeline.load(path) == Pipeline.load(str(path)) == FULL
    assert Pipeline.load("ct-chest").name == "ct-chest"


@pytest.mark.parametrize("name", presets())
def test_presets_name_themselves(name):
    preset = Pipeline.load(name)
    assert preset.name == name and preset.description and preset.modality


def test_bare_names_and_defaults():
    short = Pipeline.from_yaml("steps: [deskew, clip_hu, {clip_hu: }, {clip_hu: {lo: -1000}}]")
    assert short == Pipeline([Deskew(), ClipHu(), ClipHu(), ClipHu()])
    assert Pipeline.from_yaml("dtype: null\nsteps: []").dtype is None


# The hash.


def test_hash_is_of_the_behaviour():
    made = Pipeline([Resample(spacing=(1, 1, 1), order="linear"), Window(40, 400), CropOrPad([8, 8, 8])], modality="CT")
    for text in (
        "{modality: CT, steps: [resample: {spacing: [1, 1, 1]}, window: {level: 40, width: 400}, "
        "crop_or_pad: {shape: [8, 8, 8]}]}",
        "{steps: [{resample: {spacing: [1.0, 1.0, 1.0], order: 1}}, {window: {width: 4e2, level: 40.0}}, "
        "{crop_or_pad: {shape: [8, 8, 8], fill: null}}], dtype: float32, modality: CT, name: n, description: d}",
        "{format: 1, modality: CT, steps: [{resample: {label_order: 0, spacing: [1, 1, 1], fill: null, grid: itk}}, "
        "{window: {level: 40, width: 400, out_range: [0, 1]}}, {crop_or_pad: {shape: [8, 8, 8]}}]}",
    ):
        assert Pipeline.from_yaml(text).hash == made.hash
    assert len(made.hash) == 64
    assert dataclasses.replace(made, name="x", description="y").hash == made.hash
    assert Pipeline([Reorient("spl")]).hash == Pipeline([Reorient("SPL")]).hash
    assert Pipeline([Flip(0)]).hash == Pipeline([Flip((0,))]).hash
    assert Pipeline([], dtype=np.float32).hash == Pipeline([]).hash
    assert Pipeline([Resample(spacing=np.float32([2, 1, 1]).tolist())]) == Pipeline([Resample(spacing=(2.0, 1, 1))])


def test_hash_tells_behaviours_apart():
    others = [
        FULL,
        dataclasses.replace(FULL, dtype="float32"),
        dataclasses.replace(FULL, dtype=None),
        dataclasses.replace(FULL, modality=None),
        dataclasses.replace(FULL, steps=FULL.steps[:-1]),
        dataclasses.replace(FULL, steps=(*FULL.steps[:2], *FULL.steps[:1:-1])),
        *(dataclasses.replace(FULL, steps=(step,)) for step in FULL.steps if not isinstance(step, CropToMask)),
        dataclasses.replace(FULL, steps=(CropOrPad((8, 8, 8)),)),
        dataclasses.replace(FULL, steps=(CropOrPad((8, 8, 9)),)),
    ]
    assert len({p.hash for p in others}) == len(others)


# What is no pipeline.


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("steps: [resampel: {spacing: [1, 1, 1]}]", "step 1: unknown step 'resampel': did you mean 'resample'"),
        ("steps: [qqq]", "unknown step 'qqq': expected one of bilateral"),
        ("steps: [resample: {spacng: [1, 1, 1]}]", "unknown key of 'resample' 'spacng': did you mean 'spacing'"),
        ("steps: [deskew: {antialias: true}]", "unknown key of 'deskew' 'antialias'"),
        ("stepz: []", "unknown key 'stepz': did you mean 'steps'"),
        ("name: x", "missing 'steps'"),
        ("steps: {window: {preset: lung}}", "missing 'steps': a list"),
        ("steps: window", "missing 'steps': a list"),
        ("[1, 2]", "a pipeline is a mapping .* not list"),
        ("", "a pipeline is a mapping .* not NoneType"),
        ("{steps: [], steps: []}", "no YAML.*steps"),
        ("steps: [window: {level: 1, level: 2, width: 3}]", "no YAML.*level"),
        ("steps: [", "no YAML"),
        ("steps: [!!python/object:os.system {}]", "no YAML"),
        ("format: 2\nsteps: []", "format=2: this version reads format 1"),
        ("format: null\nsteps: []", "format=None"),
        ("name: 3\nsteps: []", "name=3: expected text"),
        ("modality: [CT]\nsteps: []", r"modality=\['CT'\]: expected text"),
        ("dtype: float99\nsteps: []", "dtype='float99'"),
        ("dtype: [1]\nsteps: []", "dtype"),
        ("steps: [3]", "step 1: step 3: expected one name"),
        ("steps: [{window: {preset: lung}, flip: {axes: [0]}}]", "expected one name"),
        ("steps: [window: [1, 2]]", r"window: \[1, 2\] is no mapping"),
        ("steps: [deskew, {resample: {order: cubic}}]", "step 2: resample: missing spacing"),
        ("steps: [resample: {spacing: 1}]", "resample: spacing=1: expected a list"),
        ("steps: [resample: {spacing: [1, 1, a]}]", "resample: spacing='a': expected a number"),
        ("steps: [resample: {spacing: [1, 1, true]}]", "spacing=True: expected a number"),
        ("steps: [resample: {spacing: [1, 1, 0]}]", "positive"),
        ("steps: [resample: {spacing: [1, 1, .nan]}]", "spacing=nan"),
        ("steps: [resample: {spacing: [1, 1, 1], grid: itc}]", "unknown grid 'itc': did you mean 'itk'"),
        ("steps: [resample: {spacing: [1, 1, 1], order: 2}]", "order=2"),
        ("steps: [resample: {spacing: [1, 1, 1], order: onehot}]", "set label_order"),
        ("steps: [resample: {spacing: [1, 1, 1], label_order: linear}]", "label_order='linear'"),
        ("steps: [resample: {spacing: [1, 1, 1], antialias: 1}]", "antialias=1: expected true or false"),
        ("steps: [resample: {spacing: [1, 1, 1], fill: air}]", "fill='air': expected a number"),
        ("steps: [resample: {spacing: [1, 1, 1], shape: [1, 2, 0]}]", "shape=.*at least 1"),
        ("steps: [crop_or_pad: {shape: [8, 8, 8.5]}]", "shape=8.5: expected a whole number"),
        ("steps: [crop_or_pad: {shape: [8]}]", "expected 2 or 3"),
        ("steps: [crop_or_pad: {shape: '88'}]", "shape='88': expected a list"),
        ("steps: [reorient: {axcodes: SPX}]", "axcodes='SPX'"),
        ("steps: [reorient: {axcodes: SPLR}]", "axcodes='SPLR'"),
        ("steps: [reorient: {axcodes: [S, P, L]}]", "letters such as SPL"),
        ("steps: [flip: {axes: [x]}]", "axes='x': expected a whole number"),
        ("steps: [flip: {axes: true}]", "axes=True"),
        ("steps: [window: {preset: lungs}]", "preset='lungs': expected one of lung"),
        ("steps: [window: {level: 40}]", "width=None"),
        ("steps: [window: {level: 40, width: 400, function: tanh}]", "function='tanh'"),
        ("steps: [window: {preset: lung, out_range: [0, 1, 2]}]", "expected 2 numbers"),
        ("steps: [window: {preset: lung, out_range: [1, 0]}]", "first below the second"),
        ("steps: [multi_window: {presets: lung}]", "expected a list of window names"),
        ("steps: [multi_window: {presets: []}]", "expected a list of window names"),
        ("steps: [multi_window: {presets: [lung, [40]]}]", "expected 2 numbers"),
        ("steps: [clip_hu: {lo: 5, hi: 5}]", "first below the second"),
        ("steps: [clip_hu: {preset: bones}]", "preset='bones'"),
        ("steps: [rescale: {slope: .inf}]", "finite"),
        ("steps: [invert]", "invert: missing value_range"),
        ("steps: [invert: {value_range: [0]}]", "expected 2 numbers"),
        ("steps: [z_score]", "unknown step 'z_score': did you mean 'zscore'"),
        ("steps: [zscore: {mask: brain}]", "zscore: mask='brain': expected 'foreground', 'found', or null"),
        ("steps: [zscore: {ddof: 1}]", "unknown key of 'zscore' 'ddof'"),
        ("steps: [n4: {iterations: 50}]", "n4: iterations=50: expected a list"),
        ("steps: [n4: {iterations: []}]", "iterations=.*: expected one number per level"),
        ("steps: [n4: {iterations: [50, 0]}]", "iterations=0: expected at least 1"),
        ("steps: [n4: {shrink_factor: 0}]", "shrink_factor=0: expected at least 1"),
        ("steps: [n4: {shrink_factor: [2, 1.5, 1]}]", "shrink_factor=1.5: expected a whole number"),
        ("steps: [n4: {shrink_factor: true}]", "shrink_factor=True: expected a whole number"),
        ("steps: [n4: {control_points: 3}]", "control_points=3: expected at least 4"),
        ("steps: [n4: {spline_order: 4}]", "spline_order=4: expected 1 to 3"),
        ("steps: [n4: {convergence: ants}]", "convergence='ants': expected 'exact' or 'itk'"),
        ("steps: [n4: {convergence_threshold: soon}]", "convergence_threshold='soon': expected a number"),
        ("steps: [n4: {wiener_noise: 0}]", "wiener_noise=0: expected a number above 0"),
        ("steps: [n4: {bias_field_fwhm: .inf}]", "bias_field_fwhm=inf: expected a number above 0"),
        ("steps: [n4: {histogram_bins: 1}]", "histogram_bins=1: expected 2 to 512"),
        ("steps: [n4: {spline_spacing: -5}]", "spline_spacing=-5: expected a number above 0"),
        ("steps: [polynomial_bias: {order: 0}]", "order=0: expected 1 to 4"),
        ("steps: [polynomial_bias: {order: 5}]", "order=5: expected 1 to 4"),
        ("steps: [polynomial_bias: {loss: tuckey}]", "unknown loss 'tuckey': did you mean 'tukey'"),
        ("steps: [gaussian_bias: {sigma: 0}]", "sigma=0: expected a number above 0"),
        ("steps: [local_normalize: {window: [3, 0, 3]}]", "window=0: expected a number above 0"),
        ("steps: [local_normalize: {window: wide}]", "window='wide': expected a list"),
        ("steps: [local_normalize: {floor: -1}]", "floor=-1: expected a number of at least 0"),
    ],
)
def test_refused(text, match):
    with pytest.raises(ConfigError, match=f"(?s){match}"):
        Pipeline.from_yaml(text)


def test_refused_names_and_files(tmp_path):
    with pytest.raises(ConfigError, match="unknown pipeline 'ct-chst': did you mean 'ct-chest'"):
        Pipeline.load("ct-chst")
    with pytest.raises(ConfigError, match="cannot be read"):
        Pipeline.load(tmp_path / "none.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"name: \xe9")
    with pytest.raises(ConfigError, match="cannot be read"):
        Pipeline.load(tmp_path / "latin.yaml")
    with pytest.raises(ConfigError, match="no step of fastprep.pipeline"):
        Pipeline(["window"])
    with pytest.raises(ArgumentError, match="axcodes=7"):
        Reorient(7)
    with pytest.raises(DTypeError):
        Pipeline([], dtype="complex64")


# Images.


def test_modality():
    ct = Pipeline([Window(preset="lung")], modality="CT")
    with pytest.raises(ArgumentError, match="image of modality MR for a pipeline made for CT"):
        ct(image(modality="MR"))
    assert ct(image()).modality == "CT"
    xray = Pipeline([Window(40, 400)], modality="XR")
    assert [xray(image(modality=m)).modality for m in ("CR", "DX", "MG", None)] == ["CR", "DX", "MG", "XR"]
    with pytest.raises(ArgumentError, match="image of modality CT for a pipeline made for XR"):
        xray(image(modality="CT"))
    assert Pipeline([Window(40, 400)])(image(modality="MR")).modality == "MR"


def test_modality_decides_the_fill():
    pad = Pipeline([CropOrPad((14, 14, 16))], dtype=None)
    assert pad(image(modality="CT")).array[0, 0, 0] == -1024
    assert pad(image(modality="MR")).array[0, 0, 0] == 0
    # A NIfTI does not say: it is taken for what the pipeline is made for.
    assert Pipeline(pad.steps, modality="CT", dtype=None)(image()).array[0, 0, 0] == -1024


def test_stored_units_come_first():
    scan = image("uint16", rescale=Ramp(2, -1024), modality="CT")
    result = Pipeline([CropOrPad((14, 14, 16)), ClipHu(-1000, 1000)])(scan)
    assert result.rescale.is_identity and result.array[0, 0, 0] == -1000
    np.testing.assert_array_equal(result.array[1:-1], (scan.array * 2.0 - 1024).clip(-1000, 1000))


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int32", "bool"])
def test_labels_keep_dtype_and_values(dtype):
    array = np.random.default_rng(0).choice([0, 1, 1, 7], (12, 14, 16)).astype(dtype)
    labels = fp.Image(array, image().grid, kind="label")
    steps = [Window(preset="lung"), MultiWindow(("lung",)), Resample(spacing=(1, 1, 1), order="cubic"), Rescale(9)]
    pipeline = Pipeline([*steps, CropOrPad((30, 12, 12), fill=99), Invert((0, 1))], modality="CT", dtype="float16")
    result = pipeline(labels)
    assert result.kind == "label" and result.array.dtype == np.dtype(dtype) and result.array.shape == (30, 12, 12)
    assert set(np.unique(result.array)) == set(np.unique(labels.array)) | {0}
    assert not any(name in str(Pipeline(steps).plan(labels.grid, kind="label")) for name in ("window", "rescale"))


def test_leading_axes_are_batch():
    one = image()
    pipeline = Pipeline([Resample(spacing=(1, 1, 1)), MultiWindow(("lung", "bone")), CropOrPad((20, 12, 12))])
    both = one.with_array(np.stack([one.array, one.array[::-1]]))
    result = pipeline(both)
    assert result.array.shape == (2, 2, 20, 12, 12)
    np.testing.assert_array_equal(result.array[:, 0], pipeline(one).array)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "uint8"])
def test_dtype(dtype):
    assert Pipeline([Window(preset="lung", out_range=(0, 255))], dtype=dtype)(image()).array.dtype == np.dtype(dtype)


def test_a_plan_needs_no_voxel():
    class Unread:
        shape = (12, 14, 16)

    scan = fp.Image(Unread(), image().grid)
    assert Pipeline.load("ct-chest").plan_for(scan).grid.shape == (288, 320, 320)
    with pytest.raises(ConfigError, match=r"step 1 \(flip\)"):
        Pipeline([Flip((3,))])(scan)


# Back again.


LOSSLESS = Pipeline([Reorient("RAS"), CropOrPad((10, 20, 9)), Flip((1,))], dtype=None)


@pytest.mark.parametrize("kind", ["scalar", "label"])
def test_inverse_of_a_lossless_pipeline_is_exact(kind):
    scan = image(kind=kind)
    plan = LOSSLESS.plan_for(scan)
    result = LOSSLESS(scan)
    kept = LOSSLESS.inverse(result.with_array(np.ones(result.array.shape, np.uint8)), plan).array == 1
    assert 0 < kept.sum() < kept.size
    record = {"grid": {"before": scan.grid.to_dict(), "after": result.grid.to_dict()}}
    for given_record in (plan, scan.grid, record):
        back = LOSSLESS.inverse(result, given_record)
        assert back.kind == kind and back.grid == scan.grid
        assert back.array.dtype == (scan.array.dtype if kind == "label" else np.float32)
        np.testing.assert_array_equal(back.array, np.where(kept, scan.array, 0))


def test_inverse_of_a_resampled_prediction():
    pipeline = Pipeline([Reorient("RAS"), Resample(spacing=(1, 1, 1)), CropOrPad((30, 30, 30))])
    grid = ct_grid((20, 20, 20), turn=0.1)
    plan = pipeline.plan(grid)
    inside = np.indices(plan.grid.shape)
    ball = ((inside - 14) ** 2).sum(axis=0) < 25
    center = plan.grid.to_world([14, 14, 14])
    label = pipeline.inverse(fp.Image(ball.astype(np.int16), plan.grid, kind="label"), plan)
    assert set(np.unique(label.array)) == {0, 1} and label.array.dtype == np.int16
    np.testing.assert_allclose(grid.to_world(np.argwhere(label.array).mean(axis=0)), center, atol=0.4)
    chances = pipeline.inverse(fp.Image(np.stack([ball, ~ball]).astype(np.float32), plan.grid), plan)
    assert chances.array.shape == (2, *grid.shape)
    np.testing.assert_allclose(chances.array[:, 14 // 2, 10, 10].sum(), 1, atol=1e-6)
    onehot = pipeline.inverse(fp.Image(ball.astype(np.uint8), plan.grid, kind="label"), plan, order="onehot")
    assert abs(int(onehot.array.sum()) - int(label.array.sum())) < 0.2 * label.array.sum()


def test_inverse_refuses_other_grids():
    scan, result = image(), LOSSLESS(image())
    moved = fp.Grid(result.grid.shape, result.grid.affine + np.array([[0, 0, 0, 0.1], *[[0] * 4] * 3]))
    with pytest.raises(GeometryError, match="the pipeline produced"):
        LOSSLESS.inverse(fp.Image(result.array, moved), scan.grid)
    with pytest.raises(GeometryError, match="the pipeline produced"):
        LOSSLESS.inverse(scan, scan.grid)
    for record in ({}, {"grid": {"before": scan.grid.to_dict()}}, {"grid": 3}):
        with pytest.raises(ArgumentError, match="record without"):
            LOSSLESS.inverse(result, record)


# The object.


def test_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        FULL.dtype = "float32"
    with pytest.raises(dataclasses.FrozenInstanceError):
        FULL.steps[0].axcodes = "RAS"
    assert isinstance(Pipeline([Deskew()]).steps, tuple)


def test_pickle_and_deepcopy():
    grid = image().grid
    for again in (pickle.loads(pickle.dumps(FULL)), copy.deepcopy(FULL)):
        assert again == FULL and hash(again) == hash(FULL) and again.hash == FULL.hash
    plan = pickle.loads(pickle.dumps(Pipeline.load("ct-chest").plan(grid)))
    assert str(plan) == str(Pipeline.load("ct-chest").plan(grid))


def test_plans_are_kept():
    pipeline, grid = Pipeline.load("ct-chest"), image().grid
    twin = fp.Grid(grid.shape, grid.affine.copy())
    assert pipeline.plan(grid) is Pipeline.load("ct-chest").plan(twin)
    assert pipeline.plan(grid) is not pipeline.plan(grid, kind="label")
    assert pipeline.plan(grid) is not pipeline.plan(grid, rescale=Ramp(1, -1024))
    assert Pipeline([CropOrPad((20, 20, 20))]).plan(grid) is not Pipeline([CropOrPad((20, 20, 20))]).plan(
        grid, modality="CT"
    )
