"""Every type CUDA kernels read with every type they write."""

from __future__ import annotations

import numpy as np
import pytest

import emulated
import fastprep as fp
from conftest import cuda_is_here
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


@pytest.mark.parametrize(
    ("dtype", "to", "launches"),
    [("int16", "float32", 1), ("int64", "float32", 2), ("float32", "int64", 2), ("int8", "bool", 3)],
)
@pytest.mark.parametrize("call", ["linear", "oblique"])
def test_rare_types_are_copied_and_common_ones_are_not(driver, call, dtype, to, launches):
    calls(to)[call](emulated.put(values((5, 6, 7), dtype)))
    streams = [told[2] for kind, told in driver.log if kind == "launch"]
    assert len(streams) == launches and len(set(streams)) == 1


@pytest.mark.parametrize(("to", "fill"), [("int8", 126.5 + 1e-9), ("int8", 300.0), ("bool", 1e-60), ("bool", 0.0)])
def test_fills_of_rare_types_are_rounded_once(gpu, to, fill):
    x, away = values((5, 6, 7), "int16"), np.eye(4)
    away[:3, 3] = 3.2, 0.1, 0.4
    for matrix in (away, away @ TURNED):
        there = fp.warp(gpu(x), matrix, (4, 5, 6), fill=fill, dtype=to)
        np.testing.assert_array_equal(to_numpy(there), fp.warp(x, matrix, (4, 5, 6), fill=fill, dtype=to))


def test_every_half_and_what_lies_between(gpu):
    halves = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    np.testing.assert_array_equal(to_numpy(fp.rescale(gpu(halves), 1, 0, dtype="float32")), halves.astype(np.float32))
    finite = np.sort(halves[np.isfinite(halves)].astype(np.float64))
    middle = (finite[1:] + finite[:-1]) / 2
    edges = np.array([65504, 65519.99, 65520, 70000, 2.0**-25, 2.0**-24, 2.0**-14, np.inf, np.nan])
    x = np.concatenate([middle, np.nextafter(middle.astype(np.float32), np.inf), edges, -edges]).astype(np.float32)
    with np.errstate(over="ignore"):
        expected = x.astype(np.float16)
    np.testing.assert_array_equal(to_numpy(fp.rescale(gpu(x), 1, 0, dtype="float16")), expected)


def test_brain_floats_round_half_to_even(gpu, monkeypatch):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    if cuda_is_here() and not torch.cuda.is_available():
        pytest.skip("this PyTorch has no CUDA")
    move = (lambda x: x.cuda()) if cuda_is_here() else emulated.torch_on_cuda(monkeypatch)
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 1 << 16, 20_000, dtype=np.uint32) << 16
    x = np.concatenate([bits | tail for tail in (0, 0x7FFF, 0x8000, 0x8001, 0xFFFF)]).astype(np.uint32).view(np.float32)
    given = torch.from_numpy(x)
    result = fp.rescale(move(given), 1, 0, dtype=torch.bfloat16).cpu()
    assert torch.equal(result.nan_to_num(7), given.to(torch.bfloat16).nan_to_num(7))
    assert torch.equal(result.isnan(), given.isnan())
    back = fp.rescale(move(result), 1, 0, dtype=torch.float32).cpu()
    assert torch.equal(back.nan_to_num(7), result.float().nan_to_num(7))
