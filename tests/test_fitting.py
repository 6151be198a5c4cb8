"""Steps that learn: what they learn, from which cases, and that nothing unfitted runs."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import fastprep as fp
from fastprep.core.errors import ArgumentError, ConfigError, NotFittedError
from fastprep.pipeline import (
    ClipHu,
    CropOrPad,
    DatasetNormalize,
    Fuse,
    LeastSquaresNormalize,
    Nyul,
    Pipeline,
    Rescale,
    ZScore,
)
from fastprep.pipeline.learned import TrainingCases, voxels_sha256
from test_plan import ct_grid

SHAPE = (6, 10, 12)
LEARNED = [Nyul(), DatasetNormalize(), LeastSquaresNormalize()]


def scan(seed, gain=1.0, offset=0.0, **how):
    """Three tissues in air."""
    rng = np.random.default_rng(seed)
    values = rng.choice([40.0, 90.0, 140.0], SHAPE) + rng.normal(0, 4, SHAPE)
    values[:, :3] = rng.uniform(0, 5, (6, 3, 12))
    return fp.Image((gain * values + offset).astype(np.float32), ct_grid(SHAPE), **how)


SCANS = [scan(1), scan(2, 3.0), scan(3, 0.5, 7.0)]


def test_nyul_is_the_object_of_its_name():
    fitted = Pipeline([Nyul()]).fit(SCANS)
    scale = fp.Nyul().fit(SCANS)
    assert fitted.steps[0].landmarks == pytest.approx(scale.landmarks, rel=1e-12)
    for image in SCANS:
        np.testing.assert_allclose(fitted(image).array, scale.transform(image).array, rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize("mask", ["foreground", None])
def test_dataset_normalize_is_of_all_voxels(mask):
    fitted = Pipeline([DatasetNormalize(mask=mask)]).fit(SCANS)
    voxels = [s.array[fp.foreground_mask(s).array] if mask else s.array.ravel() for s in SCANS]
    together = np.concatenate(voxels).astype(np.float64)
    step = fitted.steps[0]
    assert step.mean == pytest.approx(together.mean()) and step.std == pytest.approx(together.std())
    assert [step.low, step.high] == pytest.approx(np.percentile(together, [0.5, 99.5]), rel=2**-12)
    truth = (np.clip(SCANS[1].array, step.low, step.high) - step.mean) / step.std
    np.testing.assert_allclose(fitted(SCANS[1]).array, truth, atol=1e-5)
    # Once it is known it is a Ramp as any other: one pass, no barrier.
    assert not fitted.plan_for(SCANS[0]).has_barriers


def test_global_zscore_does_not_clip():
    step = Pipeline([DatasetNormalize(mask=None, percentiles=None)]).fit(SCANS).steps[0]
    assert step.low is None and np.isinf(step.ramps[0].hi)


def test_least_squares_standard_is_the_average():
    fitted = Pipeline([LeastSquaresNormalize()]).fit(SCANS)
    each = [fp.least_squares_normalize(s, mask=fp.foreground_mask(s)).standard for s in SCANS]
    assert fitted.steps[0].standard == pytest.approx(np.mean(each, axis=0))
    truth = fp.least_squares_normalize(SCANS[2], mask=fp.foreground_mask(SCANS[2]), standard=fitted.steps[0].standard)
    np.testing.assert_allclose(fitted(SCANS[2]).array, truth.normalized.array, rtol=1e-6)


def test_learns_from_what_the_steps_before_leave():
    pipeline = Pipeline([ClipHu(0, 100), Nyul(), DatasetNormalize(mask=None), CropOrPad((4, 4, 4))])
    fitted = pipeline.fit(SCANS)
    clipped = [s.with_array(np.clip(s.array, 0, 100)) for s in SCANS]
    scale = fp.Nyul().fit(clipped)
    assert fitted.steps[1].landmarks == pytest.approx(scale.landmarks, rel=1e-9)
    after = np.concatenate([scale.transform(s).array.ravel() for s in clipped]).astype(np.float64)
    assert fitted.steps[2].mean == pytest.approx(after.mean(), rel=1e-5)


def test_stored_units_are_seen_to():
    stored = [s.with_array(np.round(s.array).astype(np.int16)) for s in SCANS]
    scaled = [dataclasses.replace(s, rescale=fp.Ramp(2.0, -10.0)) for s in stored]
    one = Pipeline([DatasetNormalize(mask=None)]).fit(scaled).steps[0]
    two = Pipeline([Rescale(2.0, -10.0), DatasetNormalize(mask=None)]).fit(stored).steps[1]
    assert one == two and one.mean != Pipeline([DatasetNormalize(mask=None)]).fit(stored).steps[0].mean


@pytest.mark.parametrize("step", LEARNED, ids=lambda s: s.name)
def test_order_of_cases_does_not_matter(step):
    pipeline = Pipeline([step])
    forth, back = pipeline.fit(SCANS), pipeline.fit(SCANS[::-1])
    assert forth.fitted_on.digest == back.fitted_on.digest
    for name in (f.name for f in dataclasses.fields(step)):
        one, other = getattr(forth.steps[0], name), getattr(back.steps[0], name)
        assert one == other or one == pytest.approx(other, rel=1e-12)


@pytest.mark.parametrize("step", LEARNED, ids=lambda s: s.name)
def test_unfitted_refuses_and_fitted_survives_yaml(step):
    pipeline = Pipeline([ZScore(), step])
    with pytest.raises(NotFittedError, match=f"step 2: {step.name} has learned nothing yet: `fastprep fit PIPELINE"):
        pipeline(SCANS[0])
    pipeline = Pipeline([step])
    with pytest.raises(NotFittedError):
        pipeline.plan(SCANS[0].grid)
    fitted = pipeline.fit(SCANS)
    again = Pipeline.from_yaml(fitted.to_yaml())
    assert again == fitted and again.hash == fitted.hash != pipeline.hash
    assert again.fitted_on == fitted.fitted_on and fitted.steps[0].is_fitted and fitted.steps[0].summary()
    np.testing.assert_array_equal(again(SCANS[0]).array, fitted(SCANS[0]).array)


def test_hash_is_what_it_does_not_whom_it_saw():
    fitted = Pipeline([Nyul()]).fit(SCANS)
    assert dataclasses.replace(fitted, fitted_on=None).hash == fitted.hash


def test_record_of_the_cases():
    fitted_on = Pipeline([Nyul()]).fit(SCANS).fitted_on
    assert [case.voxels_sha256 for case in fitted_on.cases] == [voxels_sha256(s.array) for s in SCANS]
    assert fitted_on.saw(voxels=voxels_sha256(SCANS[1].array)).name == "image 2"
    assert fitted_on.saw(voxels=voxels_sha256(scan(9).array)) is None
    assert fitted_on.saw() is None
    # The same numbers in another layout or byte order are the same voxels, of another type they are not.
    x = SCANS[0].array
    assert voxels_sha256(np.asfortranarray(x)) == voxels_sha256(x.astype(">f4")) == voxels_sha256(x)
    assert len({voxels_sha256(a) for a in (x, x.astype(np.float64), x.reshape(6, 12, 10), x[:5])}) == 4


def test_fitted_on_is_of_one_modality():
    scans = [dataclasses.replace(s, modality="MR") for s in SCANS]
    fitted = Pipeline([Nyul()]).fit(scans)
    assert fitted.modality == "MR"
    with pytest.raises(ArgumentError, match="image of modality CT for a pipeline made for MR"):
        fitted(dataclasses.replace(SCANS[0], modality="CT"))
    with pytest.raises(ArgumentError, match="modality CT"):
        Pipeline([Nyul()]).fit([scans[0], dataclasses.replace(SCANS[1], modality="CT")])
    with pytest.raises(ArgumentError, match="made for CT"):
        Pipeline([Nyul()], modality="CT").fit(scans)


def test_what_cannot_be_fitted():
    with pytest.raises(ConfigError, match="no step of the pipeline has anything to learn"):
        Pipeline([ZScore()]).fit(SCANS)
    with pytest.raises(ConfigError, match="or all have learned it"):
        Pipeline([Nyul()]).fit(SCANS).fit(SCANS)
    with pytest.raises(ArgumentError, match="0 training cases came"):
        Pipeline([Nyul()]).fit([])
    with pytest.raises(ArgumentError, match="0 training cases came to dataset_normalize, and 3 to the learned step"):
        Pipeline([Nyul(), DatasetNormalize()]).fit(iter(SCANS))
    with pytest.raises(ArgumentError, match="labels have no intensities"):
        Pipeline([Nyul()]).fit([dataclasses.replace(SCANS[0], kind="label")])
    with pytest.raises(ArgumentError, match="expected an image"):
        Pipeline([Nyul()]).fit([{"t1": SCANS[0]}])


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ("[{nyul: {landmarks: [1, 2]}}]", "expected 11 numbers"),
        ("[{nyul: {percentiles: [9, 1]}}]", "strictly increasing"),
        ("[{dataset_normalize: {mean: 1}}]", "expected all of them, or none"),
        ("[{dataset_normalize: {mean: 1, std: 0, low: 0, high: 1}}]", "std=0"),
        ("[{dataset_normalize: {mean: 1, std: 1, low: 2, high: 1}}]", "lo <= hi"),
        ("[{dataset_normalize: {mask: brain}}]", "mask='brain'"),
        ("[{least_squares_normalize: {standard: [1, 2, 0]}}]", "above 0"),
        ("[{least_squares_normalize: {modality: t3}}]", "modality='t3'"),
    ],
)
def test_steps_say_what_is_wrong(form, message):
    with pytest.raises(ConfigError, match=message):
        Pipeline.from_yaml(f"steps: {form}")


@pytest.mark.parametrize("form", [3, [], {"cases": 3}, {"cases": [{"name": "a"}]}, {"cases": [{"id": "a"}]}])
def test_records_that_are_none(form):
    with pytest.raises(ConfigError, match="fitted_on"):
        TrainingCases.from_dict(form)
    with pytest.raises(ConfigError, match="fitted_on: case 'a': expected SHA-256"):
        TrainingCases.from_dict({"cases": [{"name": "a", "voxels_sha256": "12"}]})


def test_batches_are_volumes():
    batch = fp.Image(np.stack([s.array for s in SCANS]), SCANS[0].grid)
    one, each = Pipeline([Nyul()]).fit([batch]).steps[0], Pipeline([Nyul()]).fit(SCANS).steps[0]
    assert one.landmarks == pytest.approx(each.landmarks, rel=1e-12)


def test_sequences_learn_each_by_themselves():
    fuse = Fuse(sequences={"t1": {"steps": [{"nyul": {}}]}, "flair": {"steps": [{"dataset_normalize": {}}]}})
    pipeline = Pipeline([fuse, CropOrPad((4, 8, 8))])
    subjects = [{"t1": a, "flair": b} for a, b in zip(SCANS, SCANS[::-1], strict=True)]
    with pytest.raises(NotFittedError, match="sequence 't1', step 1: nyul"):
        pipeline(subjects[0])
    fitted = pipeline.fit(subjects)
    t1, flair = (one.steps[0] for one in fitted.fuse.sequences)
    assert t1 == Pipeline([Nyul()]).fit(SCANS).steps[0]
    assert flair == Pipeline([DatasetNormalize()]).fit(SCANS[::-1]).steps[0]
    assert [case.name for case in fitted.fitted_on.cases][::3] == ["image 1, t1", "image 1, flair"]
    assert fitted(subjects[0]).array.shape == (2, 4, 8, 8)
    with pytest.raises(ArgumentError, match="expected a mapping with the sequence 't1'"):
        pipeline.fit(SCANS)
