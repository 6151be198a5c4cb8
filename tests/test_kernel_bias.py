"""The kernels behind the bias correctors with the same arguments on every backend."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

from bias_cases import head
from fastprep.core.lattice import Even, Splines, legendre, voxels
from fastprep.ops._arrays import view_of
from fastprep.ops._bias import three_axes

pytestmark = pytest.mark.gpu


def load(backend, name):
    return getattr(importlib.import_module(f"fastprep.kernels.{backend}.{name}"), name)


@pytest.fixture
def every(gpu):
    """``call(backend, move)`` on each backend, results on the host."""

    def run(call):
        found = [call(backend, lambda x: x) for backend in ("reference", "cpu")]
        return [*found, call("gpu", lambda x: None if x is None else view_of(gpu(x)))]

    return run


def host(values):
    from fastprep.registry import gpu_driver

    return values if isinstance(values, np.ndarray) else gpu_driver().read(values)


def spline_levels(shape, spans, order=3):
    """Axes of levels, each of half the span of the one before, and what leads from one to the next."""
    bases = [Splines(n, s, order) if n > 1 else Even(1, order + 1) for n, s in zip(shape, spans, strict=True)]
    finer, matrices = zip(*(b.refined() for b in bases), strict=True)
    return [three_axes(tuple(map(voxels, level))) for level in (bases, finer)], [matrices]


@pytest.mark.parametrize(
    ("shape", "spans", "order", "itk"), [((9, 34, 37), (1, 2, 3), 3, True), ((17, 5, 66), (3, 1, 2), 2, False)]
)
@pytest.mark.parametrize(
    ("dtype", "mask_dtype", "weight_dtype"),
    [("int8", "float32", "int16"), ("uint16", "int32", None), ("float64", "bool", "float16")],
)
def test_n4(every, shape, spans, order, dtype, mask_dtype, weight_dtype, itk):
    """Strips, pieces and tiles that are not full; a mask and weights of one volume for two."""
    cases = [head(shape, "float32", seed=s) for s in range(2)]
    x = np.stack([c.image for c in cases])
    x = np.rint(x).astype(dtype) if np.dtype(dtype).kind in "iu" else x.astype(dtype)
    turned = np.ascontiguousarray(x.transpose(0, 3, 1, 2)).transpose(0, 2, 3, 1)
    mask = (3 * cases[0].mask[None]).astype(mask_dtype)
    weights = None
    if weight_dtype is not None:
        weights = np.random.default_rng(1).integers(-1, 4, (1, *shape)).astype(weight_dtype)
    levels, growth = spline_levels(shape, spans, order)
    counts = []

    def call(backend, move):
        numbers = (levels, growth, [2, 3], 0.0, 0.15, 0.01, 60, itk, counts.append, None)
        label = 1 if mask_dtype == "bool" else 3
        return [host(v) for v in load(backend, "n4")(move(turned), move(mask), move(weights), label, *numbers)]

    reference, cpu, gpu = every(call)
    for found in (cpu, gpu):
        assert found[0].shape == reference[0].shape == (2, *(axis.controls for axis in levels[-1]))
        inside = np.abs(reference[0]) < 1
        assert np.abs(found[0] - reference[0])[inside].max() < 2e-3
        np.testing.assert_array_equal(found[1], reference[1])
        np.testing.assert_allclose(found[2], reference[2], rtol=2e-2)
    np.testing.assert_array_equal(counts[0], counts[1])
    np.testing.assert_array_equal(counts[0], counts[2])


@pytest.mark.parametrize(("order", "loss"), [(1, "huber"), (2, "tukey"), (3, "none"), (3, "huber"), (4, "tukey")])
def test_polynomial(every, order, loss):
    shape = (9, 34, 37)
    case = head(shape, "float32")
    axes, double = (three_axes(tuple(voxels(legendre(n, k)) for n in shape)) for k in (order, 2 * order))

    def call(backend, move):
        numbers = (axes, double, order, 2, 0.0, 1.0, 0.1, 0.01, loss, 2.0, 100, lambda _: None, None)
        run = load(backend, "polynomial")
        return [host(v) for v in run(move(case.image[None]), move(case.mask[None]), None, None, *numbers)]

    reference, cpu, gpu = every(call)
    for found in (cpu, gpu):
        np.testing.assert_allclose(found[0], reference[0], atol=1e-4)
        np.testing.assert_array_equal(found[1], reference[1])


@pytest.mark.parametrize("logarithm", [False, True])
@pytest.mark.parametrize("dtype", ["int16", "float16", "float64"])
def test_masked(every, logarithm, dtype):
    x = np.random.default_rng(0).normal(50, 40, (2, 5, 31, 40)).astype(dtype)
    if np.dtype(dtype).kind == "f":
        x[0, 1, 2, 3], x[1, 4, 30, 39] = np.nan, np.inf
    mask = (np.random.default_rng(1).random((1, 5, 31, 40)) < 0.7).astype(np.uint8)
    weights = np.random.default_rng(2).random((2, 5, 31, 40)).astype(np.float32) - 0.1
    counts = []

    def call(backend, move):
        values, shares = (np.full(x.shape, 7, np.float32) for _ in range(2))
        there = [move(values), move(shares)]
        load(backend, "masked")(move(x[:, ::-1]), move(mask), move(weights), 1, logarithm, *there, counts.append)
        return [host(v) for v in there]

    reference, cpu, gpu = every(call)
    for found in (cpu, gpu):
        np.testing.assert_allclose(found[0], reference[0], rtol=1e-6)
        np.testing.assert_array_equal(found[1], reference[1])
    np.testing.assert_array_equal(counts[0], counts[1])
    np.testing.assert_array_equal(counts[0], counts[2])


@pytest.mark.parametrize("logarithm", [False, True])
def test_quotient(every, logarithm):
    rng = np.random.default_rng(0)
    values, shares = (rng.random((2, 8, 9, 11), np.float32) + 0.2 for _ in range(2))
    values[0, :3], shares[0, :3] = 0, 0
    balance = rng.random((2, 6, 7, 9), np.float32)

    def call(backend, move):
        lattice = move(np.full((2, 6, 7, 9), 5.0))
        load(backend, "quotient")(move(values.copy()), move(shares), move(balance), logarithm, lattice)
        return host(lattice)

    reference, cpu, gpu = every(call)
    np.testing.assert_array_equal(cpu, reference)
    np.testing.assert_allclose(gpu, reference, atol=1e-6)


@pytest.mark.parametrize("dtype", ["uint8", "int32", "float16", "float64"])
def test_field(every, dtype):
    """Both outputs from one call, either alone, and a lattice without an image; NaN stays NaN."""
    shape = (3, 35, 41)
    x = np.random.default_rng(0).normal(100, 20, (2, *shape)).astype(dtype)
    if np.dtype(dtype).kind == "f":
        x[1, 2, 34, 40] = np.nan
    axes = tuple(voxels(Splines(n, s)) for n, s in zip(shape, (1, 3, 2), strict=True))
    lattice = np.random.default_rng(1).normal(0, 0.3, (2, *(a.controls for a in axes)))
    written = dtype if np.dtype(dtype).kind == "f" else "float32"

    def call(backend, move):
        outs = [move(np.full((2, *shape), 7, kind)) for kind in (written, "float32", written, "float32")]
        run = load(backend, "field")
        given = move(x[:, :, ::-1])
        run(given, move(lattice), axes, outs[0], outs[1])
        run(given, move(lattice), axes, outs[2], None)
        run(None, move(lattice), axes, None, outs[3])
        return [host(v) for v in outs]

    reference, cpu, gpu = every(call)
    for found in (cpu, gpu):
        np.testing.assert_array_equal(found[0], found[2])
        np.testing.assert_array_equal(found[1], found[3])
        np.testing.assert_allclose(found[0], reference[0], rtol=2e-3 if dtype == "float16" else 1e-6)
        np.testing.assert_allclose(found[1], reference[1], atol=1e-6)
    np.testing.assert_array_equal(cpu[0], gpu[0])
    np.testing.assert_array_equal(cpu[1], gpu[1])


def test_fields_beyond_all_measure(every):
    """Exp is held where float32 ends, and does not turn into another number."""
    x = np.full((2, 3, 4, 5), 2.0)
    axes = tuple(voxels(Splines(n, 1)) for n in x.shape[1:])
    lattice = np.full((2, *(a.controls for a in axes)), 120.0)
    lattice[1] *= -1

    def call(backend, move):
        out = move(np.zeros(x.shape))
        load(backend, "field")(move(x), move(lattice), axes, out, None)
        return host(out)

    for found in every(call):
        assert (np.abs(found[0]) < 1e-37).all()
        assert (found[1] > 1e37).all()
