"""Several sequences of one subject: on one grid, each by its own steps, from files told by their names."""

from __future__ import annotations

import json

import numpy as np
import pytest

import fastprep as fp
from cohorts import cli, failures, strict
from fastprep.cohort.cases import find_cases
from fastprep.cohort.subjects import subjects
from fastprep.core.errors import ArgumentError, ConfigError, GeometryError, ReadError, ShapeError
from fastprep.core.ramp import Ramp
from fastprep.pipeline import (
    CropOrPad,
    Flip,
    Fuse,
    MultiWindow,
    Pipeline,
    Reorient,
    Resample,
    Rescale,
    Window,
    ZScore,
)
from fastprep.pipeline.fused import FusedRun

Z = [{"zscore": {}}]
TWO = {"t1": {"steps": Z}, "flair": {"steps": Z}}


def head(seed, thick=1.0, shift=0.0, **how):
    """A ball in air, in slices of any thickness, its field moved along them by so many mm."""
    shape = (round(24 / thick), 24, 24)
    affine = np.array(fp.Grid.from_spacing(shape, (thick, 1, 1)).affine)
    # The middles of the slices, not their first centres, are where they are whatever the thickness.
    affine[:3, 3] += affine[:3, 0] / thick * (shift + (thick - 1) / 2)
    z, y, x = np.meshgrid(*map(np.arange, shape), indexing="ij")
    radius = np.sqrt((z * thick + shift + (thick - 1) / 2 - 11.5) ** 2 + (y - 11.5) ** 2 + (x - 11.5) ** 2)
    values = np.where(radius < 9, 100 * (seed + 1) * (1 + 0.3 * np.cos(radius * (1 + seed))), 0.0)
    return fp.Image(values.astype(np.float32), fp.Grid(shape, affine), **how)


T1, FLAIR = head(0), head(1, 2.0)
BOTH = {"t1": T1, "flair": FLAIR}


def test_stacked_is_each_by_itself_on_the_grid_of_one():
    pipeline = Pipeline([Fuse(sequences=TWO), CropOrPad((20, 20, 20))])
    result = pipeline(BOTH)
    z = [fp.zscore(image, mask=fp.foreground_mask(image)) for image in (T1, FLAIR)]
    stacked = fp.stack(z)
    truth = fp.crop_or_pad(stacked, (20, 20, 20))
    assert result.array.shape == (2, 20, 20, 20) and result.grid.same_as(truth.grid)
    np.testing.assert_allclose(result.array, truth.array, atol=1e-5)


def test_one_interpolation():
    steps = [
        Fuse(sequences={"t1": {}, "flair": {}}),
        Resample(spacing=(1.5, 1.5, 1.5)),
        CropOrPad((12, 12, 12)),
        Flip((0,)),
    ]
    plan = Pipeline(steps).plan_sequences(BOTH)
    assert [len(one.passes) for one in plan.plans.values()] == [1, 1]
    truth = [fp.resample_to(image, plan.grid).array for image in BOTH.values()]
    np.testing.assert_allclose(plan({k: v.array for k, v in BOTH.items()})[0], truth[0], atol=2e-4)
    text = str(plan)
    assert text.startswith("t1:\n  in ") and "stacked of t1, flair: " in text


def test_onto_and_order_of_channels():
    turned = {"t1": {"steps": []}, "flair": {"steps": [{"reorient": {"axcodes": "RAS"}}]}}
    result = Pipeline([Fuse(sequences=turned, onto="flair")])({"flair": FLAIR, "t1": T1})
    truth = fp.reorient(FLAIR, "RAS")
    assert result.grid.same_as(truth.grid)
    np.testing.assert_array_equal(result.array[1], truth.array)
    np.testing.assert_allclose(result.array[0], fp.resample_to(T1, truth.grid).array, atol=1e-4)


def test_stored_units_and_padding_are_each_sequence_s_own():
    stored = fp.Image(np.round(T1.array).astype(np.int16), T1.grid, rescale=Ramp(2.0, 5.0))
    pipeline = Pipeline([Fuse(sequences={"t1": {}, "flair": {"steps": Z}}), CropOrPad((30, 24, 24))])
    result = pipeline({**BOTH, "t1": stored})
    np.testing.assert_allclose(result.array[0, 3:27], stored.array * 2.0 + 5.0, rtol=1e-6)
    mask = fp.foreground_mask(FLAIR).array
    inside = FLAIR.array[mask].astype(np.float64)
    assert result.array[0, 0, 0, 0] == 0
    assert result.array[1, 0, 0, 0] == pytest.approx(-inside.mean() / inside.std(), rel=1e-5)


def test_weighted_by_the_variances_before_normalisation():
    plan = Pipeline([Fuse(sequences=TWO, method="weighted")]).plan_sequences(BOTH)
    run = FusedRun()
    result = plan({k: v.array for k, v in BOTH.items()}, run=run)
    variances = [image.array[fp.foreground_mask(image).array].astype(np.float64).var() for image in (T1, FLAIR)]
    assert run.weights == pytest.approx(np.array(variances) / sum(variances), rel=1e-6)
    stacked = Pipeline([Fuse(sequences=TWO)])(BOTH).array
    np.testing.assert_allclose(result, np.tensordot(run.weights, stacked, 1), atol=1e-5)


def test_given_weights_and_dtype():
    pipeline = Pipeline([Fuse(sequences={"t1": {}, "flair": {}}, method="weighted", weights=(1, 3))], dtype="float16")
    result = pipeline(BOTH).array
    stacked = Pipeline([Fuse(sequences={"t1": {}, "flair": {}})])(BOTH).array
    assert result.dtype == np.float16 and result.shape == (24, 24, 24)
    np.testing.assert_allclose(result, (stacked[0] + 3 * stacked[1]) / 4, rtol=1e-3)


def test_first_component():
    stacked = Pipeline([Fuse(sequences=TWO), CropOrPad((26, 24, 24))])(BOTH)
    result = Pipeline([Fuse(sequences=TWO, method="pca"), CropOrPad((26, 24, 24))])(BOTH).array
    inside = fp.foreground_mask(stacked.array[0])
    truth = fp.fuse(stacked.array, method="pca", mask=inside)
    np.testing.assert_allclose(result, truth.image, atol=1e-5)
    assert truth.weights[0] > 0
    values = stacked.array[:, inside].astype(np.float64)
    _, vectors = np.linalg.eigh(np.cov(values))
    assert np.abs(vectors[:, -1] @ truth.weights) == pytest.approx(1)


def test_a_mismatch_of_space_is_told_in_millimetres():
    moved = head(1, shift=7.5)
    pipeline = Pipeline([Fuse(sequences=TWO)])
    with pytest.raises(GeometryError, match=r"sequence 'flair': .* 7\.0 mm"):
        pipeline({"t1": T1, "flair": moved})
    assert Pipeline([Fuse(sequences=TWO, tolerance=8)])({"t1": T1, "flair": moved}).array.shape == (2, 24, 24, 24)


@pytest.mark.gpu
def test_on_a_gpu(gpu):
    for method in ("stack", "weighted", "pca"):
        pipeline = Pipeline([Fuse(sequences=TWO, method=method), CropOrPad((20, 20, 20))])
        there = pipeline({name: image.with_array(gpu(image.array)) for name, image in BOTH.items()})
        assert type(there.array) is type(gpu(T1.array))
        np.testing.assert_allclose(there.array.get(), pipeline(BOTH).array, atol=1e-5)
        moved = pipeline.to("cuda")(BOTH)
        np.testing.assert_allclose(moved.array.get(), pipeline(BOTH).array, atol=1e-5)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"sequences": {"t1": {}}}, "expected two or more"),
        ({"sequences": TWO, "onto": "t2"}, "unknown sequence 't2'"),
        ({"sequences": TWO, "method": "mean"}, "unknown method 'mean'"),
        ({"sequences": TWO, "weights": [1, 2]}, "with method='weighted'"),
        ({"sequences": TWO, "method": "weighted", "weights": [1]}, "expected 2 numbers"),
        ({"sequences": TWO, "tolerance": 0}, "tolerance=0"),
        ({"sequences": {"t1": {}, "t2": {"step": []}}}, "unknown key of sequence 't2' 'step': did you mean 'steps'?"),
        ({"sequences": {"t1": {}, "t2": {"steps": ["n5"]}}}, "sequence 't2', step 1: unknown step 'n5'"),
        ({"sequences": {"t1": {}, "t2": 3}}, "sequence 't2': expected a mapping"),
    ],
)
def test_what_fuse_does_not_take(keys, message):
    with pytest.raises(ConfigError, match=message):
        Pipeline.from_dict({"steps": [{"fuse": keys}]})


def test_where_fuse_and_other_steps_stand():
    fuse, windows = Fuse(sequences=TWO), [{"multi_window": {"presets": ["lung", "bone"]}}]
    for steps, message in (
        ([Reorient("SPL"), fuse], "expected as the first step"),
        ([fuse, ZScore()], r"step 2 \(zscore\): only steps that move voxels or map each channel alike come after fuse"),
        ([fuse, MultiWindow(("lung", "bone"))], r"step 2 \(multi_window\)"),
        ([Fuse(sequences=TWO, method="pca"), Window(0, 1)], r"step 2 \(window\): only steps that move voxels come"),
        ([Fuse(sequences={"t1": {"steps": windows}, "flair": {}})], "2 channels"),
    ):
        pipeline = Pipeline(steps)
        with pytest.raises(ConfigError, match=message):
            pipeline.plan_sequences(BOTH) if pipeline.fuse else pipeline.plan(T1.grid)
    with pytest.raises(ConfigError, match="several sequences: give a mapping of t1, flair"):
        Pipeline([fuse])(T1)
    with pytest.raises(ConfigError, match="takes one image, not several"):
        Pipeline([ZScore()])(BOTH)
    np.testing.assert_allclose(Pipeline([fuse, Rescale(2.0)])(BOTH).array, 2 * Pipeline([fuse])(BOTH).array, rtol=1e-5)


def test_images_that_do_not_fit():
    pipeline = Pipeline([Fuse(sequences=TWO)], modality="MR")
    with pytest.raises(ArgumentError, match="sequences t1: expected t1, flair"):
        pipeline({"t1": T1})
    with pytest.raises(ArgumentError, match="sequence 't1' of modality CT for a pipeline made for MR"):
        pipeline({**BOTH, "t1": head(0, modality="CT")})
    with pytest.raises(ArgumentError, match="a label map has no intensities"):
        pipeline({**BOTH, "t1": head(0, kind="label")})
    with pytest.raises(ShapeError, match="expected one volume"):
        pipeline({**BOTH, "t1": fp.Image(np.stack([T1.array] * 2), T1.grid)})


# From files.


def write(folder, **images):
    folder.mkdir(parents=True, exist_ok=True)
    for name, image in images.items():
        fp.save(image, folder / f"{name}.nii.gz")


def groups(folder, fuse=None):
    found = subjects(find_cases([folder]), fuse or Fuse(sequences=TWO))
    return {case.id: sorted(dict(case.members)) for case in found.cases}, {name for name, _ in found.skipped}


def test_a_folder_for_each_subject(tmp_path):
    for name in ("ann", "bob"):
        write(tmp_path / "in" / name, T1w=T1, sub_FLAIR=FLAIR, notes=T1)
    assert groups(tmp_path / "in") == (
        {"ann": ["flair", "t1"], "bob": ["flair", "t1"]},
        {"ann/notes.nii.gz", "bob/notes.nii.gz"},
    )


def test_names_that_differ_in_the_sequence(tmp_path):
    write(tmp_path / "in", **{f"{name}_{kind}": T1 for name in ("Ann", "bob") for kind in ("T1", "flair")})
    assert groups(tmp_path / "in") == ({"Ann": ["flair", "t1"], "bob": ["flair", "t1"]}, set())
    write(tmp_path / "bids" / "sub-1" / "anat", **{"sub-1_T1w": T1, "sub-1_FLAIR": FLAIR})
    fuse = Fuse(sequences={"t1": {"match": "*_T1w"}, "flair": {"match": "*_FLAIR"}})
    assert groups(tmp_path / "bids", fuse) == ({"sub-1/anat/sub-1": ["flair", "t1"]}, set())


def test_one_subject_is_named_as_its_folder(tmp_path):
    write(tmp_path / "carol", T1=T1, FLAIR=FLAIR)
    assert groups(tmp_path / "carol") == ({"carol": ["flair", "t1"]}, set())


def test_names_that_may_be_two_sequences(tmp_path):
    write(tmp_path / "in", T1=T1, FLAIR=FLAIR, T1_FLAIR=T1)
    found, skipped = groups(tmp_path / "in")
    assert list(found) == ["in"] and skipped == {"T1_FLAIR.nii.gz"}
    with pytest.raises(ReadError, match=r"none of 3 scans is of a sequence of the pipeline \(a: \*a9\*, b: \*b9\*\)"):
        groups(tmp_path / "in", Fuse(sequences={"a": {"match": "*a9*"}, "b": {"match": "*b9*"}}))


@pytest.fixture
def pipeline(tmp_path):
    path = tmp_path / "two.yaml"
    path.write_text(Pipeline([Fuse(sequences=TWO, method="weighted"), CropOrPad((20, 20, 20))]).to_yaml())
    return path


def test_run_over_subjects(pipeline, tmp_path, capsys):
    write(tmp_path / "in" / "ann", T1=T1, FLAIR=FLAIR)
    write(tmp_path / "in" / "bob", T1=T1)
    write(tmp_path / "in" / "eve", T1=T1, FLAIR=head(1, shift=9.0))
    out = tmp_path / "out"
    assert cli("run", pipeline, tmp_path / "in", "-o", out) == 1
    assert "1 ok, 2 failed" in capsys.readouterr().out
    rows = failures(out)
    assert "no scan of sequence 'flair'" in rows["bob"]["message"] and "8.5 mm" in rows["eve"]["message"]
    loaded = Pipeline.load(pipeline)
    np.testing.assert_allclose(fp.load(out / "ann.nii.gz").array, loaded(BOTH).array, atol=1e-6)
    record = strict(out / "ann.json")
    assert [s["name"] for s in record["sources"]] == ["ann/T1.nii.gz", "ann/FLAIR.nii.gz"]
    assert record["sequences"]["flair"]["shape"] == [12, 24, 24]
    assert record["sequences"]["t1"]["barriers"][0]["mean"] > 0
    assert sum(record["fuse"]["weights"]) == pytest.approx(1) and record["fuse"]["onto"] == "t1"
    # The record leads back to the sequence whose grid it was.
    back = loaded.inverse(fp.load(out / "ann.nii.gz"), record)
    assert back.grid.same_as(T1.grid)
    # Again there is nothing to do, until a sequence changes.
    assert cli("run", pipeline, tmp_path / "in" / "ann", "-o", tmp_path / "again") == 0
    write(tmp_path / "in" / "ann", FLAIR=head(2, 2.0))
    capsys.readouterr()
    assert cli("run", pipeline, tmp_path / "in", "-o", out) == 1 and "1 ok, 2 failed" in capsys.readouterr().out
    assert cli("run", pipeline, tmp_path / "in", "-o", out) == 1 and "1 unchanged" in capsys.readouterr().out


def test_plan_and_dry_run(pipeline, tmp_path, capsys):
    write(tmp_path / "in" / "ann", T1=T1, FLAIR=FLAIR)
    assert cli("plan", pipeline, tmp_path / "in") == 0
    assert "weighted sum of t1, flair" in capsys.readouterr().out
    assert cli("run", pipeline, tmp_path / "in", "-o", tmp_path / "out", "--dry-run") == 0
    assert "ann   24 x 24 x 24  20 x 20 x 20" in capsys.readouterr().out


def test_sequences_of_the_fit_are_told(tmp_path, capsys):
    fuse = {"sequences": {"t1": {"steps": [{"nyul": {}}]}, "flair": {"steps": [{"nyul": {}}]}}}
    unfitted, fitted = tmp_path / "unfitted.yaml", tmp_path / "fitted.yaml"
    unfitted.write_text(json.dumps({"steps": [{"fuse": fuse}]}))
    write(tmp_path / "in" / "ann", T1=T1, FLAIR=FLAIR)
    write(tmp_path / "in" / "bob", T1=head(2))
    assert cli("fit", unfitted, tmp_path / "in", "-o", fitted) == 0
    said = capsys.readouterr().out
    assert said.startswith("sequence 't1', nyul: landmarks 1, ") and "\nsequence 'flair', nyul: landmarks 1, " in said
    assert [case.name for case in Pipeline.load(fitted).fitted_on.cases] == ["ann/T1", "ann/FLAIR"]
    assert cli("run", fitted, tmp_path / "in" / "ann", "-o", tmp_path / "out", "--split", "val") == 2
    assert "2 of 2 scans of the val split" in capsys.readouterr().err
    assert cli("run", fitted, tmp_path / "in" / "ann", "-o", tmp_path / "out") == 0
    record = strict(tmp_path / "out" / "ann.json")
    assert record["sequences"]["t1"]["fitted_on"]["has_this_case"] and len(record["warnings"]) == 2


def test_real_sequences(data, tmp_path):
    stroke = data / "mri" / "stroke"
    assert cli("run", "mri-multisequence", stroke, "-o", tmp_path) == 0
    result = fp.load(tmp_path / "stroke.nii.gz")
    assert result.array.shape == (3, 192, 224, 192)
    record = strict(tmp_path / "stroke.json")
    for channel, name in enumerate(("t1", "t2", "flair")):
        found = record["sequences"][name]["barriers"][-1]
        low, high = (np.array(found["bounds"]) - found["mean"]) / found["std"]
        y = result.array[channel]
        stripe = y[(low < y) & (y < high)].astype(np.float64)
        # Turned, and moved by millionths of a voxel: the stripe is what it was.
        assert found["step"] == "white_stripe" and stripe.size == pytest.approx(found["voxels"], rel=0.05)
        assert abs(stripe.mean()) < 0.05 and stripe.std() == pytest.approx(1, abs=0.05)
