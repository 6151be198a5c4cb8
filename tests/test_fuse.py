from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastprep as fp
from fastprep import Grid, Image, Ramp
from fastprep.core.errors import ArgumentError, DeviceError, NonFiniteError, ShapeError
from fastprep.ops.fuse import METHODS
from fastprep.testing.assertions import assert_same, to_numpy
from layouts import check_layouts, same_error, tolerance, values

TOLERANCE = tolerance("fuse")
SHAPE = (3, 5, 6, 7)


def weighted(x, weights=None, mask=None):
    """NumPy's weighted mean, and its variances for weights."""
    inside = x.reshape(len(x), -1) if mask is None else x[:, mask != 0]
    w = inside.astype(np.float64).var(axis=1) if weights is None else np.array(weights, float)
    y = np.average(x.astype(np.float64), axis=0, weights=w)
    return y.astype(x.dtype if x.dtype.kind == "f" else np.float32), w / w.sum()


def pca(x, mask=None):
    """NumPy's covariance and its eigenvectors."""
    inside = (x.reshape(len(x), -1) if mask is None else x[:, mask != 0]).astype(np.float64)
    eigenvalues, vectors = np.linalg.eigh(np.cov(inside, ddof=0))
    v = vectors[:, -1] * np.sign(vectors[0, -1])
    y = np.einsum("k,k...->...", v, x.astype(np.float64) - inside.mean(axis=1).reshape(-1, *[1] * (x.ndim - 1)))
    return y.astype(x.dtype if x.dtype.kind == "f" else np.float32), v, eigenvalues[-1] / eigenvalues.sum()


def sequences(shape=(20, 30, 40), seed=0):
    """What T1, T2 and FLAIR of one brain are to each other: one anatomy in three contrasts, and noise."""
    rng = np.random.default_rng(seed)
    anatomy = np.cumsum(rng.standard_normal(shape), axis=-1)
    noise = rng.standard_normal((3, *shape))
    x = (
        np.stack([500 + 40 * anatomy, 300 - 25 * anatomy, 200 + 9 * anatomy])
        + np.array([5, 9, 30]).reshape(3, *[1] * len(shape)) * noise
    )
    return x.astype(np.float32), anatomy


@pytest.mark.parametrize("dtype", ["bool", "int16", "uint32", "float16", "float32", "float64"])
def test_every_dtype_and_layout(backend, put, dtype):
    x = values(SHAPE, dtype)
    y, _ = weighted(x)
    scale = float(abs(x.astype(float)).max())
    check_layouts(lambda a: fp.fuse(a).image, y, x, put, backend, tolerance=TOLERANCE, scale=scale)


@pytest.mark.parametrize("dtype", ["int16", "float32", "float64"])
@pytest.mark.parametrize("shape", [(2, 9, 8), (3, 5, 6, 7), (5, 1, 6, 7), (16, 4, 5, 6)])
def test_pca_of_numpy(backend, put, dtype, shape):
    x = values(shape, dtype)
    x[1] = x[1] // 2 + x[0] // 4
    mask = values(shape[1:], "bool", 1)
    for marks in (None, mask):
        y, v, share = pca(x, marks)
        found = fp.fuse(put(x), method="pca", mask=None if marks is None else put(marks))
        np.testing.assert_allclose(found.weights, v, atol=1e-9)
        assert found.explained == pytest.approx(share, rel=1e-11)
        assert_same(found.image, y, put(x), tolerance=4e-6 if dtype != "float64" else 1e-9)


@pytest.mark.parametrize("weights", [None, (1, 2, 0), [0.1, 0.1, 0.3], np.array([1e308, 1e308, 0])])
def test_weighted_mean_of_numpy(backend, put, weights):
    x, mask = values(SHAPE, "float32"), values(SHAPE[1:], "uint8", 1) % 2
    x[1] *= 3
    shares = None if weights is None else np.array(weights) / max(weights)
    y, w = weighted(x, shares, mask)
    found = fp.fuse(put(x), weights=weights, mask=put(mask))
    assert found.weights == pytest.approx(w.tolist(), rel=1e-12) and all(type(v) is float for v in found.weights)
    assert found.explained is None
    assert_same(found.image, y, put(x), tolerance=2 * TOLERANCE)


def test_the_first_component_is_the_anatomy(backend, put):
    """Of three contrasts with noise, one image that tells the anatomy better than any of them."""
    x, anatomy = sequences()
    scaled = fp.zscore(put(x))
    found = fp.fuse(scaled, method="pca")
    image = to_numpy(found.image)

    def likeness(y):
        return abs(np.corrcoef(y.ravel(), anatomy.ravel())[0, 1])

    assert likeness(image) > likeness(x.mean(axis=0))
    assert found.weights[0] > 0 > found.weights[1] and found.weights[2] > 0
    assert sum(w * w for w in found.weights) == pytest.approx(1, rel=1e-12)
    assert abs(float(image.mean(dtype=np.float64))) < 1e-5
    assert float(image.var(dtype=np.float64)) / 3 == pytest.approx(found.explained, rel=1e-5)
    assert 0.9 < found.explained < 1


def test_variances_are_those_before_normalisation(backend, put):
    x, _ = sequences((4, 20, 30))
    weights = fp.fuse(put(x)).weights
    assert weights[0] > weights[1] > weights[2]
    normal = fp.zscore(put(x))
    assert fp.fuse(normal).weights == pytest.approx((1 / 3,) * 3, rel=1e-5)
    assert fp.fuse(normal, weights=weights).weights == pytest.approx(weights, rel=1e-15)


@settings(max_examples=25)
@given(
    seed=st.integers(0, 10**6),
    k=st.integers(2, 6),
    offset=st.floats(-1e4, 1e4),
    method=st.sampled_from(METHODS),
)
def test_offsets_and_the_order_of_channels(seed, k, offset, method):
    x = values((k, 3, 4, 5), "float64", seed)
    found, moved = fp.fuse(x, method=method), fp.fuse(x + offset, method=method)
    np.testing.assert_allclose(moved.weights, found.weights, atol=1e-7)
    np.testing.assert_allclose(moved.image - found.image, offset if method == "weighted" else 0, atol=1e-2)
    back = fp.fuse(x[::-1], method=method)
    sign = 1 if method == "weighted" or np.sign(back.weights[-1]) == np.sign(found.weights[0]) else -1
    np.testing.assert_allclose(np.array(back.weights[::-1]) * sign, found.weights, atol=1e-7)


def test_the_sign_is_that_of_the_first_loading_that_is_not_zero(backend, put):
    x = values((3, 4, 5, 6), "float64")
    x[2] = -x[1] + x[2] / 100
    x[0] = 5
    found = fp.fuse(put(x), method="pca")
    assert found.weights[0] == 0 and found.weights[1] > 0.5 and found.weights[2] < -0.5


def test_images(backend, put):
    x, mask = values(SHAPE, "uint16"), values(SHAPE[1:], "bool", 1)
    grid = Grid.from_spacing(SHAPE[1:], (2, 1, 1))
    for method, truth in (("weighted", weighted), ("pca", pca)):
        found = fp.fuse(Image(put(x), grid, modality="MR"), method=method, mask=Image(put(mask), grid, kind="label"))
        assert found.image.grid is grid and found.image.modality == "MR"
        assert_same(found.image.array, truth(x, mask=mask)[0], put(x), tolerance=4e-6)
    stored = fp.fuse(Image(put(x), grid, rescale=Ramp(-0.5, 31)))
    assert stored.image.rescale.is_identity
    assert_same(stored.image.array, weighted(x * np.float32(-0.5) + 31)[0], put(x), tolerance=2e-6)
    flat = Image(put(x[:, 0]), Grid.from_spacing(SHAPE[2:], (1, 1)))
    assert_same(fp.fuse(flat).image.array, weighted(x[:, 0])[0], put(x), tolerance=2e-6)


def test_what_lies_outside_the_mask_is_nobodys_business(backend, put):
    x, mask = values(SHAPE, "float32"), values(SHAPE[1:], "bool", 1)
    mask[0, 0, 0] = False
    clean = fp.fuse(put(x), method="pca", mask=put(mask))
    x[1, 0, 0, 0] = np.nan
    found = fp.fuse(put(x), method="pca", mask=put(mask))
    assert found.weights == clean.weights
    assert np.isnan(to_numpy(found.image)).sum() == 1


def test_libraries(xp):
    x, mask = values(SHAPE, "int16"), values(SHAPE[1:], "bool", 1)
    there = xp.asarray(x)
    for method, truth in (("weighted", weighted), ("pca", pca)):
        found = fp.fuse(there, method=method, mask=xp.asarray(mask))
        assert_same(found.image, truth(x, mask=mask)[0], there, tolerance=4e-6)


@pytest.mark.gpu
def test_bits_are_those_of_the_cpu(gpu):
    for dtype in ("int16", "float32", "float16"):
        x, mask = values((3, 7, 30, 41), dtype), values((7, 30, 41), "bool", 1)
        for method in ("weighted", "pca"):
            here, there = fp.fuse(gpu(x), method=method, mask=gpu(mask)), fp.fuse(x, method=method, mask=mask)
            assert here.weights == there.weights
            np.testing.assert_array_equal(to_numpy(here.image), there.image)


def test_singular_values(backend, put):
    """The same component without a covariance: of centred data (Eckart and Young 1936)."""
    x, _ = sequences((4, 20, 30))
    found = fp.fuse(put(x), method="pca")
    flat = x.reshape(3, -1).astype(np.float64)
    left, sizes, _ = np.linalg.svd(flat - flat.mean(axis=1, keepdims=True), full_matrices=False)
    np.testing.assert_allclose(found.weights, left[:, 0] * np.sign(left[0, 0]), atol=1e-9)
    assert found.explained == pytest.approx(sizes[0] ** 2 / (sizes**2).sum(), rel=1e-9)


def test_real_sequences(data):
    """T1, T2 and FLAIR of one brain on one grid."""
    folder = data / "mri" / "stroke"
    scans = fp.stack([fp.load(folder / f"{name}.nii.gz") for name in ("T1", "T2", "FLAIR")], tolerance=np.inf)
    x = scans.array[:, ::2, ::2, ::2]
    for method, truth in (("weighted", weighted), ("pca", pca)):
        found = fp.fuse(x, method=method, mask=x[0] > 0)
        y, w = truth(x, mask=x[0] > 0)[:2]
        np.testing.assert_allclose(found.weights, w, atol=1e-9)
        assert_same(found.image, y, x, tolerance=4e-6)


def test_errors(backend, put):
    x = values(SHAPE, "float32")
    none = np.zeros(SHAPE[1:])
    odd = x.copy()
    odd[0, 0, 0, :3], odd[2, 0, 0, 0], odd[2, 1, 2, 3] = np.nan, np.inf, -np.inf
    level = np.full(SHAPE, 0.1)
    same_error(lambda: fp.fuse(put(x[:1])), ShapeError, "expected 2 to 16 channels")
    same_error(lambda: fp.fuse(put(np.zeros((17, 2, 2, 2)))), ShapeError, r"x of shape \(17, 2, 2, 2\)")
    same_error(lambda: fp.fuse(put(x[0, 0])), ShapeError, r"x of shape \(6, 7\)")
    same_error(lambda: fp.fuse(put(x[None])), ShapeError, r"x of shape \(1, 3, 5, 6, 7\)")
    same_error(lambda: fp.fuse(put(x[:, :0])), ShapeError, "none of length zero")
    same_error(lambda: fp.fuse(Image(put(x), Grid.from_spacing((6, 7), (1, 1)))), ShapeError, "2 to 16 channels")
    same_error(lambda: fp.fuse(put(x), mask=put(none[0])), ShapeError, r"mask of shape \(6, 7\)")
    same_error(lambda: fp.fuse(put(x), method="mean"), ArgumentError, "method='mean': expected one of weighted, pca")
    for weights in ((1, 2), (1, -1, 1), (0, 0, 0), (1, np.nan, 1), (1, np.inf, 0)):
        same_error(lambda w=weights: fp.fuse(put(x), weights=w), ArgumentError, "expected 3 numbers, none negative")
    same_error(lambda: fp.fuse(put(x), method="pca", weights=(1, 1, 1)), ArgumentError, "expected None")
    for method in ("weighted", "pca"):
        same_error(lambda m=method: fp.fuse(put(x), method=m, mask=put(none)), ArgumentError, "mask holds no voxel")
        same_error(lambda m=method: fp.fuse(put(level), method=m), ArgumentError, "constant in every channel")
        same_error(
            lambda m=method: fp.fuse(put(odd), method=m),
            NonFiniteError,
            "x holds values that are NaN or infinite: 3 in channel 0, 2 in channel 2$",
        )
        same_error(
            lambda m=method: fp.fuse(put(odd), method=m, mask=put(~none.astype(bool))),
            NonFiniteError,
            "x holds values inside the mask that",
        )
    # As likely one way as another: what is left is rounding.
    alike = np.array([[[1.0, -1, 0, 0]], [[0, 0, 1, -1]]])
    same_error(lambda: fp.fuse(put(alike), method="pca"), ArgumentError, "vary alike in two directions, by 0.5")


@pytest.mark.gpu
def test_a_mask_elsewhere(gpu):
    x = values(SHAPE, "float32")
    with pytest.raises(DeviceError, match="x on GPU 0, mask on the CPU"):
        fp.fuse(gpu(x), mask=x[0] > 0)
