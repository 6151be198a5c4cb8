"""Kernels called with the same arguments on every backend: what operations never ask for is held here too."""

from __future__ import annotations

import importlib
import inspect

import numpy as np
import pytest

from fastprep import registry
from fastprep.core.taps import axis_taps
from fastprep.ops._arrays import view_of
from fastprep.testing.assertions import assert_same
from layouts import LAYOUTS, values

pytestmark = pytest.mark.gpu
KERNELS = sorted({name for row in registry.TABLE for name in row.kernels})
INF = np.inf
IDENTITY = np.array([[1.0, 0.0, -INF, INF]])
CLIPPED = np.array([0.5, 3.0, -800.0, 900.0])
SHIFTED, LOW, HIGH = np.array([[1.0, 5.0, -INF, INF], [1.0, 0.0, -100.0, INF], [1.0, 0.0, -INF, 100.0]])
TWO = np.array([[0.01, 1.0, 0.0, 6.0], [-2.0, 5.0, -INF, INF]])


def load(backend, name):
    return getattr(importlib.import_module(f"fastprep.kernels.{backend}.{name}"), name)


@pytest.fixture
def both(gpu):
    """The CPU's result against the reference's, and the GPU's against the CPU's; every voxel of ``out`` is written."""

    def check(name, x, shape, dtype, *args, tolerance=5e-6, same_bits=True):
        before = x.tobytes()
        outs = []
        for backend, poison in (("reference", 1), ("cpu", 2)):
            out = np.full(shape, poison, dtype)
            load(backend, name)(x, out, *args)
            outs.append(out)
        assert_same(outs[1], outs[0], outs[0], tolerance=tolerance)
        if x.dtype.isnative and x.flags.aligned:
            there, out = gpu(x), gpu(np.full(shape, 3, dtype))
            load("gpu", name)(view_of(there), view_of(out), *args)
            assert there.get().tobytes() == before
            if same_bits:
                np.testing.assert_array_equal(out.get(), outs[1])
            assert_same(out.get(), outs[0], outs[0], tolerance=tolerance)
        assert x.tobytes() == before

    return check


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize(("source", "dtype"), [("int16", "float32"), ("float32", "float16"), ("float64", "float64")])
def test_splines_on_long_lines(both, axis, source, dtype):
    """Longer than a segment: each is its own thread's, and its recursions start before it."""
    shape, m = [4, 5, 6], [3, 4, 7]
    shape[axis], m[axis] = 411, 283
    taps = [axis_taps(n / k, 0.2, k, n, order=3) for n, k in zip(shape, m, strict=True)]
    index, weight = tuple(t.index for t in taps), tuple(t.weight for t in taps)
    inside = np.array([(t.start, t.stop) for t in taps])
    same = source != "float64"  # there the last bit may tell where a recursion started
    x = values((1, *shape), source)
    plain = (IDENTITY[0], IDENTITY, np.zeros(1))
    both("resample", x, (1, 1, *m), dtype, index, weight, inside, True, *plain, same_bits=same)


@pytest.mark.parametrize("name", KERNELS)
def test_one_signature(name):
    assert inspect.signature(load("cpu", name)) == inspect.signature(load("reference", name))
    there = inspect.signature(load("gpu", name)).parameters
    assert list(there) == list(inspect.signature(load("cpu", name)).parameters)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("source", "dtype"), [("int16", "float32"), ("float32", "uint8"), ("float64", "float64")])
def test_ramp(both, layout, source, dtype):
    x = LAYOUTS[layout](values((3, 5, 7), source))
    both("ramp", x, (2, 3, 5, 7), dtype, TWO)
    both("ramp", x, (1, 3, 5, 7), dtype, np.array([[0.0, 4.0, -INF, INF]]))


@pytest.mark.parametrize(("source", "dtype"), [("int16", "float32"), ("float32", "uint8"), ("float64", "float64")])
def test_sigmoid(both, source, dtype):
    steep = np.array([[0.01, 0.5, 0.0, 200.0], [5.0, -3.0, -7.0, 9.0]])
    # exp is each library's own.
    both("sigmoid", values((3, 5, 7), source), (2, 3, 5, 7), dtype, steep, same_bits=False)


@pytest.mark.parametrize("offset", [0, 1, 4])
@pytest.mark.parametrize(
    ("source", "dtype"),
    [("int16", "float32"), ("int16", "float16"), ("uint8", "float32"), ("float32", "uint8"), ("float64", "float64")],
)
def test_long_rows_from_any_address(both, source, dtype, offset):
    """Longer than what a block moves as whole words, which must not start just anywhere."""
    x = values((30_000,), source)[offset:]
    both("ramp", x, (2, x.size), dtype, TWO)
    both("sigmoid", x, (2, x.size), dtype, np.array([[0.01, 0.5, 0.0, 200.0]] * 2), same_bits=False)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32", "float64"])
def test_take(both, layout, dtype):
    x = LAYOUTS[layout](values((2, 5, 6, 7), dtype))
    rng = np.random.default_rng(1)
    tables = [
        (np.array([3, 3, -1, 0]), np.array([0, 0, 5, -1, 2]), np.array([-1, 2, 3, 4, -1, -1])),
        (np.array([4]), np.arange(5, -1, -1), np.arange(6, -1, -1)),
        (np.array([-1, -1]), np.array([1]), np.array([1, 2])),
        (np.array([0, 1]), np.array([2, 3]), np.array([-1, -1, -1])),
        tuple(rng.integers(-1, n, 8) for n in (5, 6, 7)),
    ]
    for index in tables:
        both("take", x, (2, *map(len, index)), dtype, tuple(i.astype(np.int64) for i in index), 7.0, tolerance=0)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32", "float64"])
@pytest.mark.parametrize("axes", [(0, 3, 1, 2), (0, 1, 3, 2), (0, 3, 2, 1), (0, 2, 3, 1)])
def test_take_of_turned_axes(both, axes, dtype):
    """Larger than the tiles that kernels turn: neighbours in memory run along z or y."""
    x = values((2, 35, 70, 41), dtype).transpose(axes)
    rng = np.random.default_rng(2)
    flipped = tuple(np.arange(n - 1, -1, -1) for n in x.shape[1:])
    some = tuple(np.sort(rng.integers(-1, n, 39)) for n in x.shape[1:])
    for index in (flipped, some):
        for view in (x, x[:, ::-1, ::-1, ::-1]):
            both("take", view, (2, *map(len, index)), dtype, index, 7.0, tolerance=0)


def random_tables(shape, out_shape, taps, seed):
    rng = np.random.default_rng(seed)
    index = tuple(rng.integers(0, n, (t, m)) for n, m, t in zip(shape, out_shape, taps, strict=True))
    weight = tuple(rng.uniform(-0.5, 1, (t, m)) for m, t in zip(out_shape, taps, strict=True))
    weight = tuple(np.stack([1 - w[1], w[1]]) if len(w) == 2 else w / abs(w).sum(0) for w in weight)
    return index, tuple(np.ones_like(w) if len(w) == 1 else w for w in weight)


INSIDE = {
    "all": [(0, 6), (0, 5), (0, 8)],
    "middle": [(1, 4), (2, 5), (3, 7)],
    "nothing": [(0, 6), (2, 2), (0, 8)],
    "no plane": [(0, 0), (0, 5), (0, 8)],
}


@pytest.mark.parametrize("taps", [(1, 1, 1), (2, 2, 2), (2, 1, 5), (7, 2, 1), (4, 4, 4)])
@pytest.mark.parametrize("inside", INSIDE)
def test_resample(both, taps, inside):
    x = values((2, 5, 6, 7), "int16")
    index, weight = random_tables(x.shape[1:], (6, 5, 8), taps, sum(taps))
    box = np.array(INSIDE[inside])
    fill = np.array([-3.25, 7.0])
    for pre in (IDENTITY[0], CLIPPED, SHIFTED, LOW, HIGH):
        both("resample", x, (2, 2, 6, 5, 8), "float32", index, weight, box, False, pre, TWO, fill)
    both("resample", x, (1, 2, 6, 5, 8), "float32", index, weight, box, False, IDENTITY[0], IDENTITY, fill[:1])


@pytest.mark.parametrize("thin", [1, 2, 3])
@pytest.mark.parametrize("prefilter", [False, True])
def test_resample_of_thin_volumes(both, thin, prefilter):
    """An axis of one voxel has the stride of its neighbour: what runs along which cannot be told from strides."""
    shape, out = [2, 5, 6, 7], [2, 2, 6, 5, 8]
    shape[thin], out[thin + 1] = 1, 1
    x = values(tuple(shape), "int16")
    index, weight = random_tables(x.shape[1:], out[2:], (4, 4, 4), thin)
    inside = np.array([(0, n) for n in out[2:]])
    both("resample", x, tuple(out), "float32", index, weight, inside, prefilter, CLIPPED, TWO, np.array([-3.25, 7.0]))


@pytest.mark.parametrize("shape", [(2, 5, 6, 7), (1, 1, 6, 7), (2, 23, 25, 22), (1, 2, 2, 2), (1, 30, 1, 40)])
@pytest.mark.parametrize("inside", INSIDE)
@pytest.mark.parametrize("dtype", ["int16", "float32"])
def test_resample_with_prefilter(both, shape, inside, dtype):
    x = values(shape, "int16")
    index, weight = random_tables(x.shape[1:], (6, 5, 8), (4, 4, 4), 3)
    fill = np.array([-3.25, 7.0])
    out = (2, shape[0], 6, 5, 8)
    # float32 is filled in place where it fits, integers through bands of rows.
    both("resample", x, out, dtype, index, weight, np.array(INSIDE[inside]), True, CLIPPED, TWO, fill)


@pytest.mark.parametrize("order", [0, 1, 3])
@pytest.mark.parametrize("dtype", ["int16", "float32"])
def test_warp(both, order, dtype):
    x = values((2, 6, 7, 8), dtype)
    rng = np.random.default_rng(order)
    fill = np.array([-3.25, 7.0])
    for k in range(3):
        matrix = np.eye(4)
        matrix[:3, :3] += rng.uniform(-0.4, 0.4, (3, 3))
        matrix[:3, 3] = rng.uniform(-1.5, 1.5, 3)
        for pre in (IDENTITY[0], CLIPPED, SHIFTED, LOW, HIGH):
            both("warp", x, (2, 2, 5, 6, 9), "float32", matrix, order, pre, TWO, fill)
        if k == 0:
            both("warp", x, (1, 2, 5, 6, 9), dtype, matrix, order, IDENTITY[0], IDENTITY, fill[1:])
    away = np.eye(4)
    away[0, 3], away[0, 1] = 1e9, 0.1
    both("warp", x, (2, 2, 5, 6, 9), "float32", away, order, CLIPPED, TWO, fill)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["bool", "uint8", "int16"])
def test_onehot(both, layout, dtype):
    x = LAYOUTS[layout]((values((2, 6, 7, 8), "uint8") % 9).astype(dtype))
    matrix = np.array([[0.7, 0.1, -0.2, 0.3], [0.1, 0.9, 0.1, -0.6], [-0.1, 0.2, 0.8, 0.2], [0, 0, 0, 1]])
    both("onehot", x, (2, 5, 6, 9), dtype, matrix, 1.0, tolerance=0)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["bool", "uint8", "float32", "float16"])
def test_bounds(gpu, layout, dtype):
    for seed in range(5):
        rng = np.random.default_rng(seed)
        x = LAYOUTS[layout]((rng.random((5, 6, 7)) > (0.985 if seed else 1)).astype(dtype))
        here, there = load("cpu", "bounds")(x), load("reference", "bounds")(x)
        assert here.dtype == there.dtype == np.int64 and np.array_equal(here, there)
        if x.dtype.isnative and x.flags.aligned:
            assert np.array_equal(load("gpu", "bounds")(view_of(gpu(x))), there)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_minus_zero_is_no_voxel(gpu, dtype):
    x = np.full((3, 4, 5), -0.0, dtype)
    for backend, mask in (("reference", x), ("cpu", x), ("gpu", view_of(gpu(x)))):
        assert not load(backend, "bounds")(mask).any()
