"""Kernels called with the same arguments on every backend: what operations never ask for is held here too."""

from __future__ import annotations

import importlib
import inspect

import numpy as np
import pytest

from fastprep import registry
from fastprep.core.taps import axis_taps
from fastprep.ops._arrays import view_of
from fastprep.testing.assertions import assert_same, to_numpy
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


@pytest.mark.parametrize("shape", [(2, 3, 9, 40), (2, 1, 9, 40)])
@pytest.mark.parametrize(("source", "dtype"), [("int16", "float32"), ("float64", "float64")])
def test_tv(both, source, dtype, shape):
    # Where an energy is summed otherwise, its last bit is another, and with it at most the last iteration.
    both("tv", values(shape, source), shape, dtype, 90.0, 0.0, 5, tolerance=1e-5, same_bits=False)


@pytest.mark.parametrize("reach", [(0, 0, 0), (1, 1, 1), (0, 2, 2), (1, 3, 2), (4, 9, 3)])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_median(both, dtype, reach):
    x = values((2, 3, 9, 40), dtype)
    both("median", x, x.shape, dtype, reach, tolerance=0)
    both("median", x[::-1, :, ::2, ::-3], (2, 3, 5, 14), dtype, reach, tolerance=0)


@pytest.mark.parametrize("reach", [(0, 0, 0), (1, 2, 3), (2, 0, 5)])
@pytest.mark.parametrize(("source", "dtype"), [("int16", "float32"), ("float64", "float64")])
def test_bilateral(both, source, dtype, reach):
    near = np.random.default_rng(0).random([2 * r + 1 for r in reach], np.float32)
    x = values((2, 3, 9, 40), source)
    # exp is each library's own.
    both("bilateral", x, x.shape, dtype, reach, near, 1e-5, tolerance=1e-5, same_bits=False)


NLM = {
    "plain": [(1, 1, 1), (2, 2, 2), (0, 1, 1), (0, 3, 3), (1, 0, 2)],
    "rician": [(1, 1, 1), (0, 2, 2)],
    "compatible": [(1, 1, 1), (0, 1, 1)],
}


@pytest.mark.parametrize(("how", "radius"), [(how, radius) for how, several in NLM.items() for radius in several])
def test_nlm_of_patches(both, how, radius):
    x = values((2, 2, 5, 33), "int16")
    args = (1, 1, 1) if radius[0] else (0, 2, 1), np.array([300.0, 0.0]), 900.0 if how == "compatible" else 1.5
    kind = how == "rician", how == "compatible"
    # exp is each library's own.
    both("nlm", x, x.shape, "float32", radius, *args, *kind, tolerance=1e-5, same_bits=False)


@pytest.mark.parametrize(("source", "dtype"), [("float64", "float64"), ("int32", "float32")])
def test_nlm_of_types(both, source, dtype):
    """Those that float32 does not hold are told from their first voxel."""
    x = (values((2, 2, 5, 9), "int16") / 8 + 2.0**20).astype(source)[..., ::-1]
    both("nlm", x, x.shape, dtype, (0, 1, 1), (1, 1, 1), np.array([40.0, 9.0]), 1.0, False, False, same_bits=False)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_diagonals(both, layout):
    x = LAYOUTS[layout](values((2, 4, 7, 9), "int16"))
    for shape in ((2, 1, 2, 3), (2, 4, 2, 9), (2, 4, 7, 3)):
        # In float64, where the CPU takes float32 to do.
        both("diagonals", x, shape, "float32", same_bits=False)


@pytest.mark.parametrize("dtype", ["uint8", "float64"])
def test_errors_and_ssim(gpu, dtype):
    """Kernels whose answer is numbers: of two volumes, with and without a mask and a map."""
    a, b = (values((2, 9, 11, 37), dtype, seed)[..., ::-1] for seed in (1, 2))
    mask = values((2, 9, 11, 37), "bool", 3)
    weights = tuple(np.full(n, 1 / n) for n in (3, 7, 5))
    found = {}
    for backend in ("reference", "cpu", "gpu"):
        x, y, m = (view_of(gpu(v)) if backend == "gpu" else v for v in (a, b, mask))
        differ = [one for marks in (m, None) for one in load(backend, "errors")(x, y, marks)]
        out = np.full(a.shape, 7.0)
        there = gpu(out) if backend == "gpu" else out
        args = weights, (1, 3, 2), 105 / 104, 6.5, 58.5
        alike = load(backend, "ssim")(x, y, *args, view_of(there)) + load(backend, "ssim")(x, y, *args, None)
        sums = np.array([[d.count, d.total, d.absolute, d.square, d.largest, d.nonfinite] for d in differ])
        found[backend] = sums, np.array(alike), there.get() if backend == "gpu" else out
    for backend in ("cpu", "gpu"):
        for here, truth, scale in zip(found[backend], found["reference"], (found["reference"][0], 1, 1), strict=True):
            assert (np.abs(here - truth) <= 1e-10 * np.maximum(np.abs(scale), 1)).all()


TILES = {
    "planes": ((2, 1, 40, 51), (1, 3, 2), (1, 14, 26)),
    "volumes": ((1, 9, 20, 19), (2, 3, 1), (5, 7, 19)),
    "small": ((1, 3, 7, 6), (3, 4, 6), (1, 2, 1)),
}


@pytest.mark.parametrize("case", TILES)
@pytest.mark.parametrize(
    ("dtype", "bins", "ends"),
    [("uint8", 256, (0, 255)), ("int16", 40, (-3001, 4000)), ("float32", 50, (-400.0, 300.5))],
)
def test_tiles(gpu, dtype, bins, ends, case):
    """Tables, and the blend of them: the same bits on the CPU and the GPU."""
    shape, tiles, size = TILES[case]
    x, mask = values(shape, dtype), values(shape, "bool", 1)
    mask[:, :, :14] = False
    shapes = ((len(x), int(np.prod(tiles)), bins), np.float32), ((len(x), int(np.prod(tiles))), np.int32)
    for marks in (None, mask):
        made = []
        for backend, move in (("reference", np.asarray), ("cpu", np.asarray), ("gpu", gpu)):
            arrays = [move(np.full(s, 7, t)) for s, t in (*shapes, (shape, dtype))]
            given = [None if a is None else view_of(move(a)) for a in (x, marks)]
            tables, counts, out = map(view_of, arrays)
            load(backend, "tile_tables")(*given, tiles, size, bins, *ends, 2.0, dtype != "float32", tables, counts)
            load(backend, "tile_blend")(*given, tables, counts, tiles, size, (0, 0, 0), bins, *ends, out)
            made.append([to_numpy(a) for a in arrays])
        for here, there, truth in zip(made[1], made[2], made[0], strict=True):
            np.testing.assert_array_equal(there, here)
            np.testing.assert_allclose(here, truth, rtol=1e-6)


@pytest.mark.parametrize(("source", "dtype"), [("uint16", "float32"), ("int16", "uint16"), ("int32", "int8")])
def test_flat_field_and_mend(gpu, source, dtype):
    x, rng = values((2, 2, 33, 64), source), np.random.default_rng(3)
    dark, gain = rng.uniform(90, 110, (1, *x.shape[1:])).astype("f4"), rng.uniform(0.5, 2, x.shape).astype("f4")
    bad = (rng.random((1, *x.shape[1:])) < 0.1).astype(np.uint8)
    bad[..., 9:20, 20:31] = 1
    for name, args, kind in (("flat_field", (dark, gain), dtype), ("mend", (bad,), source)):
        out, other = np.full(x.shape, 3, kind), gpu(np.full(x.shape, 7, kind))
        load("cpu", name)(x, *args, out)
        load("gpu", name)(*(view_of(gpu(v)) for v in (x, *args)), view_of(other))
        np.testing.assert_array_equal(to_numpy(other), out)
