"""Piecewise: closed under composition; the kernel against SciPy's interp1d, which extrapolates too."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import interp1d

import fastprep as fp
from fastprep import Grid, Image
from fastprep.core.errors import ArgumentError
from fastprep.core.piecewise import Piecewise, through
from fastprep.core.ramp import Ramp
from fastprep.core.threads import thread_limit
from fastprep.ops._pointwise import apply_piecewise
from fastprep.testing.assertions import assert_same, to_numpy
from layouts import DTYPES, check_layouts, same_error, tolerance, values

TOL = tolerance("piecewise")
INF = math.inf
EIGHTHS = st.integers(-64, 64).map(lambda n: n / 8)
VALUES = np.array([-INF, *(np.arange(-200, 201) / 8), INF])
#: Landmarks of a head: close ones and far ones, a steep part and a nearly flat one.
XS = (-120.0, -20.5, 3.25, 4.0, 90.0, 300.0, 310.0, 555.0, 700.0, 701.5, 1200.0, 5000.0)
YS = (1.0, 9.0, 13.5, 20.0, 28.0, 28.0, 41.0, 55.0, 62.0, 80.0, 88.0, 100.0)


def truth(x, xs=XS, ys=YS, dtype=None):
    y = interp1d(xs, ys, fill_value="extrapolate")(x.astype(np.float64))
    dtype = np.dtype(dtype or (x.dtype if x.dtype.kind == "f" else np.float32))
    if dtype.kind != "f":
        info = np.iinfo(dtype)
        y = np.clip(np.rint(y), info.min, info.max)
    return y.astype(dtype)


# ---- the map --------------------------------------------------------------------------------------------------------


@st.composite
def maps(draw):
    xs = sorted(draw(st.sets(EIGHTHS, min_size=2, max_size=5)))
    return Piecewise(tuple(xs), tuple(draw(EIGHTHS) for _ in xs))


@st.composite
def ramps(draw):
    lo, hi = sorted((draw(EIGHTHS), draw(EIGHTHS)))
    bounds = draw(st.sampled_from([(lo, hi), (-INF, hi), (lo, INF), (-INF, INF), (lo, lo)]))
    return Ramp(draw(EIGHTHS.filter(bool)), draw(EIGHTHS), *bounds)


def assert_equal(found, expected):
    """Infinite where expected, else equal but for what rounding leaves of slopes up to 1024."""
    finite = np.isfinite(expected)
    np.testing.assert_array_equal(found[~finite], expected[~finite])
    np.testing.assert_allclose(found[finite], expected[finite], rtol=1e-9, atol=1e-9)


@given(maps(), maps(), ramps())
def test_composition(first, second, ramp):
    assert_equal(first.then(second)(VALUES), second(first(VALUES)))
    assert_equal(first.then(ramp)(VALUES), ramp(first(VALUES)))
    assert_equal(first.after(ramp)(VALUES), first(ramp(VALUES)))
    assert_equal(Piecewise.from_ramp(ramp)(VALUES), ramp(VALUES))
    constant = Ramp(0.0, 3.0, ramp.lo, ramp.hi)
    finite = VALUES[1:-1]
    assert_equal(first.then(constant)(finite), constant(finite))
    assert_equal(first.after(constant)(finite), first(constant(finite)))


@given(maps(), st.lists(ramps(), max_size=4))
def test_chains_stay_small(one, chain):
    """A bound adds a knot for each line it cuts, and one for the flat part; a line adds none."""
    whole, plain = one, one
    for ramp in chain:
        whole = whole.then(ramp)
        plain = plain.then(Ramp(ramp.a, ramp.b))
    assert len(plain.xs) == len(one.xs)
    assert len(whole.xs) <= len(one.xs) + 4 * (1 + len(chain)) * len(one.xs)


@given(st.lists(st.floats(-1e4, 1e4), min_size=2, max_size=20, unique=True), st.integers(0, 99))
def test_knots_are_met_and_inverted(xs, seed):
    xs = sorted(x for x in {round(x, 3) for x in xs})
    if len(xs) < 2:
        return
    ys = np.cumsum(np.random.default_rng(seed).uniform(0.1, 5, len(xs)))
    for signed in (ys, -ys):
        one = Piecewise(tuple(xs), tuple(signed))
        np.testing.assert_allclose(one(xs), signed, atol=1e-9)
        x = np.linspace(xs[0] - 10, xs[-1] + 10, 57)
        np.testing.assert_allclose(one.inverse()(one(x)), x, atol=1e-6)
        np.testing.assert_allclose(one(x), interp1d(xs, signed, fill_value="extrapolate")(x), rtol=1e-9, atol=1e-6)


def test_a_clip_far_from_the_knots():
    one = Piecewise((0, 400, 1000), (0, 50, 100)).then(Ramp(lo=-1e6, hi=1e6))
    assert one([-1e9, -8e6, 0, 1000, 1e9, INF, -INF]).tolist() == [-1e6, -1e6, 0, 100, 1e6, 1e6, -1e6]
    assert math.isnan(one(math.nan))


def test_value_object():
    one = Piecewise([0, 1, 3], np.array([0, 2, 3]))
    assert one == Piecewise((0.0, 1.0, 3.0), (0.0, 2.0, 3.0)) and one.slopes == (2.0, 0.5)
    assert pickle.loads(pickle.dumps(one)) == one and hash(one) == hash(Piecewise((0, 1, 3), (0, 2, 3)))
    assert through([1, 1, 2, 5, 5], [0, 2, 3, 4, 6]) == Piecewise((1, 2, 5), (1, 3, 5))
    assert through([1, 1, 1], [0, 2, 3]) is None


@pytest.mark.parametrize("knots", [((), ()), ((1,), (1,)), ((1, 1), (1, 2)), ((2, 1), (1, 2)), ((1, 2), (1, 2, 3))])
def test_no_map(knots):
    with pytest.raises(ArgumentError, match="two knots or more, finite, xs strictly increasing"):
        Piecewise(*knots)


def test_no_inverse():
    with pytest.raises(ArgumentError, match="strictly increasing or strictly decreasing"):
        Piecewise((0, 1, 2), (0, 1, 1)).inverse()


# ---- the operation --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_and_layout(backend, put, dtype):
    x = values((3, 5, 6, 7), dtype)
    check_layouts(lambda a: fp.piecewise(a, XS, YS), truth(x), x, put, backend, tolerance=TOL)


@pytest.mark.parametrize("out", ["uint8", "int16", "int32", "float16", "float64"])
@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32", "float64"])
def test_results_of_every_dtype(backend, put, dtype, out):
    x = values((3, 5, 7), dtype)
    # A value halfway between two whole numbers may round either way in float32.
    allowed = {"tolerance": 0, "scale": 1.0} if np.dtype(out).kind == "f" else {"tolerance": 1, "scale": 1.0}
    if np.dtype(out).kind == "f":
        allowed = {"tolerance": 2e-3 if out == "float16" else TOL}
    assert_same(fp.piecewise(put(x), XS, YS, dtype=out), truth(x, dtype=out), put(x), **allowed)


@pytest.mark.parametrize("knots", [2, 3, 11, 12, 13, 33, 64])
def test_any_number_of_knots(backend, put, knots):
    rng = np.random.default_rng(knots)
    xs, ys = np.sort(rng.choice(4000, knots, replace=False) - 2000), rng.normal(size=knots)
    x = np.concatenate([values((300,), "float32"), xs.astype(np.float32), np.array([-3e4, 3e4], np.float32)])
    assert_same(fp.piecewise(put(x), xs, ys), truth(x, xs, ys), put(x), tolerance=TOL)
    # At a knot and to either side of it.
    wide = np.concatenate([np.nextafter(xs, -INF), xs, np.nextafter(xs, INF)])
    assert_same(fp.piecewise(put(wide), xs, ys), truth(wide, xs, ys), put(wide), tolerance=1e-12)


def test_knots_between_numbers_of_float32(backend, put):
    """A steep line far from 0: its start lies between two float32, and what it is there must not move."""
    xs, ys = (1e5 + 0.001, 1e5 + 0.021, 1e5 + 0.999), (0.0, 1.0, 1.5)
    x = (1e5 + np.arange(-64, 200) / 128).astype(np.float32)
    assert_same(fp.piecewise(put(x), xs, ys), truth(x, xs, ys), put(x), tolerance=TOL)


def test_channels_of_different_length(backend, put):
    """From one read; more than a launch takes."""
    x = values((5, 6, 7), "int16")
    short = [Piecewise((0, 100 + k), (k, 1)) for k in range(9)]
    table = [Piecewise(XS, YS), *short, Piecewise((-5, 0, 5), (0, 0, 1)).then(Ramp(hi=20.0))]
    result = to_numpy(apply_piecewise(put(x), table, channels=True))
    for k, one in enumerate(table):
        np.testing.assert_allclose(result[k], one(x), rtol=1e-5, atol=1e-4)


def test_nan_and_infinity(backend, put):
    x = np.array([[np.nan, INF, -INF, 0.0]], np.float32)
    assert_same(
        fp.piecewise(put(x), (0, 1, 2), (0, 1, 5)), np.array([[np.nan, INF, -INF, 0]], np.float32), put(x), tolerance=0
    )
    flat = Piecewise((0, 1), (0, 1)).then(Ramp(lo=-1.0, hi=2.0))
    assert_same(apply_piecewise(put(x), [flat]), np.array([[np.nan, 2, -1, 0]], np.float32), put(x), tolerance=0)


@pytest.mark.parametrize("dtype", ["int16", "float32", "float16", "uint8"])
def test_long_volumes(gpu, dtype):
    """Longer than a table of all 16-bit numbers and than what a block moves as words: the bits are the same."""
    x = np.resize(values((70_000,), dtype), (1, 5, 300, 180))
    assert x.size > 4 << 16
    here = fp.piecewise(x, XS, YS)
    short = np.concatenate([fp.piecewise(part, XS, YS) for part in np.array_split(x.ravel(), 300)])
    np.testing.assert_array_equal(here.ravel(), short)
    with thread_limit(1):
        np.testing.assert_array_equal(fp.piecewise(x, XS, YS), here)
    swapped = x.astype(x.dtype.newbyteorder(">"))
    np.testing.assert_array_equal(fp.piecewise(swapped, XS, YS), here)
    some = x[:, :1]
    np.testing.assert_array_equal(to_numpy(fp.piecewise(gpu(some), XS, YS)), here[:, :1])


def test_images_are_in_physical_units(backend, put):
    x, grid = values((5, 6, 7), "int16"), Grid.from_spacing((5, 6, 7), (2, 1, 1))
    result = fp.piecewise(Image(put(x), grid, modality="CT", rescale=Ramp(0.5, -10.0)), XS, YS)
    assert result.grid is grid and result.modality == "CT" and result.rescale.is_identity
    assert_same(result.array, truth(x * np.float32(0.5) - 10), put(x), tolerance=TOL)


def test_libraries(xp):
    x = xp.asarray(values((5, 6, 7), "int16"))
    assert_same(fp.piecewise(x, XS, YS), truth(values((5, 6, 7), "int16")), x, tolerance=TOL)


@settings(max_examples=20)
@given(maps(), st.integers(0, 99))
def test_any_map(one, seed):
    x = values((3, 40), "float64", seed) / 50
    np.testing.assert_allclose(fp.piecewise(x, one.xs, one.ys), truth(x, one.xs, one.ys), rtol=1e-9, atol=1e-9)


def test_errors(backend, put):
    x = values((3, 4), "float32")
    same_error(lambda: fp.piecewise(put(x), (0, 1), (0, math.nan)), ArgumentError, "expected two knots or more, finite")
    same_error(lambda: fp.piecewise(put(x), (1, 0), (0, 1)), ArgumentError, "xs strictly increasing")
    many = tuple(range(65))
    same_error(lambda: fp.piecewise(put(x), many, many), ArgumentError, "map of 65 knots: expected at most 64")
