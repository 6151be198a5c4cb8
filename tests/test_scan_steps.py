"""Steps that look at the scan first: a mask that is found, what is cropped to it, and what is measured inside."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

import numpy as np
import pytest

import fastprep as fp
from fastprep.core.errors import ArgumentError, ConfigError, MaskError, ShapeError
from fastprep.core.grid import Grid
from fastprep.core.image import Image
from fastprep.core.ramp import Ramp
from fastprep.ops._arrays import view_of
from fastprep.pipeline import CropOrPad, CropToMask, Flip, NormalizeInMask, Pipeline, Reorient, Resample, Window, ZScore
from fastprep.pipeline.scan_steps import Look, MaskStep
from fastprep.testing import patient_grid
from fastprep.testing.assertions import to_numpy


@dataclass(frozen=True, kw_only=True)
class Bright(MaskStep):
    """Above a number, wherever that is."""

    above: float = 500.0

    @property
    def what(self):
        return "bright"

    def look(self, scan):
        array = scan.array if scan.rescale.is_identity else fp.rescale(scan.array, scan.rescale.a, scan.rescale.b)
        mask = array > self.above
        if not mask.any():
            raise MaskError("bright: nothing is")
        label = Image(mask, scan.grid, kind="label")
        return Look(label, {"voxels": int(mask.sum())})


# Not in the class body: no step of every pipeline.
Bright.name = "bright"
SHAPE, BOX = (12, 20, 24), (slice(3, 7), slice(8, 15), slice(10, 21))


@pytest.fixture(scope="module")
def scan():
    x = np.random.default_rng(0).normal(0, 30, SHAPE).astype(np.int16)
    x[BOX] += 1000
    return Image(x, patient_grid(SHAPE, (3, 1, 1), axes="SPL"), modality="CT")


def test_a_crop_keeps_every_voxel_where_it_was(scan):
    cropped = Pipeline([Bright(), CropToMask()], dtype=None)(scan)
    np.testing.assert_array_equal(cropped.array, scan.array[BOX])
    np.testing.assert_allclose(cropped.grid.origin, scan.grid.to_world([[3, 8, 10]])[0])
    # Millimetres, up to the next voxel, and never beyond the image.
    wide = Pipeline([Bright(), CropToMask(margin=4)], dtype=None)(scan)
    np.testing.assert_array_equal(wide.array, scan.array[1:9, 4:19, 6:24])
    each = Pipeline([Bright(), CropToMask(margin=(3, 0, 1))], dtype=None)(scan)
    np.testing.assert_array_equal(each.array, scan.array[2:8, 8:15, 9:22])


def test_a_crop_after_other_steps_is_of_the_same_place(scan):
    """Turned and flipped, it is the box itself; resampled, what covers it."""
    turned = Pipeline([Bright(), Reorient("LAI"), CropToMask()], dtype=None)(scan)
    expected = fp.reorient(Pipeline([Bright(), CropToMask()], dtype=None)(scan), "LAI")
    np.testing.assert_array_equal(turned.array, expected.array)
    assert turned.grid.same_as(expected.grid)
    flipped = Pipeline([Bright(), Flip((0, 2)), CropToMask()], dtype=None)(scan)
    np.testing.assert_array_equal(flipped.array, scan.array[BOX][::-1, :, ::-1])
    fine = Pipeline([Bright(), Resample(spacing=(2, 2, 2)), CropToMask()])(scan)
    whole = Pipeline([Resample(spacing=(2, 2, 2))])(scan)
    # Voxel borders 2.5 to 6.5, 7.5 to 14.5 and 9.5 to 20.5 are 3.75 to 9.75, 3.75 to 7.25 and 4.75 to 10.25 there.
    np.testing.assert_array_equal(fine.array, whole.array[4:11, 4:8, 5:11])
    np.testing.assert_allclose(fine.grid.origin, whole.grid.to_world([[4, 4, 5]])[0])


def test_the_rest_is_one_pass(scan):
    steps = [Bright(), CropToMask(margin=2), Reorient("SPL"), Resample(spacing=(1, 1, 1)), Window(0, 400)]
    looked = Pipeline(steps).look(scan)
    assert len(looked.pipeline.plan_for(scan).passes) == 1
    assert looked.found == ({"step": "bright", "voxels": 4 * 7 * 11},)
    direct = Pipeline(steps)(scan)
    np.testing.assert_array_equal(looked.pipeline(scan).array, direct.array)
    by_hand = fp.window(fp.resample(scan.array[2:8, 6:17, 8:23], (3, 1, 1), (1, 1, 1), fill=-1024), 0, 400)
    np.testing.assert_allclose(direct.array, by_hand, atol=1e-6)


def test_labels_go_the_same_way(scan):
    labels = Image((scan.array > 500).astype(np.uint8), scan.grid, kind="label")
    pipeline = Pipeline([Bright(), CropToMask(margin=3), Resample(spacing=(1, 1, 1)), Window(0, 400)])
    looked = pipeline.look(scan)
    moved, mask = looked.pipeline(labels), looked.pipeline(looked.mask)
    assert moved.grid.same_as(looked.pipeline(scan).grid) and moved.array.dtype == np.uint8
    np.testing.assert_array_equal(moved.array, mask.array)
    assert mask.array.dtype == bool
    with pytest.raises(ArgumentError, match=r"not at labels: prepare them with pipeline\.look"):
        pipeline(labels)


def test_statistics_inside_the_mask(scan):
    # Not what a foreground would be: some voxels within it.
    inside = scan.array > 1010
    pipeline = Pipeline([Bright(above=1010), Window(0, 4000, out_range=(0, 8)), ZScore(mask="found")])
    windowed = fp.window(scan.array, 0, 4000, out_range=(0, 8))
    np.testing.assert_allclose(pipeline(scan).array, fp.zscore(windowed, mask=inside), rtol=1e-5, atol=1e-5)
    normal = Pipeline([Bright(above=1010), NormalizeInMask()])(scan)
    assert (normal.array[~inside] == 0).all() and abs(normal.array[inside].mean()) < 1e-6
    # The mask moves with the voxels, as labels do.
    moved = Pipeline(
        [Bright(above=1010), Flip((0,)), Resample(spacing=(1, 1, 1)), NormalizeInMask(), CropOrPad((40, 30, 30))]
    )
    fine = fp.resample(scan.array[::-1], (3, 1, 1), (1, 1, 1), fill=-1024)
    marks = fp.resample(inside[::-1], (3, 1, 1), (1, 1, 1), order="nearest")
    expected = fp.crop_or_pad(fp.normalize_in_mask(fine, marks), (40, 30, 30), fill=0)
    np.testing.assert_allclose(moved(scan).array, expected, atol=1e-5)


def test_batches_and_several_volumes(scan):
    pipeline = Pipeline([Bright(), CropToMask(), CropOrPad((4, 8, 12))])
    other = replace(scan, array=np.ascontiguousarray(scan.array[::-1]))
    both = pipeline.batch([scan, other])
    np.testing.assert_array_equal(both, np.stack([pipeline(scan).array, pipeline(other).array]))
    two = Image(np.stack([scan.array] * 2), scan.grid)
    with pytest.raises(ShapeError, match="bright expects one volume"):
        pipeline(two)


def test_stored_units_are_looked_at_in_physical_ones(scan):
    stored = replace(scan, array=(scan.array + 1024).astype(np.uint16), rescale=Ramp(1.0, -1024.0))
    pipeline = Pipeline([Bright(), CropToMask(margin=2), Window(0, 400)])
    np.testing.assert_allclose(pipeline(stored).array, pipeline(scan).array, atol=1e-6)


def test_nothing_is_found(scan):
    with pytest.raises(MaskError, match="nothing is"):
        Pipeline([Bright(above=5000), CropToMask()])(scan)


def test_a_plan_without_the_scan(scan):
    pipeline = Pipeline([Bright(), CropToMask(), Window(0, 400)])
    plan = pipeline.plan(scan.grid)
    assert plan.grid.shape == SHAPE and "bright looks at the scan first" in str(plan)
    with pytest.raises(ConfigError, match="bright has not seen the scan"):
        plan(scan.array)
    produced = pipeline(scan)
    with pytest.raises(ArgumentError, match="a grid does not tell where this scan was cropped"):
        pipeline.inverse(produced, scan.grid)
    back = pipeline.inverse(produced, pipeline.look(scan).pipeline.plan_for(scan))
    np.testing.assert_allclose(back.array[BOX], produced.array, atol=1e-6)
    assert not back.array[0].any()


def test_order_of_steps():
    with pytest.raises(ConfigError, match="bright looks at the scan as it is: put it before window"):
        Pipeline([Window(0, 400), Bright()])
    with pytest.raises(ConfigError, match="crop_to_mask wants a mask"):
        Pipeline([CropToMask()])
    with pytest.raises(ConfigError, match="zscore wants a mask"):
        Pipeline([ZScore(mask="found")])
    with pytest.raises(ConfigError, match="a pipeline has one mask"):
        Pipeline([Bright(), Bright()])
    for margin in (-1, "wide", np.inf, [1, -2, 3]):
        with pytest.raises(ArgumentError, match="margin"):
            CropToMask(margin=margin)
    with pytest.raises(ConfigError, match="expected one number, or 3"):
        grid = Grid.from_spacing((2, 2, 2), (1, 1, 1))
        Pipeline([Bright(), CropToMask(margin=(1, 2))])(Image(np.full((2, 2, 2), 900.0), grid))
    with pytest.raises(ArgumentError, match="mask=None"):
        NormalizeInMask(mask=None)


def test_sequences_have_no_masks():
    with pytest.raises(ConfigError, match="pipelines of one image"):
        scans = {n: Image(np.ones((3, 4, 5)), Grid.from_spacing((3, 4, 5), (1, 1, 1))) for n in ("a", "b")}
        from fastprep.pipeline.fuse import Fuse, SequenceSteps

        Pipeline([Fuse(sequences=(SequenceSteps("a", (Bright(),)), SequenceSteps("b", ())))])(scans)


def test_a_fit_looks_first(scan):
    """What a learned step sees are the voxels of the mask."""
    from fastprep.pipeline import DatasetNormalize

    steps = [Bright(above=1010), CropToMask(margin=2), DatasetNormalize(percentiles=None, mask="found")]
    fitted = Pipeline(steps).fit([scan])
    inside = scan.array[scan.array > 1010].astype(np.float64)
    step = fitted.steps[-1]
    assert step.mean == pytest.approx(inside.mean(), abs=1e-9) and step.std == pytest.approx(inside.std(), abs=1e-9)


def test_forms_are_plain(scan):
    pipeline = Pipeline([Bright(), CropToMask(margin=(3.0, 0.0, 1.0)), NormalizeInMask(outside=-1.0)])
    json.dumps(pipeline.to_dict())
    json.dumps(pipeline.look(scan).pipeline.to_dict())


@pytest.mark.gpu
def test_a_mask_follows_the_scan_to_a_gpu(gpu, scan):
    """Found on the host, it goes to where the image is looked at."""
    pipeline = Pipeline([Bright(), Window(0, 4000, out_range=(0, 8)), Flip((1,)), ZScore(mask="found")])
    looked = pipeline.look(scan)
    there = looked.pipeline.plan_for(scan)(gpu(scan.array))
    np.testing.assert_allclose(to_numpy(there), pipeline(scan).array, rtol=1e-5, atol=1e-5)
    assert view_of(there).shape == SHAPE
