from __future__ import annotations

import numpy as np
import pytest

import fastprep as fp
from fastprep import Grid, Image
from fastprep.core.errors import ArgumentError, NonFiniteError, ShapeError
from fastprep.core.fuzzy import memberships
from fastprep.core.ramp import Ramp
from fastprep.testing.assertions import assert_same, to_numpy
from layouts import same_error, tolerance
from normaliser_cases import MEANS, brain, standardised
from oracles import skfuzzy_means

TOL = tolerance("fcm_normalize")


@pytest.mark.parametrize(("dtype", "classes"), [("uint8", 3), ("int16", 4), ("int32", 3), ("float32", 4)])
def test_it_is_scikit_fuzzys(backend, put, dtype, classes):
    """From the same start; of floats, whose values are put into bins, within what the docstring says."""
    x, mask = brain(dtype=dtype)
    v = x[mask].astype(np.float64)
    start = np.percentile(v, np.linspace(10, 90, classes))
    found = fp.fcm_normalize(put(x), mask=put(mask), classes=classes, tissue=classes - 1, centers=start.tolist())
    centers, shares, done = skfuzzy_means(v, memberships(v, start), 0.005, 50)
    exact = dtype in ("uint8", "int16")
    close = 1e-9 if exact else np.ptp(v) / 131072 / v.mean()
    assert abs(found.iterations - done) <= (0 if exact else 1)
    np.testing.assert_allclose(found.centers, centers, rtol=close)
    np.testing.assert_allclose(found.means, [np.average(v, weights=u) for u in shares], rtol=close)
    assert found.mean == found.means[-1]
    assert_same(found.normalized, standardised(x, 1 / found.mean), put(x), tolerance=TOL)


def test_without_a_start(backend, put):
    """Quantiles: nothing is drawn, and it is the same fixed point."""
    x, mask = brain(dtype="uint8")
    one = fp.fcm_normalize(put(x), mask=put(mask), tolerance=1e-6, iterations=500)
    other = fp.fcm_normalize(put(x), mask=put(mask), tolerance=1e-6, iterations=500, centers=(20, 60, 200))
    np.testing.assert_allclose(one.centers, other.centers, rtol=1e-8)
    assert one.change < 1e-6 and one.iterations < 500
    np.testing.assert_allclose(one.centers, MEANS["t1"], atol=5)


@pytest.mark.parametrize("modality", ["t1", "t2", "flair"])
@pytest.mark.parametrize("tissue", ["csf", "gm", "wm"])
def test_tissues_by_modality(backend, put, modality, tissue):
    x, mask = brain(modality, "uint8")
    found = fp.fcm_normalize(put(x), mask=put(mask), tissue=tissue, modality=modality, norm=100.0)
    assert abs(found.mean - MEANS[modality][("csf", "gm", "wm").index(tissue)]) < 6
    assert found.ramp == Ramp(100 / found.mean)


def test_a_tissue_found_elsewhere(backend, put):
    x, mask = brain(dtype="int16")
    white = mask & (x > 125)
    found = fp.fcm_normalize(put(x), mask=put(white), classes=1)
    assert found.mean == pytest.approx(x[white].mean(dtype=np.float64), rel=1e-12)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_memberships(backend, put, dtype):
    x, mask = brain(dtype=dtype)
    found = fp.fcm_normalize(put(x), mask=put(mask))
    truth = np.zeros((3, *x.shape), np.float32)
    truth[:, mask] = memberships(x[mask].astype(np.float64), np.array(found.centers))
    for k, tissue in enumerate(("csf", "gm", "wm")):
        assert_same(found.membership(tissue), truth[k], put(x), tolerance=1e-6)
    same_error(lambda: found.membership("bone"), ArgumentError, "tissue='bone': expected a number from 0 to 2")
    # What is on a centre is of that class alone; and a view that is not contiguous.
    flat = np.repeat(np.array([30, 90, 150, 30, 90, 150], np.uint8), 2).reshape(3, 4)[:, ::-1]
    even = fp.fcm_normalize(put(flat), mask=put(flat > 0))
    assert to_numpy(even.membership(2)).round(6).tolist() == (flat == 150).astype(float).tolist()


def test_images_and_the_default_mask(backend, put):
    x, _ = brain(dtype="int16")
    grid = Grid.from_spacing(x.shape, (2, 1, 1))
    found = fp.fcm_normalize(Image(put(x), grid, rescale=Ramp(0.5, 1.0)))
    wide = (x * 0.5 + 1).astype(np.float32)
    assert found.normalized.grid is grid and found.normalized.rescale.is_identity
    assert found.membership("gm").grid is grid and found.membership("gm").kind == "scalar"
    again = fp.fcm_normalize(put(wide), mask=fp.foreground_mask(put(wide)))
    assert_same(found.normalized.array, to_numpy(again.normalized), put(x), tolerance=0)


def test_libraries(xp):
    x, mask = brain(dtype="float32", shape=(8, 13, 12))
    found = fp.fcm_normalize(xp.asarray(x), mask=xp.asarray(mask))
    assert_same(found.normalized, standardised(x, 1 / found.mean), xp.asarray(x), tolerance=TOL)


def test_errors(backend, put):
    x, mask = brain(dtype="float32")
    odd, few = np.where(x > 155, np.nan, x), np.where(x > 100, 9, 1).astype(np.uint8)

    def fails(error, match, given=x, **how):
        same_error(lambda: fp.fcm_normalize(put(given), **{"mask": put(mask), **how}), error, match)

    fails(ArgumentError, "x has 2 values inside the mask: expected at least as many as classes=3", few)
    fails(ArgumentError, "tissue='bone': expected a number from 0 to 2, 'csf', 'gm' or 'wm'", tissue="bone")
    fails(ArgumentError, "tissue='wm': expected a number from 0 to 3$", classes=4)
    fails(ArgumentError, "tissue=3: expected", tissue=3)
    fails(ArgumentError, "classes=0: expected a whole number from 1 to 16", classes=0)
    fails(ArgumentError, "modality='ct': expected one of 't1'", modality="ct")
    fails(ArgumentError, "norm=-1: expected", norm=-1)
    fails(ArgumentError, "tolerance=0: expected", tolerance=0)
    fails(ArgumentError, "iterations=0: expected", iterations=0)
    fails(ArgumentError, r"centers=\(1, 2\): expected a number for each of 3 classes", centers=(1, 2))
    fails(ArgumentError, "no two alike", centers=(1, 2, 2))
    fails(ArgumentError, "the mean of the tissue is -.*, expected one above 0", x - 300)
    fails(ArgumentError, "mask holds no voxel", mask=put(np.zeros_like(mask)))
    fails(NonFiniteError, "inside the mask that are NaN or infinite", odd)
    fails(ShapeError, "expected one volume", np.stack([x, x]))


def test_a_head(data):
    """Inside a real foreground: what scikit-fuzzy finds from the same start, on a part of it."""
    x = fp.load(data / "mri" / "t1_head.nii.gz").array[80:82]
    mask = fp.foreground_mask(x)
    v = x[mask].astype(np.float64)
    start = np.percentile(v, (10, 50, 90))
    centers, _, done = skfuzzy_means(v, memberships(v, start), 0.005, 50)
    found = fp.fcm_normalize(x, mask=mask)
    assert found.iterations == done
    np.testing.assert_allclose(found.centers, centers, rtol=1e-6)
