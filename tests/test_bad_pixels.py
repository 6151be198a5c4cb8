"""bad_pixels and its kernel: defects that are known, and noise that is none."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

import fastprep as fp
from fastprep.core.errors import ArgumentError, NonFiniteError, ShapeError
from fastprep.ops._arrays import view_of
from fastprep.ops._detector import by_chance
from fastprep.testing.assertions import assert_same, to_numpy

SHAPE = (48, 61)


def stacks(frames=16, seed=0, shape=SHAPE):
    """Flat and dark frames of a good detector: photons, a gain map of 5 %, darkness of 100 +- 5, the heel effect."""
    rng = np.random.default_rng(seed)
    gain, heel = rng.normal(1, 0.05, shape), np.linspace(0.7, 1.3, shape[0])[:, None]
    dark = rng.normal(100, 5, (2, frames, *shape))
    flat = gain * rng.poisson(1000 * heel, (frames, *shape)) + dark[0]
    return np.rint(flat), np.rint(dark[1])


def defective(frames=16, seed=0):
    """The same with a dead line, dead and hot pixels, a cluster, and pixels that flicker; and which those are."""
    flat, dark = stacks(frames, seed)
    rng, bad = np.random.default_rng(seed + 1), {}
    for name in ("gain", "flat noise", "dark noise"):
        bad[name] = np.zeros(SHAPE, bool)
    light = flat - 100
    flat[:, 7], bad["gain"][7] = 100, True
    flat[:, 20, 20:23], bad["gain"][20, 20:23] = 100 + 0.3 * light[:, 20, 20:23], True
    flat[:, 30, 40], bad["gain"][30, 40] = 100 + 3 * light[:, 30, 40], True
    flat[:, 40, 10] += rng.normal(0, 300, frames)
    dark[:, 45, 50] += rng.normal(0, 60, frames)
    bad["flat noise"][40, 10] = bad["dark noise"][45, 50] = True
    return flat.clip(0, 65535).astype(np.uint16), dark.clip(0, 65535).astype(np.uint16), bad


def test_known_defects(backend, put):
    flat, dark, bad = defective()
    found = fp.bad_pixels(put(flat), put(dark))
    truth = np.any(list(bad.values()), axis=0)
    np.testing.assert_array_equal(to_numpy(found.mask), truth)
    assert (found.by_gain, found.by_flat_noise, found.by_dark_noise) == (65, 1, 1)
    assert found.count == 67 and found.fraction == pytest.approx(67 / truth.size)
    assert found.to_dict()["count"] == 67


@pytest.mark.parametrize("frames", [2, 8, 10, 50])
def test_chance_is_no_defect(frames):
    """None in 40 000 pixels of a good detector, however few frames there are."""
    flat, dark = stacks(frames, shape=(200, 200))
    assert fp.bad_pixels(flat, dark).count == 0


@pytest.mark.parametrize("count", [3, 5, 10, 30, 100])
def test_limits_of_chance(count):
    """The tail of a chi-square, by SciPy: one in a million, over the median."""
    chi2 = pytest.importorskip("scipy.stats").chi2
    truth = chi2.isf(1e-6, count - 1) / chi2.median(count - 1)
    assert by_chance(count, 1.0) == pytest.approx(truth, rel=0.12)
    assert by_chance(count, 50.0) == 50.0


def test_correction_with_and_without():
    """Raw counts of a step through the defective detector: how far from the truth, beside doing nothing."""
    flat, dark, bad = defective(frames=30)
    rng = np.random.default_rng(9)
    gain = (flat.mean(0) - 100) / 1000
    scene = np.where(np.arange(SHAPE[1]) < 30, 300.0, 900.0) * np.ones(SHAPE)
    raw = np.rint(gain * rng.poisson(scene) + rng.normal(100, 5, SHAPE)).clip(0, 65535).astype(np.uint16)
    found = fp.bad_pixels(flat, dark)
    corrected = fp.flat_field(raw, flat, dark)
    mended = fp.mend_pixels(corrected, found.mask)
    level = np.median(flat.mean(0) - dark.mean(0)) / 1000
    worst = {name: float(np.abs(x / level - scene)[bad["gain"]].mean()) for name, x in
             {"nothing": raw - 100.0, "flat field": corrected, "mended": mended}.items()}  # fmt: skip
    assert worst["nothing"] > 300 and worst["flat field"] > 300 and worst["mended"] < 40


def test_a_frame_tells_of_gain_alone(backend, put):
    flat, dark, bad = defective()
    found = fp.bad_pixels(put(flat.mean(0).astype(np.float32)), put(dark[0]))
    np.testing.assert_array_equal(to_numpy(found.mask), bad["gain"])
    without_dark = fp.bad_pixels(put(flat))
    assert without_dark.by_dark_noise == 0 and without_dark.by_gain >= 61


def test_libraries_and_images(xp):
    flat, dark, _ = defective()
    truth = fp.bad_pixels(flat, dark).mask
    given = xp.asarray(flat)
    assert_same(fp.bad_pixels(given, xp.asarray(dark)).mask, truth, given, tolerance=0)
    image = fp.Image(given, fp.Grid.from_spacing(SHAPE, (0.2, 0.2)))
    found = fp.bad_pixels(image, xp.asarray(dark)).mask
    assert found.kind == "label" and found.grid is image.grid
    np.testing.assert_array_equal(to_numpy(found.array), truth)


def test_bad_input(backend, put):
    flat, dark, _ = defective()
    with pytest.raises(ShapeError, match=r"flat of shape \(61,\): expected a frame"):
        fp.bad_pixels(put(flat[0, 0]))
    with pytest.raises(ShapeError, match="dark of shape"):
        fp.bad_pixels(put(flat), put(dark[:, :5]))
    with pytest.raises(ArgumentError, match="expected a flat frame that is brighter"):
        fp.bad_pixels(put(dark), put(flat))
    broken = flat.astype(np.float32)
    broken[0, 0, :2] = np.nan
    with pytest.raises(NonFiniteError, match="flat - dark: x holds 2 values"):
        fp.bad_pixels(put(broken))
    assert fp.bad_pixels(put(np.full((3, 1, 1), 5, np.uint16))).count == 0


def test_defects(backend, put):
    x = np.array([[[1.0, 2.0, 0.4, np.nan, np.inf, -1.0, 0.0]]], np.float32)
    near = np.array([[[1.0, 0.9, 1.0, 1.0, 1.0, 1.0, 0.0]]], np.float32)
    kernel = importlib.import_module(f"fastprep.kernels.{backend}.defects").defects
    marks = [put(np.zeros(x.shape, np.uint8)) for _ in range(2)]
    kernel(view_of(put(x)), view_of(put(near)), 0.5, 2.0, view_of(marks[0]))
    assert to_numpy(marks[0]).ravel().tolist() == [0, 1, 1, 1, 1, 1, 0]
    kernel(view_of(put(x)), None, 0.0, 1.0, view_of(marks[1]))
    assert to_numpy(marks[1]).ravel().tolist() == [0, 1, 0, 1, 1, 1, 0]
    kernel(view_of(put(x)), None, -np.inf, np.inf, view_of(marks[0]))
    assert to_numpy(marks[0]).ravel().tolist() == [0, 1, 1, 1, 1, 1, 0]
