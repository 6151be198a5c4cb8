from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage as ndi

import fastprep as fp
from balls import BALLS, ball, dilated, eroded, pad, scene
from fastprep.core.errors import ArgumentError
from fastprep.testing.assertions import assert_same
from layouts import same_error


@pytest.mark.parametrize(("radius", "spacing"), BALLS[:4])
@pytest.mark.parametrize("border", ["foreground", "background"])
def test_equals_scipy(backend, put, radius, spacing, border):
    mask = scene()
    eaten = eroded(mask, radius, spacing, beyond=border == "foreground")
    result = fp.opening(put(mask), radius, spacing=spacing, border=border)
    assert_same(result, dilated(eaten, radius, spacing), put(mask), tolerance=0)
    if border == "background":
        # SciPy's own, whose images have background around them.
        assert_same(result, ndi.binary_opening(mask, ball(radius, spacing)), put(mask), tolerance=0)


@pytest.mark.parametrize("border", ["foreground", "background"])
def test_laws(border):
    """Nothing is set that was not, and a second time changes nothing."""
    mask = scene((12, 30, 40))
    once = fp.opening(mask, 2, spacing=(1, 1, 1), border=border)
    assert once.any() and not (once & ~mask).any() and (once != mask).any()
    np.testing.assert_array_equal(fp.opening(once, 2, spacing=(1, 1, 1), border=border), once)


def test_more_background_around_changes_nothing():
    mask = scene((12, 30, 40))
    wide, inner = pad(mask, ball(4, (1, 1, 1)))
    once = fp.opening(mask, 2, spacing=(1, 1, 1), border="background")
    np.testing.assert_array_equal(fp.opening(wide, 2, spacing=(1, 1, 1))[inner], once)


def test_bridges_go(backend, put):
    """Two organs and a vessel of 3 mm between them; at the edge of the image the organ stays whole."""
    mask = np.zeros((20, 40), bool)
    mask[4:16, :15] = mask[4:16, 28:38] = mask[9:12, 15:28] = True
    result = fp.opening(put(mask), 2, spacing=(1, 1))
    host = np.asarray(result.get() if backend == "gpu" else result)
    assert not host[:, 18:25].any()
    assert host[6:14, 0].all() and ndi.label(host)[1] == 2
    same_error(lambda: fp.opening(put(mask), 2, spacing=(1, 1), border=None), ArgumentError, "border=None")
