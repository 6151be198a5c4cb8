from __future__ import annotations

import numpy as np
import pytest

import fastprep as fp
from bias_cases import check_bad_input, check_even_images, check_every_layout, check_zeros_and_negatives, head
from fastprep.core.errors import ArgumentError
from fastprep.core.lattice import legendre, products, terms, voxels
from fastprep.core.sharpening import sharpened, spread_around, step_between
from fastprep.testing.assertions import to_numpy
from layouts import same_error


def quick(x, mask=None, **how):
    return fp.polynomial_bias(x, mask, **{"iterations": 2, "order": 2, **how})


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float16", "float32", "float64"])
def test_every_dtype_and_layout(backend, put, dtype):
    check_every_layout(quick, put, backend, dtype)


def test_bad_input(backend, put):
    check_bad_input(quick, put)
    check_zeros_and_negatives(quick, put)


def test_even_images(backend, put):
    check_even_images(quick, put)


@pytest.mark.parametrize("how", [{}, {"order": 4}, {"order": 1}, {"loss": "tukey"}, {"loss": "none"}])
def test_backends_agree(backend, put, how):
    case = head((19, 23, 29), "int16")
    how = {"iterations": 4, "convergence_threshold": 0, **how}
    weights = np.random.default_rng(3).random(case.image.shape, np.float32) + 0.1
    with fp.registry.backend("reference"):
        truth = fp.polynomial_bias(case.image, case.mask, weights=weights, **how)
    result = fp.polynomial_bias(put(case.image), put(case.mask), weights=put(weights), **how)
    tolerance = fp.registry.find_op("polynomial_bias").tolerance
    assert np.abs(result.lattice - truth.lattice).max() <= tolerance
    np.testing.assert_allclose(to_numpy(result.corrected), truth.corrected, rtol=tolerance)
    np.testing.assert_allclose(result.convergence, truth.convergence, rtol=1e-3)


@pytest.mark.parametrize("loss", ["huber", "tukey", "none"])
@pytest.mark.parametrize("shape", [(21, 23, 25), (61, 64)])
def test_a_known_polynomial_is_found(backend, put, loss, shape):
    case = head(shape)
    result = fp.polynomial_bias(put(case.image), put(case.mask), loss=loss)
    found = to_numpy(result.log_field)[case.mask]
    assert np.corrcoef(found, case.log_field[case.mask])[0, 1] > 0.99
    assert abs(found.mean()) < 1e-6, "the logarithm of the field has the mean zero inside the mask"


def test_one_step_is_least_squares():
    """Against the plain design matrix: its terms, its weights, its residuals."""
    case, order = head((8, 9, 10)), 3
    weights = np.random.default_rng(3).random(case.image.shape)
    bins = 200
    result = fp.polynomial_bias(
        case.image, case.mask, weights=weights, order=order, iterations=1, loss="tukey", tuning=3.0, relaxation=1.0
    )
    logs = np.log(case.image[case.mask])
    low, slope = float(logs.min()), step_between(logs.min(), logs.max(), bins)
    at = np.clip((logs - np.float32(low)) / np.float32(slope), 0, bins - 1)
    base = np.floor(at).astype(int)
    counts = np.bincount(base, 1 - (at - base), bins)
    counts[1:] += np.bincount(base, at - base, bins)[:-1]
    expected = sharpened(counts, low, slope, 0.1, 0.01)
    away = logs - np.interp(at, np.arange(bins), expected)
    trust = np.maximum(1 - (away / (3 * spread_around(expected, counts, low, slope))) ** 2, 0) ** 2
    bases = [voxels(legendre(n, order)).dense() for n in case.image.shape]
    where = np.nonzero(case.mask)
    columns = [bases[0][where[0], i] * bases[1][where[1], j] * bases[2][where[2], k] for i, j, k in terms(order)]
    root = np.sqrt(trust * weights[case.mask])
    truth = np.linalg.lstsq(np.stack(columns, axis=1) * root[:, None], away * root, rcond=None)[0]
    found = result.lattice[tuple(terms(order).T)]
    np.testing.assert_allclose(found[1:], truth[1:], atol=2e-5)


def test_order_ends_where_it_says():
    case = head((9, 10, 11))
    lattice = quick(case.image, case.mask, order=3).lattice
    assert lattice.shape == (4, 4, 4)
    above = sum(np.indices(lattice.shape)) > 3
    assert (lattice[above] == 0).all()
    assert (lattice[~above] != 0).all()


def test_products_of_polynomials():
    at = np.linspace(-1, 1, 33)
    values = np.polynomial.legendre.legvander(at, 6)
    table = products(3)
    for i, j in np.ndindex(4, 4):
        np.testing.assert_allclose(values[:, i] * values[:, j], values @ table[i, j], atol=1e-12)


def test_outliers_do_not_pull():
    """Vessels ten times as bright along one side: the field does not bend towards them."""
    case = head((21, 23, 25))
    x = case.image.copy()
    x[:, :, 20:23][np.random.default_rng(1).random((21, 23, 3)) < 0.3] *= 10
    errors = []
    for image in (case.image, x):
        difference = (fp.polynomial_bias(image, case.mask).log_field - case.log_field)[case.mask]
        errors.append(np.abs(difference - difference.mean()).mean())
    assert errors[1] < 2 * errors[0] < 0.01


def test_a_batch_is_its_volumes_one_by_one(backend, put):
    cases = [head((9, 10, 11), seed=s, noise=n) for s, n in ((0, 0.01), (1, 0.3))]
    x, masks = (np.stack([getattr(c, name) for c in cases]) for name in ("image", "mask"))
    how = {"iterations": 12, "convergence_threshold": 2e-3}
    together = quick(put(x), put(masks), **how)
    alone = [quick(put(x[i]), put(masks[i]), **how) for i in range(2)]
    assert together.iterations == tuple(one.iterations for one in alone)
    for i in range(2):
        np.testing.assert_array_equal(to_numpy(together.corrected)[i], to_numpy(alone[i].corrected))


def test_progress_tells_every_iteration(backend, put):
    case, told = head((9, 10, 11)), []
    result = quick(
        put(case.image), put(case.mask), iterations=3, convergence_threshold=0, progress=lambda *a: told.append(a)
    )
    assert [(level, step) for level, step, _ in told] == [(0, 1), (0, 2), (0, 3)]
    assert (told[-1][2],) == result.convergence


WRONG = {
    "order=0": {"order": 0},
    "order=5": {"order": 5},
    "iterations=0": {"iterations": 0},
    "loss='l1'": {"loss": "l1"},
    "tuning=0": {"tuning": 0},
    "relaxation=2": {"relaxation": 2},
    "histogram_bins=1": {"histogram_bins": 1},
    "bias_field_fwhm=nan": {"bias_field_fwhm": float("nan")},
}


@pytest.mark.parametrize("words", WRONG)
def test_arguments(backend, put, words):
    case = head((7, 8, 9))
    same_error(lambda: quick(put(case.image), put(case.mask), **WRONG[words]), ArgumentError, words)


def test_nothing_is_read_back_in_between(driver):
    import emulated

    case = head((9, 10, 11))
    driver.log.clear()
    quick(emulated.put(case.image), emulated.put(case.mask), iterations=4, convergence_threshold=0)
    assert driver.count("synchronize") == 1, "only for the number of voxels"
