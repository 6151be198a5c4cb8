"""Normalisers as steps: each is its function, its map joins the pass after it, and what it found is told."""

from __future__ import annotations

import numpy as np
import pytest

import fastprep as fp
from fastprep.core.errors import ArgumentError, ConfigError
from fastprep.pipeline import (
    CropOrPad,
    FcmNormalize,
    Flip,
    KdeNormalize,
    MinMax,
    MultiWindow,
    Nyul,
    PercentileClip,
    Pipeline,
    Resample,
    Rescale,
    Robust,
    WhiteStripe,
    Window,
    ZScore,
)
from fastprep.pipeline.run import Run
from fastprep.testing.assertions import to_numpy
from test_otsu import head
from test_plan import ct_grid

SHAPE = (14, 18, 16)
LANDMARKS = (1.0, 30.0, 60.0, 100.0)


def scan(dtype="float32", seed=0):
    return fp.Image((head(SHAPE, seed) + 3.0).astype(dtype), ct_grid(SHAPE))


def nyul(x, mask):
    form = {"percentiles": [1, 40, 70, 99], "output_range": [1, 100], "landmarks": list(LANDMARKS)}
    return fp.Nyul.from_dict(form).transform(x, mask)


NYUL = Nyul(percentiles=(1, 40, 70, 99), landmarks=LANDMARKS)
STEPS = [
    (ZScore(), lambda x, m: fp.zscore(x, mask=m)),
    (MinMax(out_range=(-1, 2)), lambda x, m: fp.minmax(x, mask=m, out_range=(-1, 2))),
    (MinMax(clip=False), lambda x, m: fp.minmax(x, mask=m, clip=False)),
    (Robust(), lambda x, m: fp.robust(x, mask=m)),
    (PercentileClip(low=2, high=90), lambda x, m: fp.percentile_clip(x, 2, 90, mask=m)),
    (PercentileClip(out_range=(0, 1)), lambda x, m: fp.percentile_clip(x, mask=m, out_range=(0, 1))),
    (WhiteStripe(width=0.2), lambda x, m: fp.white_stripe(x, mask=m, width=0.2).normalized),
    (WhiteStripe(modality="t2", width_low=0.1), lambda x, m: white_stripe_t2(x, m)),
    (KdeNormalize(norm=10), lambda x, m: fp.kde_normalize(x, mask=m, norm=10).normalized),
    (FcmNormalize(classes=2, tissue=1), lambda x, m: fp.fcm_normalize(x, mask=m, classes=2, tissue=1).normalized),
    (NYUL, nyul),
]


def white_stripe_t2(x, mask):
    return fp.white_stripe(x, mask=mask, modality="t2", width_low=0.1).normalized


def ids(value):
    return value.name if hasattr(value, "name") else ""


@pytest.mark.parametrize("dtype", ["int16", "float32"])
@pytest.mark.parametrize(("step", "function"), STEPS, ids=ids)
def test_as_the_function(step, function, dtype):
    image = scan(dtype)
    truth = function(image, fp.foreground_mask(image)).array
    result = Pipeline([step])(image).array
    np.testing.assert_array_equal(result, truth)
    if getattr(step, "modality", "") == "t2":
        return  # of all voxels the air would be the largest mode
    everywhere = type(step)(**{**vars(step), "mask": None})
    np.testing.assert_array_equal(Pipeline([everywhere])(image).array, function(image, np.ones(SHAPE)).array)


@pytest.mark.gpu
@pytest.mark.parametrize(("step", "function"), STEPS, ids=ids)
def test_as_the_function_on_a_gpu(step, function, gpu):
    image = scan()
    there = Pipeline([step, CropOrPad((16, 18, 16))])(image.with_array(gpu(image.array))).array
    here = Pipeline([step, CropOrPad((16, 18, 16))])(image).array
    np.testing.assert_allclose(to_numpy(there), here, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(("step", "function"), STEPS, ids=ids)
def test_joins_the_pass_after_it(step, function):
    image = scan()
    steps = [step, Rescale(2.0, 1.0), Resample(spacing=(2, 1, 1)), CropOrPad((20, 18, 9))]
    plan = Pipeline(steps).plan_for(image)
    # A table bends; what interpolates then is a pass of its own.
    assert len(plan.passes) == (3 if step is NYUL else 2) and step.formula in str(plan)
    y = function(image, fp.foreground_mask(image)).array
    run = Run()
    result = plan(image.array, run=run)
    air = float(run.maps[0][0](0.0)) * 2 + 1
    fine = fp.resample(2 * y + 1, image.spacing, (2, 1, 1), fill=air)
    np.testing.assert_allclose(result, fp.crop_or_pad(fine, (20, 18, 9), fill=air), rtol=1e-5, atol=1e-4)
    assert run.found[0]["step"] == step.name and "foreground" in run.found[0]


def test_a_table_takes_in_the_ramps_around_it():
    image = scan("int16")
    plan = Pipeline([NYUL, Window(50, 60), Rescale(10, -3)], dtype="float16").plan_for(image)
    assert len(plan.passes) == 2
    y = nyul(image, fp.foreground_mask(image)).array
    truth = np.clip((y - 20) / 60, 0, 1) * 10 - 3
    result = plan(image.array)
    assert result.dtype == np.float16
    np.testing.assert_allclose(result, truth, atol=5e-3)
    many = Pipeline([NYUL, MultiWindow(((50, 60), (20, 10)))])(image).array
    np.testing.assert_allclose(many, [np.clip((y - 20) / 60, 0, 1), np.clip((y - 15) / 10, 0, 1)], atol=1e-5)
    # Stored units come before it.
    stored = fp.Image(image.array, image.grid, rescale=fp.Ramp(2.5, -40.0))
    scaled = image.with_array(image.array * np.float32(2.5) - 40)
    np.testing.assert_allclose(Pipeline([NYUL])(stored).array, Pipeline([NYUL])(scaled).array, atol=1e-4)


def test_batches_and_moves():
    batch = fp.Image(np.stack([scan(seed=s).array * (1 + s) for s in range(2)]), ct_grid(SHAPE))
    pipeline = Pipeline([Flip((0,)), NYUL, CropOrPad((16, 18, 16))])
    result = pipeline(batch).array
    for k in range(2):
        np.testing.assert_array_equal(result[k], pipeline(batch.with_array(batch.array[k])).array)


def test_another_scanner_gives_the_same():
    image = scan()
    other = image.with_array(image.array * np.float32(3.7) + np.float32(20))
    for step, _ in STEPS:
        keeps_units = step.name in ("kde_normalize", "fcm_normalize") or getattr(step, "out_range", ()) is None
        if not keeps_units:
            one, two = Pipeline([step])(image).array, Pipeline([step])(other).array
            np.testing.assert_allclose(one, two, rtol=2e-4, atol=2e-3 * float(np.ptp(one)) / 10, err_msg=step.name)


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ("minmax: {out_range: [1, 0]}", "out_range"),
        ("minmax: {clip: 3}", "expected true or false"),
        ("percentile_clip: {low: 60, high: 40}", "low"),
        ("percentile_clip: {low: -1}", "low"),
        ("white_stripe: {modality: ct}", "modality='ct'"),
        ("white_stripe: {width: 2}", "width"),
        ("white_stripe: {bandwidth: 0}", "bandwidth"),
        ("kde_normalize: {norm: 0}", "norm"),
        ("fcm_normalize: {tissue: fat}", "tissue='fat'"),
        ("fcm_normalize: {classes: 99}", "classes=99"),
        ("fcm_normalize: {iterations: 0}", "iterations=0"),
        ("zscore: {mask: brain}", "expected 'foreground', 'found', or null"),
    ],
)
def test_steps_say_what_is_wrong(form, message):
    with pytest.raises(ConfigError, match=message):
        Pipeline.from_yaml(f"steps: [{{{form}}}]")


def test_what_an_image_cannot_have():
    flat = scan().with_array(np.zeros(SHAPE, np.float32))
    # Clipped at its one value it would be as it is.
    for step in (step for step, _ in STEPS if getattr(step, "out_range", ()) is not None):
        with pytest.raises(ArgumentError, match="constant|expected values that differ"):
            Pipeline([type(step)(**{**vars(step), "mask": None})])(flat)
