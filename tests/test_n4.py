from __future__ import annotations

import itertools
import re

import numpy as np
import pytest

import fastprep as fp
import oracles
from bias_cases import (
    check_bad_input,
    check_even_images,
    check_every_layout,
    check_zeros_and_negatives,
    head,
)
from fastprep import Grid, Image
from fastprep.core.errors import ArgumentError, GeometryError, ShapeError
from fastprep.core.lattice import Splines
from fastprep.testing.assertions import to_numpy
from layouts import same_error

#: Largest difference of the log field inside the mask from ITK's. ITK drops the brightest voxel or not, as float32
#: rounds: of the few voxels of a very small image, one shows.
AGREES = 1e-4
FEW = (4, 3)


def quick(x, mask=None, **how):
    return fp.n4(x, mask, **{"iterations": (2,), **how})


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int32", "float16", "float32", "float64"])
def test_every_dtype_and_layout(backend, put, dtype):
    check_every_layout(quick, put, backend, dtype)


def test_bad_input(backend, put):
    check_bad_input(quick, put)
    check_zeros_and_negatives(quick, put)


def test_even_images(backend, put):
    check_even_images(quick, put)


CASES = {
    "mask": {},
    "anisotropic": {"shape": (9, 31, 24)},
    "thin": {"shape": (3, 25, 23)},
    "two voxels deep": {"shape": (2, 25, 23)},
    "primes": {"shape": (23, 17, 29), "iterations": (3, 2, 2)},
    "flat": {"shape": (121, 130)},
    "no mask": {"masked": False},
    "zeros and negatives": {"holes": True},
    "control points": {"control_points": (5, 6, 4)},
    "quadratic": {"order": 2},
    "linear": {"order": 1},
}


@pytest.mark.parametrize("name", CASES)
def test_itk(backend, put, name):
    how = dict(CASES[name])
    case = head(how.pop("shape", (17, 21, 26)))
    x, mask = case.image, case.mask if how.pop("masked", True) else None
    if how.pop("holes", False):
        x = x.copy()
        x[4:7, 8:12, 9:11], x[9, 9, 5:9] = 0, -20
    if mask is None:
        x = x + 20
    control = how.pop("control_points", (4,) * x.ndim)
    order, iterations = how.pop("order", 3), how.pop("iterations", FEW)
    corrected, log_field = oracles.sitk_n4(x, mask, iterations=iterations, control_points=control, order=order)
    result = fp.n4(
        put(x),
        None if mask is None else put(mask),
        iterations=iterations,
        convergence_threshold=0,
        control_points=control,
        spline_order=order,
    )
    where = np.ones(x.shape, bool) if mask is None else mask
    assert np.abs(to_numpy(result.log_field) - log_field)[where].max() <= AGREES
    scale = np.abs(corrected[where]).max()
    assert np.abs(to_numpy(result.corrected) - corrected)[where].max() <= AGREES * scale
    assert result.iterations == iterations


def test_itk_stops_where_itk_stops(backend, put):
    """ITK's own convergence: a running mean in float32."""
    case = head((20, 22, 24), noise=0.01)
    iterations = (8, 8)
    _, log_field = oracles.sitk_n4(case.image, case.mask, iterations=iterations, threshold=5e-3)
    result = fp.n4(
        put(case.image), put(case.mask), iterations=iterations, convergence="itk", convergence_threshold=5e-3
    )
    assert np.abs(to_numpy(result.log_field) - log_field)[case.mask].max() <= AGREES
    assert min(result.iterations) < 8, "no level ended early: the case shows nothing"


def test_itks_measure_of_few_voxels(backend, put):
    """Where its running mean still moves, the first voxels count as ITK's formula has them."""
    case = head((3, 4, 5), noise=0.2)
    how = {"iterations": (1,), "convergence": "itk", "control_points": 6}
    with fp.registry.backend("reference"):
        truth = fp.n4(case.image, **how)
    np.testing.assert_allclose(fp.n4(put(case.image), **how).convergence, truth.convergence, rtol=1e-4)


def test_what_does_not_change_ends_at_once(backend, put):
    flat = put(np.full((4, 5, 6), 7, np.float32))
    assert fp.n4(flat, iterations=(3, 2), convergence_threshold=0).iterations == (1, 1)


@pytest.mark.parametrize("factor", [2, 3, (1, 2, 3)])
def test_shrunken_images_give_the_field_of_the_whole_one(backend, put, factor):
    case = head((31, 37, 41))
    factors = (factor,) * 3 if isinstance(factor, int) else factor
    part = tuple(Splines(n, 1).sampled(f)[0] for n, f in zip(case.image.shape, factors, strict=True))
    _, whole = oracles.sitk_n4(case.image[part], case.mask[part], iterations=FEW, full=case.image)
    result = fp.n4(put(case.image), put(case.mask), iterations=FEW, shrink_factor=factor, convergence_threshold=0)
    assert np.abs(to_numpy(result.log_field) - whole)[case.mask].max() <= AGREES


@pytest.mark.parametrize("n", [10, 11, 17, 40])
@pytest.mark.parametrize("factor", [2, 3, 4, 5])
def test_voxels_are_those_that_itk_keeps(n, factor):
    sitk = oracles.peer("SimpleITK")
    kept = sitk.GetArrayFromImage(sitk.Shrink(sitk.GetImageFromArray(np.arange(3.0 * n).reshape(3, n)), [factor, 1]))
    part, _ = Splines(n, 1).sampled(factor)
    np.testing.assert_array_equal(np.arange(float(n))[part], kept[0])


SCANS = [
    ("t1_head", 4, (3, 2, 2, 1), 0.0, "exact"),
    ("t1_head", 4, (50, 50, 50, 50), 1e-3, "itk"),
    ("stroke/T1", 3, (6, 6, 6, 6), 0.0, "exact"),
    ("stroke/T2", 4, (50, 50, 50, 50), 1e-3, "itk"),
    ("stroke/FLAIR", 2, (2, 2, 2), 0.0, "exact"),
    ("stroke/FLAIR", 4, (50, 50, 50, 50), 1e-3, "itk"),
]


@pytest.mark.parametrize(("name", "factor", "iterations", "threshold", "convergence"), SCANS)
def test_real_scans(data, name, factor, iterations, threshold, convergence):
    sitk = oracles.peer("SimpleITK")
    image = sitk.ReadImage(str(data / "mri" / f"{name}.nii.gz"), sitk.sitkFloat32)
    x = sitk.GetArrayFromImage(image)
    mask = sitk.GetArrayFromImage(sitk.OtsuThreshold(image, 0, 1, 200)) > 0
    part = tuple(Splines(n, 1).sampled(factor)[0] for n in x.shape)
    _, log_field = oracles.sitk_n4(x[part], mask[part], iterations=iterations, threshold=threshold, full=x)
    result = fp.n4(
        x, mask, iterations=iterations, shrink_factor=factor, convergence=convergence, convergence_threshold=threshold
    )
    assert np.abs(result.log_field - log_field)[mask].max() <= AGREES


def test_full_resolution_is_the_plain_formula(data):
    """3.6 million voxels: where ITK's own sums, in float32, begin to differ from it."""
    sitk = oracles.peer("SimpleITK")
    x = sitk.GetArrayFromImage(sitk.ReadImage(str(data / "mri" / "t1_head.nii.gz")))
    how = {"mask": x > fp.otsu(x), "iterations": (2, 2), "convergence_threshold": 0}
    with fp.registry.backend("reference"):
        truth = fp.n4(x, **how)
    assert np.abs(fp.n4(x, **how).log_field - truth.log_field).max() <= 1e-6


PARTS = {
    "a slice": (np.s_[95], True),
    "a slice without a mask": (np.s_[95], False),
    "every voxel": (np.s_[90:94], True),
    "thick slices": (np.s_[::6, ::2, ::2], True),
    "no mask": (np.s_[::4, ::4, ::4], False),
}


@pytest.mark.parametrize("name", PARTS)
def test_parts_of_a_real_scan(data, name):
    """Two axes, anisotropic voxels, and the air of a head with all its zeros."""
    sitk = oracles.peer("SimpleITK")
    image = sitk.ReadImage(str(data / "mri" / "t1_head.nii.gz"), sitk.sitkFloat32)
    part, masked = PARTS[name]
    x = sitk.GetArrayFromImage(image)[part]
    mask = sitk.GetArrayFromImage(sitk.OtsuThreshold(image, 0, 1, 200))[part] > 0 if masked else None
    _, log_field = oracles.sitk_n4(x, mask, iterations=(3, 2, 1))
    result = fp.n4(x, mask, iterations=(3, 2, 1), convergence_threshold=0)
    where = np.ones(x.shape, bool) if mask is None else mask
    assert np.abs(result.log_field - log_field)[where].max() <= AGREES


def test_backends_agree(backend, put):
    case = head((19, 23, 29), "int16")
    how = {"iterations": (3, 3, 2), "convergence_threshold": 0, "weights": None}
    with fp.registry.backend("reference"):
        truth = fp.n4(case.image, case.mask, **how)
    result = fp.n4(put(case.image), put(case.mask), **how)
    tolerance = fp.registry.find_op("n4").tolerance
    assert np.abs(to_numpy(result.log_field) - truth.log_field).max() <= tolerance
    np.testing.assert_allclose(to_numpy(result.corrected), truth.corrected, rtol=tolerance)
    np.testing.assert_allclose(result.convergence, truth.convergence, rtol=1e-3)
    assert result.lattice.shape == (7, 7, 7)


def test_a_batch_is_its_volumes_one_by_one(backend, put):
    cases = [head((9, 10, 11), seed=s) for s in range(3)]
    x, masks = (np.stack([getattr(c, name) for c in cases]) for name in ("image", "mask"))
    together = quick(put(x[None]), put(masks[None]))
    assert together.lattice.shape == (1, 3, 4, 4, 4)
    assert len(together.iterations) == len(together.convergence) == 3
    for i in range(3):
        one = quick(put(x[i]), put(masks[i]))
        np.testing.assert_array_equal(to_numpy(together.corrected)[0, i], to_numpy(one.corrected))
        np.testing.assert_array_equal(together.lattice[0, i], one.lattice)
    shared = quick(put(x), put(masks[0]))
    np.testing.assert_array_equal(to_numpy(shared.corrected)[0], to_numpy(together.corrected)[0, 0])


def test_a_batch_whose_volumes_end_apart(backend, put):
    cases = [head((11, 12, 13), noise=noise, seed=1) for noise in (0.001, 0.2)]
    x, mask = np.stack([c.image for c in cases]), cases[0].mask
    how = {"iterations": (6, 6), "convergence_threshold": 4e-3}
    together = fp.n4(put(x), put(mask), **how)
    alone = [fp.n4(put(c.image), put(mask), **how) for c in cases]
    assert together.iterations == tuple(one.iterations for one in alone)
    assert together.iterations[0] != together.iterations[1], "both end alike: the case shows nothing"
    for i, one in enumerate(alone):
        np.testing.assert_array_equal(together.lattice[i], one.lattice)


@pytest.mark.parametrize("correct", [fp.n4, fp.polynomial_bias])
def test_masks_in_corners(backend, put, correct):
    """Two volumes, each with a mask in a corner of its own: what lies around them is not looked at."""
    case = head((14, 40, 70))
    x = np.stack([case.image, case.image[::-1]]) + 20
    masks = np.zeros(x.shape, bool)
    masks[0, 1:9, 4:21, 34:68], masks[1, 5:12, 3:37, 40:69] = True, True
    how = {"iterations": (3,) if correct is fp.n4 else 3, "convergence_threshold": 0}
    with fp.registry.backend("reference"):
        truth = correct(x, masks, **how)
    result = correct(put(x), put(masks), **how)
    assert np.abs(to_numpy(result.log_field) - truth.log_field)[masks].max() <= 1e-4
    np.testing.assert_allclose(result.convergence, truth.convergence, rtol=1e-3)


def test_labels_and_weights_choose_voxels(backend, put):
    case = head((9, 10, 11))
    labels = np.where(case.mask, 2, 1).astype(np.int16)
    truth = quick(put(case.image), put(case.mask)).lattice
    np.testing.assert_array_equal(quick(put(case.image), put(labels), label=2).lattice, truth)
    ones = case.mask.astype(np.float64)
    np.testing.assert_array_equal(quick(put(case.image), weights=put(ones)).lattice, truth)
    ones[~case.mask] = np.nan
    np.testing.assert_array_equal(quick(put(case.image), weights=put(ones)).lattice, truth)
    assert np.abs(quick(put(case.image), put(labels)).lattice - truth).max() > 1e-3


def test_a_known_field_is_found(backend, put):
    case = head((25, 27, 29))
    result = fp.n4(put(case.image), put(case.mask), iterations=(15, 15))
    found = to_numpy(result.log_field)[case.mask]
    assert np.corrcoef(found, case.log_field[case.mask])[0, 1] > 0.99


def test_images_keep_their_grid():
    case = head((9, 10, 11))
    grid = Grid.from_spacing(case.image.shape, (2.0, 1.5, 1.0))
    image = Image(case.image, grid, modality="MR")
    result = quick(image, Image(case.mask, grid, kind="label"))
    assert isinstance(result.corrected, Image)
    assert result.corrected.grid == result.log_field.grid == grid
    assert result.corrected.modality == "MR"
    np.testing.assert_array_equal(result.corrected.array, quick(case.image, case.mask).corrected)
    other = Grid.from_spacing(case.image.shape, (2.0, 1.5, 1.1))
    with pytest.raises(GeometryError, match="expected the grid of x"):
        quick(image, Image(case.mask, other, kind="label"))


def test_the_field_is_there_on_any_grid(backend, put):
    case = head((9, 10, 11))
    image = Image(put(case.image), Grid.from_spacing(case.image.shape, (2.0, 1.5, 1.0)))
    result = quick(image, put(case.mask))
    truth = to_numpy(result.log_field.array)
    np.testing.assert_array_equal(to_numpy(result.evaluate(image.grid).array), truth)
    finer = to_numpy(result.evaluate((17, 19, 21)))
    np.testing.assert_allclose(finer[::2, ::2, ::2], truth, atol=1e-6)
    crop = fp.crop_or_pad(image, (5, 6, 7))
    np.testing.assert_allclose(to_numpy(result.evaluate(crop.grid).array), truth[2:7, 2:8, 2:9], atol=1e-6)
    turned = fp.reorient(image, "RSP")
    there = result.evaluate(turned.grid)
    assert there.grid == turned.grid
    np.testing.assert_allclose(to_numpy(there.array), to_numpy(fp.reorient(result.log_field, "RSP").array), atol=1e-6)
    # Beyond the image it is what it is at the border.
    wide = to_numpy(result.evaluate(fp.crop_or_pad(image, (13, 10, 11)).grid).array)
    np.testing.assert_allclose(wide[0], truth[0], atol=1e-3)
    assert np.isfinite(wide).all()


def test_grids_the_field_cannot_be_on():
    case = head((9, 10, 11))
    with pytest.raises(GeometryError, match="has no grid"):
        quick(case.image, case.mask).evaluate(Grid.from_spacing((3, 4, 5), (1, 1, 1)))
    with pytest.raises(ShapeError, match="expected 3 axes"):
        quick(case.image, case.mask).evaluate((4, 5))
    affine = np.eye(4)
    affine[:2, :2] = [[0.8, -0.6], [0.6, 0.8]]
    image = Image(case.image, Grid.from_spacing(case.image.shape, (1, 1, 1)))
    with pytest.raises(GeometryError, match="is turned against"):
        quick(image, case.mask).evaluate(Grid((9, 10, 11), affine))


def test_spline_spacing_is_that_of_a_padded_image(backend, put):
    """ANTs pads the image to whole spans, with a mask that leaves the padding out."""
    case = head((12, 15, 18))
    spacing, distance = (2.0, 1.5, 1.0), 16.0
    result = quick(put(case.image), put(case.mask), spacing=spacing, spline_spacing=distance)
    spans, pads = [], []
    for n, s in zip(case.image.shape, spacing, strict=True):
        count = int(np.ceil((n - 1) * s / distance))
        extra = int((count * distance - (n - 1) * s) / s + 0.5)
        spans.append(count)
        pads.append((extra // 2, extra - extra // 2))
    padded, marks = np.pad(case.image, pads), np.pad(case.mask, pads)
    truth = quick(put(padded), put(marks), control_points=[s + 3 for s in spans])
    inner = tuple(slice(a, a + n) for (a, _), n in zip(pads, case.image.shape, strict=True))
    np.testing.assert_allclose(to_numpy(result.log_field), to_numpy(truth.log_field)[inner], atol=2e-6)
    with pytest.raises(ArgumentError, match=r"spline_spacing=16\.0 mm: expected an Image, or spacing="):
        quick(put(case.image), put(case.mask), spline_spacing=distance)


def test_progress_tells_every_iteration(backend, put):
    case, told = head((9, 10, 11)), []
    result = fp.n4(
        put(case.image), put(case.mask), iterations=(3, 2), convergence_threshold=0, progress=lambda *a: told.append(a)
    )
    assert [(level, step) for level, step, _ in told] == [(0, 1), (0, 2), (0, 3), (1, 1), (1, 2)]
    assert (told[2][2], told[4][2]) == result.convergence


def test_progress_may_end_it(backend, put):
    class Enough(Exception):
        pass

    def stop(level, iteration, convergence):
        raise Enough

    case = head((9, 10, 11))
    with pytest.raises(Enough):
        quick(put(case.image), put(case.mask), progress=stop)


WRONG = {
    "iterations=()": {"iterations": ()},
    "iterations=50": {"iterations": 50},
    "iterations=(50, 0)": {"iterations": (50, 0)},
    "iterations=(1.5,)": {"iterations": (1.5,)},
    "convergence='fast'": {"convergence": "fast"},
    "spline_order=4": {"spline_order": 4},
    "control_points=3": {"control_points": 3},
    "control_points=(4, 4)": {"control_points": (4, 4)},
    "shrink_factor=0": {"shrink_factor": 0},
    "shrink_factor=2.5": {"shrink_factor": 2.5},
    "histogram_bins=1": {"histogram_bins": 1},
    "bias_field_fwhm=0": {"bias_field_fwhm": 0},
    "wiener_noise=-1": {"wiener_noise": -1},
    "spline_spacing=0": {"spline_spacing": 0, "spacing": (1, 1, 1)},
}


@pytest.mark.parametrize("words", WRONG)
def test_arguments(backend, put, words):
    case = head((7, 8, 9))
    same_error(lambda: quick(put(case.image), put(case.mask), **WRONG[words]), ArgumentError, re.escape(words))


def test_shrinking_may_leave_nothing_of_the_mask(backend, put):
    case, mask = head((12, 13, 14)), np.zeros((12, 13, 14), bool)
    mask[3, 3, 3] = True
    words = r"no voxel of those that shrink_factor=4 leaves is inside the mask"
    same_error(lambda: quick(put(case.image), put(mask), shrink_factor=4), ArgumentError, words)


def test_lattices_of_many_values(backend, put):
    """As fine as they may be: 253 spans over a few voxels; and no finer, on any backend."""
    case = head((3, 4, 40))
    how = {"control_points": (4, 4, 256), "iterations": (1,)}
    with fp.registry.backend("reference"):
        truth = fp.n4(case.image, case.mask, **how)
    result = fp.n4(put(case.image), put(case.mask), **how)
    assert np.abs(to_numpy(result.log_field) - truth.log_field)[case.mask].max() <= 1e-4
    words = "257 control values along an axis at the last level: expected at most 256"
    same_error(lambda: quick(put(case.image), control_points=(4, 4, 257)), ArgumentError, words)


def test_more_shrinking_than_voxels(backend, put):
    """An axis that shrinks to one voxel: nothing is learned along it."""
    case = head((3, 20, 21))
    result = quick(put(case.image), put(case.mask), shrink_factor=(4, 2, 2))
    found = to_numpy(result.log_field)
    np.testing.assert_allclose(found[0], found[2], atol=1e-6)
    assert np.isfinite(found).all()


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_bits_do_not_depend_on_threads(threads):
    case = head((40, 41, 42))
    truth = quick(case.image, case.mask).corrected.tobytes()
    try:
        fp.set_num_threads(threads)
        assert quick(case.image, case.mask).corrected.tobytes() == truth
    finally:
        fp.set_num_threads(None)


def test_flat_batches_are_told_by_the_mask(backend, put):
    case = head((14, 15))
    pair = np.stack([case.image, case.image[::-1]])
    together = quick(put(pair), put(case.mask))
    np.testing.assert_array_equal(
        to_numpy(together.corrected)[0], to_numpy(quick(put(case.image), put(case.mask)).corrected)
    )
    assert together.lattice.shape == (2, 4, 4)


def test_nothing_is_read_back_in_between(driver):
    import emulated

    case = head((9, 10, 11))
    calls = {}
    for iterations in (2, 5):
        driver.log.clear()
        result = fp.n4(
            emulated.put(case.image), emulated.put(case.mask), iterations=(iterations,), convergence_threshold=0
        )
        kinds = [kind for kind, _ in driver.log]
        calls[iterations] = {kind: kinds.count(kind) for kind in set(kinds)}
        assert result.iterations == (iterations,)
    assert calls[2]["synchronize"] == calls[5]["synchronize"] == 1, "only for the number of voxels"
    assert calls[2]["allocate"] == calls[5]["allocate"]
    assert calls[5]["launch"] - calls[2]["launch"] == 3 * 5


@pytest.mark.parametrize("library", ["torch"])
def test_tensors_come_back_as_such(library):
    torch = pytest.importorskip(library)
    case = head((9, 10, 11))
    result = quick(torch.from_numpy(case.image), torch.from_numpy(case.mask))
    assert isinstance(result.corrected, torch.Tensor) and isinstance(result.log_field, torch.Tensor)
    np.testing.assert_array_equal(result.corrected.numpy(), quick(case.image, case.mask).corrected)


def test_refined_lattices_are_the_same_field():
    for order, spans in itertools.product((1, 2, 3), (1, 2, 4)):
        coarse = Splines(23, spans, order)
        fine, matrix = coarse.refined()
        at = np.arange(23.0)
        np.testing.assert_allclose(fine.axis(at).dense() @ matrix, coarse.axis(at).dense(), atol=1e-12)
        np.testing.assert_allclose(coarse.axis(at).weight.sum(axis=1), 1, atol=1e-12)
