from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats

import fastprep as fp
from fastprep import Grid, Image
from fastprep.core.errors import ArgumentError, DTypeError, NonFiniteError, ShapeError
from layouts import same_error


def spread(low, high, power=1.0, shape=(256, 320), dtype=np.uint8, seed=0):
    """Every grey level between two of them, as often as a power of a ramp has it."""
    share = np.linspace(0, 1, math.prod(shape)) ** power
    return np.random.default_rng(seed).permutation(np.rint(low + (high - low) * share)).reshape(shape).astype(dtype)


RULES = {
    "few grey levels": (spread(100, 140), 3.0, 16),
    "dark": (spread(0, 120), 2.5, 12),
    "bright": (spread(140, 255), 2.0, 8),
    "low contrast": (np.where(spread(0, 255) > 220, spread(90, 160, seed=1), 125).astype(np.uint8), 3.0, 16),
    "skewed to dark": (spread(60, 255, 3.0), 2.2, 10),
    "skewed to bright": (spread(0, 220, 0.42), 2.8, 14),
    "usual": (spread(0, 255), 2.0, 8),
}


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_every_rule(backend, put, rule, dtype):
    x, clip_limit, tiles = RULES[rule]
    found = fp.clahe_parameters(put(x.astype(dtype)), value_range=(0, 255))
    assert (found.rule, found.clip_limit, found.tiles) == (rule, clip_limit, (tiles, tiles))
    assert found.why.startswith(rule + ": ") and ("%" in found.why or "skewness" in found.why)
    assert found.keywords == {"clip_limit": clip_limit, "tiles": (tiles, tiles)}
    np.testing.assert_array_equal(fp.clahe(x, **found.keywords), fp.clahe(x, clip_limit=clip_limit, tiles=tiles))


@pytest.mark.parametrize(("dtype", "off"), [("uint8", 1e-12), ("float32", 2e-3)])
def test_measures(backend, put, dtype, off):
    """Those of NumPy and SciPy, of the values between two percentiles; of floats by bins."""
    x, mask = spread(30, 220, 1.7).astype(dtype), np.zeros((256, 320), bool)
    mask[20:200, 10:300] = True
    x[~mask] = 255
    found = fp.clahe_parameters(put(x), put(mask), value_range=(0, 255)).measures
    low, high = np.percentile(x[mask], [1, 99])
    v = x[mask][(x[mask] >= low) & (x[mask] <= high)].astype(np.float64) / 255
    assert found.low == pytest.approx(low / 255) and found.high == pytest.approx(high / 255)
    assert found.spread == pytest.approx((high - low) / 255)
    assert found.mean == pytest.approx(v.mean(), abs=off)
    assert found.contrast == pytest.approx(v.std(), abs=off)
    assert found.skewness == pytest.approx(scipy.stats.skew(v, axis=None), abs=10 * off)


def test_what_went_wrong_with_8_bits(backend, put):
    """12 bits in 16 are not dark, a hot pixel moves nothing, and differences of uint8 do not wrap."""
    x = spread(0, 4095, dtype=np.uint16)
    plain = fp.clahe_parameters(put(x))
    assert plain.rule == "usual"
    x[0, 0] = 65535
    hot = fp.clahe_parameters(put(x))
    assert hot.rule == "usual" and hot.measures.spread > 0.8
    assert fp.clahe_parameters(put(x), value_range=(0, 65535)).rule == "few grey levels"
    two = np.where(spread(0, 255) > 127, 200, 100).astype(np.uint8)
    assert fp.clahe_parameters(put(two)).measures.contrast == pytest.approx(50 / 255, rel=1e-3)


def test_tiles_have_voxels(backend, put):
    found = fp.clahe_parameters(put(spread(100, 140, shape=(40, 300, 60))))
    assert found.tiles == (2, 16, 3) and "tiles of at least 16 voxels" in found.why
    assert fp.clahe_parameters(put(spread(0, 255, shape=(9, 30)))).tiles == (1, 1)


def test_constant_and_odd_values(backend, put):
    for x in (np.full((30, 40), 9, np.uint8), np.full((30, 40), 9, np.float32)):
        found = fp.clahe_parameters(put(x))
        assert found.rule == "few grey levels" and found.measures.contrast == 0
    x = spread(0, 255).astype(np.float32)
    x[0, :3], x[1, 1] = np.nan, np.inf
    same_error(lambda: fp.clahe_parameters(put(x)), NonFiniteError, "x holds 4 values that are NaN or infinite")
    assert fp.clahe_parameters(put(x), nan="ignore").rule == "usual"


def test_images_and_errors(backend, put):
    x = spread(0, 120)
    image = Image(put(x), Grid.from_spacing(x.shape, (1, 1)))
    assert fp.clahe_parameters(image) == fp.clahe_parameters(put(x))
    none = put(np.zeros(x.shape, bool))
    same_error(lambda: fp.clahe_parameters(put(x), none), ArgumentError, "mask holds no voxel")
    same_error(lambda: fp.clahe_parameters(put(np.stack([x] * 3)[None])[:, :, None]), ShapeError, "expected one volume")
    same_error(lambda: fp.clahe_parameters(none), DTypeError, "a mask has no grey levels")
    same_error(lambda: fp.clahe_parameters(put(x), value_range=(9, 3)), ArgumentError, "value_range")
