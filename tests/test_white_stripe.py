from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

import fastprep as fp
from fastprep import Grid, Image
from fastprep.core.density import modes
from fastprep.core.errors import ArgumentError, NonFiniteError, ShapeError
from fastprep.core.ramp import Ramp
from fastprep.testing.assertions import assert_same, to_numpy
from layouts import check_layouts, same_error, tolerance
from normaliser_cases import MEANS, brain, standardised
from oracles import intensity_normalization_mode, statsmodels_density
from test_density import distribution

TOL = tolerance("white_stripe")


def check(found, x, mask, width=(0.05, 0.05)):
    """All numbers of the result, from its bandwidth and the voxels themselves: density, share, quantiles, moments."""
    v = x[mask].astype(np.float64)
    h = found.bandwidth
    near = found.mode + np.linspace(-h / 2, h / 2, 101)
    top = near[np.argmax(statsmodels_density(v, h, near))]
    assert abs(top - found.mode) < 0.02 * h
    below = norm.cdf((found.mode - v) / h).mean()
    low, high = np.percentile(v, [100 * max(below - width[0], 0), 100 * min(below + width[1], 1)])
    np.testing.assert_allclose(found.bounds, (low, high), rtol=1e-5)
    stripe = mask & (x.astype(np.float64) > found.bounds[0]) & (x.astype(np.float64) < found.bounds[1])
    assert found.voxels == stripe.sum() > 50
    assert found.mean == pytest.approx(x[stripe].mean(dtype=np.float64), rel=1e-9)
    assert found.std == pytest.approx(x[stripe].std(dtype=np.float64), rel=1e-7)
    return stripe, standardised(x, 1 / found.std, -found.mean / found.std)


@pytest.mark.parametrize("dtype", ["uint8", "int32", "float32"])
def test_it_is_what_it_says(backend, put, dtype):
    x, mask = brain(dtype=dtype)
    found = fp.white_stripe(put(x), mask=put(mask))
    stripe, y = check(found, x, mask)
    assert abs(found.mode - MEANS["t1"][2]) < 3
    assert_same(found.normalized, y, put(x), tolerance=TOL)
    assert_same(found.stripe, stripe, put(x), tolerance=0)
    assert found.ramp == Ramp(1 / found.std, -found.mean / found.std)


@pytest.mark.parametrize("modality", ["t1", "t2", "flair", "pd"])
def test_white_matter_of_each_modality(backend, put, modality):
    # Most of the brain, for where it is the highest mode.
    x, mask = brain(modality, shares=(15, 30, 55))
    found = fp.white_stripe(put(x), mask=put(mask), modality=modality)
    assert abs(found.mode - MEANS[modality][2]) < 3
    assert abs(found.mean - found.mode) < 3
    assert [m.value for m in found.modes] == sorted(m.value for m in found.modes)


def test_layouts(backend, put):
    x, mask = brain(dtype="float32", shape=(10, 13, 12))
    where = put(mask)
    truth = standardised(x, *fp.white_stripe(x, mask=mask).ramp.to_tuple()[:2])
    check_layouts(lambda v: fp.white_stripe(v, mask=where).normalized, truth, x, put, backend, tolerance=TOL)


def test_a_slice_and_the_default_mask(backend, put):
    x, mask = brain(dtype="float32", shape=(60, 70))
    x[0, 0] = 150
    found = fp.white_stripe(put(x))
    given = to_numpy(fp.foreground_mask(put(x)))
    assert given[~mask].sum() == 0 and given[mask].mean() > 0.8
    check(found, x, given)
    assert_same(found.stripe, to_numpy(fp.white_stripe(put(x), mask=put(given)).stripe), put(x), tolerance=0)


def test_sides_of_their_own(backend, put):
    """A side of 0 is 0, not the default."""
    x, mask = brain(dtype="float32")
    for low, high in ((0.0, 0.1), (0.08, 0.0), (1.0, 1.0)):
        found = fp.white_stripe(put(x), mask=put(mask), width_low=low, width_high=high)
        check(found, x, mask, (low, high))
    both = fp.white_stripe(put(x), mask=put(mask), width=0.08)
    check(both, x, mask, (0.08, 0.08))


@pytest.mark.parametrize(("scale", "offset"), [(3.7, 0.0), (0.01, -5.0), (1000.0, 1e4)])
def test_units_make_no_difference(scale, offset):
    x, mask = brain(dtype="float64")
    one = fp.white_stripe(x, mask=mask)
    other = fp.white_stripe(x * scale + offset, mask=mask)
    np.testing.assert_allclose(other.normalized, one.normalized, atol=1e-7)
    assert other.bandwidth == pytest.approx(one.bandwidth * scale)


def test_images(backend, put):
    x, mask = brain(dtype="int16")
    grid = Grid.from_spacing(x.shape, (2, 1, 1))
    found = fp.white_stripe(Image(put(x), grid, modality="MR"), mask=Image(put(mask), grid, kind="label"))
    assert found.normalized.grid is grid and found.normalized.modality == "MR" and found.normalized.kind == "scalar"
    assert found.stripe.kind == "label" and found.stripe.grid is grid
    stripe, y = check(found, x, mask)
    assert_same(found.normalized.array, y, put(x), tolerance=TOL)
    assert_same(found.stripe.array, stripe, put(x), tolerance=0)
    # Stored values become physical ones first.
    turned = fp.white_stripe(Image(put(x), grid, rescale=Ramp(-0.5, 200)), mask=put(mask), modality="pd")
    assert turned.normalized.rescale.is_identity
    check(turned, (x * -0.5 + 200).astype(np.float32), mask)


def test_libraries(xp):
    x, mask = brain(dtype="float32", shape=(8, 13, 12))
    given = xp.asarray(x)
    found = fp.white_stripe(given, mask=xp.asarray(mask))
    stripe, y = check(found, x, mask)
    assert_same(found.normalized, y, given, tolerance=TOL)
    assert_same(found.stripe, stripe, given, tolerance=0)


def test_errors(backend, put):
    x, mask = brain(dtype="float32")
    where, odd, zeros = put(mask), x.copy(), np.where(mask, x, 0)
    odd[mask & (x > 160)] = np.nan
    bad = int(np.isnan(odd).sum())

    def fails(error, match, given=x, **how):
        same_error(lambda: fp.white_stripe(put(given), **{"mask": where, **how}), error, match)

    fails(ArgumentError, "modality='T1': expected one of 't1', 'fa', 't2'", modality="T1")
    fails(ArgumentError, r"width=\(0.0, 0.0\): expected shares", width=0.0)
    fails(ArgumentError, r"width=\(0.05, 2\): expected shares", width_high=2)
    fails(ArgumentError, r"width=\(nan, nan\)", width=float("nan"))
    fails(ArgumentError, "the stripe between .* holds fewer than 2 values", width=1e-9)
    # Whole numbers so narrow that one alone lies between the bounds.
    whole, brain_ = brain("pd", "int16", shares=(15, 30, 55))
    fails(
        ArgumentError, "the stripe between 79 and 81 holds fewer than 2 values", whole, mask=put(brain_), modality="pd"
    )
    fails(ArgumentError, "bandwidth=0: expected a finite number above 0", bandwidth=0)
    fails(ArgumentError, "bandwidth=999.0: expected less than the range of x", bandwidth=999.0)
    fails(ArgumentError, "mask holds no voxel", mask=put(np.zeros_like(mask)))
    fails(ArgumentError, "x is constant inside the mask, 3", np.full_like(x, 3))
    fails(NonFiniteError, f"x holds {bad} values inside the mask that are NaN", odd)
    fails(ShapeError, r"x of shape \(2, 20, 24, 26\): expected one volume; loop over a batch", np.stack([x, x]))
    fails(ShapeError, r"mask of shape \(19, 24, 26\)", mask=put(mask[1:]))
    # Zeros around a stripped brain are the highest mode, and at the edge.
    fails(
        ArgumentError, "the largest mode of x, .*, is at the edge of its values", zeros, modality="t2", mask=put(x > -1)
    )
    fails(
        ArgumentError, "the first mode of x, .* Give a mask without background", zeros, modality="pd", mask=put(x > -1)
    )
    # What a scanner cut off piles up at the other.
    cut = np.minimum(x, 150)
    fails(ArgumentError, "the last mode of x, .*, is at the edge", cut)


# Scans

SCANS = [("t1_head", "t1"), ("stroke/T1", "t1"), ("stroke/FLAIR", "flair"), ("stroke/T2", "t2")]


@pytest.fixture(scope="module", params=SCANS, ids=lambda p: p[0])
def scan(request, data):
    name, modality = request.param
    x = fp.load(data / "mri" / f"{name}.nii.gz").array
    return x, fp.foreground_mask(x), modality


def test_the_mode_is_that_of_intensity_normalization(scan):
    x, mask, modality = scan
    found = fp.white_stripe(x, mask=mask, modality=modality)
    theirs, bandwidth = intensity_normalization_mode(x[mask], modality)
    assert abs(found.mode - theirs) < bandwidth


def test_a_scan_in_other_units_becomes_the_same(scan):
    x, mask, modality = scan
    one = fp.white_stripe(x, mask=mask, modality=modality)
    other = fp.white_stripe((x * 3.7 + 10).astype(np.float32), mask=mask, modality=modality)
    # Values in 65536 bins move the mode by a hundredth of a step, which the bounds, values of the image, do not see.
    assert (other.mode - 10) / 3.7 == pytest.approx(one.mode, abs=0.02 * one.bandwidth)
    assert other.voxels == one.voxels
    # What is left is the rounding of float32, in the input's units and in the result's.
    np.testing.assert_allclose(other.normalized, one.normalized, rtol=0, atol=2e-6 * np.ptp(one.normalized))
    assert np.unique(other.normalized).size == np.unique(x).size
    assert 0 < other.stripe.sum() == one.voxels < 0.15 * mask.sum()
    # Of one tissue: values around one mode.
    inside = x[one.stripe]
    assert len(modes(distribution(inside, 1 << 12), one.bandwidth)) == 1
    assert inside.min() < one.mode < inside.max()
