from __future__ import annotations

import importlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastprep as fp
from fastprep import Grid, Image
from fastprep.core.errors import ArgumentError, NonFiniteError, ShapeError
from fastprep.core.ramp import Ramp
from fastprep.ops._arrays import view_of
from layouts import DTYPES, LAYOUTS, one_for_all, same_error, values

Q = [50, 0, 0.5, 25, 50.1, 99.5, 100]
SHAPE = (3, 40, 41)


def truth(x, q, mask=None):
    """NumPy's of float64, of infinities too."""
    with np.errstate(invalid="ignore"):
        return np.percentile((x if mask is None else x[mask != 0]).astype(np.float64), q)


def same(got, expected):
    np.testing.assert_array_equal(got, expected)
    # A zero has no sign, whichever zeros there are.
    assert not np.signbit(np.asarray(got)[np.asarray(got) == 0]).any()


def many(shape, dtype, seed=0):
    """With ties, infinities, both zeros and the smallest numbers where the type has them."""
    x = values(shape, dtype, seed)
    if x.dtype.kind == "f":
        rng = np.random.default_rng(seed)
        tiny = np.finfo(dtype).smallest_subnormal
        odd = np.array([np.inf, -np.inf, -0.0, 0.0, tiny, -tiny, 7, np.finfo(dtype).max], dtype)
        x = np.where(rng.random(shape) < 0.3, rng.choice(odd, shape), x).astype(dtype)
    return x


@pytest.mark.parametrize("dtype", [*DTYPES, "uint64"])
def test_numpy(backend, put, dtype):
    x, mask = many(SHAPE, dtype), values(SHAPE, "bool", 1)
    for q in (Q, 31.4, [98.6]):
        same(fp.percentile(put(x), q), truth(x, q))
        same(fp.percentile(put(x), q, mask=put(mask)), truth(x, q, mask))
    ties = np.round(x / 300).astype(dtype) if np.dtype(dtype).kind == "f" else x // 7 if dtype != "bool" else x
    same(fp.percentile(put(ties), Q), truth(ties, Q))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["int16", "float32"])
def test_every_layout(backend, put, layout, dtype):
    if backend == "gpu" and layout in ("big-endian", "unaligned", "read-only"):
        pytest.skip("a GPU has no such arrays")
    x, mask = many(SHAPE, dtype), values(SHAPE, "bool", 1)
    same(fp.percentile(put(LAYOUTS[layout](x)), Q, mask=put(LAYOUTS[layout](mask))), truth(x, Q, mask))


@pytest.mark.parametrize("dtype", ["uint8", "float16", "int32", "float32", "float64"])
def test_few_values(backend, put, dtype):
    for x in ([5], [5, 5], [1, 9], [9, 1, 4], [7] * 50, [0, 1] * 20):
        given_ = np.array(x, dtype).reshape(1, -1)
        same(fp.percentile(put(given_), Q), truth(given_, Q))
    same(fp.percentile(put(np.full((2, 3), -0.0, np.float32)), 50), 0.0)


@settings(max_examples=25)
@given(
    x=st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=60),
    q=st.lists(st.floats(0, 100), min_size=1, max_size=40),
)
def test_numpy_on_anything(x, q):
    for dtype in ("float32", "float64"):
        given_ = np.array(x, dtype).reshape(1, -1)
        same(fp.percentile(given_, q), truth(given_, q))


@pytest.mark.parametrize("sample", [1, 40, 1 << 16])
@pytest.mark.parametrize("dtype", ["int32", "float32", "float64"])
def test_a_sample_that_misleads(monkeypatch, sample, dtype):
    """Brackets too narrow miss their quantiles, and are looked for again."""
    kernel = importlib.import_module("fastprep.kernels.cpu.percentile")
    monkeypatch.setattr(kernel, "_SAMPLE", sample)
    monkeypatch.setattr(kernel, "_ERRORS", 0)
    x = many((5, 80, 90), dtype)
    for given_ in (x, np.sort(x.ravel()).reshape(x.shape), x[::-1, ::2]):
        same(fp.percentile(given_, Q), truth(given_, Q))


def test_more_quantiles_than_are_looked_for_at_once(backend, put):
    x, q = many(SHAPE, "float32"), np.linspace(0, 100, 71)[::-1]
    same(fp.percentile(put(x), q), truth(x, q))


def test_more_values_than_float32_counts():
    """Where the middle is tells 2**24 voxels from 2**24 + 1."""
    x = np.arange((1 << 24) + 1, dtype=np.float32).reshape(1, 1, -1)
    for n in ((1 << 24) + 1, 1 << 24):
        assert fp.percentile(x[..., :n], [50, 99.9]).tolist() == truth(x[..., :n], [50, 99.9]).tolist()


@pytest.mark.parametrize("dtype", ["int16", "float32"])
def test_batches(backend, put, dtype):
    x, masks = many((2, 3, 4, 20, 30), dtype), values((2, 3, 4, 20, 30), "bool", 1)
    for given_, marks in ((x, masks), (x[:, :2], masks[:, :2]), (x[:, :, ::-1], masks[:, :, ::-1])):
        flat, inside = (v.reshape(-1, *v.shape[2:]) for v in (given_, marks))
        expected = [truth(v, Q, m) for v, m in zip(flat, inside, strict=True)]
        got = fp.percentile(put(given_), Q, mask=put(marks))
        assert got.dtype == np.float64
        same(got, np.reshape(expected, (*given_.shape[:2], len(Q))))
        shared = fp.percentile(put(given_), 37.0, mask=put(marks[0, 0]))
        same(shared, np.reshape([truth(v, 37.0, inside[0]) for v in flat], given_.shape[:2]))
    assert type(fp.percentile(put(x[0, 0]), 50)) is float


def test_images(backend, put):
    x, grid = values((2, 4, 20, 30), "int16"), Grid.from_spacing((4, 20, 30), (2, 1, 1))
    mask = values((4, 20, 30), "bool", 1)
    for ramp in (Ramp(), Ramp(1.0, -1024.0), Ramp(-0.37, 31.0)):
        image = Image(put(x), grid, rescale=ramp)
        physical = ramp(x)
        same(fp.percentile(image, Q), [truth(v, Q) for v in physical])
        got = fp.percentile(image, Q, mask=Image(put(mask), grid, kind="label"))
        same(got, [truth(v, Q, mask) for v in physical])
    # Slices of two space axes are volumes of their own.
    flat = Image(put(x[0]), Grid.from_spacing((20, 30), (1, 1)))
    same(fp.percentile(flat, 10), [truth(v, 10) for v in x[0]])
    one = Image(put(x[0, :1, :1, :1]), Grid.from_spacing((1, 1, 1), (1, 1, 1)), rescale=Ramp(-2.0, 1.0))
    same(fp.percentile(one, Q), 1.0 - 2.0 * np.repeat(x[0, 0, 0, 0], len(Q)))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_nan(backend, put, dtype):
    x, mask = many(SHAPE, dtype), values(SHAPE, "bool", 1)
    x[1, ::3], x[2, 5, 7] = np.nan, -np.nan
    n = int(np.isnan(x).sum())
    same_error(lambda: fp.percentile(put(x), 5), NonFiniteError, f"x holds {n} values that are NaN")
    n = int(np.isnan(x[mask]).sum())
    same_error(lambda: fp.percentile(put(x), 5, mask=put(mask)), NonFiniteError, f"x holds {n} values inside the mask")
    same(fp.percentile(put(x), Q, nan="ignore"), truth(x[~np.isnan(x)], Q))
    assert np.isnan(fp.percentile(put(x), Q, nan="propagate")).all()
    same(fp.percentile(put(x), Q, mask=put(~np.isnan(x)), nan="propagate"), truth(x[~np.isnan(x)], Q))
    both = fp.percentile(put(np.stack([x, np.nan_to_num(x)])), 50, nan="propagate")
    assert np.isnan(both[0]) and both[1] == truth(np.nan_to_num(x), 50)
    none = np.full((2, 3, 4), np.nan, dtype)
    assert np.isnan(fp.percentile(put(none), 50, nan="propagate"))
    same_error(lambda: fp.percentile(put(none), 50, nan="ignore"), ArgumentError, "x holds no number: all of it is NaN")


def test_libraries(xp):
    x, mask = values((5, 6, 7), "int16"), values((5, 6, 7), "bool", 1)
    got = fp.percentile(xp.asarray(x), Q, mask=xp.asarray(mask))
    assert type(got) is np.ndarray
    same(got, truth(x, Q, mask))


def test_errors(backend, put):
    x = values((3, 4, 5), "float32")
    none = np.zeros((3, 4, 5), bool)
    same_error(lambda: fp.percentile(put(x), 50, mask=put(none)), ArgumentError, "mask holds no voxel")
    same_error(lambda: fp.percentile(put(x), 50, mask=put(none[:2])), ShapeError, r"mask of shape \(2, 4, 5\)")
    same_error(lambda: fp.percentile(put(x[:0]), 50), ShapeError, "none of length zero")
    same_error(lambda: fp.percentile(put(x), 50, nan="omit"), ArgumentError, "nan='omit': expected one of 'raise', ")
    for q in (-1, 100.5, np.nan, [[1, 2]], "median", None, [50, 101], 3j):
        same_error(lambda q=q: fp.percentile(put(x), q), ArgumentError, "expected a number from 0 to 100, or several")


def test_any_number_of_threads():
    x, mask = many((9, 160, 160), "float32"), values((9, 160, 160), "bool", 1)
    try:
        found = []
        for n in (1, 2, 5):
            fp.set_num_threads(n)
            found.append(fp.percentile(x, Q, mask=mask).tobytes())
    finally:
        fp.set_num_threads(None)
    assert found[0] == found[1] == found[2]


@pytest.mark.gpu
def test_one_wait_for_a_batch(driver):
    import emulated

    x = emulated.put(values((4, 3, 20, 30), "float32"))
    driver.log.clear()
    fp.percentile(x, Q)
    assert driver.count("synchronize") == 1


# ---- the kernel counts


def count(backend, put, x, mask=None):
    kernel = importlib.import_module(f"fastprep.kernels.{backend}.counts").counts
    return kernel(view_of(put(x)), None if mask is None else view_of(put(mask)))


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint8", "int16", "uint16"])
def test_counts_are_numpys(backend, put, dtype):
    x, masks = values((2, 9, 60, 70), dtype), values((2, 9, 60, 70), "bool", 1)
    lowest, bins = (0 if dtype == "bool" else int(np.iinfo(dtype).min)), 1 << 8 * x.itemsize

    def truth(v):
        return np.bincount(v.ravel().astype(np.int64) - lowest, minlength=bins)

    for layout in ("contiguous", "reversed", "sliced"):
        got = count(backend, put, LAYOUTS[layout](x))
        assert got.dtype == np.uint64 and got.shape == (2, bins)
        np.testing.assert_array_equal(got, [truth(v) for v in x])
        got = count(backend, put, x, LAYOUTS[layout](masks))
        np.testing.assert_array_equal(got, [truth(v[m]) for v, m in zip(x, masks, strict=True)])
    marks = one_for_all(view_of(put(masks)))
    got = importlib.import_module(f"fastprep.kernels.{backend}.counts").counts(view_of(put(x)), marks)
    np.testing.assert_array_equal(got, [truth(v[masks[0]]) for v in x])


def test_counts_of_long_runs(backend, put):
    """As background is, beside a window of values a block expects, and beyond it."""
    x = np.full((1, 5, 160, 200), -2048, np.int16)
    x[0, 2:, 30:90, 40:160] = values((3, 60, 120), "int16")
    x[0, 4] = 30_000
    np.testing.assert_array_equal(
        count(backend, put, x)[0], np.bincount(x.ravel().astype(np.int64) + 32768, minlength=65536)
    )
