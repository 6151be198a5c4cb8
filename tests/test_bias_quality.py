"""What the bias correctors are for: tissue more uniform than before, by the field that was there and not by anatomy.

Every figure is inside the brain, beside doing nothing and dividing by the true field.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

import fastprep as fp
from fastprep.qc import field_correlation, joint_cv, tissue_cv
from fastprep.testing import BiasPhantom, bias_phantom

TISSUES = {1: "CSF", 2: "grey", 3: "white"}
HEADS = [(0, 0.2), (1, 0.2), (0, 0.4), (2, 0.4)]
METHODS = {"n4": {"shrink_factor": 2}, "polynomial_bias": {}, "homomorphic_bias": {}, "gaussian_bias": {}}


@cache
def head_of(seed: int, strength: float) -> BiasPhantom:
    return bias_phantom(seed=seed, strength=strength)


@cache
def result_of(method: str, seed: int, strength: float) -> Any:
    head = head_of(seed, strength)
    return getattr(fp, method)(head.image, head.mask, **METHODS[method])


def error(image: fp.Image, head: BiasPhantom) -> float:
    """Mean square of the difference from the truth, after the gain that makes it least."""
    truth, found = (x.array[head.mask].astype(np.float64) for x in (head.truth, image))
    found *= (found @ truth) / (found @ found)
    return float(((found - truth) ** 2).mean())


def cvs(image: fp.Image, head: BiasPhantom) -> dict[int, float]:
    return tissue_cv(image, head.tissue, head.mask)


@pytest.mark.parametrize("case", HEADS)
def test_the_phantom_leaves_something_to_correct(case: tuple[int, float]) -> None:
    head = head_of(*case)
    nothing, oracle = cvs(head.image, head), cvs(head.clean, head)
    assert all(oracle[label] < nothing[label] for label in TISSUES)
    assert oracle[3] < 0.75 * nothing[3]


@pytest.mark.parametrize("case", HEADS)
@pytest.mark.parametrize("method", ["n4", "polynomial_bias"])
def test_finds_the_field(method: str, case: tuple[int, float]) -> None:
    head = head_of(*case)
    found = field_correlation(result_of(method, *case).log_field, head.log_field, head.mask)
    assert found >= 0.98


@pytest.mark.parametrize("case", HEADS)
@pytest.mark.parametrize("method", ["n4", "polynomial_bias"])
def test_tissue_is_nearly_as_uniform_as_without_a_field(method: str, case: tuple[int, float]) -> None:
    head = head_of(*case)
    nothing, found, oracle = (cvs(x, head) for x in (head.image, result_of(method, *case).corrected, head.clean))
    for label, name in TISSUES.items():
        assert found[label] < nothing[label], name
        # Near the oracle from both sides: much below it, texture of the tissue would have been taken for field.
        assert found[label] == pytest.approx(oracle[label], rel=0.05), name
    assert error(result_of(method, *case).corrected, head) < 0.5 * error(head.image, head)
    overlap = [joint_cv(x, head.tissue, 2, 3) for x in (head.image, result_of(method, *case).corrected)]
    assert overlap[1] < overlap[0]


@pytest.mark.parametrize("case", HEADS)
@pytest.mark.parametrize("method", ["homomorphic_bias", "gaussian_bias"])
def test_simple_ones_are_not_worse_than_doing_nothing(method: str, case: tuple[int, float]) -> None:
    head = head_of(*case)
    corrected = result_of(method, *case).corrected
    nothing, found = cvs(head.image, head), cvs(corrected, head)
    for label, name in TISSUES.items():
        assert found[label] <= nothing[label], name
    assert error(corrected, head) <= error(head.image, head)


@pytest.mark.parametrize("method", METHODS)
def test_no_field_is_hardly_changed(method: str) -> None:
    """Where there is no field, N4 and the polynomial find next to none; the blurs cannot tell anatomy from field."""
    head = bias_phantom(strength=1e-6)
    result = getattr(fp, method)(head.image, head.mask, **METHODS[method])
    nothing, found = cvs(head.image, head), cvs(result.corrected, head)
    limit = 1.02 if method in ("n4", "polynomial_bias") else 1.5
    assert all(found[label] <= limit * nothing[label] for label in TISSUES)
