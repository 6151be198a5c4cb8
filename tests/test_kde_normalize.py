from __future__ import annotations

import numpy as np
import pytest

import fastprep as fp
from fastprep import Grid, Image
from fastprep.core.errors import ArgumentError, NonFiniteError, ShapeError
from fastprep.core.ramp import Ramp
from fastprep.testing.assertions import assert_same, to_numpy
from layouts import same_error, tolerance
from normaliser_cases import MEANS, brain, standardised
from oracles import intensity_normalization_mode, statsmodels_density

TOL = tolerance("kde_normalize")


@pytest.mark.parametrize(("dtype", "modality"), [("uint8", "t1"), ("int16", "pd"), ("float32", "t1")])
def test_the_mode_becomes_the_norm(backend, put, dtype, modality):
    x, mask = brain(modality, dtype)
    found = fp.kde_normalize(put(x), mask=put(mask), modality=modality, norm=2.0)
    near = found.mode + np.linspace(-1, 1, 101) * found.bandwidth
    top = near[np.argmax(statsmodels_density(x[mask], found.bandwidth, near))]
    assert abs(found.mode - top) < 0.03 * found.bandwidth
    assert abs(found.mode - MEANS[modality][2]) < 3
    assert_same(found.normalized, standardised(x, 2 / found.mode), put(x), tolerance=TOL)
    assert found.ramp == Ramp(2 / found.mode)
    theirs, bandwidth = intensity_normalization_mode(x[mask], modality)
    assert abs(found.mode - theirs) < bandwidth


def test_a_tissue_alone(backend, put):
    """A mask of grey matter: its mode is the only one, whatever the modality."""
    x, mask = brain(dtype="float32")
    grey = mask & (x > 75) & (x < 115)
    for modality in ("t1", "t2", "pd"):
        found = fp.kde_normalize(put(x), mask=put(grey), modality=modality, bandwidth=4.0)
        assert len(found.modes) == 1 and abs(found.mode - 95) < 1.5


def test_images_and_the_default_mask(backend, put):
    x, _ = brain(dtype="int16")
    grid = Grid.from_spacing(x.shape, (2, 1, 1))
    image = Image(put(x), grid, rescale=Ramp(0.5, 1.0))
    found = fp.kde_normalize(image)
    wide = (x * 0.5 + 1).astype(np.float32)
    assert found.normalized.grid is grid and found.normalized.rescale.is_identity
    again = fp.kde_normalize(put(wide), mask=fp.foreground_mask(put(wide)))
    assert_same(found.normalized.array, to_numpy(again.normalized), put(x), tolerance=0)


def test_libraries(xp):
    x, mask = brain(dtype="float32", shape=(8, 13, 12))
    found = fp.kde_normalize(xp.asarray(x), mask=xp.asarray(mask))
    assert_same(found.normalized, standardised(x, 1 / found.mode), xp.asarray(x), tolerance=TOL)


def test_errors(backend, put):
    x, mask = brain(dtype="float32")
    odd = np.where(x > 155, np.inf, x)

    def fails(error, match, given=x, **how):
        same_error(lambda: fp.kde_normalize(put(given), **{"mask": put(mask), **how}), error, match)

    fails(ArgumentError, "x: its mode is .*, expected one above 0; give the image before it was standardised", x - 200)
    fails(ArgumentError, "norm=0: expected a finite number above 0", norm=0)
    fails(ArgumentError, "modality='ct'", modality="ct")
    fails(ArgumentError, "the first mode of x, .*, is at the edge", x * mask, mask=put(x > -1), modality="pd")
    fails(ArgumentError, "mask holds no voxel", mask=put(np.zeros_like(mask)))
    fails(NonFiniteError, "inside the mask that are NaN or infinite", odd)
    fails(ShapeError, "expected one volume", np.stack([x, x]))
