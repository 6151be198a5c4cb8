from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastprep as fp
from fastprep import Grid, Image
from fastprep.core.errors import ArgumentError, NonFiniteError, ShapeError
from fastprep.core.ramp import Ramp
from layouts import DTYPES, same_error, values


def head(shape=(20, 30, 25), seed=0):
    """A ball of two tissues in noisy air, in float64."""
    rng = np.random.default_rng(seed)
    at = np.indices(shape) - (np.array(shape) / 2 - 0.5).reshape(-1, *[1] * len(shape))
    radius = np.sqrt((at**2).sum(axis=0)) / min(shape)
    clean = np.select([radius < 0.25, radius < 0.45], [700.0, 450.0], 0.0)
    return np.hypot(clean + rng.normal(0, 20, shape), rng.normal(0, 20, shape))


def head_as(dtype, shape=(20, 30, 25)):
    """The head as each type can hold it."""
    return head(shape) > 300 if dtype == "bool" else (head(shape) / (9 if dtype == "int8" else 4)).astype(dtype)


def skimage(x, bins=256, mask=None):
    """scikit-image's threshold of the same histogram: by itself it gives integers a bin for each value."""
    filters = pytest.importorskip("skimage.filters", reason="scikit-image is not installed")
    inside = (x if mask is None else x[mask]).astype(np.float64)
    counts, edges = np.histogram(inside, bins)
    return filters.threshold_otsu(hist=(counts, (edges[1:] + edges[:-1]) / 2))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bins", [2, 64, 256, 1000])
def test_scikit_image(backend, put, dtype, bins):
    x = head_as(dtype)
    got = fp.otsu(put(x), bins=bins)
    assert type(got) is float
    assert got == pytest.approx(skimage(x, bins), rel=1e-12)


def test_scikit_image_inside_a_mask(backend, put):
    x, mask = head().astype(np.float32), head() > 200
    assert fp.otsu(put(x), mask=put(mask)) == pytest.approx(skimage(x, mask=mask), rel=1e-12)
    assert fp.otsu(put(x[3]), mask=put(mask[9])) == pytest.approx(skimage(x[3], mask=mask[9]), rel=1e-12)


@given(st.integers(0, 9999), st.integers(2, 300))
def test_scikit_image_on_anything(seed, bins):
    rng = np.random.default_rng(seed)
    x = rng.choice([rng.normal(0, 1, (4, 9, 11)), rng.exponential(3, (4, 9, 11)), rng.integers(0, 5, (4, 9, 11))])
    got, expected = fp.otsu(x, bins=bins), skimage(x, bins)
    counts, edges = np.histogram(x, bins)
    centers = (edges[1:] + edges[:-1]) / 2

    def between(t):
        low, high = counts * (centers <= t), counts * (centers > t)
        means = [(w * centers).sum() / w.sum() for w in (low, high)]
        return low.sum() * high.sum() * (means[0] - means[1]) ** 2

    # scikit-image sums in float32: where two thresholds are as good, rounding chooses.
    assert got == pytest.approx(expected, abs=1e-9) or between(got) >= between(expected) * (1 - 1e-12)


def test_between_two_values(backend, put):
    x = put(np.array([[-7, 1000], [1000, -7]], np.int16))
    assert -7 < fp.otsu(x) < 1000


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32"])
def test_bits_are_those_of_the_cpu(gpu, dtype):
    x = head().clip(0, 255).astype(dtype)
    assert fp.otsu(gpu(x)) == fp.otsu(x)


def test_images(backend, put):
    x = head().astype(np.int16)
    grid = Grid.from_spacing(x.shape, (1, 1, 1))
    assert fp.otsu(Image(put(x), grid)) == fp.otsu(put(x))
    stored = Image(put(x), grid, rescale=Ramp(-0.5, 31))
    assert fp.otsu(stored) == fp.otsu(put((x * -0.5 + 31).astype(np.float32)))


def test_libraries(xp):
    x = head().astype(np.float32)
    assert fp.otsu(xp.asarray(x)) == fp.otsu(x)


def test_errors(backend, put):
    x = values((3, 4, 5), "float32")
    odd = x.copy()
    odd[0, 0] = np.inf
    same_error(lambda: fp.otsu(put(odd)), NonFiniteError, "x holds 5 values that are NaN or infinite")
    same_error(lambda: fp.otsu(put(np.full((3, 4), 7, np.int16))), ArgumentError, "x is constant, 7")
    same_error(lambda: fp.otsu(put(x), mask=put(np.zeros((3, 4, 5)))), ArgumentError, "mask holds no voxel")
    same_error(lambda: fp.otsu(put(x), mask=put(np.ones((3, 4, 6)))), ShapeError, "mask of shape")
    same_error(lambda: fp.otsu(put(np.stack([x, x]))), ShapeError, r"x of shape \(2, 3, 4, 5\): expected one volume")
    for bins in (1, 0, -3, 2.5, True, None):
        same_error(lambda bins=bins: fp.otsu(put(x), bins=bins), ArgumentError, f"bins={bins}")


def test_real_scans(data):
    for name in ("t1_head", "stroke/T1", "stroke/T2", "stroke/FLAIR"):
        x = fp.load(data / "mri" / f"{name}.nii.gz").array
        assert fp.otsu(x) == pytest.approx(skimage(x), rel=1e-12)
