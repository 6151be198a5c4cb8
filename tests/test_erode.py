from __future__ import annotations

import numpy as np
import pytest

import fastprep as fp
from balls import BALLS, eroded, scene
from fastprep.core.errors import ArgumentError
from fastprep.testing.assertions import assert_same
from layouts import same_error


@pytest.mark.parametrize(("radius", "spacing"), BALLS)
@pytest.mark.parametrize("border", ["foreground", "background"])
def test_equals_scipy(backend, put, radius, spacing, border):
    mask = scene()
    result = fp.erode(put(mask), radius, spacing=spacing, border=border)
    assert_same(result, eroded(mask, radius, spacing, beyond=border == "foreground"), put(mask), tolerance=0)


def test_it_is_dilation_of_the_rest(backend, put):
    mask = scene()
    rest = fp.dilate(put(~mask), 2.5, spacing=(2, 1, 1))
    assert_same(
        fp.erode(put(mask), 2.5, spacing=(2, 1, 1)),
        ~np.asarray(rest.get() if backend == "gpu" else rest),
        put(mask),
        tolerance=0,
    )


def test_the_border(backend, put):
    whole = put(np.ones((7, 9), bool))
    assert_same(fp.erode(whole, 2, spacing=(1, 1)), np.ones((7, 9), bool), whole, tolerance=0)
    inner = np.zeros((7, 9), bool)
    inner[2:-2, 2:-2] = True
    assert_same(fp.erode(whole, 2, spacing=(1, 1), border="background"), inner, whole, tolerance=0)
    same_error(lambda: fp.erode(whole, 2, spacing=(1, 1), border="edge"), ArgumentError, "'foreground' or 'background'")
