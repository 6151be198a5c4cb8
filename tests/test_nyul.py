"""Nyul: against SciPy's lines between NumPy's percentiles, intensity-normalization, and TorchIO's files."""

from __future__ import annotations

import importlib
import json
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import interp1d

import fastprep as fp
from fastprep import Grid, Image, Nyul
from fastprep.core.errors import ArgumentError, ConfigError, NonFiniteError, NotFittedError, ReadError, ShapeError
from fastprep.core.ramp import Ramp
from fastprep.testing.assertions import assert_same, to_numpy
from layouts import same_error

PERCENTILES = [1, *range(10, 100, 10), 99]


def brain(seed, dtype="float32", shape=(9, 20, 21)):
    """Three tissues on a scale that no other scanner has, in air."""
    rng = np.random.default_rng(seed)
    tissue = rng.integers(0, 4, shape)
    x = (rng.normal([5, 150, 320, 470], [3, 30, 30, 25], (*shape, 4)) * rng.uniform(0.5, 3))[*np.indices(shape), tissue]
    return np.maximum(x, 0).astype(dtype), tissue > 0


def scale_of(images, masks, ends=(1, 100), percentiles=PERCENTILES):
    """The mean of the landmarks, each image's ends moved to ``ends``."""
    found = [np.percentile(x.astype(np.float64)[m], percentiles) for x, m in zip(images, masks, strict=True)]
    return np.mean([interp1d(p[[0, -1]], ends)(p) for p in found], axis=0)


def truth(x, mask, scale, percentiles=PERCENTILES):
    landmarks = np.percentile(x.astype(np.float64)[mask], percentiles)
    y = interp1d(landmarks, scale, fill_value="extrapolate")(x.astype(np.float64))
    return y.astype(x.dtype if x.dtype.kind == "f" else np.float32)


COHORT = [brain(s, dtype) for s, dtype in enumerate(["float32", "float64", "int16", "uint16"])]
IMAGES, MASKS = [x for x, _ in COHORT], [m for _, m in COHORT]
FITTED = Nyul().fit(IMAGES, MASKS)


def test_scale_and_images(backend, put):
    nyul = Nyul().fit(map(put, IMAGES), map(put, MASKS))
    expected = scale_of(IMAGES, MASKS)
    np.testing.assert_allclose(nyul.landmarks, expected, rtol=1e-12)
    assert nyul.cases == 4 and nyul.is_fitted
    for x, mask in COHORT:
        assert_same(nyul.transform(put(x), put(mask)), truth(x, mask, expected), put(x), tolerance=1e-6)
    # A batch is volumes of their own, on the host and elsewhere.
    batch, marks = np.stack([brain(s)[0] for s in (7, 8)]), np.stack([brain(s)[1] for s in (7, 8)])
    each = [truth(x, m, expected) for x, m in zip(batch, marks, strict=True)]
    assert_same(nyul.transform(put(batch), put(marks)), np.stack(each), put(batch), tolerance=1e-6)
    other = Nyul()
    other.observe(put(batch), put(marks))
    assert other.cases == 2 and other.landmarks == Nyul().fit(list(batch), list(marks)).landmarks


def test_as_intensity_normalization():
    nyul = pytest.importorskip("intensity_normalization.normalizers.population.nyul")
    numpy_image = importlib.import_module("intensity_normalization.adapters.images").NumpyImageAdapter
    wrapped = [(numpy_image(x.astype(np.float64)), numpy_image(m)) for x, m in COHORT]
    theirs = nyul.NyulNormalizer().fit_population([x for x, _ in wrapped], [m for _, m in wrapped])
    # Its images are float32.
    np.testing.assert_allclose(FITTED.landmarks, theirs.standard_scale, rtol=1e-6)
    for (x, mask), given_ in zip(COHORT, wrapped, strict=True):
        expected = theirs.transform(*given_).get_data()
        np.testing.assert_allclose(FITTED.transform(x, mask), expected, rtol=1e-5, atol=2e-5)


def test_what_it_is_for():
    """The tissues of all scanners get the same numbers, where they had nothing in common."""
    means = [[x[m & (x > 0.8 * x[m].mean())].mean() for x in (img, FITTED.transform(img, m))] for img, m in COHORT]
    before, after = np.array(means, np.float64).T
    assert np.ptp(before) / before.mean() > 0.5
    assert np.ptp(after) / after.mean() < 0.05


def test_other_percentiles_and_range():
    chosen, ends = [0, 25, 50, 75, 100], (-1, 2.5)
    nyul = Nyul(chosen, ends).fit(IMAGES, MASKS)
    expected = scale_of(IMAGES, MASKS, ends, chosen)
    np.testing.assert_allclose(nyul.landmarks, expected, rtol=1e-12)
    x, mask = COHORT[0]
    assert_same(nyul.transform(x, mask), truth(x, mask, expected, chosen), x, tolerance=1e-6)


def test_masks_of_every_kind():
    """A function is as good as a list; without any it is the foreground, in both places."""
    by_function = Nyul().fit(iter(IMAGES), lambda x: x > np.median(x))
    assert by_function.landmarks == Nyul().fit(IMAGES, [x > np.median(x) for x in IMAGES]).landmarks
    x = IMAGES[0]
    np.testing.assert_array_equal(by_function.transform(x, lambda x: x > 9), by_function.transform(x, x > 9))
    whole = np.zeros((14, 30, 31), np.float32)
    whole[2:-2, 5:-5, 5:-5] = brain(3, shape=(10, 20, 21))[0] + 50
    by_default = Nyul().fit([whole])
    assert by_default.landmarks == Nyul().fit([whole], fp.foreground_mask).landmarks
    assert by_default.landmarks != Nyul().fit([whole], [np.ones(whole.shape)]).landmarks
    np.testing.assert_array_equal(by_default.transform(whole), by_default.transform(whole, fp.foreground_mask(whole)))


@settings(max_examples=10)
@given(st.permutations(range(6)), st.integers(1, 5))
def test_neither_order_nor_workers_change_a_bit(order, cut):
    small = [brain(s, shape=(3, 8, 9)) for s in range(6)]
    whole, parts = Nyul(), [Nyul(), Nyul()]
    for x, m in small:
        whole.observe(x, m)
    for i in order:
        parts[i < cut].observe(*small[i])
    both = pickle.loads(pickle.dumps(parts[0])).merge(parts[1])
    assert both.landmarks == whole.landmarks and both.cases == 6
    assert both.merge(Nyul()).landmarks == whole.landmarks


def test_landmarks_of_equal_value(backend, put):
    """An image of few grey levels: landmarks that coincide are one, at the mean of their places."""
    x = np.repeat(np.array([0, 10, 20, 30], np.uint8), [50, 20, 20, 10]).reshape(1, 10, 10)
    nyul = Nyul((1, 20, 40, 60, 99)).fit(IMAGES, MASKS)
    a, b, c, d, e = nyul.landmarks
    expected = np.interp(x, [0, 10, 30], [(a + b + c) / 3, d, e]).astype(np.float32)
    assert np.percentile(x, (1, 20, 40, 60, 99)).tolist() == [0, 0, 0, 10, 30]
    assert_same(nyul.transform(put(x), put(np.ones(x.shape))), expected, put(x), tolerance=1e-6)


def test_images_and_modality(backend, put):
    grid = Grid.from_spacing((9, 20, 21), (2, 1, 1))
    given_ = [(Image(put(x), grid, modality="MR", rescale=Ramp(2.0, 5.0)), put(m)) for x, m in COHORT]
    nyul = Nyul().fit([x for x, _ in given_], [Image(m, grid, kind="label") for _, m in given_])
    assert nyul.modality == "MR"
    np.testing.assert_allclose(nyul.landmarks, scale_of(IMAGES, MASKS), rtol=1e-6)
    result = nyul.transform(*given_[0])
    assert result.grid is grid and result.modality == "MR" and result.rescale.is_identity
    expected = truth(IMAGES[0].astype(np.float64) * 2 + 5, MASKS[0], scale_of(IMAGES, MASKS)).astype(np.float32)
    assert_same(result.array, expected, put(IMAGES[0]), tolerance=1e-6)
    ct = Image(put(IMAGES[0]), grid, modality="CT")
    for call in (lambda: nyul.transform(ct, given_[0][1]), lambda: nyul.observe(ct, given_[0][1])):
        with pytest.raises(ArgumentError, match="modality CT: expected MR, the one it was fitted on"):
            call()
    assert to_numpy(nyul.transform(given_[0][0].array, given_[0][1])).shape == grid.shape  # an array has none


def test_plain_form_and_own_files(tmp_path):
    form = json.loads(json.dumps(FITTED.to_dict()))
    again = Nyul.from_dict(form)
    assert again.to_dict() == form and again.landmarks == FITTED.landmarks and again.cases == 4
    FITTED.save(tmp_path / "t1.json")
    assert Nyul.load(tmp_path / "t1.json").to_dict() == form
    np.testing.assert_allclose(again.merge(FITTED).landmarks, FITTED.landmarks, rtol=1e-15)
    assert not Nyul.from_dict(Nyul().to_dict()).is_fitted
    assert repr(FITTED) == "Nyul(11 percentiles, 4 cases)" and repr(Nyul()) == "Nyul(not fitted)"


def test_standard_histograms_of_intensity_normalization(tmp_path):
    """Written as (2, P): the scale, then the percentiles; and so they read ours."""
    scale = scale_of(IMAGES, MASKS)
    np.save(tmp_path / "scale.npy", np.vstack((scale, PERCENTILES)))
    read = Nyul.load(tmp_path / "scale.npy")
    assert read.landmarks == tuple(scale) and read.percentiles == tuple(PERCENTILES)
    np.testing.assert_allclose(read.transform(*COHORT[0]), FITTED.transform(*COHORT[0]), rtol=1e-6)
    FITTED.save(tmp_path / "ours.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "ours.npy"), [FITTED.landmarks, FITTED.percentiles])
    with pytest.raises(ArgumentError, match="does not tell how many cases"):
        read.observe(*COHORT[0])
    with pytest.raises(ArgumentError, match="does not tell how many cases"):
        FITTED.merge(read)


@pytest.mark.parametrize("kind", ["npy", "pt", "path"])
def test_landmarks_of_torchio(tmp_path, kind):
    torch, torchio = importlib.import_module("torch"), importlib.import_module("torchio")
    standard = importlib.import_module("torchio.transforms.preprocessing.intensity.histogram_standardization")
    x, mask = COHORT[0]
    database = np.vstack([np.percentile(i[m], standard._get_percentiles((1.0, 99.0))) for i, m in COHORT])
    landmarks = standard._get_average_mapping(database)
    np.save(tmp_path / "t1.npy", landmarks)
    torch.save(
        {"t1": landmarks if kind == "pt" else str(tmp_path / "t1.npy"), "t2": landmarks + 1}, tmp_path / "all.pth"
    )
    nyul = Nyul.load(tmp_path / "t1.npy") if kind == "npy" else Nyul.load(tmp_path / "all.pth", "t1")
    subject = torchio.Subject(
        t1=torchio.ScalarImage(tensor=x[None]), m=torchio.LabelMap(tensor=mask[None].astype("u1"))
    )
    theirs = torchio.HistogramStandardization({"t1": landmarks}, masking_method="m")(subject).t1.numpy()[0]
    np.testing.assert_allclose(nyul.transform(x, mask), theirs, atol=1e-3)


def test_files_that_are_none(tmp_path):
    torch = importlib.import_module("torch")
    torch.save({"t1": np.ones(13), "t2": np.ones(13)}, tmp_path / "two.pt")
    np.save(tmp_path / "odd.npy", np.ones(12))
    np.save(tmp_path / "flat.npy", np.vstack((np.ones(11), PERCENTILES)))
    (tmp_path / "no.npy").write_bytes(b"")
    (tmp_path / "no.pt").write_bytes(b"PK")
    (tmp_path / "no.json").write_text("{")
    for name, error, match in [
        ("missing.npy", ReadError, "missing.npy: cannot be read"),
        ("missing.json", ReadError, "missing.json: cannot be read"),
        ("no.npy", ReadError, "cannot be read"),
        ("no.pt", ReadError, "cannot be read"),
        ("no.json", ConfigError, "is no JSON"),
        ("odd.npy", ConfigError, r"float64 of shape \(12,\): expected \(2, P\)"),
        ("flat.npy", ConfigError, "flat.npy: output_range"),
        ("scale.txt", ConfigError, "expected a standard scale as .json, .npy, .pt or .pth"),
        ("two.pt", ConfigError, "name=None: expected one of 't1', 't2'"),
    ]:
        with pytest.raises(error, match=match):
            Nyul.load(tmp_path / name)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"percentiles": None}, "percentiles=None: expected a list"),
        ({"percentiles": [1, float("nan")]}, "finite numbers"),
        ({"percentiles": [10, 5]}, "strictly increasing"),
        ({"output_range": [1]}, "a list of 2 finite numbers"),
        ({"output_range": [2, 1]}, "output_range"),
        ({"landmarks": [1, 2]}, "a list of 11 finite numbers"),
        ({"cases": -1}, "cases=-1: expected a whole number"),
        ({"modality": 3}, "modality=3: expected text"),
    ],
)
def test_forms_that_are_none(change, match):
    with pytest.raises(ConfigError, match=match):
        Nyul.from_dict(FITTED.to_dict() | change)


@pytest.mark.parametrize("percentiles", [(), (50,), (1, 1), (10, 5), (-1, 50), (1, 101), tuple(range(65)), (1, np.nan)])
def test_percentiles_that_are_none(percentiles):
    with pytest.raises(ArgumentError, match="expected 2 to 64, strictly increasing, from 0 to 100"):
        Nyul(percentiles)


def test_cohorts_that_are_none():
    x, mask = COHORT[0]
    for call, match in [
        (lambda: Nyul().fit([]), "images: expected at least one volume"),
        (lambda: Nyul().fit(x), r"images of type ndarray: expected an iterable of volumes; for one use observe"),
        (lambda: Nyul().fit([x], mask), "masks of type ndarray: expected an iterable"),
        (lambda: Nyul().fit([x, x], [mask]), "masks end after 1, images go on"),
        (lambda: Nyul().fit([x], iter([mask, mask])), "images end after 1, masks go on"),
        (lambda: FITTED.merge(Nyul((1, 99))), r"percentiles=\(1.0, 99.0\): expected"),
        (lambda: FITTED.merge(Nyul(output_range=(0, 1))), r"output_range=\(0.0, 1.0\): expected"),
    ]:
        with pytest.raises(ArgumentError, match=match):
            call()


def test_errors(backend, put):
    x, mask = COHORT[0]
    odd = x.copy()
    odd[mask.nonzero()[0][0], mask.nonzero()[1][0], mask.nonzero()[2][0]] = np.nan
    none, flat = np.zeros(mask.shape, bool), np.full(mask.shape, 7, np.float32)
    for call in (FITTED.transform, Nyul().observe):
        same_error(lambda call=call: call(put(odd), put(mask)), NonFiniteError, "x holds 1 values inside the mask")
        same_error(lambda call=call: call(put(x), put(none)), ArgumentError, "mask holds no voxel")
        same_error(lambda call=call: call(put(x), put(mask[1:])), ShapeError, "mask of shape")
    same_error(
        lambda: FITTED.transform(put(flat), put(mask)), ArgumentError, "x is constant at all of its percentiles, 7"
    )
    same_error(lambda: Nyul().observe(put(flat), put(mask)), ArgumentError, "percentiles 1 and 99 of x are both 7")
    same_error(lambda: Nyul().transform(put(x), put(mask)), NotFittedError, r"call fit\(images\) or load\(path\) first")
    with pytest.raises(ValueError, match="no standard scale yet"):
        Nyul().save("never.json")
