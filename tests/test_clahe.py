from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import clahe_cases
import emulated
import fastprep as fp
from fastprep import Grid, Image
from fastprep.core.errors import ArgumentError, DTypeError, GeometryError, NonFiniteError, ShapeError
from fastprep.core.ramp import Ramp
from fastprep.testing.assertions import assert_same, to_numpy
from layouts import check_layouts, same_error, tolerance, values
from oracles import cv2_clahe

TOL = tolerance("clahe")


def truth(x, tiles, bins, ends, clip_limit=2.0, mask=None):
    """One image, as float64; of more axes than OpenCV has."""
    size = clahe_cases.sizes(x.shape, tiles)
    whole = x.dtype.kind != "f"
    made = clahe_cases.tables(x, mask, tiles, size, bins, *ends, clip_limit, whole)
    result = clahe_cases.blend(x, mask, *made, tiles, size, (0,) * x.ndim, bins, *ends)
    return np.where(np.isnan(result), x, result)


def chest(shape=(120, 150), levels=256, seed=0):
    """Smooth bright and dark parts, and noise."""
    rng = np.random.default_rng(seed)
    places = np.meshgrid(*(np.linspace(0, 3, n) for n in shape), indexing="ij")
    smooth = sum(np.sin((k + 2) * p) for k, p in enumerate(places)) / (2 * len(shape)) + 0.5
    return np.clip((smooth * 0.6 + rng.normal(0.2, 0.02, shape)) * levels, 0, levels - 1)


@pytest.mark.parametrize("clip_limit", [0, 0.5, 3.3, 1e4])
def test_opencv_to_the_bit(backend, put, clip_limit):
    """Grids that divide and that do not, more tiles than pixels, tiles of one pixel, and one tile along an axis."""
    rng = np.random.default_rng(int(clip_limit * 10))
    cases = [((40, 60), (8, 6)), ((41, 60), (8, 6)), ((40, 61), (1, 6)), ((33, 33), (8, 8)), ((7, 5), (9, 8))]
    cases += [((6, 4), (6, 4)), ((1, 30), (2, 8)), ((30, 1), (8, 1)), ((1, 1), (3, 3)), ((64, 9), (2, 1))]
    for k, (shape, tiles) in enumerate(cases):
        x = rng.integers(0, 256, shape, dtype=np.uint8) if k % 3 else chest(shape).astype(np.uint8)
        expected = cv2_clahe(x, clip_limit, tiles)
        assert_same(fp.clahe(put(x), clip_limit=clip_limit, tiles=tiles), expected, put(x), tolerance=0)


@pytest.mark.parametrize("tiles", [(2, 3), (3, 2)])
def test_opencv_of_16_bits(backend, put, tiles):
    x = chest((40, 60), 65536).astype(np.uint16)
    for clip_limit in (2.0, 300.0):
        found = fp.clahe(put(x), clip_limit=clip_limit, tiles=tiles, bins=65536, value_range=(0, 65535))
        assert_same(found, cv2_clahe(x, clip_limit, tiles), put(x), tolerance=0)


@given(
    st.integers(1, 40), st.integers(1, 40), st.integers(1, 12), st.integers(1, 12), st.floats(0, 50), st.integers(0, 99)
)
@settings(max_examples=25)
def test_opencv_on_any_grid(height, width, down, across, clip_limit, seed):
    x = np.random.default_rng(seed).normal(120, 40, (height, width)).clip(0, 255).astype(np.uint8)
    expected = cv2_clahe(x, clip_limit, (down, across))
    np.testing.assert_array_equal(fp.clahe(x, clip_limit=clip_limit, tiles=(down, across)), expected)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32"])
def test_volumes_and_layouts(backend, put, dtype):
    """Each volume of a batch, voxel by voxel."""
    x = values((2, 5, 6, 7), dtype)
    ends, bins = ((0, 255), 256) if dtype == "uint8" else ((-600, 900), 50)
    expected = np.stack([truth(v, (2, 3, 2), bins, ends) for v in x])
    expected = (np.rint(expected) if dtype != "float32" else expected).astype(dtype)

    def call(v):
        return fp.clahe(v, tiles=(2, 3, 2), bins=bins, value_range=ends)

    check_layouts(call, expected, x, put, backend, tolerance=TOL)


def test_planes_of_a_volume(backend, put):
    x = values((3, 20, 30), "uint8")
    expected = np.stack([cv2_clahe(v, 2.0, (4, 5)) for v in x])
    assert_same(fp.clahe(put(x), tiles=(4, 5)), expected, put(x), tolerance=0)
    image = Image(put(x), Grid.from_spacing(x.shape, (3, 1, 1)))
    assert_same(fp.clahe(image, tiles=(4, 5)).array, expected, put(x), tolerance=0)
    flat = Image(put(x), Grid.from_spacing(x.shape[1:], (1, 1)))
    assert_same(fp.clahe(flat, tiles=5).array, np.stack([cv2_clahe(v, 2.0, (5, 5)) for v in x]), put(x), tolerance=0)


def test_a_turned_image_is_turned(backend, put):
    """Axes are blended in their order, which rounding may tell."""
    for x, tiles in ((chest((40, 60)), (4, 6)), (chest((8, 12, 20)), (2, 3, 4))):
        whole = x.astype(np.uint8)
        found = to_numpy(fp.clahe(put(whole), tiles=tiles)).astype(int)
        turned = to_numpy(fp.clahe(put(np.ascontiguousarray(whole.T)), tiles=tiles[::-1])).T
        assert np.abs(found - turned).max() <= 1


def test_one_tile_without_a_limit_is_histogram_equalisation(backend, put):
    x = chest((60, 50)).astype(np.uint8)
    shares = np.cumsum(np.bincount(x.ravel(), minlength=256)) / x.size
    assert_same(fp.clahe(put(x), tiles=1, clip_limit=0), np.rint(shares * 255).astype(np.uint8)[x], put(x), tolerance=0)
    # Real numbers, too: the share of voxels below.
    wide = np.random.default_rng(1).permutation(3000).reshape(60, 50).astype(np.float32)
    found = to_numpy(fp.clahe(put(wide), tiles=1, clip_limit=0, value_range=(0, 2999), bins=3000))
    assert np.abs(found - wide).max() < 2


def test_constant_images(backend, put):
    for value in (0, 77, 255):
        x = np.full((30, 40), value, np.uint8)
        assert_same(fp.clahe(put(x)), cv2_clahe(x, 2.0, (8, 8)), put(x), tolerance=0)
    for dtype in ("int16", "float32"):
        x = np.full((2, 5, 6, 7), 77, dtype)
        x[1] = values((5, 6, 7), dtype)
        assert_same(fp.clahe(put(x), tiles=2)[0], x[0], put(x), tolerance=0)
    assert np.ptp(to_numpy(fp.clahe(put(np.full((9, 9), 3, np.int16)), value_range=(0, 10)))) == 0


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_a_hot_pixel_costs_no_grey_levels(backend, put, dtype):
    x = chest((120, 150), 4096).astype(dtype)
    hot = x.copy()
    hot[7, 9] = 65535
    before, after = (to_numpy(fp.clahe(put(v), tiles=4)) for v in (x, hot))
    assert len(np.unique(after)) > 0.97 * len(np.unique(before)) > 1000
    # The range is a tenth wider at most.
    assert np.abs(after.astype(float) - before)[20:].max() < 410
    # The rule of 8 bits, from minimum to maximum, leaves so few.
    assert len(np.unique(np.interp(hot, (hot.min(), hot.max()), (0, 255)).astype(np.uint8))) < 20


def test_a_radiograph_keeps_its_grey_levels(data):
    with pytest.warns(UserWarning, match="no pixel spacing"):
        image = fp.load(data / "xray" / "chest_monochrome1.dcm")
    whole = np.rint(np.asarray(image.array)).astype(np.uint16)
    assert len(np.unique(whole)) > 10_000
    for given_ in (whole, whole.astype(np.float32)):
        found = fp.clahe(given_)
        assert found.dtype == given_.dtype
        assert len(np.unique(found)) >= len(np.unique(given_))
    assert fp.clahe(whole).astype(float).std() > 1.05 * whole.std()


def test_inside_a_mask(backend, put):
    """What is outside counts for nothing, and stays as it is."""
    x, mask = values((2, 9, 30, 40), "int16") // 16, np.zeros((9, 30, 40), bool)
    mask[2:8, 3:20, 11:39] = True
    other = np.where(mask, x, 3000).astype(np.int16)
    found, same = (to_numpy(fp.clahe(put(v), tiles=(2, 3, 4), mask=put(mask))) for v in (x, other))
    np.testing.assert_array_equal(found[:, ~mask], x[:, ~mask])
    np.testing.assert_array_equal(found[:, mask], same[:, mask])
    ends = (-2048, 2047)
    wide = fp.clahe(put(x[:, :3]), tiles=(1, 3, 4), mask=put(mask[:3].astype(np.float32)), value_range=ends)
    expected = np.stack([truth(v[:3], (1, 3, 4), 256, ends, mask=mask[:3]) for v in x])
    assert_same(wide, np.rint(expected).astype(np.int16), put(x), tolerance=0)


def test_into_floats(backend, put):
    """Not rounded to grey levels: what is rounded afterwards is nearly OpenCV's, which rounds tables as well."""
    x = chest((60, 70)).astype(np.uint8)
    found = fp.clahe(put(x), dtype="float32")
    assert to_numpy(found).dtype == np.float32
    assert len(np.unique(to_numpy(found))) > 1000
    assert np.abs(to_numpy(found) - cv2_clahe(x, 2.0, (8, 8))).max() < 1.01


def test_not_a_number(backend, put):
    x = chest((60, 70)).astype(np.float32)
    odd = x.copy()
    odd[3, :5], odd[9, 9], odd[8, 8] = np.nan, np.inf, -np.inf
    same_error(lambda: fp.clahe(put(odd)), NonFiniteError, "x holds 7 values that are NaN or infinite")
    same_error(lambda: fp.clahe(put(odd), value_range=(0, 255)), NonFiniteError, "x holds 7 values that")
    found = to_numpy(fp.clahe(put(odd), nan="ignore"))
    bad = ~np.isfinite(odd)
    np.testing.assert_array_equal(found[bad], odd[bad])
    assert np.isfinite(found[~bad]).all()
    masked = to_numpy(fp.clahe(put(odd), mask=put(np.isfinite(odd))))
    np.testing.assert_array_equal(masked, found)
    # A part without a number does not darken what is around it.
    x[:30, :35] = np.nan
    beside = to_numpy(fp.clahe(put(x), nan="ignore", tiles=(2, 2)))
    np.testing.assert_array_equal(beside[30:, 35:] > 20, np.ones((30, 35), bool))


def test_images(backend, put):
    x, grid = chest((5, 30, 40), 1000).astype(np.int16), Grid.from_spacing((5, 30, 40), (5, 1, 1))
    found = fp.clahe(Image(put(x), grid, modality="CR"), tiles=(1, 3, 4))
    assert found.grid is grid and found.modality == "CR"
    assert_same(found.array, to_numpy(fp.clahe(put(x), tiles=(1, 3, 4))), put(x), tolerance=0)
    stored = fp.clahe(Image(put(x), grid, rescale=Ramp(-1.0, 4000.0)), tiles=(1, 3, 4))
    physical = (4000 - x.astype(np.float32)).astype(np.float32)
    assert stored.rescale.is_identity
    assert_same(stored.array, to_numpy(fp.clahe(put(physical), tiles=(1, 3, 4))), put(physical), tolerance=0)
    elsewhere = Image(put(x > 0), Grid.from_spacing((5, 30, 40), (4, 1, 1)), kind="label")
    same_error(lambda: fp.clahe(Image(put(x), grid), mask=elsewhere), GeometryError, "expected the grid of x")


def test_libraries(xp):
    x, mask = chest((30, 40)).astype(np.uint8), values((30, 40), "bool", 1)
    expected = fp.clahe(x, mask=mask, tiles=3)
    assert_same(fp.clahe(xp.asarray(x), mask=xp.asarray(mask), tiles=3), expected, xp.asarray(x), tolerance=0)


@given(st.integers(0, 99), st.sampled_from([(1, 1), (2, 3), (5, 4)]))
@settings(max_examples=10)
def test_threads_do_not_change_bits(seed, tiles):
    x = chest((90, 70), 3000, seed).astype(np.float32)
    try:
        found = []
        for n in (1, 2, 5):
            fp.set_num_threads(n)
            found.append(fp.clahe(x, tiles=tiles).tobytes())
    finally:
        fp.set_num_threads(None)
    assert found[0] == found[1] == found[2]


@pytest.mark.gpu
def test_a_known_range_of_integers_is_not_waited_for(driver):
    x = chest((2, 20, 30))
    for given_, ends in ((x.astype(np.uint8), None), (x.astype(np.int16), (0, 200))):
        there = emulated.put(given_)
        driver.log.clear()
        fp.clahe(there, value_range=ends, tiles=2)
        assert driver.count("launch") > 0 and driver.count("synchronize") == 0
    fp.clahe(there, tiles=2)
    assert driver.count("synchronize") > 0


def test_errors(backend, put):
    x = put(chest((30, 40)).astype(np.uint8))
    real, none = put(chest((30, 40)).astype(np.float32)), put(np.zeros((30, 40), bool))
    same_error(lambda: fp.clahe(x, clip_limit=-1), ArgumentError, "clip_limit=-1: expected a number of at least 0")
    same_error(lambda: fp.clahe(x, clip_limit=np.nan), ArgumentError, "clip_limit=nan")
    for tiles in (0, -2, 2.5, True, (8,), (0, 8), (2, 2, 2, 2), "8"):
        same_error(lambda t=tiles: fp.clahe(x, tiles=t), ArgumentError, "tiles=|expected at least")
    same_error(lambda: fp.clahe(x, tiles=(2, 2, 2)), ShapeError, "expected at least 3 axes")
    same_error(lambda: fp.clahe(x, bins=1), ArgumentError, "bins=1: expected a whole number from 2 to 65536")
    same_error(lambda: fp.clahe(x, bins=70_000), ArgumentError, "bins=70000")
    for ends in ((5, 5), (9, 3), (0, np.inf), (0, np.nan), 7, (1, 2, 3)):
        same_error(lambda e=ends: fp.clahe(real, value_range=e), ArgumentError, "value_range=.*two finite numbers")
    same_error(lambda: fp.clahe(x, value_range=(0.5, 9)), ArgumentError, "expected whole numbers for x of dtype uint8")
    same_error(lambda: fp.clahe(real, value_range=(0, 1e38)), ArgumentError, "expected a difference from")
    same_error(lambda: fp.clahe(x, value_range=(-(2**60), 2**60)), ArgumentError, "nearer to each other")
    same_error(lambda: fp.clahe(x, nan="keep"), ArgumentError, "nan='keep'")
    for empty in (lambda: fp.clahe(x, mask=none), lambda: fp.clahe(real, mask=none)):
        same_error(empty, ArgumentError, "mask holds no voxel: there is nothing to equalise")
    same_error(lambda: fp.clahe(real, mask=none, value_range=(0, 1)), ArgumentError, "mask holds no voxel")
    nothing = put(np.full((4, 5), np.nan, np.float32))
    same_error(lambda: fp.clahe(nothing, nan="ignore"), ArgumentError, "x holds no number: all of it is NaN")
    same_error(lambda: fp.clahe(none), DTypeError, "x of dtype bool: a mask has no grey levels")
    same_error(lambda: fp.clahe(x, dtype="bool"), DTypeError, "dtype=bool")
    same_error(lambda: fp.clahe(x, mask=none[:9]), ShapeError, r"mask of shape \(9, 40\)")
    same_error(lambda: fp.clahe(put(np.zeros(9, np.uint8))), ShapeError, "expected at least 2 axes")
    same_error(lambda: fp.clahe(x[:0]), ShapeError, "none of length zero")
