"""Steps that need the whole volume: where they stand in a plan, what passes around them do, and what they tell."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

import emulated
import emulator
import fastprep as fp
from cohorts import cli, strict
from fastprep.cohort.memory import needed
from fastprep.cohort.work import Cancelled, Clock, Settings, process
from fastprep.core.errors import ArgumentError, ConfigError, FastprepError, NonFiniteError, TooLargeError
from fastprep.core.ramp import Ramp
from fastprep.io.describe import Description
from fastprep.pipeline import (
    N4,
    Barrier,
    ClipHu,
    CropOrPad,
    Flip,
    GaussianBias,
    HomomorphicBias,
    LocalNormalize,
    MultiWindow,
    Pipeline,
    PolynomialBias,
    Reorient,
    Resample,
    Rescale,
    Window,
    ZScore,
)
from fastprep.pipeline.device import device_bytes, run_on_device
from fastprep.pipeline.run import Run
from fastprep.pipeline.statistics import unclipped
from fastprep.testing.assertions import to_numpy
from test_otsu import head
from test_plan import cases, ct_grid

SHAPE = (14, 18, 16)
QUICK = N4(iterations=(4, 3), shrink_factor=2)
PAD = CropOrPad((20, 18, 16))


def scan(dtype="int16", seed=0, **how):
    """A head under a bias field."""
    field = np.exp(0.4 * np.linspace(-1, 1, SHAPE[2]))
    return fp.Image((head(SHAPE, seed) * field).astype(dtype), ct_grid(SHAPE), **how)


def run_of(pipeline, image):
    """The result, and what the run was told."""
    run = Run()
    return pipeline.plan_for(image)(image.array, run=run), run


def known(pipeline, image):
    """The same pipeline with Ramps in place of its z-scores: what is measured is no different from what is known."""
    _, run = run_of(pipeline, image)
    ramps = iter([ramp for _, ramp in sorted(run.maps[0].items())])
    steps = [Rescale((r := next(ramps)).a, r.b) if isinstance(s, ZScore) else s for s in pipeline.steps]
    return Pipeline(steps, modality=pipeline.modality, dtype=pipeline.dtype)


# What they do.


@pytest.mark.parametrize("dtype", ["int16", "float32"])
def test_as_the_functions_one_by_one(dtype):
    image = scan(dtype)
    pipeline = Pipeline([Reorient("RAS"), QUICK, ZScore(), Resample(spacing=(2, 1, 1)), CropOrPad((14, 40, 9))])
    turned = fp.reorient(image, "RAS")
    mask = fp.foreground_mask(turned)
    field = fp.n4(turned, mask, iterations=(4, 3), shrink_factor=2)
    z = fp.zscore(field.corrected, mask=mask)
    inside = field.corrected.array[mask.array].astype(np.float64)
    air = float((0 - inside.mean()) / inside.std())
    fine = fp.resample(z.array, z.spacing, (2, 1, 1), fill=air)
    truth = fp.crop_or_pad(fine, (14, 40, 9), fill=air)
    result = pipeline(image)
    np.testing.assert_allclose(result.array, truth, atol=2e-6)
    assert result.array.dtype == np.float32 and result.array[0, 0, 0] == np.float32(air)


@pytest.mark.parametrize(
    ("step", "how"),
    [
        (PolynomialBias(order=2, loss="tukey"), {"order": 2, "loss": "tukey"}),
        (HomomorphicBias(sigma=6), {"sigma": 6}),
        (GaussianBias(sigma=6), {"sigma": 6}),
    ],
)
def test_every_corrector_is_its_function(step, how):
    image = scan()
    field = getattr(fp, step.name)(image, fp.foreground_mask(image), **how)
    result, run = run_of(Pipeline([step]), image)
    np.testing.assert_array_equal(result, field.corrected.array)
    (finding,) = run.found
    assert finding["step"] == step.name and finding["log_field"]["std"] > 0
    assert ("iterations" in finding) == bool(field.iterations)


def test_local_normalize_is_its_function_and_padding_is_0():
    """Of a CT too, whose air is -1024 before."""
    image = scan(modality="CT")
    mask = fp.foreground_mask(image)
    for window in (9, (3, 9, 9)):
        expected = fp.local_normalize(image, window=window, mask=mask, floor=0.2)
        result, run = run_of(Pipeline([LocalNormalize(window=window, floor=0.2), CropOrPad((60, 60, 60))]), image)
        np.testing.assert_array_equal(result, fp.crop_or_pad(expected, (60, 60, 60), fill=0).array)
        assert run.found[0]["step"] == "local_normalize" and 0 < run.found[0]["foreground"]["fraction"] < 1
    whole = Pipeline([LocalNormalize(mask=None)])
    np.testing.assert_array_equal(whole(image).array, fp.local_normalize(image).array)
    assert "local mean and std of every voxel -> float" in str(whole.plan(image.grid))


def test_stored_values_become_physical_ones_before(monkeypatch):
    seen = []
    original = fp.n4
    monkeypatch.setattr(fp, "n4", lambda x, *a, **k: seen.append(x.array) or original(x, *a, **k))
    image = scan(rescale=Ramp(2.5, -100))
    for steps in ([QUICK], [Flip((0,)), QUICK]):
        Pipeline(steps)(image)
        turned = image.array[::-1] if len(steps) == 2 else image.array
        np.testing.assert_array_equal(seen.pop(), turned.astype(np.float32) * np.float32(2.5) - 100)
    # Without any to apply the image goes in as it is.
    Pipeline([QUICK])(scan())
    assert seen.pop().dtype == np.int16


def test_arguments_arrive(monkeypatch):
    seen = []
    original = fp.n4
    monkeypatch.setattr(fp, "n4", lambda *a, **k: seen.append((a, k)) or original(*a, **k))
    Pipeline([N4(iterations=(2,), mask=None, spline_spacing=40)])(scan())
    ((image, mask), given_) = seen.pop()
    assert mask is None and image.spacing == (2, 0.75, 0.75)
    assert given_["iterations"] == (2,) and given_["spline_spacing"] == 40 and "progress" not in given_
    assert given_["shrink_factor"] == 4 and given_["convergence"] == "exact"


@settings(max_examples=60)
@given(case=cases(), at=st.integers(0, 8), dtype=st.sampled_from(["float32", "float64", None]))
def test_what_is_measured_is_no_different_from_what_is_known(case, at, dtype):
    """A z-score fuses as the Ramp it is: the same voxels, the same value beyond the image."""
    image, steps = case
    if image.kind == "label":
        return
    pipeline = Pipeline([*steps[:at], ZScore(mask=None), *steps[at:]], dtype=dtype)
    try:
        result, run = run_of(pipeline, image)
        truth = known(pipeline, image).plan_for(image)(image.array)
    except FastprepError as error:
        event(type(error).__name__)
        return
    event("compared")
    (maps,) = run.maps
    (ramp,) = maps.values()
    # Rounding before the Ramp grows with it.
    size = 1 + float(np.abs(truth).max()) + abs(ramp.b) * 1e3
    np.testing.assert_allclose(result, truth, rtol=0, atol=1e-5 * size)


@pytest.mark.parametrize(
    "steps",
    [
        [ZScore(), PAD],
        [ZScore(), Resample(spacing=(1, 1, 1)), PAD],
        [ZScore(), Window(0, 4), PAD],
        [ZScore(), Window(0, 4, function="sigmoid"), PAD],
        [ZScore(), PAD, Rescale(2, 1)],
        [Rescale(1, 50), ZScore(), PAD],
        [ZScore(mask=None), ZScore(), PAD],
        [ZScore(), MultiWindow(((0, 4), (1, 2))), PAD],
        [ZScore(), MultiWindow(((0, 4), (1, 2))), CropOrPad((20, 18, 16), fill=7)],
        [PAD, ZScore(), CropOrPad((30, 18, 16))],
    ],
)
def test_padding_is_background(steps):
    image, pipeline = scan(), Pipeline(steps)
    truth = known(pipeline, image)(image).array
    np.testing.assert_allclose(pipeline(image).array, truth, atol=1e-5)
    assert not np.allclose(truth[..., 0, 0, 0], truth[..., 10, 9, 8])


def test_one_fill_for_channels_that_differ_is_refused():
    steps = [ZScore(), MultiWindow(((0, 4), (1, 2))), Resample(spacing=(1, 1, 1))]
    with pytest.raises(ConfigError, match=r"differs between its channels .*what 0 becomes.*give fill"):
        Pipeline(steps).plan(ct_grid(SHAPE))


@pytest.mark.parametrize(
    ("steps", "found"),
    [
        ([QUICK, ZScore()], 1),
        ([ZScore(), Rescale(3, 1), ZScore()], 1),
        ([ZScore(), Flip((0,)), ZScore()], 2),
        ([ZScore(mask=None), QUICK, Resample(spacing=(1, 1, 1)), ZScore(mask=None)], 1),
        ([ZScore(mask=None)], 0),
    ],
)
def test_the_foreground_is_found_once_until_voxels_move(monkeypatch, steps, found):
    seen = []
    original = fp.otsu
    monkeypatch.setattr("fastprep.pipeline.run.otsu", lambda x: seen.append(x) or original(x))
    Pipeline(steps)(scan())
    assert len(seen) == found


def test_the_mask_of_the_first_serves_the_second():
    image = scan()
    image = image.with_array(image.array * np.linspace(0.2, 1, SHAPE[1])[:, None])
    mask = fp.foreground_mask(image)
    corrected = fp.n4(image, mask, iterations=(4, 3), shrink_factor=2).corrected
    assert (fp.foreground_mask(corrected).array != mask.array).any()
    truth = fp.zscore(corrected, mask=mask).array
    np.testing.assert_allclose(Pipeline([QUICK, ZScore()])(image).array, truth, atol=1e-6)


# Where they stand.


def stages(pipeline, **how):
    plan = pipeline.plan(ct_grid(SHAPE), **how)
    return ["barrier" if isinstance(p, Barrier) else "pass" for p in plan.passes]


@pytest.mark.parametrize(
    ("steps", "rescale", "expected"),
    [
        ([QUICK], Ramp(), "B"),
        ([QUICK], Ramp(2, 1), "PB"),
        ([ZScore()], Ramp(), "BP"),
        ([ZScore()], Ramp(2, 1), "PBP"),
        ([Flip((0,)), QUICK, ZScore(), Resample(spacing=(1, 1, 1)), PAD], Ramp(), "PBBP"),
        ([ZScore(), ZScore()], Ramp(), "BPBP"),
        ([QUICK, QUICK], Ramp(), "BB"),
        ([ClipHu(), QUICK, Window(preset="bone")], Ramp(2, 1), "PBP"),
    ],
)
def test_passes(steps, rescale, expected):
    assert stages(Pipeline(steps), rescale=rescale) == [{"B": "barrier", "P": "pass"}[c] for c in expected]


def test_labels_pass_untouched():
    array = (head(SHAPE) > 300).astype(np.uint8)
    image = fp.Image(array, ct_grid(SHAPE), kind="label")
    pipeline = Pipeline([QUICK, Flip((0,)), ZScore()])
    assert stages(pipeline, kind="label") == ["pass"]
    result = pipeline(image)
    assert result.array.dtype == np.uint8
    np.testing.assert_array_equal(result.array, array[::-1])


def test_channels_come_after_them():
    for step in (QUICK, ZScore()):
        with pytest.raises(ConfigError, match=rf"step 2 \({step.name}\).*channels already: put it before them"):
            Pipeline([MultiWindow(("lung", "bone")), step]).plan(ct_grid(SHAPE))


def test_printed():
    text = str(Pipeline([Flip((0,)), QUICK, ZScore(mask=None), PAD]).plan(ct_grid(SHAPE)))
    assert text.splitlines()[1:-1] == [
        "1.   gather (copy) to (14, 18, 16) -> same dtype   [flip]",
        "2.   whole volume: bias field of the foreground -> float   [n4]",
        "3.   whole volume: mean and std of every voxel   [zscore]",
        "4.   (x - mean) / std -> gather (copy) to (20, 18, 16) -> float32   [crop_or_pad]",
    ]


def test_one_read_for_the_statistic_and_one_for_the_rest(monkeypatch):
    from fastprep import registry

    seen = []

    def spy(name, x):
        seen.append(name)
        return registry.kernel(name, x)

    for module in ("_sample", "_pointwise", "_masked"):
        monkeypatch.setattr(f"fastprep.ops.{module}.kernel", spy)
    Pipeline([ZScore(mask=None), Window(0, 4), Resample(spacing=(1, 1, 1)), PAD])(scan())
    assert seen == ["moments", "resample"]


@pytest.mark.parametrize("source", ["int16", "float32", "float64"])
@pytest.mark.parametrize("dtype", ["float32", "float16", "int16", None])
def test_dtype_of_one_at_the_end(source, dtype):
    image, pipeline = scan(source), Pipeline([QUICK], dtype=dtype)
    plan = pipeline.plan_for(image)
    truth = fp.n4(image, fp.foreground_mask(image), iterations=(4, 3), shrink_factor=2).corrected.array
    if dtype:
        truth = fp.rescale(truth, 1, 0, dtype=dtype)
    result = plan(image.array)
    assert result.dtype == truth.dtype == plan.written(SHAPE, image.array.dtype)[1]
    np.testing.assert_array_equal(result, truth)
    assert not np.shares_memory(result, image.array)


def test_clipping_is_counted_up_to_them():
    plan = Pipeline([ClipHu(-50, 400), ZScore(), Window(0, 4)]).plan(ct_grid(SHAPE))
    assert unclipped(plan) == [(-50, 400)]


def test_inverse_is_of_the_geometry_alone():
    image = scan()
    pipeline = Pipeline([Reorient("RAS"), ZScore(), CropOrPad((10, 12, 12))])
    result = pipeline(image)
    label = fp.Image((result.array > 0).astype(np.uint8), result.grid, kind="label")
    back = pipeline.inverse(label, image.grid)
    assert back.grid == image.grid and back.array.any()


def test_two_axes_and_units_with_air_below_zero():
    rng = np.random.default_rng(0)
    x = rng.integers(-1000, 400, (20, 24)).astype(np.int16)
    image = fp.Image(x, fp.Grid.from_spacing(x.shape, (1, 1)), modality="CT")
    result = Pipeline([ZScore(mask=None), Flip((0,)), CropOrPad((22, 24))])(image).array
    wide = x.astype(np.float64)
    truth = np.pad(
        (wide - wide.mean()) / wide.std(), ((1, 1), (0, 0)), constant_values=(-1024 - wide.mean()) / wide.std()
    )
    np.testing.assert_allclose(result, truth[::-1], atol=1e-6)


# Several volumes.


@pytest.mark.parametrize("steps", [[QUICK, ZScore(), PAD], [ZScore(), MultiWindow(((0, 4), (1, 2))), PAD], [QUICK]])
def test_volumes_of_a_batch_are_each_their_own(steps):
    scans = [scan("float32", seed) for seed in range(3)]
    pipeline = Pipeline(steps)
    stack = np.stack([s.array * (k + 1) for k, s in enumerate(scans)])
    both = scans[0].with_array(stack)
    result, run = run_of(pipeline, both)
    channels = isinstance(steps[1] if len(steps) > 1 else None, MultiWindow)
    for k, volume in enumerate(stack):
        truth = pipeline(scans[0].with_array(volume)).array
        np.testing.assert_array_equal(result[:, k] if channels else result[k], truth)
    assert [f["volume"] for f in run.found] == [k for k in range(3) for s in steps if isinstance(s, (N4, ZScore))]
    nested = scans[0].with_array(stack.reshape(3, 1, *SHAPE)[::-1])
    np.testing.assert_array_equal(pipeline(nested).array.reshape(result.shape), np.flip(result, 1 if channels else 0))


def test_batches_of_images():
    scans = [scan("float32", seed) for seed in range(2)]
    label = fp.Image((scans[0].array > 300).astype(np.float32), scans[0].grid, kind="label")
    pipeline = Pipeline([ZScore(), Resample(spacing=(2, 1, 1)), CropOrPad((12, 12, 12))])
    images = [*scans, label, scan("float32", 5)]
    result = pipeline.batch(images)
    np.testing.assert_array_equal(result, np.stack([pipeline(image).array for image in images]))


def test_libraries(xp):
    image = scan("float32")
    pipeline = Pipeline([QUICK, ZScore(), PAD])
    result = pipeline(image.with_array(xp.asarray(image.array))).array
    assert type(result) is type(xp.asarray(image.array))
    np.testing.assert_array_equal(to_numpy(result), pipeline(image).array)


# On a GPU.

on_a_gpu = [pytest.mark.gpu, pytest.mark.skipif(emulator.missing() is not None, reason="no emulator")]


class TestDevice:
    pytestmark = on_a_gpu
    PIPELINE = Pipeline([Reorient("RAS"), ZScore(), Window(0, 4), Resample(spacing=(2, 1, 1)), CropOrPad((20, 12, 9))])

    @pytest.mark.parametrize("dtype", ["int16", "float32"])
    def test_bits_are_those_of_the_cpu(self, driver, dtype):
        image = scan(dtype)
        here, told = run_of(self.PIPELINE, image)
        np.testing.assert_array_equal(self.PIPELINE.to("cuda")(image).array.get(), here)
        run = Run()
        there = run_on_device(self.PIPELINE.plan_for(image), image.array, 0, to_host=True, run=run)
        np.testing.assert_array_equal(there, here)
        assert run.found == told.found and run.maps == told.maps
        moved = fp.Image(emulated.put(image.array), image.grid)
        np.testing.assert_array_equal(self.PIPELINE(moved).array.get(), here)

    def test_a_field_is_that_of_the_cpu(self, driver):
        pipeline = Pipeline([QUICK, ZScore(), PAD])
        here, told = run_of(pipeline, scan())
        run = Run()
        there = run_on_device(pipeline.plan_for(scan()), scan().array, 0, to_host=True, run=run)
        np.testing.assert_allclose(there, here, atol=1e-4)
        assert [f["step"] for f in run.found] == [f["step"] for f in told.found] == ["n4", "zscore"]
        assert run.found[0]["foreground"] == told.found[0]["foreground"]

    def test_batches(self, driver):
        scans = [scan("int16", seed) for seed in range(3)]
        here = self.PIPELINE.batch(scans)
        np.testing.assert_array_equal(self.PIPELINE.to("cuda").batch(scans).get(), here)
        stack = scans[0].with_array(emulated.put(np.stack([s.array for s in scans])))
        np.testing.assert_array_equal(self.PIPELINE(stack).array.get(), here)

    def test_they_go_whole_or_not_at_all(self, driver):
        image = scan()
        plan = self.PIPELINE.plan_for(image)
        driver.free = device_bytes(plan, image.array.shape, image.array.dtype) // 2
        with pytest.raises(TooLargeError, match="and 3 passes cannot be done in slabs: use the CPU"):
            self.PIPELINE.to("cuda")(image)
        with pytest.raises(TooLargeError, match="and n4 cannot be done in slabs: use the CPU"):
            Pipeline([QUICK]).to("cuda")(image)


# What they tell.


def test_findings():
    image = scan()
    _, run = run_of(Pipeline([QUICK, ZScore(), ZScore(mask=None)]), image)
    mask = fp.foreground_mask(image)
    result = fp.n4(image, mask, iterations=(4, 3), shrink_factor=2)
    log, inside = result.log_field.array[mask.array], result.corrected.array[mask.array].astype(np.float64)
    n4, first, second = json.loads(json.dumps(run.found, allow_nan=False))
    about = {"threshold": fp.otsu(image), "fraction": pytest.approx(mask.array.mean(), rel=1e-12)}
    assert (n4["step"], n4["foreground"], n4["iterations"]) == ("n4", about, list(result.iterations))
    assert n4["convergence"] == list(result.convergence)
    assert n4["log_field"] == {
        "mean": pytest.approx(float(log.mean(dtype=np.float64))),
        "std": pytest.approx(float(log.std(dtype=np.float64))),
        "min": float(log.min()),
        "max": float(log.max()),
    }
    mean, std = pytest.approx(inside.mean(), rel=1e-12), pytest.approx(inside.std(), rel=1e-12)
    assert first == {"step": "zscore", "foreground": about, "mean": mean, "std": std}
    assert set(second) == {"step", "mean", "std"}


def folder(tmp_path, **scans):
    (tmp_path / "in").mkdir()
    for name, image in (scans or {"a": scan()}).items():
        fp.save(image, tmp_path / "in" / f"{name}.nii.gz")
    (tmp_path / "p.yaml").write_text(
        "steps: [{n4: {iterations: [4, 3], shrink_factor: 2}}, zscore, {crop_or_pad: {shape: [20, 18, 16]}}]"
    )
    return tmp_path / "p.yaml", tmp_path / "in", tmp_path / "out"


def test_a_run_says_what_they_found(tmp_path, capsys):
    pipeline, scans, out = folder(tmp_path)
    assert cli("run", pipeline, scans, "-o", out, "--dry-run") == 0
    assert cli("plan", pipeline, scans) == 0
    assert "whole volume: bias field of the foreground" in capsys.readouterr().out
    assert cli("run", pipeline, scans, "-o", out) == 0
    record = strict(out / "a.json")
    n4, z = record["barriers"]
    assert n4["step"] == "n4" and len(n4["iterations"]) == 2 and 0 < n4["foreground"]["fraction"] < 1
    volume = fp.load(out / "a.nii.gz").array
    assert record["fill"]["output"] == [pytest.approx(-z["mean"] / z["std"])]
    assert volume[0, 0, 0] == np.float32(-z["mean"] / z["std"])
    assert {"pass 1", "pass 2", "pass 3"} <= set(record["seconds"])
    assert record["plan"][1].startswith("1.   whole volume")
    # Nothing is done twice.
    assert cli("run", pipeline, scans, "-o", out) == 0
    assert "1 unchanged" in capsys.readouterr().out


def test_a_run_over_volumes_of_one_file(tmp_path):
    four = scan("float32").with_array(np.stack([scan("float32", s).array for s in range(2)]))
    pipeline, scans, out = folder(tmp_path, four=four)
    assert cli("run", pipeline, scans, "-o", out) == 0
    record = strict(out / "four.json")
    assert [f["volume"] for f in record["barriers"]] == [0, 0, 1, 1]
    assert [len(fill) for fill in record["fill"]["output"]] == [1, 1]


def test_what_cannot_be_measured_fails_alone(tmp_path, capsys):
    odd = scan("float32").array
    odd[3, 4, 5] = np.nan
    grid = ct_grid(SHAPE)
    flat = fp.Image(np.full(SHAPE, 7, np.int16), grid)
    pipeline, scans, out = folder(tmp_path, flat=flat, good=scan(), odd=fp.Image(odd, grid))
    assert cli("run", pipeline, scans, "-o", out) == 1
    said = (out / "failures.csv").read_text()
    assert "x is constant, 7" in said and "x holds 1 values that are NaN or infinite" in said
    assert (out / "good.nii.gz").is_file() and not (out / "flat.nii.gz").exists()
    with pytest.raises(ArgumentError, match="x is constant"):
        Pipeline([ZScore()])(flat)
    with pytest.raises(NonFiniteError):
        Pipeline([ZScore()])(fp.Image(odd, grid))


def test_a_stop_comes_through_in_the_middle_of_one(tmp_path):
    from fastprep.cohort.cases import find_cases

    pipeline, scans, out = folder(tmp_path)
    settings_, calls = Settings(Pipeline.load(pipeline), out), []

    def check():
        # Reading, hashing, the first pass, and into its iterations.
        calls.append(None)
        if len(calls) > 5:
            raise Cancelled

    (case,) = find_cases([scans], output=out).cases
    clock = Clock(check)
    with pytest.raises(Cancelled):
        process(case, settings_, clock)
    assert len(calls) == 6 and "pass 1" not in clock.seconds
    assert not list(out.glob("*"))


def test_memory_of_a_bias_field_is_expected():
    description = Description(shape=SHAPE, dtype=np.dtype(np.int16), grid=ct_grid(SHAPE), modality=None, rescale=Ramp())
    voxels = math.prod(SHAPE)
    plain = needed(description, Pipeline([Flip((0,)), Rescale(2, 1)]).plan(ct_grid(SHAPE)))
    n4 = needed(description, Pipeline([QUICK]).plan(ct_grid(SHAPE)))
    assert plain == int(voxels * (2 + 4) * 1.1)
    assert n4 >= voxels * (2 + 4 + 8)


# The preset.


def test_mri_brain():
    pipeline = Pipeline.load("mri-brain")
    image = scan("float32")
    plan = pipeline.plan_for(image)
    assert plan.grid.shape == (192, 224, 192) and plan.grid.spacing == (1, 1, 1)
    assert "".join(plan.grid.axcodes) == "SPL"
    result, run = run_of(pipeline, image)
    stripe = run.found[-1]
    assert result.dtype == np.float32 and result[0, 0, 0] == np.float32(-stripe["mean"] / stripe["std"])
    with pytest.raises(ArgumentError, match="image of modality CT for a pipeline made for MR"):
        pipeline(scan(modality="CT"))
    assert pipeline(image).modality == "MR"


@pytest.mark.parametrize("name", ["t1_head", "stroke/T1", "stroke/T2", "stroke/FLAIR"])
def test_mri_brain_on_real_scans(data, name):
    image = fp.load(data / "mri" / f"{name}.nii.gz")
    result, run = run_of(Pipeline.load("mri-brain"), image)
    found = run.found[-1]
    assert np.isfinite(result).all() and 0.05 < found["foreground"]["fraction"] < 0.6
    assert result.min() == np.float32(-found["mean"] / found["std"]) == result[0, 0, 0]
    low, high = (np.array(found["bounds"]) - found["mean"]) / found["std"]
    stripe = result[(low < result) & (result < high)].astype(np.float64)
    # Interpolation moves values in and out of it.
    assert abs(stripe.mean()) < 0.2 and 0.8 < stripe.std() < 1.2
