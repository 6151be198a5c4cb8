"""mend_pixels and its kernel, against a definition in a few lines of NumPy."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

import fastprep as fp
from fastprep.core.errors import DTypeError, ShapeError
from fastprep.ops._arrays import view_of
from fastprep.testing.assertions import assert_same, to_numpy
from layouts import check_layouts, values

SHAPE = (2, 3, 17, 45)


def mended(x, bad):
    """The median of the smallest square with three good pixels, for one plane."""
    out = x.copy()
    for y, j in np.argwhere(bad):
        for r in range(1, 16):
            square = np.s_[max(0, y - r) : y + r + 1, max(0, j - r) : j + r + 1]
            good = x[square][~bad[square]].astype(np.float64)
            good = good[~np.isnan(good)]
            if good.size >= 3:
                median = np.median(good)
                out[y, j] = np.rint(median) if x.dtype.kind in "iu" else median
                break
    return out


def marks(shape, seed=3):
    """Single pixels, a line, a cluster, a corner."""
    bad = np.random.default_rng(seed).random(shape) < 0.05
    bad[..., 4, :] = bad[..., 9:14, 20:25] = bad[..., :2, :2] = bad[..., -1, -1] = True
    return bad


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32", "float64"])
def test_kernel(backend, put, dtype, shared):
    x, bad = values(SHAPE, dtype), marks((1 if shared else 2, *SHAPE[1:]))
    if dtype == "float32":
        x[0, 0, 8:11, 8:11] = np.nan
    out = put(np.full(SHAPE, 3, dtype))
    kernel = importlib.import_module(f"fastprep.kernels.{backend}.mend").mend
    kernel(view_of(put(x)), view_of(put(bad.astype(np.uint8))), view_of(out))
    every = np.broadcast_to(bad, SHAPE).reshape(-1, *SHAPE[2:])
    truth = [mended(p, m) for p, m in zip(x.reshape(-1, *SHAPE[2:]), every, strict=True)]
    np.testing.assert_array_equal(to_numpy(out), np.reshape(truth, SHAPE))


def test_layouts(backend, put):
    x, bad = values(SHAPE[2:], "uint16"), marks(SHAPE[2:])
    check_layouts(lambda a: fp.mend_pixels(a, put(bad)), mended(x, bad), x, put, backend, tolerance=0)


def test_libraries(xp):
    x, bad = values(SHAPE[2:], "float32"), marks(SHAPE[2:])
    given = xp.asarray(x)
    assert_same(fp.mend_pixels(given, xp.asarray(bad)), mended(x, bad), given, tolerance=0)


def test_half_floats_and_big_endian(backend):
    for dtype in ("float16", ">u2"):
        x, bad = values(SHAPE[2:], "float32").astype(dtype), marks(SHAPE[2:])
        if backend != "gpu":
            result = fp.mend_pixels(x, bad)
            np.testing.assert_allclose(result.astype(float), mended(x, bad).astype(float), rtol=1e-3)


def test_stacks_and_images(backend, put):
    x, bad = values((4, *SHAPE[2:]), "uint16"), marks((4, *SHAPE[2:]))
    truth = np.stack([mended(p, m) for p, m in zip(x, bad, strict=True)])
    np.testing.assert_array_equal(to_numpy(fp.mend_pixels(put(x), put(bad))), truth)
    one = np.stack([mended(p, bad[0]) for p in x])
    np.testing.assert_array_equal(to_numpy(fp.mend_pixels(put(x), put(bad[0]))), one)
    image = fp.Image(put(x[0]), fp.Grid.from_spacing(SHAPE[2:], (0.2, 0.2)))
    np.testing.assert_array_equal(to_numpy(fp.mend_pixels(image, put(bad[0])).array), truth[0])


@pytest.mark.parametrize("threads", [1, 3])
def test_good_pixels_stay_and_threads_do_not_matter(threads):
    x, bad = values((70, 33), "uint16"), marks((70, 33))
    fp.set_num_threads(threads)
    try:
        result = fp.mend_pixels(x, bad)
    finally:
        fp.set_num_threads(None)
    np.testing.assert_array_equal(result, mended(x, bad))
    np.testing.assert_array_equal(result[~bad], x[~bad])


def test_holes_too_large_to_mend(backend, put):
    """The middle of a hole of more than 31 pixels stays; so does everything where nothing is good."""
    x = values((50, 50), "uint16")
    hole = np.zeros((50, 50), bool)
    hole[5:45, 5:45] = True
    result = to_numpy(fp.mend_pixels(put(x), put(hole)))
    assert (result[20:30, 20:30] == x[20:30, 20:30]).all() and (result[5:10, 5:45] != x[5:10, 5:45]).mean() > 0.9
    everything = to_numpy(fp.mend_pixels(put(x), put(np.ones((50, 50), bool))))
    np.testing.assert_array_equal(everything, x)
    pixel = to_numpy(fp.mend_pixels(put(x[:1, :1]), put(np.ones((1, 1), bool))))
    assert pixel[0, 0] == x[0, 0]


def test_bad_input(backend, put):
    x = put(values((5, 6), "uint16"))
    with pytest.raises(ShapeError, match=r"bad of shape \(3, 6\): expected \(5, 6\)"):
        fp.mend_pixels(x, put(np.zeros((3, 6), bool)))
    with pytest.raises(DTypeError, match="bad of dtype float32: expected a mask"):
        fp.mend_pixels(x, put(np.zeros((5, 6), np.float32)))
    with pytest.raises(ShapeError, match="x of shape"):
        fp.mend_pixels(put(np.zeros(5, np.uint8)), put(np.zeros(5, bool)))
