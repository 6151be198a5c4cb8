from __future__ import annotations

import importlib

import numpy as np
import pytest
import scipy.ndimage as ndi

import fastprep as fp
from fastprep import Grid, Image
from fastprep.core.errors import ArgumentError, GeometryError, NonFiniteError, ShapeError
from fastprep.core.ramp import Ramp
from fastprep.ops._arrays import view_of
from fastprep.testing.assertions import assert_same, to_numpy
from layouts import check_layouts, same_error, tolerance, values

TOL = tolerance("local_normalize")


def truth(x, widths, mask=None, floor=0.01):
    """SciPy's box filter of the mask, of x inside it, and of its square: of one volume, in float64."""
    inside = np.ones(x.shape) if mask is None else (mask != 0).astype(np.float64)
    wide = x.astype(np.float64)
    shift, spread = wide[inside > 0].mean(), wide[inside > 0].std()
    d = np.where(inside > 0, wide - shift, 0)
    # A window that ends at the border is one with zeros beyond; wide ones are larger than the image.
    n, m, q = (ndi.uniform_filter(v, widths, mode="constant") * np.prod(widths) for v in (inside, d, d * d))
    n = np.rint(n)
    some = np.where(n > 0, n, 1)
    s = np.sqrt(np.maximum(q / some - (m / some) ** 2, 0))
    s = np.maximum(np.where(s < 1e-6 * spread, 0, s), floor * spread)
    y = np.where((n > 0) & (s > 0), (wide - shift - m / some) / np.where(s > 0, s, 1), 0)
    return y.astype(x.dtype if x.dtype.kind == "f" else np.float32)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int16", "int64", "float16", "float32", "float64"])
def test_every_dtype_and_layout(backend, put, dtype):
    x = values((5, 6, 9), dtype)
    check_layouts(lambda v: fp.local_normalize(v, window=3), truth(x, (3, 3, 3)), x, put, backend, tolerance=TOL)


@pytest.mark.parametrize(
    ("shape", "window", "widths"),
    [
        ((30, 41), 5, (5, 5)),
        ((9, 70, 11), (3, 21, 5), (3, 21, 5)),
        ((9, 10, 11), (1, 99, 4), (1, 99, 5)),
        ((40, 7, 6), (7, 1, 2), (7, 1, 3)),
        ((1, 20, 21), 7.9, (7, 7, 7)),
        ((6, 1, 5), 0.3, (1, 1, 1)),
    ],
)
def test_windows(backend, put, shape, window, widths):
    """An even number of voxels becomes the next odd one."""
    x, mask = values(shape, "float32"), values(shape, "float32", 1) > 400
    for marks in (None, mask):
        for floor in (0.01, 0.7):
            given = None if marks is None else put(marks)
            result = fp.local_normalize(put(x), window=window, mask=given, floor=floor, spacing=(1.0,) * len(shape))
            expected = truth(x, widths, marks, floor)
            assert_same(result, expected, put(x), tolerance=TOL, scale=max(1.0, float(np.abs(expected).max())))


def test_mm_are_voxels_by_the_spacing(backend, put):
    x, spacing = values((9, 12, 13), "int16"), (3.0, 0.9, 1.0)
    expected = truth(x, (3, 11, 11))
    assert_same(fp.local_normalize(put(x), window=10, spacing=spacing), expected, put(x), tolerance=TOL)
    image = Image(put(x), Grid.from_spacing(x.shape, spacing), modality="MR")
    result = fp.local_normalize(image, window=10)
    assert result.grid is image.grid and result.modality == "MR"
    assert_same(result.array, expected, put(x), tolerance=TOL)
    turned = fp.local_normalize(Image(put(x), image.grid, rescale=Ramp(-0.5, 7)), window=(10, 10, 10))
    assert turned.rescale.is_identity
    assert_same(turned.array, -expected, put(x), tolerance=TOL)


def test_volumes_of_a_batch(backend, put):
    x, mask = values((2, 3, 5, 6, 7), "int16"), values((5, 6, 7), "bool", 1)
    x[1] = x[1] // 9 + 400
    many = np.stack([np.stack([np.roll(mask, i + 3 * j) for i in range(3)]) for j in range(2)])
    for marks in (mask, many):
        result = fp.local_normalize(put(x), window=3, mask=put(marks), floor=1)
        each = np.broadcast_to(marks, x.shape)
        expected = np.empty(x.shape, np.float32)
        for i in np.ndindex(x.shape[:2]):
            expected[i] = truth(x[i], (3, 3, 3), each[i], floor=1)
        assert_same(result, expected, put(x), tolerance=TOL)


def test_flat_parts_are_held_at_the_floor(backend, put):
    """Air of a tenth of the floor stays small; without a floor it is as strong as tissue, and without noise 0."""
    rng = np.random.default_rng(0)
    x = np.where(np.arange(40) < 20, rng.normal(0, 0.4, (6, 30, 40)), rng.normal(500, 100, (6, 30, 40)))
    held, free = (to_numpy(fp.local_normalize(put(x), window=5, floor=floor)) for floor in (0.01, 0))
    assert held[..., :17].std() < 0.25 and 0.8 < free[..., :17].std() < 1.2
    assert 0.8 < held[..., 23:].std() < 1.2
    x[..., :20] = -1000.1
    for dtype in ("float64", "float32"):
        flat = to_numpy(fp.local_normalize(put(x.astype(dtype)), window=5, floor=0))
        assert (flat[..., :18] == 0).all() and (flat[..., 18:] != 0).mean() > 0.99


def test_outside_the_mask(backend, put):
    """What is near is normalised by those inside, NaN stays NaN, and what is far is 0."""
    x, mask = values((5, 6, 20), "float32"), np.zeros((5, 6, 20), bool)
    mask[..., :5] = True
    x[0, 0, 6], x[0, 0, 15] = np.nan, np.inf
    result = to_numpy(fp.local_normalize(put(x), window=5, mask=put(mask)))
    expected = truth(np.nan_to_num(x, posinf=0), (5, 5, 5), mask)
    assert np.isnan(result[0, 0, 6]) and (result[..., 7:] == 0).all() and (expected[1:, :, 5:7] != 0).all()
    result[0, 0, 6] = expected[0, 0, 6]
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-5)


def test_shading_is_no_matter(backend, put):
    """A lesion keeps its contrast where a coil gives a fifth of the signal."""
    x = np.random.default_rng(1).normal(1, 0.03, (3, 40, 90))
    x[:, 18:22, 10:14] = x[:, 18:22, 76:80] = 1.3
    shaded = (x * np.geomspace(1000, 200, 90)).astype(np.float32)
    result = to_numpy(fp.local_normalize(put(shaded), window=(3, 21, 21)))
    near, far = result[:, 18:22, 10:14].mean(), result[:, 18:22, 76:80].mean()
    assert near > 2 and far > 2 and abs(near / far - 1) < 0.1


def test_a_large_mean_costs_no_digits(backend, put):
    x = values((6, 7, 8), "float64") / 500
    expected = truth(x, (3, 3, 3))
    np.testing.assert_allclose(to_numpy(fp.local_normalize(put(x + 2.0**20), window=3)), expected, atol=1e-8)


def test_libraries(xp):
    x, mask = values((5, 6, 7), "int16"), values((5, 6, 7), "bool", 1)
    given = xp.asarray(x)
    result = fp.local_normalize(given, window=3, mask=xp.asarray(mask))
    assert_same(result, truth(x, (3, 3, 3), mask), given, tolerance=TOL)


def test_any_number_of_threads():
    x, mask = values((2, 5, 300, 20), "float32"), values((5, 300, 20), "bool", 1)
    try:
        found = []
        for n in (1, 2, 5):
            fp.set_num_threads(n)
            found.append(fp.local_normalize(x, window=9, mask=mask))
    finally:
        fp.set_num_threads(None)
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


@pytest.mark.gpu
def test_integers_have_the_bits_of_the_cpu(gpu):
    """Their sums are exact, in whatever order."""
    x, mask = values((5, 40, 21), "int16"), values((5, 40, 21), "bool", 1)
    for marks in (None, mask):
        there = fp.local_normalize(gpu(x), window=7, mask=None if marks is None else gpu(marks))
        np.testing.assert_array_equal(to_numpy(there), fp.local_normalize(x, window=7, mask=marks))


@pytest.mark.gpu
def test_planes_at_a_time(gpu, monkeypatch):
    x = values((2, 37, 5, 6), "float32")
    whole = to_numpy(fp.local_normalize(gpu(x), window=5))
    monkeypatch.setattr("fastprep.kernels.gpu.local_normalize._AT_ONCE", 18 * 30 + 1)
    np.testing.assert_allclose(to_numpy(fp.local_normalize(gpu(x), window=5)), whole, atol=1e-6)


def test_errors(backend, put):
    x = values((3, 4, 5), "float32")
    odd, grid = x.copy(), Grid.from_spacing((3, 4, 5), (1, 1, 1))
    odd[0, 0, :3] = np.nan
    none = np.zeros((3, 4, 5), bool)

    def fails(error, match, given=x, **how):
        same_error(lambda: fp.local_normalize(put(given), **how), error, match)

    fails(NonFiniteError, "x holds 3 values that are NaN or infinite", odd)
    fails(ArgumentError, "mask holds no voxel", mask=put(none))
    fails(ArgumentError, "x is constant, 2", np.full((3, 4), 2))
    fails(ShapeError, r"mask of shape \(2, 4, 5\)", mask=put(none[:2]))
    for window in (0, -1, np.nan, np.inf, (3, 3), (3, 0, 3)):
        fails(ArgumentError, r"window=.*: expected a number above 0, or 3 of them", window=window)
    for floor in (-0.1, np.nan, np.inf):
        fails(ArgumentError, "floor=.*: expected a number of at least 0", floor=floor)
    elsewhere = Image(put(~none), Grid.from_spacing((3, 4, 5), (2, 1, 1)), kind="label")
    same_error(lambda: fp.local_normalize(Image(put(x), grid), mask=elsewhere), GeometryError, "expected the grid of x")


def test_the_kernel_is_that_of_every_backend(backend, put):
    """A center far from the mean, a reach beyond the image, and volumes with a floor each."""
    x = values((2, 4, 5, 6), "float64")
    kernel = importlib.import_module(f"fastprep.kernels.{backend}.local_normalize").local_normalize
    out = put(np.empty(x.shape))
    stds = np.array([1.0, 1e4])
    kernel(view_of(put(x)), view_of(out), None, (9, 1, 9), np.array([0.0, 300.0]), stds, 1.0)
    expected = np.stack([truth(v, (19, 3, 19), floor=s / v.std()) for v, s in zip(x, stds, strict=True)])
    np.testing.assert_allclose(to_numpy(out), expected, atol=1e-10)
