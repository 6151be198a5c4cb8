from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import emulated
import fastprep as fp
from fastprep import Grid, Image
from fastprep.core.errors import ArgumentError, DTypeError, NonFiniteError, ShapeError
from fastprep.core.ramp import Ramp
from fastprep.testing import chest_ct, labels_on
from fastprep.testing.assertions import assert_same, to_numpy
from layouts import check_layouts, same_error, tolerance, values

TOL = tolerance("normalize_in_mask")
METHODS = ("zscore", "minmax", "robust", "percentile")


def one(x, mask, method, outside):
    """One volume in float64, by NumPy."""
    inside, wide = x[mask != 0].astype(np.float64), x.astype(np.float64)
    if method == "zscore":
        y = (wide - inside.mean()) / inside.std()
    elif method == "robust":
        p25, median, p75 = np.percentile(inside, (25, 50, 75))
        y = (wide - median) / (p75 - p25)
    else:
        low, high = np.percentile(inside, (0, 100) if method == "minmax" else (0.5, 99.5))
        y = np.clip((wide - low) / (high - low), 0, 1)
    return np.where(mask != 0, y, wide if outside == "keep" else 0 if outside == "zero" else outside)


def truth(x, mask, method="zscore", outside="zero", ndim=3):
    out = np.empty(x.shape)
    for index in np.ndindex(x.shape[: x.ndim - ndim]):
        out[index] = one(x[index], mask[index] if mask.shape == x.shape else mask, method, outside)
    return out.astype(x.dtype if x.dtype.kind == "f" else np.float32)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float16", "float32"])
def test_every_dtype_and_layout(backend, put, dtype):
    x, mask = values((2, 5, 6, 7), dtype), put(values((5, 6, 7), "bool", 1))
    expected = truth(x, to_numpy(mask))
    check_layouts(lambda given: fp.normalize_in_mask(given, mask), expected, x, put, backend, tolerance=TOL)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("outside", ["zero", "keep", -3])
@pytest.mark.parametrize("shape", [(30, 40), (3, 5, 6, 7)])
def test_every_method(backend, put, method, outside, shape):
    x, mask = values(shape, "int16"), values(shape, "uint8", 1) // 100
    space = len(shape[-3:])
    for marks in (mask, mask[(0,) * (len(shape) - space)]):
        result = fp.normalize_in_mask(put(x), put(marks), method=method, outside=outside)
        assert_same(result, truth(x, marks, method, outside, space), put(x), tolerance=TOL)


@pytest.mark.parametrize("method", METHODS)
def test_inside_it_is_the_op_of_that_name(method):
    """Bit for bit what the whole image would have become; outside it is exactly 0, or exactly what it was."""
    x, mask = values((7, 30, 41), "float32"), values((7, 30, 41), "bool", 1)
    how = {"out_range": (0, 1)} if method == "percentile" else {}
    whole = getattr(fp, {"percentile": "percentile_clip"}.get(method, method))(x, mask=mask, **how)
    zero = fp.normalize_in_mask(x, mask, method=method)
    kept = fp.normalize_in_mask(x, mask, method=method, outside="keep")
    np.testing.assert_array_equal(zero[mask], whole[mask])
    np.testing.assert_array_equal(kept[mask], whole[mask])
    assert not zero[~mask].any() and kept[~mask].tobytes() == x[~mask].tobytes()


def test_what_it_is_for():
    """Lung of mean 0 and standard deviation 1, and nothing of the air and the body about it."""
    ct = chest_ct((16, 64, 64), (16, 5.6, 5.6), noise=30)
    lung = Image(np.isin(labels_on(ct.grid).array, (8, 9)), ct.grid, kind="label")
    result = fp.normalize_in_mask(ct, lung)
    assert result.grid is ct.grid and result.modality == "CT" and result.kind == "scalar"
    inside = result.array[lung.array].astype(np.float64)
    assert abs(inside.mean()) < 1e-5 and abs(inside.std() - 1) < 1e-5
    assert not result.array[~lung.array].any()
    # What multiplying by the mask first leaves there.
    hu = ct.array.astype(np.float64)
    mean, std = hu[lung.array].mean(), hu[lung.array].std()
    assert ((hu * lung.array - mean) / std)[~lung.array].min() > 25


def test_outside_does_not_matter(backend, put):
    x, mask = values((4, 5, 6), "float32"), values((4, 5, 6), "bool", 1)
    odd = np.where(mask, x, np.nan).astype(np.float32)
    odd[~mask & (np.arange(6) % 2 == 0)] = np.inf
    plain, found = (fp.normalize_in_mask(put(v), put(mask)) for v in (x, odd))
    np.testing.assert_array_equal(to_numpy(found), to_numpy(plain))
    kept = to_numpy(fp.normalize_in_mask(put(odd), put(mask), outside="keep"))
    np.testing.assert_array_equal(kept[~mask], odd[~mask])
    assert to_numpy(fp.normalize_in_mask(put(odd), put(mask), dtype="int16"))[~mask].any() == 0


def test_ranges(backend, put):
    x, mask = values((6, 7, 8), "int16"), values((6, 7, 8), "bool", 1)
    found = fp.normalize_in_mask(put(x), put(mask), method="minmax", out_range=(1, 255), dtype="uint8")
    inside = x[mask].astype(float)
    expected = np.where(mask, np.rint(1 + 254 * (x - inside.min()) / np.ptp(inside)).clip(1, 255), 0)
    assert_same(found, expected.astype(np.uint8), put(x), tolerance=0, scale=1.0)
    low, high = np.percentile(x[mask], (10, 80))
    found = to_numpy(fp.normalize_in_mask(put(x), put(mask), method="percentile", percentiles=(10, 80)))
    np.testing.assert_allclose(found[mask], ((x - low) / (high - low)).clip(0, 1)[mask], atol=1e-6)


def test_stored_values(backend, put):
    """A rescale still to be done comes first, and what is kept is in physical units too."""
    x, mask, grid = values((5, 6, 7), "uint16"), values((5, 6, 7), "bool", 1), Grid.from_spacing((5, 6, 7), (2, 1, 1))
    stored = Image(put(x), grid, rescale=Ramp(-0.5, 31))
    result = fp.normalize_in_mask(stored, Image(put(mask), grid, kind="label"), outside="keep")
    assert result.rescale.is_identity
    physical = x * np.float32(-0.5) + 31
    assert_same(result.array, truth(physical, mask, outside="keep"), put(x), tolerance=TOL)


@given(st.floats(-1e3, 1e3), st.floats(0.01, 100), st.integers(0, 99), st.sampled_from(METHODS))
@settings(max_examples=15)
def test_scale_and_offset_make_no_difference(offset, scale, seed, method):
    x, mask = values((4, 5, 6), "float64", seed), values((4, 5, 6), "bool", seed + 1)
    one, two = (fp.normalize_in_mask(v, mask, method=method) for v in (x, x * scale + offset))
    np.testing.assert_allclose(two, one, atol=1e-8 * (1 + abs(offset) / scale))


def test_libraries(xp):
    x, mask = values((5, 6, 7), "int16"), values((5, 6, 7), "bool", 1)
    given_ = xp.asarray(x)
    assert_same(fp.normalize_in_mask(given_, xp.asarray(mask)), truth(x, mask), given_, tolerance=TOL)


@pytest.mark.gpu
def test_bits_are_those_of_the_cpu(gpu):
    for dtype in ("int16", "float32"):
        x, mask = values((2, 7, 30, 41), dtype), values((2, 7, 30, 41), "bool", 1)
        for how in ({}, {"outside": "keep"}, {"method": "percentile"}):
            found = to_numpy(fp.normalize_in_mask(gpu(x), gpu(mask), **how))
            np.testing.assert_array_equal(found, fp.normalize_in_mask(x, mask, **how))


def test_a_batch_is_one_launch(driver):
    x, mask = emulated.put(values((4, 3, 5, 6), "int16")), emulated.put(values((3, 5, 6), "bool", 1))
    fp.normalize_in_mask(x, mask)
    launched = [what[0].partition("<")[0] for kind, what in driver.log if kind == "launch"]
    assert launched.count("moments") == launched.count("masked_ramp") == 1


def test_errors(backend, put):
    x = values((3, 4, 5), "float32")
    mask, none, single = (np.zeros((3, 4, 5), bool) for _ in range(3))
    mask[1] = single[1, 2, 3] = True
    odd = x.copy()
    odd[1, 0, :2] = np.nan

    def run(x, mask, **how):
        return lambda: fp.normalize_in_mask(put(x), put(mask), **how)

    same_error(run(x, none), ArgumentError, "mask holds no voxel")
    same_error(run(odd, mask), NonFiniteError, "x holds 2 values inside the mask")
    for method in ("zscore", "minmax"):
        same_error(run(x, single, method=method), ArgumentError, "x is constant inside the mask")
    same_error(run(x, single, method="robust"), ArgumentError, "interquartile range of 0")
    same_error(run(x, single, method="percentile"), ArgumentError, "both percentiles")
    same_error(run(x, mask[:2]), ShapeError, r"mask of shape \(2, 4, 5\)")
    same_error(run(x, mask.astype(np.float32)), DTypeError, "mask of dtype float32")
    same_error(run(x, mask, method="mean"), ArgumentError, "method='mean': expected one of zscore")
    for outside in ("air", np.nan, np.inf):
        same_error(run(x, mask, outside=outside), ArgumentError, "outside=.*expected 'zero', 'keep'")
    same_error(run(x, mask, out_range=(1, 0)), ArgumentError, "out_range")
    same_error(run(x, mask, percentiles=(99, 1)), ArgumentError, "expected percentiles from 0 to 100")
    with pytest.raises(DTypeError, match="NoneType"):
        fp.normalize_in_mask(x, None)
