from __future__ import annotations

import math

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio

import fastprep as fp
from error_cases import check_refusals, check_volumes
from fastprep.core.errors import ArgumentError, NonFiniteError
from fastprep.testing import xray_phantom
from layouts import same_error, values

WIDE = 400_000


def figure(a, b, mask=None):
    return fp.psnr(a, b, data_range=WIDE, mask=mask)


def truth(a, b):
    return 10 * np.log10(WIDE**2 / np.mean((b - a) ** 2))


def test_volumes_and_masks(backend, put):
    check_volumes(put, figure, truth)


@pytest.mark.parametrize("shape", [(30, 40), (6, 7, 8)])
def test_scikit_image(backend, put, shape):
    a = values(shape, "uint8")
    b = np.clip(a + values(shape, "float64", 1) / 40, 0, 255)
    expected = peak_signal_noise_ratio(a.astype(float), b, data_range=255)
    assert fp.psnr(put(a), put(b), data_range=255) == pytest.approx(expected, rel=1e-12)


def test_the_same_is_infinite(backend, put):
    x = values((4, 5, 6), "uint8")
    assert fp.psnr(put(x), put(x), data_range=255) == math.inf


def test_what_wrapped_arithmetic_made_better():
    """Of an 8-bit radiograph that is enhanced, differences beyond 128 came out small: decibels that are not there."""
    before = (xray_phantom((128, 128), (2.8, 2.8)).image.array / 4095 * 255).astype(np.uint8)
    after = np.where(before > 90, np.minimum(before.astype(int) * 2, 255), before // 3).astype(np.uint8)
    wrapped = 20 * np.log10(255 / np.sqrt(np.mean((before - after) ** 2)))
    right = fp.psnr(before, after, data_range=255)
    assert right == pytest.approx(peak_signal_noise_ratio(before, after, data_range=255), rel=1e-12)
    assert wrapped > right + 3


@pytest.mark.parametrize("wrong", [0, -1, math.nan, math.inf, None, "255", True])
def test_wrong_ranges(wrong):
    x = values((4, 5), "uint8")
    with pytest.raises(ArgumentError, match=r"data_range=.*expected a number above 0"):
        fp.psnr(x, x, data_range=wrong)


def test_errors(backend, put):
    check_refusals(put, figure)
    hu = np.linspace(-1000, 3000, 60, dtype=np.float32).reshape(3, 4, 5)
    # 255 of HU: decibels below 0 and a figure that means nothing.
    same_error(
        lambda: fp.psnr(put(hu), put(hu), data_range=255),
        ArgumentError,
        "data_range=255: a goes from -1000 to 3000, a range of 4000",
    )
    assert fp.psnr(put(hu), put(hu), data_range=4000) == math.inf
    # The second may be anything: noise goes beyond any range.
    assert fp.psnr(put(hu), put(hu * 3), data_range=4000) < 10
    odd = hu.copy()
    odd[0, 0, 0] = np.nan
    same_error(lambda: fp.psnr(put(odd), put(hu), data_range=4000), NonFiniteError, "a holds 1 values that")
    # The range is that of what is inside the mask.
    assert fp.psnr(put(hu), put(hu), data_range=255, mask=put(hu < -800)) == math.inf
