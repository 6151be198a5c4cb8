"""Every type CUDA kernels read with every type they write."""

from __future__ import annotations

import numpy as np
import pytest

import fastprep as fp
from fastprep import registry
from fastprep.testing.assertions import assert_same, to_numpy
from layouts import DTYPES, values

pytestmark = pytest.mark.gpu
#: uint64 too, which few scans have.
NUMBERS = [*DTYPES, "uint64"]
TURNED = np.array([[0.9, 0.1, -0.1, 0.3], [0.1, 0.8, 0.1, 0.2], [-0.1, 0.2, 1.1, 0.1], [0, 0, 0, 1.0]])


def calls(to):
    """Operations that end in each family of kernels, by name."""
    shape = (4, 5, 6)
    return {
        "ramp": lambda x: fp.rescale(x, 0.75, 3.5, dtype=to),
        "linear": lambda x: fp.resample(x, (1, 1, 1), (0.8, 1.1, 1.3), dtype=to),
        "cubic": lambda x: fp.resample(x, (1, 1, 1), (0.8, 1.1, 1.3), order="cubic", dtype=to),
        "antialiased": lambda x: fp.resample(x, (1, 1, 1), (0.8, 1.1, 1.3), antialias=True, dtype=to),
        "oblique": lambda x: fp.warp(x, TURNED, shape, dtype=to),
        "oblique nearest": lambda x: fp.warp(x, TURNED, shape, order="nearest", dtype=to),
        "oblique cubic": lambda x: fp.warp(x, TURNED, shape, order="cubic", dtype=to),
    }


@pytest.mark.parametrize("call", calls(None))
@pytest.mark.parametrize("dtype", NUMBERS)
def test_every_pair_agrees_with_the_reference(gpu, dtype, call):
    if dtype == "bool" and "nearest" not in call and call != "ramp":
        pytest.skip("a mask is not blended")
    x = values((5, 6, 7), dtype)
    there = gpu(x)
    for to in NUMBERS:
        run = calls(to)[call]
        with registry.backend("reference"):
            truth = run(x)
        result = to_numpy(run(there))
        assert result.dtype == truth.dtype
        try:
            assert_same(result, truth, truth, tolerance=5e-6)
        except AssertionError as error:
            raise AssertionError(f"{dtype} -> {to}: {error}") from error


@pytest.mark.parametrize("call", calls(None))
@pytest.mark.parametrize(("dtype", "to"), [("int16", "float16"), ("float32", "uint8"), ("uint8", "float32")])
def test_bits_are_those_of_the_cpu(gpu, dtype, to, call):
    x = values((5, 6, 7), dtype)
    run = calls(to)[call]
    np.testing.assert_array_equal(to_numpy(run(gpu(x))), run(x))
