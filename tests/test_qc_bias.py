"""Figures of bias correction against hand-made answers and NumPy's own, and their errors."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastprep as fp
from fastprep.core.errors import ArgumentError, DTypeError, NoKernelError, NonFiniteError, ShapeError
from fastprep.qc import field_correlation, field_statistics, joint_cv, tissue_cv
from fastprep.testing import bias_phantom

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def head():
    return bias_phantom((48, 56, 48), (3.6, 3.6, 3.6), strength=0.4)


def test_field_of_two_gains():
    found = field_statistics(np.log([1.0, 4.0, 1.0, 4.0]))
    assert (found.min, found.max) == pytest.approx((0.5, 2.0))
    assert (found.mean, found.std, found.cv) == pytest.approx((1.25, 0.75, 0.6))
    assert found.percentiles == pytest.approx({1: 0.5, 5: 0.5, 25: 0.5, 50: 1.25, 75: 2.0, 95: 2.0, 99: 2.0})
    assert all(type(v) is float for v in (found.mean, found.std, found.cv, found.min, found.max))


@given(st.floats(-5, 5))
def test_gain_is_no_strength(shift):
    logs = np.linspace(-0.3, 0.4, 50)
    assert field_statistics(logs + shift).cv == pytest.approx(field_statistics(logs).cv)
    assert field_correlation(logs, logs**3 + shift) == pytest.approx(field_correlation(logs, logs**3))


def test_only_the_mask_counts(head):
    """Whatever lies outside, the figures are the same: darkening the head towards its background is not praised."""
    x, labels, mask = head.image.array, head.tissue.array, head.mask
    wild = np.where(mask, x, RNG.uniform(1e3, 1e5, x.shape))
    field = np.where(mask, head.log_field, np.nan)
    assert field_statistics(field, mask) == field_statistics(head.log_field, mask)
    assert tissue_cv(wild, labels, mask) == tissue_cv(x, labels, mask)
    assert set(tissue_cv(x, labels, mask)) == {1, 2, 3} and set(tissue_cv(x, labels)) == {1, 2, 3, 4, 5}
    assert joint_cv(wild, labels, 2, 3, mask) == joint_cv(x, labels, 2, 3, mask)
    assert field_correlation(field, head.log_field, mask) == pytest.approx(1)


def test_tissues_as_numpy_says(head):
    found = tissue_cv(head.image, head.tissue, head.mask)
    for label in (1, 2, 3):
        values = head.image.array[head.tissue.array == label].astype(np.float64)
        assert found[label] == pytest.approx(values.std() / values.mean(), rel=1e-12)
    grey, white = (head.image.array[head.tissue.array == label].astype(np.float64) for label in (2, 3))
    expected = (grey.std() + white.std()) / abs(grey.mean() - white.mean())
    assert joint_cv(head.image, head.tissue, 2, 3) == pytest.approx(expected, rel=1e-12)
    assert joint_cv(head.image, head.tissue, 3, 2) == pytest.approx(expected, rel=1e-12)


def test_a_field_makes_tissue_less_uniform_and_dividing_by_it_undoes_that(head):
    biased, clean = (tissue_cv(image, head.tissue, head.mask) for image in (head.image, head.clean))
    assert clean[2] < biased[2] and clean[3] < 0.6 * biased[3]
    assert joint_cv(head.clean, head.tissue, 2, 3) < joint_cv(head.image, head.tissue, 2, 3)
    # Gain and contrast: the variation of one tissue is blind to gain, the joint one to contrast that is scaled away.
    half = head.image.with_array(head.image.array / 2)
    assert tissue_cv(half, head.tissue)[3] == pytest.approx(tissue_cv(head.image, head.tissue)[3])
    flat = head.image.with_array(1000 + head.image.array / 100)
    assert tissue_cv(flat, head.tissue)[3] < 0.01
    assert joint_cv(flat, head.tissue, 2, 3) == pytest.approx(joint_cv(head.image, head.tissue, 2, 3), rel=1e-3)


def test_correlation_as_numpy_says():
    a = RNG.normal(size=(5, 6, 7))
    b = 0.5 * a + RNG.normal(size=a.shape)
    mask = RNG.random(a.shape) < 0.5
    assert field_correlation(a, b, mask) == pytest.approx(np.corrcoef(a[mask], b[mask])[0, 1], rel=1e-12)
    assert field_correlation(a, -a) == -1.0
    assert math.isclose(field_correlation(a.astype(np.float32), 3 * a), 1, abs_tol=1e-9)


@pytest.mark.parametrize("dtype", ["uint8", "int16", ">i2", "float16", "float32", ">f8"])
def test_any_dtype(dtype):
    x = np.array([90, 110, 150, 250, 7], dtype)
    assert tissue_cv(x, np.array([1, 1, 2, 2, 0], np.int16)) == pytest.approx({1: 0.1, 2: 0.25})


def test_arrays_of_other_libraries_and_images():
    torch = pytest.importorskip("torch")
    x, labels = torch.tensor([90.0, 110.0, 300.0]), torch.tensor([1, 1, 2])
    assert tissue_cv(x, labels) == pytest.approx({1: 0.1, 2: 0.0})
    assert field_correlation(x, x.numpy() * 2, labels > 0) == pytest.approx(1)
    image = fp.Image(np.array([[90.0, 110.0]]), fp.Grid.from_spacing((1, 2), (1, 1)))
    assert tissue_cv(image, np.array([[True, True]])) == pytest.approx({1: 0.1})


def test_arrays_on_a_gpu_are_not_moved():
    class There:
        shape = (2,)

        def __dlpack_device__(self):
            return (2, 0)

    with pytest.raises(NoKernelError, match="x is on a GPU"):
        tissue_cv(There(), np.ones(2, int))


ONES = np.ones((2, 3))
MARKS = np.ones((2, 3), int)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: field_statistics(ONES, np.zeros((2, 3))), ArgumentError, "mask is empty"),
        (lambda: field_statistics(np.ones((0, 3))), ArgumentError, "is empty"),
        (lambda: field_statistics(ONES, np.ones((3, 2))), ShapeError, r"mask of shape \(3, 2\): expected \(2, 3\)"),
        (lambda: field_statistics(ONES * np.nan), NonFiniteError, "log_field holds 6 values"),
        (lambda: field_statistics("field"), DTypeError, "expected an array"),
        (lambda: tissue_cv(ONES, 0 * MARKS), ArgumentError, "no voxel other than 0"),
        (lambda: tissue_cv(ONES, MARKS, 0 * MARKS), ArgumentError, "no voxel other than 0"),
        (lambda: tissue_cv(ONES, MARKS.astype(float)), DTypeError, "whole numbers or bool"),
        (lambda: tissue_cv(ONES, MARKS[:1]), ShapeError, "labels of shape"),
        (lambda: tissue_cv(0 * ONES, MARKS), ArgumentError, "mean 0 where labels are 1"),
        (lambda: tissue_cv(ONES * np.inf, MARKS), NonFiniteError, "x holds 6 values"),
        (lambda: joint_cv(ONES, MARKS, 1, 2), ArgumentError, "label 2 has no voxel"),
        (lambda: joint_cv(ONES, MARKS, 1, 1), ArgumentError, "the same mean"),
        (lambda: field_correlation(ONES, ONES), ArgumentError, "a is constant"),
        (lambda: field_correlation(np.arange(3.0), np.ones(3)), ArgumentError, "b is constant"),
        (lambda: field_correlation(np.full(9, 0.1), np.arange(9.0)), ArgumentError, "a is constant"),
        (lambda: field_correlation(np.arange(3.0), np.arange(4.0)), ShapeError, "b of shape"),
        (lambda: field_correlation(np.arange(3.0), [0.0, 1.0, np.nan]), NonFiniteError, "b holds 1 values"),
    ],
)
def test_errors_say_what_is_wrong(call, error, words):
    with pytest.raises(error, match=words):
        call()
