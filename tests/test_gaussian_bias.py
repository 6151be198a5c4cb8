from __future__ import annotations

import fastprep as fp
from smooth_cases import check_agreement, check_batch, check_convolution, check_everything, check_far_away


def test_every_dtype_layout_and_bad_input(backend, put):
    check_everything(fp.gaussian_bias, put, backend)


def test_it_is_a_normalised_convolution(backend, put):
    check_convolution(fp.gaussian_bias, put, logarithm=False)


def test_backends_agree(backend, put):
    check_agreement(fp.gaussian_bias, put, "gaussian_bias")


def test_batches(backend, put):
    check_batch(fp.gaussian_bias, put)


def test_far_from_the_mask(backend, put):
    check_far_away(fp.gaussian_bias, put)
