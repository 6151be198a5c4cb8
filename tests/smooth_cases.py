"""What the two correctors that smooth have in common, as tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.ndimage as ndi

import fastprep as fp
from bias_cases import check_bad_input, check_even_images, check_every_layout, check_zeros_and_negatives, head
from fastprep.core.errors import ArgumentError
from fastprep.testing.assertions import to_numpy
from layouts import same_error


def check_everything(correct: Callable[..., Any], put: Any, backend: str) -> None:
    """Dtypes, layouts, bad input, even images."""

    def quick(x: Any, mask: Any = None, **how: Any) -> Any:
        return correct(x, mask, **{"sigma": 5.0, **how})

    for dtype in ("uint8", "int16", "float16", "float32", "float64"):
        check_every_layout(quick, put, backend, dtype)
    check_bad_input(quick, put)
    check_zeros_and_negatives(quick, put)
    check_even_images(quick, put)
    case = head((7, 8, 9))
    x, mask = put(case.image), put(case.mask)
    same_error(lambda: quick(x, mask, sigma=0), ArgumentError, "sigma=0")
    same_error(lambda: quick(x, mask, sigma=0.5), ArgumentError, "at least one voxel along every axis")
    same_error(lambda: quick(x, mask, sigma=5, spacing=(9, 1, 1)), ArgumentError, "at least one voxel")


def check_convolution(correct: Callable[..., Any], put: Any, *, logarithm: bool) -> None:
    """SciPy's Gaussian of the masked image over that of the mask, within what the docstring says."""
    case = head((25, 31, 37))
    weights = np.random.default_rng(2).random(case.image.shape, np.float32) + 0.05
    spacing, sigma = (2.0, 1.0, 1.5), 8.0
    result = correct(put(case.image), put(case.mask), weights=put(weights), sigma=sigma, spacing=spacing)
    share = np.where(case.mask, weights.astype(np.float64), 0)
    steps = [sigma / s for s in spacing]
    given = np.where(case.mask, np.log(case.image) if logarithm else case.image, 0).astype(np.float64)
    above, below = (ndi.gaussian_filter(a, steps, mode="constant", truncate=4) for a in (given * share, share))
    truth = above / below if logarithm else np.log(above / below)
    truth -= truth[case.mask].mean()
    found = to_numpy(result.log_field)
    # Both are of weighted means: that of the field is by the weights.
    difference = (found - truth)[case.mask]
    assert np.abs(difference - difference.mean()).max() <= 1e-3
    assert abs(np.average(found, weights=share)) < 1e-5
    assert (result.iterations, result.convergence) == ((), ())


def check_agreement(correct: Callable[..., Any], put: Any, name: str) -> None:
    """The backends' lattices."""
    for shape in ((19, 23, 29), (31, 37), (1, 20, 21)):
        case = head(shape, "int16")
        with fp.registry.backend("reference"):
            truth = correct(case.image, case.mask, sigma=6.0)
        result = correct(put(case.image), put(case.mask), sigma=6.0)
        tolerance = fp.registry.find_op(name).tolerance
        assert np.abs(result.lattice - truth.lattice).max() <= tolerance
        np.testing.assert_allclose(to_numpy(result.corrected), truth.corrected, rtol=tolerance)


def check_batch(correct: Callable[..., Any], put: Any) -> None:
    """A batch is its volumes one by one."""
    cases = [head((9, 10, 11), seed=s) for s in range(2)]
    x, masks = (np.stack([getattr(c, part) for c in cases]) for part in ("image", "mask"))
    together = correct(put(x), put(masks), sigma=4.0)
    for i in range(2):
        one = correct(put(x[i]), put(masks[i]), sigma=4.0)
        np.testing.assert_array_equal(to_numpy(together.corrected)[i], to_numpy(one.corrected))


def check_far_away(correct: Callable[..., Any], put: Any) -> None:
    """Far from the mask there is nothing to smooth: the field is even, and finite."""
    x = np.full((9, 10, 80), 7.0, np.float32)
    mask = np.zeros(x.shape, bool)
    mask[2:6, 2:7, 2:9] = True
    x[mask] *= np.linspace(1, 2, mask.sum()).astype(np.float32)
    found = to_numpy(correct(put(x), put(mask), sigma=3.0).log_field)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found[..., 40:], found[0, 0, 60], atol=1e-6)
