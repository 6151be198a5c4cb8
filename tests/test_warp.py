from __future__ import annotations

import numpy as np
import pytest

import fastprep as fp
import oracles
from fastprep import IndexMap
from fastprep.core.errors import ArgumentError, DTypeError, GeometryError, ShapeError, TooLargeError
from fastprep.testing.assertions import assert_same, to_numpy
from layouts import check_layouts, coordinates, interpolated, matrix_of, on_an_edge, same_error, tolerance, values

TOLERANCE = tolerance("warp")
ORDERS = {"nearest": 0, "linear": 1, "cubic": 3}


def oblique(shape, out_shape, seed, zoom=1.0, shift=0.0):
    """Output index to input index: rotated, sheared and scaled about the centres, then shifted."""
    rng = np.random.default_rng(seed)
    n = len(shape)
    turn, _ = np.linalg.qr(rng.standard_normal((n, n)))
    shear = np.eye(n) + np.triu(rng.uniform(-0.3, 0.3, (n, n)), 1)
    matrix = np.eye(4)
    matrix[:n, :n] = turn @ shear * zoom * rng.uniform(0.8, 1.2, n)
    middle, out_middle = (np.array(shape) - 1) / 2, (np.array(out_shape) - 1) / 2
    matrix[:n, 3] = middle - matrix[:n, :n] @ out_middle + shift
    return matrix


CASES = {
    "volume": ((9, 10, 11), (8, 12, 7), 1.0, 0.0),
    "finer": ((7, 6, 8), (15, 14, 13), 0.125, 0.0),
    "coarser": ((19, 18, 17), (5, 4, 6), 8.0, 0.0),
    "partly outside": ((9, 8, 7), (10, 9, 8), 1.0, 4.3),
    "all outside": ((5, 6, 7), (4, 5, 6), 1.0, 100.0),
    "plane": ((13, 11), (9, 14), 0.9, 0.0),
    "plane, partly outside": ((13, 11), (9, 14), 1.0, 5.0),
}


@pytest.mark.parametrize("order", [*ORDERS, "onehot"])
@pytest.mark.parametrize("case", CASES)
def test_simpleitk(backend, put, case, order):
    shape, out_shape, zoom, shift = CASES[case]
    for seed in range(3):
        matrix = oblique(shape, out_shape, seed, zoom, shift)
        x = values(shape, "float32", seed) if order in ("linear", "cubic") else values(shape, "uint8", seed) % 5
        fill = 9 if order in ("nearest", "onehot") else -1000.5
        truth = oracles.sitk_warp(x, matrix, out_shape, "label_linear" if order == "onehot" else order, fill)
        result = to_numpy(fp.warp(put(x), matrix, out_shape, order=order, fill=fill))
        assert result.dtype == truth.dtype and result.shape == truth.shape
        clear = ~on_an_edge(coordinates(matrix, out_shape), shape, order)
        error = np.abs(result.astype(float) - truth)[clear].max()
        assert error <= {"linear": 2e-6, "cubic": 5e-6}.get(order, 0) * np.ptp(x)


@pytest.mark.parametrize(
    ("order", "dtype"),
    [(o, d) for o in ORDERS for d in ("int16", "float16", "float32", "float64")] + [("nearest", "uint8")],
)
def test_every_layout(backend, put, order, dtype):
    x = values((5, 6, 7), dtype)
    matrix = oblique((5, 6, 7), (4, 9, 5), 3)
    truth = interpolated(x, coordinates(matrix, (4, 9, 5)), ORDERS[order], 3)
    out = dtype if order == "nearest" or dtype.startswith("float") else "float32"
    allowed = 0 if order == "nearest" else TOLERANCE
    check_layouts(
        lambda a: fp.warp(a, matrix, (4, 9, 5), order=order, fill=3),
        truth.astype(out),
        x,
        put,
        backend,
        tolerance=allowed,
    )


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int64", "uint64"])
def test_nearest_keeps_labels_to_the_last_bit(backend, put, dtype):
    top = np.iinfo(dtype).max if dtype != "bool" else 1
    x = np.array([0, top - 1 if dtype != "bool" else 0, top], dtype)[values((5, 6, 7), "uint8") % 3]
    matrix = oblique((5, 6, 7), (4, 9, 5), 3)
    truth = interpolated(x, coordinates(matrix, (4, 9, 5)), 0, 0)
    assert_same(fp.warp(put(x), matrix, (4, 9, 5), order="nearest"), truth, put(x), tolerance=0)
    swapped = x.astype(x.dtype.newbyteorder(">"))
    result = fp.warp(swapped, matrix, (4, 9, 5), order="nearest")
    assert_same(result, truth, swapped, tolerance=0)


@pytest.mark.parametrize(
    ("order", "dtype"),
    [(o, d) for o in ORDERS for d in ("float16", "uint8")] + [("nearest", "float64")],
)
def test_out_dtypes(backend, put, order, dtype):
    x = values((5, 6, 7), "int16")
    matrix = oblique((5, 6, 7), (4, 9, 5), 3)
    fill = -70000.0 if dtype == "float64" else 200.4
    truth = interpolated(x.astype(np.float64), coordinates(matrix, (4, 9, 5)), ORDERS[order], fill)
    if dtype in ("uint8", "int16"):
        info = np.iinfo(dtype)
        truth = np.clip(np.rint(truth), info.min, info.max)
    result = fp.warp(put(x), matrix, (4, 9, 5), order=order, fill=fill, dtype=dtype)
    assert_same(result, truth.astype(dtype), put(x), tolerance=TOLERANCE, scale=65535)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("shape", [(1, 6, 7), (6, 1, 7), (6, 7, 1), (1, 1, 1), (2, 2, 2), (3, 2, 5), (2, 3, 4, 5, 6)])
def test_shapes(backend, put, order, shape):
    x = values(shape, "float32")
    space = shape[-3:]
    matrix = oblique(space, (5, 4, 6), 5, 0.6)
    where = coordinates(matrix, (5, 4, 6))
    flat = [interpolated(v, where, ORDERS[order], 0) for v in x.reshape(-1, *space)]
    truth = np.stack(flat).reshape(*shape[:-3], 5, 4, 6).astype(np.float32)
    assert_same(fp.warp(put(x), matrix, (5, 4, 6), order=order), truth, put(x), tolerance=TOLERANCE, scale=3000)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("dtype", ["int16", "float32"])
@pytest.mark.parametrize("shift", [0, 40, -70.3])
def test_rows_longer_than_a_tile(backend, put, order, dtype, shift):
    # Kernels may cut long rows into tiles and do several rows at once.
    shape, out_shape = (4, 37, 301), (3, 41, 397)
    x = values(shape, dtype)
    matrix = np.array([[0.9, 0.01, 0.004, 0.1], [0.05, 0.9, -0.02, 3], [0.3, -0.1, 0.8, shift], [0, 0, 0, 1.0]])
    where = coordinates(matrix, out_shape)
    truth = interpolated(x, where, ORDERS[order], 3)
    truth = truth.astype(x.dtype if order == "nearest" else np.float32)
    result = np.array(to_numpy(fp.warp(put(x), matrix, out_shape, order=order, fill=3)))
    # A coordinate on the border or a tie falls to either side by its last bit.
    edge = on_an_edge(where, shape, order)
    result[edge] = truth[edge]
    assert_same(result, truth, x, tolerance=0 if order == "nearest" else TOLERANCE)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("noise", [-7e-18, 7e-18, -3e-17, 3e-17, -2e-16, 2e-16])
def test_a_slope_that_is_rounding_noise(backend, put, order, noise):
    # Rows on the very border: where the rounded coordinate lies inside, not where the exact line would.
    x = values((2, 3, 40), "int16")
    matrix = np.array([[1, 0, 0, 0], [0.123, 0.5, noise, -1], [0, 0, 0.9, 0.05], [0, 0, 0, 1.0]])
    result = to_numpy(fp.warp(put(x), matrix, (2, 8, 40), order=order, fill=-7))
    with fp.registry.backend("reference"):
        truth = fp.warp(x, matrix, (2, 8, 40), order=order, fill=-7)
    assert_same(result, truth, x, tolerance=0 if order == "nearest" else TOLERANCE)


@pytest.mark.parametrize("order", ORDERS)
def test_axis_aligned_is_resample(backend, put, order):
    x = put(values((5, 6, 7), "int16"))
    scale = (0.65, 0.7, 1.1)
    result = fp.warp(x, matrix_of(scale, (0, 0, 0)), (8, 9, 6), order=order, fill=1)
    same = fp.resample(x, (1, 1, 1), scale, order=order, shape=(8, 9, 6), fill=1)
    assert_same(result, to_numpy(same), x, tolerance=0)


@pytest.mark.parametrize("order", [*ORDERS, "onehot"])
def test_turns_and_shifts_by_whole_voxels_are_exact(backend, put, order):
    x = values((5, 6, 7), "int16")
    quarter = np.array([[0, 0, 1, 0], [0, -1, 0, 5], [1, 0, 0, 1], [0, 0, 0, 1.0]])
    truth = np.zeros((6, 6, 5), np.int16)
    truth[:] = x[:, ::-1, 1:].transpose(2, 1, 0)
    result = to_numpy(fp.warp(put(x), quarter, (6, 6, 5), order=order))
    assert np.array_equal(result, truth)


def test_two_axes_take_a_3x3(backend, put):
    x = values((6, 7), "float32")
    three = np.array([[0.8, 0.3, 0.5], [-0.2, 0.9, 1.1], [0, 0, 1]])
    four = np.eye(4)
    four[np.ix_([0, 1, 3], [0, 1, 3])] = three
    result = fp.warp(put(x), three, (5, 5))
    assert to_numpy(result).tobytes() == to_numpy(fp.warp(put(x), four, (5, 5))).tobytes()
    truth = interpolated(x, coordinates(four, (5, 5)), 1, 0).astype(np.float32)
    assert_same(result, truth, put(x), tolerance=TOLERANCE)


@pytest.mark.parametrize("order", ["linear", "cubic"])
def test_a_constant_stays_constant(backend, put, order):
    x = put(np.full((6, 7, 8), 1234, np.int16))
    inner = oblique((6, 7, 8), (5, 5, 5), 7, 0.5)
    result = to_numpy(fp.warp(x, inner, (5, 5, 5), order=order))
    assert np.abs(result - 1234).max() <= 2e-6 * 1234


def test_onehot_of_a_mask_is_half_of_linear(backend, put):
    mask = values((7, 8, 9), "uint8") > 128
    matrix = oblique((7, 8, 9), (9, 9, 9), 11)
    result = to_numpy(fp.warp(put(mask), matrix, (9, 9, 9), order="onehot"))
    share = to_numpy(fp.warp(put(mask.astype(np.float64)), matrix, (9, 9, 9)))
    clear = np.abs(share - 0.5) > 1e-9
    assert np.array_equal(result[clear], (share > 0.5)[clear])


def test_landmarks_follow(backend, put):
    # A blob at p lies at IndexMap.to_output(p) of the result.
    shape, out_shape = (20, 22, 21), (19, 20, 23)
    blob = np.array([9.0, 12.0, 8.0])
    x = np.exp(-0.5 * ((np.indices(shape) - blob.reshape(3, 1, 1, 1)) ** 2).sum(0) / 2.0).astype(np.float32)
    index_map = IndexMap(out_shape, oblique(shape, out_shape, 2, 0.9))
    result = to_numpy(fp.warp(put(x), index_map.matrix, out_shape, order="cubic")).astype(np.float64)
    mass = (result * np.indices(out_shape)).reshape(3, -1).sum(1) / result.sum()
    assert np.abs(mass - index_map.to_output(blob)).max() < 0.02


@pytest.mark.parametrize("order", ["nearest", "linear", "cubic", "onehot"])
def test_libraries(xp, order):
    x = values((5, 6, 7), "int16") % 7
    matrix = oblique((5, 6, 7), (4, 9, 5), 3)
    truth = fp.warp(x, matrix, (4, 9, 5), order=order)
    given = xp.asarray(x)
    assert_same(fp.warp(given, matrix, (4, 9, 5), order=order), truth, given, tolerance=0)


def test_errors(backend, put):
    x = put(np.zeros((3, 4, 5), np.float32))
    eye, tilt = np.eye(4), oblique((3, 4, 5), (3, 4, 5), 0)
    same_error(lambda: fp.warp(x, np.diag([1.0, 0, 1, 1]), (3, 4, 5)), GeometryError, "singular")
    same_error(lambda: fp.warp(x, eye * np.nan, (3, 4, 5)), GeometryError, "finite 4x4")
    same_error(lambda: fp.warp(x, np.eye(3), (3, 4, 5)), GeometryError, "finite 4x4")
    same_error(lambda: fp.warp(x, eye, (3, 4, 5, 6)), ShapeError, "2 or 3")
    same_error(lambda: fp.warp(x, eye, (3, 4, -5)), ShapeError, "at least 1")
    same_error(lambda: fp.warp(x, tilt, (3, 4, 5), order="onehot"), DTypeError, "expects labels")
    same_error(lambda: fp.warp(put(np.zeros((3, 4, 5), bool)), tilt, (3, 4, 5)), DTypeError, "blended")
    same_error(lambda: fp.warp(x, tilt, (3, 4, 5), order="bspline"), ArgumentError, "order='bspline'")
    same_error(lambda: fp.warp(x, tilt, (3, 4, 5), fill=float("nan")), ArgumentError, "fill=nan")
    same_error(lambda: fp.warp(put(np.zeros((4, 5))), tilt, (3, 4, 5)), ShapeError, "expected at least 3 axes")
    same_error(lambda: fp.warp(x, tilt, (10**5, 10**5, 10**5)), TooLargeError, "GiB; this machine has|GiB; the GPU has")
