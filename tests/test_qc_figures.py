"""Figures of an image: against NumPy, SciPy and answers known by hand, wherever the image is."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.metrics import normalized_root_mse

import fastprep as fp
from fastprep import Grid, Image
from fastprep.core.errors import ArgumentError, NonFiniteError, ShapeError
from fastprep.core.ramp import Ramp
from fastprep.qc import cnr, contrast, dynamic_range, edge_strength, entropy, nmse, snr
from layouts import same_error, values

SHAPES = [(20, 21), (9, 10, 11)]


@pytest.mark.parametrize("shape", SHAPES)
def test_contrast_and_snr(backend, put, shape):
    x, mask = values(shape, "uint8"), values(shape, "bool", 1)
    inside = x[mask].astype(float)
    assert contrast(put(x)) == pytest.approx(x.std(), rel=1e-12)
    assert contrast(put(x), put(mask)) == pytest.approx(inside.std(), rel=1e-12)
    assert snr(put(x), put(mask)) == pytest.approx(inside.mean() / inside.std(), rel=1e-12)
    assert snr(put(x), put(mask), noise=4) == pytest.approx(inside.mean() / 4, rel=1e-12)


def test_contrast_to_noise(backend, put):
    x, object_ = values((9, 10, 11), "float64"), values((9, 10, 11), "bool", 1)
    ground = ~object_
    expected = abs(x[object_].mean() - x[ground].mean())
    there = put(x), put(object_), put(ground)
    assert cnr(*there) == pytest.approx(expected / x[ground].std(), rel=1e-9)
    assert cnr(*there, noise=2.0) == cnr(there[0], there[2], there[1], noise=2.0) == pytest.approx(expected / 2)


@pytest.mark.parametrize("dtype", ["uint8", "float64"])
def test_entropy(backend, put, dtype):
    x, mask = values((30, 31), dtype), values((30, 31), "bool", 1)
    for marks in (None, mask):
        inside = x if marks is None else x[marks]
        for bins in (256, 16):
            counts, _ = np.histogram(inside.astype(float), bins)
            found = entropy(put(x), None if marks is None else put(marks), bins=bins)
            assert found == pytest.approx(scipy.stats.entropy(counts, base=2), abs=1e-12)
    assert entropy(put(np.full((4, 5), 7, dtype))) == 0.0


def test_dynamic_range(backend, put):
    """What a hot pixel does not widen, and what a step to 8 bits costs."""
    x = (values((40, 41), "uint16") // 16).astype(np.uint16)
    hot = x.copy()
    hot[3, 4] = 60_000
    found = dynamic_range(put(hot))
    assert [found.low, found.high] == np.percentile(hot.astype(float), [1, 99]).tolist()
    assert found.levels == np.unique(hot).size and found.width < 4096
    coarse = dynamic_range(put((x // 16).astype(np.uint8)))
    assert coarse.levels == np.unique(x // 16).size <= 256
    real = values((40, 41), "float64")
    filled = np.count_nonzero(np.histogram(real, 65_536)[0])
    assert dynamic_range(put(real)).levels == filled
    assert dynamic_range(put(np.ones((4, 5)))).levels == 1


@pytest.mark.parametrize("shape", SHAPES)
def test_edge_strength(backend, put, shape):
    """The root mean square of NumPy's gradient, where differences are central."""
    x, mask = values(shape, "uint8"), values(shape, "bool", 1)
    steps = (3.0, 0.5, 2.0)[-len(shape) :]
    image = Image(put(x), Grid.from_spacing(shape, steps))
    for given_, spacing in ((put(x), (1.0,) * len(shape)), (image, steps)):
        squares, inside = [], []
        for axis, slope in enumerate(np.gradient(x.astype(float), *spacing)):
            middle = (slice(None),) * axis + (slice(1, -1),)
            squares.append((slope[middle] ** 2).mean())
            inside.append((slope[middle][mask[middle]] ** 2).mean())
        assert edge_strength(given_) == pytest.approx(math.sqrt(sum(squares)), rel=1e-12)
        assert edge_strength(given_, put(mask)) == pytest.approx(math.sqrt(sum(inside)), rel=1e-12)


def test_noise_is_edges_too(backend, put):
    """White noise adds as much as the page says: the figure alone praises noise."""
    rng = np.random.default_rng(0)
    step = np.where(np.arange(80) < 40, 100.0, 200.0) * np.ones((80, 1))
    noise = rng.normal(0, 20, step.shape)
    clean, noisy = edge_strength(put(step)), edge_strength(put(step + noise))
    assert noisy == pytest.approx(math.sqrt(clean**2 + 2 * 20**2 / 2), rel=0.03)
    assert noisy > 1.7 * clean


@pytest.mark.parametrize("shape", SHAPES)
def test_nmse(backend, put, shape):
    a, b, mask = values(shape, "uint8"), values(shape, "float64", 1), values(shape, "bool", 2)
    expected = normalized_root_mse(a.astype(float), b.astype(float), normalization="euclidean") ** 2
    assert nmse(put(a), put(b)) == pytest.approx(expected, rel=1e-12)
    inside = normalized_root_mse(a[mask].astype(float), b[mask].astype(float), normalization="euclidean") ** 2
    assert nmse(put(a), put(b), put(mask)) == pytest.approx(inside, rel=1e-12)


@given(st.floats(0.01, 100), st.floats(-1e3, 1e3), st.integers(0, 99))
@settings(max_examples=10)
def test_gain_and_offset(gain, offset, seed):
    x = values((7, 8, 9), "float64", seed)
    y = gain * x + offset
    for figure in (contrast, edge_strength, lambda v: dynamic_range(v).width):
        assert figure(y) == pytest.approx(gain * figure(x), rel=1e-6)


def test_stored_values_are_physical_ones(backend, put):
    stored = Image(put(values((9, 10), "uint8")), Grid.from_spacing((9, 10), (1, 1)), rescale=Ramp(2.0, -1024.0))
    assert contrast(stored) == pytest.approx(2 * contrast(stored.array), rel=1e-6)
    assert edge_strength(stored) == pytest.approx(2 * edge_strength(stored.array), rel=1e-6)


def test_errors(backend, put):
    x = values((5, 6, 7), "float64")
    none, odd = np.zeros(x.shape, bool), x.copy()
    odd[1, 2, 3] = np.nan
    for figure in (contrast, snr, entropy, dynamic_range, edge_strength):
        same_error(lambda f=figure: f(put(odd)), NonFiniteError, "NaN")
        same_error(lambda f=figure: f(put(x), put(none)), ArgumentError, "mask holds no voxel")
        same_error(lambda f=figure: f(put(values((2, 5, 6, 7), "float64"))), ShapeError, "expected one volume")
        same_error(lambda f=figure: f(put(x), put(none[:2])), ShapeError, "mask of shape")
    same_error(lambda: snr(put(np.ones((3, 4)))), ArgumentError, "noise=0.0: expected a standard deviation above 0")
    same_error(lambda: snr(put(x), noise=-1), ArgumentError, "noise=-1")
    same_error(lambda: cnr(put(x), put(x > 0), put(none)), ArgumentError, "mask holds no voxel")
    same_error(lambda: entropy(put(x), bins=1), ArgumentError, "bins=1: expected a whole number of at least 2")
    same_error(lambda: edge_strength(put(x[:2, :2, :2])), ShapeError, "expected three voxels along an axis")
    same_error(lambda: nmse(put(0 * x), put(x)), ArgumentError, "a is 0 everywhere")
    same_error(lambda: nmse(put(x), put(x[:3])), ShapeError, "expected that of a")


def test_noise_is_beside_all_others():
    from fastprep.qc import metrics

    assert metrics.estimate_noise is fp.estimate_noise
