"""flat_field and its kernels, against NumPy and on raw frames of a detector that is known."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

import fastprep as fp
from fastprep.core.errors import ArgumentError, DTypeError, NonFiniteError, ShapeError
from fastprep.ops._arrays import view_of
from fastprep.testing.assertions import assert_same, to_numpy
from layouts import LAYOUTS, check_layouts, tolerance, values

SHAPE = (3, 2, 9, 301)  # frames, planes; no whole number of a block's packs
TOLERANCE = tolerance("flat_field")


def kernel(backend, name):
    return getattr(importlib.import_module(f"fastprep.kernels.{backend}.{name}"), name)


def maps(shape, seed=1):
    rng = np.random.default_rng(seed)
    return rng.uniform(90, 110, shape).astype(np.float32), rng.uniform(0.5, 2, shape).astype(np.float32)


def corrected(x, dark, gain, dtype):
    """Rounded to float32 after each operation, as the kernel is defined."""
    y = x.astype(np.float32)
    y = y if dark is None else y - dark
    y = y if gain is None else y * gain
    if np.dtype(dtype).kind == "f":
        return y.astype(dtype)
    info = np.iinfo(dtype)
    return np.clip(np.rint(np.nan_to_num(y)), info.min, info.max).astype(dtype)


@pytest.mark.parametrize("maps_of", ["each", "all", "dark only", "gain only", "none"])
@pytest.mark.parametrize(("source", "dtype"), [("uint16", "float32"), ("int16", "uint16"), ("float32", "float32")])
def test_kernel(backend, put, source, dtype, maps_of):
    x = values(SHAPE, source)
    if source == "float32":
        x[0, 0, 0, :3] = np.nan, np.inf, -np.inf
    dark, gain = maps((SHAPE[0] if maps_of == "each" else 1, *SHAPE[1:]))
    dark = None if maps_of in ("gain only", "none") else dark
    gain = None if maps_of in ("dark only", "none") else gain
    out = put(np.full(SHAPE, 3, dtype))
    there = [None if one is None else view_of(put(one)) for one in (dark, gain)]
    kernel(backend, "flat_field")(view_of(put(x)), *there, view_of(out))
    np.testing.assert_array_equal(to_numpy(out), corrected(x, dark, gain, dtype))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_kernel_in_every_layout(backend, put, layout):
    if backend == "gpu" and layout in ("big-endian", "unaligned", "read-only"):
        pytest.skip("a GPU has no such arrays")
    x, (dark, gain) = values(SHAPE, "uint16"), maps((1, *SHAPE[1:]))
    out = put(np.zeros(SHAPE, np.float32))
    there = [view_of(put(LAYOUTS[layout](one))) for one in (x, dark, gain)]
    kernel(backend, "flat_field")(*there, view_of(out))
    np.testing.assert_array_equal(to_numpy(out), corrected(x, dark, gain, "float32"))


@pytest.mark.parametrize(("source", "count"), [("uint16", 7), ("float32", 2), ("int16", 1)])
def test_frames(backend, put, source, count):
    x = values((count, 2, 11, 37), source)
    made = [put(np.ones(x.shape[1:], np.float32)) for _ in range(2)]
    kernel(backend, "frames")(view_of(put(x)), *map(view_of, made))
    wide = x.astype(np.float64)
    for result, truth in zip(made, (wide.mean(0), wide.var(0)), strict=True):
        np.testing.assert_allclose(to_numpy(result), truth.astype(np.float32), rtol=2e-7, atol=1e-30)


def test_reciprocal(backend, put):
    x = np.array([[4.0, 0.5, 0.0, -1.0, np.nan, np.inf, 1e-30]], np.float32)
    out = put(np.ones((1, *x.shape), np.float32))
    kernel(backend, "reciprocal")(view_of(put(x)), view_of(out), np.array([2.0]))
    np.testing.assert_allclose(to_numpy(out)[0, 0], np.float32([0.5, 4, 0, 0, 0, 0, 2e30]), rtol=1e-7)


def detector(seed=0, shape=(40, 61), frames=20):
    """Flat and dark stacks and a raw frame of a step, counted photon by photon; and the counts without a detector."""
    rng = np.random.default_rng(seed)
    gain = rng.normal(1, 0.05, shape)
    heel = np.linspace(0.8, 1.2, shape[0])[:, None]
    scene = np.where(np.arange(shape[1]) < 30, 400.0, 900.0) * np.ones(shape)

    def dark(*n):
        return rng.normal(100, 5, (*n, *shape))

    flat = gain * rng.poisson(1000 * heel, (frames, *shape)) + dark(frames)
    raw = gain * rng.poisson(scene * heel) + dark()
    return (np.rint(a).clip(0, 65535).astype(np.uint16) for a in (raw, flat, dark(frames))), scene


@pytest.mark.parametrize("library", ["numpy", "torch", "jax", "array-api-strict"])
def test_libraries(library):
    from conftest import LIBRARIES

    module, make = LIBRARIES[library]
    pytest.importorskip(module)
    (raw, flat, dark), _ = detector()
    truth = fp.flat_field(raw, flat, dark)
    result = fp.flat_field(make(raw), make(flat), make(dark))
    assert_same(result, truth, make(raw), tolerance=0)


def test_definition(backend, put):
    (raw, flat, dark), _ = detector()
    light = flat.astype(float).mean(0) - dark.astype(float).mean(0)
    truth = (raw - dark.astype(float).mean(0)) * np.median(light) / light
    check_layouts(
        lambda x: fp.flat_field(x, put(flat), put(dark)),
        truth.astype(np.float32),
        raw,
        put,
        backend,
        tolerance=TOLERANCE,
    )
    whole = fp.flat_field(put(raw), put(flat), put(dark), dtype="uint16")
    assert np.mean(to_numpy(whole) == np.rint(truth).clip(0)) > 0.99


def test_stacks_and_images(backend, put):
    (raw, flat, dark), _ = detector()
    one = to_numpy(fp.flat_field(put(raw), put(flat), put(dark)))
    many = to_numpy(fp.flat_field(put(np.stack([raw, raw[::-1]])), put(flat), put(dark)))
    np.testing.assert_array_equal(many[0], one)
    image = fp.Image(put(raw), fp.Grid.from_spacing(raw.shape, (0.2, 0.2)), modality="DX")
    result = fp.flat_field(image, put(flat), put(dark))
    np.testing.assert_array_equal(to_numpy(result.array), one)
    assert result.grid is image.grid and result.modality == "DX"


def test_it_takes_the_detector_out():
    """Beside doing nothing: how unequal pixels that saw the same are, and how many a pixel without light leaves."""
    (raw, flat, dark), scene = detector()
    result = fp.flat_field(raw, flat, dark)

    def unevenness(x):
        return max(float(np.std(x[scene == v]) / np.mean(x[scene == v])) for v in (400.0, 900.0))

    nothing, done = unevenness(raw.astype(float)), unevenness(result)
    # 0.052: what the photons' own noise is, of 400 of them.
    assert nothing > 0.12 and done < 0.065
    ratio = np.mean(result[scene == 900]) / np.mean(result[scene == 400])
    assert ratio == pytest.approx(900 / 400, rel=0.01)
    assert np.mean(raw[scene == 900]) / np.mean(raw[scene == 400]) < 2.1


def test_dead_pixels_are_zero(backend, put):
    (raw, flat, dark), _ = detector()
    flat[:, 5], raw[5] = 0, 0
    result = to_numpy(fp.flat_field(put(raw), put(flat), put(dark)))
    assert (result[5] == 0).all() and np.isfinite(result).all() and (result[6] != 0).all()


def test_bad_input(backend, put):
    (raw, flat, dark), _ = detector()
    x = put(raw)
    with pytest.raises(ShapeError, match=r"flat of shape \(3, 3\): expected a frame \(40, 61\), or a stack"):
        fp.flat_field(x, put(flat[0, :3, :3]), put(dark))
    with pytest.raises(ShapeError, match="dark of shape"):
        fp.flat_field(x, put(flat), put(dark[None]))
    with pytest.raises(ArgumentError, match="median -.*expected a flat frame that is brighter"):
        fp.flat_field(x, put(dark), put(flat))
    with pytest.raises(ArgumentError, match="median 0: expected a flat"):
        fp.flat_field(x, put(dark), put(dark))
    broken = flat.astype(np.float32)
    broken[:, 0, 0] = np.nan
    with pytest.raises(NonFiniteError, match="flat - dark: x holds 1 values"):
        fp.flat_field(x, put(broken), put(dark))
    with pytest.raises(DTypeError, match="dtype='float16': expected float32 or an integer type"):
        fp.flat_field(x, put(flat), put(dark), dtype="float16")
    with pytest.raises(ShapeError, match="raw of shape"):
        fp.flat_field(put(raw[0]), put(flat), put(dark))
    pixel = fp.flat_field(put(raw[:1, :1]), put(flat[0, :1, :1]))
    assert to_numpy(pixel).tolist() == [[float(raw[0, 0])]]
