from __future__ import annotations

import numpy as np
import pytest

import fastprep as fp
import oracles
from balls import BALLS, closed, scene
from fastprep import Grid, Image
from fastprep.core.errors import TooLargeError
from fastprep.testing.assertions import assert_same, to_numpy


@pytest.mark.parametrize(("radius", "spacing"), BALLS)
def test_equals_scipy(backend, put, radius, spacing):
    mask = scene()
    assert_same(fp.closing(put(mask), radius, spacing=spacing), closed(mask, radius, spacing), put(mask), tolerance=0)


@pytest.mark.parametrize("radius", [2.0, 3.0, 5.5])
def test_laws(radius):
    """All that is set stays, and a second time changes nothing; more room around changes nothing."""
    mask = scene((8, 20, 24), seed=3)
    once = fp.closing(mask, radius, spacing=(2, 1, 1))
    assert (once & ~mask).any() and not (mask & ~once).any()
    np.testing.assert_array_equal(fp.closing(once, radius, spacing=(2, 1, 1)), once)
    wide = fp.closing(np.pad(mask, 9), radius, spacing=(2, 1, 1))
    np.testing.assert_array_equal(wide[9:-9, 9:-9, 9:-9], once)
    assert wide.sum() == once.sum()


@pytest.mark.parametrize("radius", [1, 3])
def test_simpleitk_with_a_safe_border(radius):
    """Its ball of r voxels is that of r and a half, as `test_dilate` shows."""
    sitk = oracles.peer("SimpleITK")
    mask = scene((10, 20, 24), seed=5)
    image = sitk.GetImageFromArray(mask.astype(np.uint8))
    theirs = sitk.BinaryMorphologicalClosing(image, [radius] * 3, sitk.sitkBall, 1, True)
    ours = fp.closing(mask, radius + 0.5, spacing=(1, 1, 1))
    np.testing.assert_array_equal(ours, sitk.GetArrayFromImage(theirs) > 0)


def test_a_vessel_at_the_edge_of_a_lung(backend, put):
    lung = np.ones((12, 20), bool)
    lung[5:7, :8] = False
    full = np.ones_like(lung)
    result = to_numpy(fp.closing(put(lung), 4, spacing=(1, 1)))
    # At the border there is nothing on the vessel's other side, which the ball may come from.
    assert result[:, 3:].all() and not (result & ~full).any()
    grid = Grid.from_spacing(lung.shape, (1, 1))
    assert fp.closing(Image(put(lung), grid), 4).kind == "label"


def test_batches(backend, put):
    masks = np.stack([scene((4, 9, 20), s) for s in range(2)])
    truth = np.stack([closed(m, 3, (2, 1, 1)) for m in masks])
    assert_same(fp.closing(put(masks), 3, spacing=(2, 1, 1)), truth, put(masks), tolerance=0)
    planes = np.array([[closed(p, 3, (1, 1)) for p in m] for m in masks])
    assert_same(fp.closing(put(masks), 3, spacing=(1, 1)), planes, put(masks), tolerance=0)


def test_a_radius_without_room():
    with pytest.raises(TooLargeError, match="GiB"):
        fp.closing(scene((4, 5, 6)), 1e6, spacing=(1, 1, 1))
