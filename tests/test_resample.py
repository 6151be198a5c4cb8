from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage as ndi
from hypothesis import given
from hypothesis import strategies as st

import fastprep as fp
import oracles
from fastprep import Grid, IndexMap
from fastprep.core.errors import ArgumentError, DTypeError, GeometryError, ShapeError, TooLargeError
from fastprep.testing.assertions import assert_same, to_numpy
from layouts import (
    DTYPES,
    check_layouts,
    coordinates,
    interpolated,
    matrix_of,
    on_an_edge,
    same_error,
    tolerance,
    values,
)

TOLERANCE = tolerance("resample")
ORDERS = {"nearest": 0, "linear": 1, "cubic": 3}


def truth_of(x, spacing, new_spacing, order, fill=0.0, m=None):
    """SciPy at ``i t / s``, float64; any leading axes."""
    space = x.shape[-len(spacing) :]
    scale = np.divide(new_spacing, spacing)
    shape = m or [max(round(round(n / k, 9)), 1) for n, k in zip(space, scale, strict=True)]
    where = coordinates(matrix_of(scale, [0] * len(scale)), shape)
    flat = [interpolated(v, where, ORDERS[order], fill) for v in x.reshape(-1, *space)]
    return np.stack(flat).reshape(*x.shape[: -len(spacing)], *shape)


def real(dtype):
    return dtype if np.dtype(dtype).kind == "f" else "float32"


@pytest.mark.parametrize("dtype", [d for d in DTYPES if d != "bool"])
def test_linear_every_dtype_and_layout(backend, put, dtype):
    x = values((2, 5, 6, 7), dtype)
    truth = truth_of(x, (2, 1, 1), (1.3, 0.7, 1.1), "linear", fill=-5)
    check_layouts(
        lambda a: fp.resample(a, (2, 1, 1), (1.3, 0.7, 1.1), fill=-5),
        truth.astype(real(dtype)),
        x,
        put,
        backend,
        tolerance=TOLERANCE,
    )


@pytest.mark.parametrize("dtype", ["int16", "uint8", "float16", "float32", "float64"])
def test_cubic_every_layout(backend, put, dtype):
    x = values((5, 6, 7), dtype)
    truth = truth_of(x, (2, 1, 1), (1.3, 0.7, 1.1), "cubic", fill=-5).astype(real(dtype))
    check_layouts(
        lambda a: fp.resample(a, (2, 1, 1), (1.3, 0.7, 1.1), order="cubic", fill=-5),
        truth,
        x,
        put,
        backend,
        tolerance=TOLERANCE,
    )


@pytest.mark.parametrize("dtype", [*DTYPES, "uint64"])
def test_nearest_every_dtype_and_layout(backend, put, dtype):
    x = values((5, 6, 7), dtype)
    truth = truth_of(x, (2, 1, 1), (1.3, 0.7, 2.1), "nearest", fill=1)
    check_layouts(
        lambda a: fp.resample(a, (2, 1, 1), (1.3, 0.7, 2.1), order="nearest", fill=1),
        truth,
        x,
        put,
        backend,
        tolerance=0,
    )


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("dtype", ["float32", "float16", "float64", "uint8", "int16"])
def test_out_dtypes(backend, put, order, dtype):
    x = values((5, 7, 6), "int16")
    truth = truth_of(x, (2, 1, 1), (1.3, 0.7, 1.1), order)
    if dtype in ("uint8", "int16"):
        info = np.iinfo(dtype)
        truth = np.clip(np.rint(truth), info.min, info.max)
    result = fp.resample(put(x), (2, 1, 1), (1.3, 0.7, 1.1), order=order, dtype=dtype)
    assert_same(result, truth.astype(dtype), put(x), tolerance=TOLERANCE, scale=65535)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(
    "shape",
    [(1, 6, 7), (6, 1, 7), (6, 7, 1), (1, 1, 1), (2, 2, 2), (3, 2, 5), (13, 11, 17), (2, 3, 4, 5, 6), (23, 29, 2)],
)
@pytest.mark.parametrize("new_spacing", [(0.6, 0.9, 0.4), (2.3, 3.1, 1.0)])
def test_shapes(backend, put, order, shape, new_spacing):
    x = values(shape, "float32")
    truth = truth_of(x, (1, 1, 1), new_spacing, order).astype(np.float32)
    assert_same(
        fp.resample(put(x), (1, 1, 1), new_spacing, order=order), truth, put(x), tolerance=TOLERANCE, scale=3000
    )


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("shape", [(9, 8), (1, 7), (1, 1), (3, 11, 5)])
def test_two_axes(backend, put, order, shape):
    x = values(shape, "float32")
    truth = truth_of(x, (1, 2), (0.7, 0.9), order).astype(np.float32)
    result = fp.resample(put(x), (1, 2), (0.7, 0.9), order=order)
    assert_same(result, truth, put(x), tolerance=TOLERANCE, scale=3000)


# SimpleITK


@pytest.mark.parametrize("order", [*ORDERS, "onehot"])
@pytest.mark.parametrize("seed", range(8))
def test_simpleitk(backend, put, order, seed):
    rng = np.random.default_rng(seed)
    ndim = 2 if seed % 4 == 3 else 3
    shape = tuple(int(n) for n in rng.integers(4, 20, ndim))
    # 8 times finer and 8 times coarser belong to the set, not quite: eighths of a voxel are ties between labels.
    spacing = rng.uniform(0.5, 3, ndim)
    ratio = [np.full(ndim, 0.1237), np.full(ndim, 7.9)][seed] if seed < 2 else rng.uniform(0.4, 2.5, ndim)
    shape = tuple(min(n, 7) for n in shape) if seed == 0 else shape
    x = values(shape, "float32", seed) if order in ("linear", "cubic") else values(shape, "uint8", seed) % 5
    grid = Grid.from_spacing(shape, spacing)
    index_map = IndexMap.spacing_change(shape, spacing, spacing * ratio)
    name = "label_linear" if order == "onehot" else order
    fill = 9 if order in ("nearest", "onehot") else -1000.5
    truth = oracles.sitk_resample(x, grid, index_map.grid(grid), name, fill)
    result = to_numpy(fp.resample(put(x), spacing, spacing * ratio, order=order, fill=fill))
    assert result.dtype == truth.dtype and result.shape == truth.shape
    clear = ~on_an_edge(coordinates(index_map.matrix, index_map.shape), shape, order)
    error = np.abs(result.astype(float) - truth)[clear].max()
    assert error <= {"linear": 2e-6, "cubic": 5e-6}.get(order, 0) * np.ptp(x)


@pytest.mark.parametrize("order", ["nearest", "linear"])
@pytest.mark.parametrize("shape", [(1, 5, 2), (2, 1, 6), (2, 2, 1), (1, 1, 1)])
def test_simpleitk_on_one_and_two_voxels(backend, put, order, shape):
    x = values(shape, "float32")
    grid = Grid.from_spacing(shape, (1, 1, 1))
    index_map = IndexMap.spacing_change(shape, (1, 1, 1), (0.3, 0.7, 0.4))
    truth = oracles.sitk_resample(x, grid, index_map.grid(grid), order, 7)
    result = to_numpy(fp.resample(put(x), (1, 1, 1), (0.3, 0.7, 0.4), order=order, fill=7))
    clear = ~on_an_edge(coordinates(index_map.matrix, index_map.shape), shape, order)
    assert np.abs(result - truth)[clear].max() <= 2e-6 * 3000


# Laws


@pytest.mark.parametrize("order", ["nearest", "linear", "cubic"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int16", "uint8"])
@pytest.mark.parametrize("grid", ["itk", "edges", "monai", "torchio", "scipy"])
def test_same_spacing_is_the_identity(backend, put, order, dtype, grid):
    x = values((5, 1, 7), dtype)
    result = to_numpy(fp.resample(put(x), (0.7, 0.3, 1.1), (0.7, 0.3, 1.1), order=order, grid=grid, antialias=True))
    assert result.shape == x.shape and np.array_equal(result.astype(x.dtype), x)
    if np.dtype(dtype).kind == "f":
        assert result.tobytes() == x.tobytes()


@given(
    value=st.integers(-32768, 32767),
    ratio=st.lists(st.floats(0.3, 3), min_size=3, max_size=3),
    order=st.sampled_from(["nearest", "linear", "cubic"]),
    antialias=st.booleans(),
)
def test_a_constant_stays_constant(value, ratio, order, antialias):
    x = np.full((6, 5, 7), value, np.int16)
    result = fp.resample(x, (1, 1, 1), ratio, order=order, grid="edges", antialias=antialias)
    if order == "cubic" or antialias:
        assert np.abs(result - np.float32(value)).max() <= 2e-6 * max(abs(value), 1)
    else:
        assert (result == value).all()


@pytest.mark.parametrize("order", ["nearest", "onehot"])
@pytest.mark.parametrize("dtype", ["bool", "uint8", "int16", "int64", "uint64"])
def test_labels_keep_dtype_and_values(backend, put, order, dtype):
    top = {"bool": 1, "int64": -(2**62) + 1, "uint64": 2**64 - 1}.get(dtype, 200)
    x = np.array([0, top], dtype)[(values((6, 5, 7), "uint8") > 100).astype(int)]
    result = to_numpy(fp.resample(put(x), (1, 1, 1), (0.6, 1.2, 0.7), order=order))
    assert result.dtype == x.dtype
    assert set(np.unique(result).tolist()) == {0, x.max() if top > 0 else x.min()} | {0}


def test_onehot_layouts(backend, put):
    for dtype in ("bool", "uint8", "int16", "int64"):
        x = (values((5, 6, 7), "uint8") % 4).astype(dtype)
        where = coordinates(matrix_of((0.65, 0.7, 1.1), (0, 0, 0)), (8, 9, 6))
        shares = np.stack([interpolated(x == c, where, 1, 0) for c in np.unique(x)])
        inside = interpolated(np.ones(x.shape), where, 1, 0) > 0
        # A tie is decided by the lowest label, whatever the last bit of a sum.
        truth = np.where(inside, np.unique(x)[np.round(shares, 9).argmax(axis=0)], x.dtype.type(1))
        check_layouts(
            lambda a: fp.resample(a, (2, 1, 1), (1.3, 0.7, 1.1), order="onehot", shape=(8, 9, 6), fill=1),
            truth,
            x,
            put,
            backend,
            tolerance=0,
        )


def test_nearest_ties_go_up(backend, put):
    x = np.array([[10, 20, 30]], np.int16)
    result = to_numpy(fp.resample(put(x), (1, 1), (1, 0.5), order="nearest"))
    assert result.tolist() == [[10, 20, 20, 30, 30, 0]]


def test_onehot_ties_go_to_the_lowest_label(backend, put):
    x = np.array([[5, 2, 7]], np.uint8)
    result = to_numpy(fp.resample(put(x), (1, 1), (1, 0.5), order="onehot", fill=9))
    assert result.tolist() == [[5, 2, 2, 2, 7, 9]]


def test_half_a_voxel_around_the_field_is_inside(backend, put):
    # Inside is -0.5 <= x < n - 0.5, binary noise of 0.3 * 5 notwithstanding.
    x = np.array([[1.0, 3.0]], np.float32)
    for order in ("nearest", "linear"):
        result = to_numpy(fp.resample(put(x), (1, 1), (1, 0.3), order=order, shape=(1, 8), fill=-9))
        assert result[0, 4] == 3 and (result[0, 5:] == -9).all()


@pytest.mark.parametrize("order", ["linear", "cubic"])
def test_a_linear_field_is_reproduced(backend, put, order):
    z, y, x = np.indices((9, 8, 30), dtype=np.float64)
    field = (3 * z - 2 * y + 0.5 * x + 7).astype(np.float32)
    result = to_numpy(fp.resample(put(field), (2, 1, 1), (1.5, 0.8, 0.9), order=order))
    k, j, i = np.indices(result.shape, dtype=np.float64)
    truth = 3 * k * 0.75 - 2 * j * 0.8 + 0.5 * i * 0.9 + 7
    inner = np.s_[:10, :8, 12:22] if order == "cubic" else np.s_[:11, :9, :33]
    if order == "linear":
        assert np.abs(result - truth)[inner].max() < 1e-4
    else:
        # The mirrored border disturbs a spline less with every voxel.
        middle = np.s_[5:6, 4:5, 12:22]
        assert np.abs(result - truth)[middle].max() < 0.05


@pytest.mark.parametrize("order", ORDERS)
def test_not_finite_reaches_as_far_as_the_interpolation(backend, put, order):
    x = values((9, 8, 7), "float32")
    x[4, 4, 4] = np.nan
    result = np.isnan(to_numpy(fp.resample(put(x), (1, 1, 1), (0.5, 0.5, 0.5), order=order)))
    assert result.any() and (order == "cubic" or result.sum() <= 4**3)
    # A whole number was asked for: NaN becomes 0.
    whole = to_numpy(fp.resample(put(np.full((3, 3), np.nan, np.float32)), (1, 1), (0.5, 0.5), dtype="int16", fill=0))
    assert not whole.any()


# Anti-aliasing


def blurred(x, ratio):
    """Cardoso's Gaussian along the axes that get coarser."""
    out = x.astype(np.float64)
    for axis, k in enumerate(ratio):
        if k > 1:
            sigma = np.sqrt(k**2 - 1) / (2 * np.sqrt(2 * np.log(2)))
            out = ndi.gaussian_filter1d(out, sigma, axis, mode="nearest", truncate=4.0)
    return out


@pytest.mark.parametrize(
    "ratio",
    [
        (2.0, 3.0, 1.7),
        (5.0, 1.01, 8.0),
        (1.0, 2.5, 0.6),
        (2.0, 1.0, 1.0),
    ],
)
@pytest.mark.parametrize("order", ["linear", "cubic"])
@pytest.mark.parametrize("dtype", ["int16", "float32", "float64"])
def test_antialias_is_a_gaussian_first(backend, put, ratio, order, dtype):
    x = values((13, 16, 19), dtype)
    truth = truth_of(blurred(x, ratio), (1, 1, 1), ratio, order)
    result = fp.resample(put(x), (1, 1, 1), ratio, order=order, antialias=True)
    assert_same(result, truth.astype(real(dtype)), put(x), tolerance=TOLERANCE, scale=float(np.ptp(x.astype(float))))


def test_antialias_kills_what_would_alias(backend, put):
    # 0.45 cycles a voxel seen every third voxel would come back as a slow wave.
    i = np.arange(96)
    x = np.broadcast_to(1000 * np.cos(2 * np.pi * 0.45 * i), (3, 4, 96)).astype(np.float32)
    for order in ("linear", "cubic"):
        plain = to_numpy(fp.resample(put(x), (1, 1, 1), (1, 1, 3), order=order))[..., 4:-4]
        clean = to_numpy(fp.resample(put(x), (1, 1, 1), (1, 1, 3), order=order, antialias=True))[..., 4:-4]
        assert np.ptp(plain) > 1900
        assert np.abs(clean).max() < 30


def test_antialias_leaves_finer_axes_alone(backend, put):
    x = values((9, 8, 7), "float32")
    for order in ("linear", "cubic", "nearest"):
        plain = to_numpy(fp.resample(put(x), (1, 1, 1), (0.5, 0.7, 1), order=order))
        same = to_numpy(fp.resample(put(x), (1, 1, 1), (0.5, 0.7, 1), order=order, antialias=True))
        assert plain.tobytes() == same.tobytes()


def test_antialias_leaves_labels_alone(backend, put):
    x = values((9, 8, 7), "uint8") % 4
    for order in ("nearest", "onehot"):
        plain = to_numpy(fp.resample(put(x), (1, 1, 1), (3, 2, 1), order=order))
        assert np.array_equal(plain, to_numpy(fp.resample(put(x), (1, 1, 1), (3, 2, 1), order=order, antialias=True)))


# Libraries and errors


@pytest.mark.parametrize("order", [*ORDERS, "onehot"])
def test_libraries(xp, order):
    x = values((5, 6, 7), "int16") % 7
    truth = fp.resample(x, (2, 1, 1), (1.3, 0.7, 1.1), order=order)
    given_ = xp.asarray(x)
    assert_same(fp.resample(given_, (2, 1, 1), (1.3, 0.7, 1.1), order=order), truth, given_, tolerance=0)


def test_a_result_larger_than_memory_is_refused_first(backend, put):
    x = put(np.zeros((64, 64, 64), np.float32))
    same_error(
        lambda: fp.resample(x, (1, 1, 1), (0.002, 0.002, 0.002)),
        TooLargeError,
        "GiB; this machine has|GiB; the GPU has",
    )
    same_error(lambda: fp.resample(x, (1, 1, 1), (1, 1, 1), shape=(10**6, 10**6, 10**6)), TooLargeError, "GiB")


def test_errors(backend, put):
    x = put(np.zeros((3, 4, 5), np.float32))
    one = (1, 1, 1)
    same_error(lambda: fp.resample(x, (1, 1, 0), one), GeometryError, "spacing=\\(1, 1, 0\\)")
    same_error(lambda: fp.resample(x, one, (1, 1, -1)), GeometryError, "new_spacing=")
    same_error(lambda: fp.resample(x, one, (1, 1, float("nan"))), GeometryError, "new_spacing=")
    same_error(lambda: fp.resample(x, one, (1, 1)), GeometryError, "expected 3 positive numbers")
    same_error(lambda: fp.resample(x, one, (2, 2, 2), order="lanczos"), ArgumentError, "order='lanczos'")
    same_error(lambda: fp.resample(x, one, (2, 2, 2), order=2), ArgumentError, "order=2")
    same_error(lambda: fp.resample(x, one, (2, 2, 2), grid="nnunet"), ArgumentError, "itk, edges, monai")
    same_error(lambda: fp.resample(x, one, (2, 2, 2), shape=(2, 2)), ShapeError, "expected 3 axes")
    same_error(lambda: fp.resample(x, one, (2, 2, 2), shape=(2, 2, 0)), ShapeError, "at least 1")
    same_error(lambda: fp.resample(x, one, (2, 2, 2), fill=float("inf")), ArgumentError, "fill=inf")
    same_error(lambda: fp.resample(x, one, (2, 2, 2), order="onehot"), DTypeError, "expects labels")
    same_error(lambda: fp.resample(x, one, (2, 2, 2), dtype="str"), DTypeError, "dtype='str'")
    mask = put(np.zeros((3, 4, 5), bool))
    same_error(lambda: fp.resample(mask, one, (2, 2, 2)), DTypeError, "can't be blended")
    same_error(lambda: fp.resample(mask, one, (2, 2, 2), order="onehot", dtype="uint8"), ArgumentError, "as they are")
    same_error(lambda: fp.resample(put(np.zeros((3, 0, 5))), one, (2, 2, 2)), ShapeError, "none of length zero")
    same_error(lambda: fp.resample(put(np.zeros((0, 3, 4, 5))), one, (2, 2, 2)), ShapeError, "none of length zero")
    same_error(lambda: fp.resample(put(np.zeros((4, 5))), one, (2, 2, 2)), GeometryError, "expected 2 positive numbers")
