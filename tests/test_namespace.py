"""Arrays of every library: read where they are, returned as what they were."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastprep
from conftest import LIBRARIES, Library
from fastprep.core.errors import DTypeError
from fastprep.core.namespace import device_of, dtype_name, host_view, like, shape_of
from fastprep.testing.assertions import assert_same, to_numpy

DTYPES = ["bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"]
DTYPES += ["float16", "float32", "float64"]
#: The array API standard has no half floats.
LACKS = {"array-api-strict": {"float16"}}


@pytest.fixture
def torch() -> Any:
    return pytest.importorskip("torch", reason="torch is not installed")


@pytest.fixture
def jnp() -> Any:
    return pytest.importorskip("jax.numpy", reason="jax is not installed")


def volume(dtype: str = "int16", shape: tuple[int, ...] = (3, 4, 5)) -> Any:
    return np.arange(np.prod(shape)).reshape(shape).astype(dtype)


def address(x: Any) -> int:
    return int(x.__array_interface__["data"][0])


@pytest.mark.parametrize("dtype", DTYPES)
def test_views_hold_the_values_of_every_dtype(xp: Library, dtype: str) -> None:
    if dtype in LACKS.get(xp.name, ()):
        pytest.skip(f"{xp.name} has no {dtype}")
    expected = volume(dtype)
    x = xp.asarray(expected)
    view = host_view(x)
    assert view.dtype == expected.dtype
    np.testing.assert_array_equal(view, expected)
    assert dtype_name(x.dtype) == dtype
    assert device_of(x) == "cpu"
    assert shape_of(x) == (3, 4, 5)


def test_views_share_memory(xp: Library) -> None:
    x = xp.asarray(volume())
    assert address(host_view(x)) == address(host_view(x))
    owner = {
        "numpy": lambda: x,
        "numpy-read-only": lambda: x,
        "array-api-strict": lambda: np.asarray(x),
        "torch": lambda: x.numpy(),
        "jax": lambda: np.asarray(x),
    }[xp.name]()
    assert np.shares_memory(host_view(x), owner)


def test_strided_views_share_memory(torch: Any) -> None:
    x = volume()
    assert np.shares_memory(host_view(x[:, ::-1, ::2]), x)
    turned = torch.from_numpy(x).permute(2, 0, 1)[1:, :, ::2]
    assert np.shares_memory(host_view(turned), x)
    np.testing.assert_array_equal(host_view(turned), x.transpose(2, 0, 1)[1:, :, ::2])


@pytest.mark.parametrize("dtype", DTYPES)
def test_results_are_of_the_callers_library(xp: Library, dtype: str) -> None:
    if dtype in LACKS.get(xp.name, ()):
        pytest.skip(f"{xp.name} has no {dtype}")
    x = xp.asarray(volume("uint8"))
    result = volume(dtype)
    back = like(result, x)
    assert_same(back, result, x, tolerance=0)


@pytest.mark.parametrize("name", ["numpy", "numpy-read-only", "array-api-strict", "torch"])
def test_results_are_handed_over_without_a_copy(name: str) -> None:
    module, asarray = LIBRARIES[name]
    pytest.importorskip(module, reason=f"{module} is not installed")
    result = volume("float32")
    back = like(result, asarray(volume("uint8")))
    assert np.shares_memory(result, host_view(back))


def test_operations_return_what_they_were_given(xp: Library, backend: str) -> None:
    if backend == "gpu":
        pytest.skip("host arrays only")
    hu = volume("int16") - 20
    x = xp.asarray(hu)
    before = np.array(host_view(x))
    assert_same(fastprep.clip_hu(x, 0, 30), np.clip(hu, 0, 30).astype("float32"), x, tolerance=1e-6)
    assert_same(fastprep.flip(x, (0, -1)), hu[::-1, :, ::-1], x, tolerance=0)
    assert_same(fastprep.crop_or_pad(x, (5, 2, 5)), np.pad(hu[:, 1:3], [(1, 1), (0, 0), (0, 0)]), x, tolerance=0)
    np.testing.assert_array_equal(host_view(x), before)


def test_results_can_be_written_to(xp: Library) -> None:
    if xp.name == "jax":
        pytest.skip("JAX arrays are immutable")
    x = xp.asarray(volume())
    # Nothing to do is no reason to lend the caller his own memory.
    for result in (fastprep.clip_hu(x), fastprep.flip(x, ()), fastprep.resample(x, (1, 1, 1), (1, 1, 1))):
        assert not np.shares_memory(host_view(result), host_view(x))
        result[0, 0, 0] = 7
        assert host_view(result)[0, 0, 0] == 7


@pytest.mark.parametrize("x", [[[1, 2], [3, 4]], (1, 2), 3, 3.5, None, "scan", np.float32(3), {"a": 1}])
@pytest.mark.parametrize("function", [device_of, shape_of, fastprep.clip_hu])
def test_no_array(function: Any, x: Any) -> None:
    with pytest.raises(DTypeError, match=rf"x of type {type(x).__name__}: expected an array") as caught:
        function(x)
    assert isinstance(caught.value, TypeError)


NO_NUMBERS = ["complex64", "complex128", "longdouble", "datetime64[s]", "U3", "S3", "object", "V4"]


@pytest.mark.parametrize("dtype", NO_NUMBERS)
def test_no_number(dtype: str) -> None:
    x = np.zeros((2, 2), dtype)
    with pytest.raises(DTypeError, match=r"x of dtype .*: expected bool, integers, or floats"):
        host_view(x)
    with pytest.raises(DTypeError):
        fastprep.clip_hu(x)


class TestTorch:
    def test_gradients_are_refused(self, torch: Any) -> None:
        x = torch.zeros((2, 2), requires_grad=True)
        with pytest.raises(DTypeError, match=r"x requires grad: .* pass x\.detach\(\)"):
            fastprep.clip_hu(x)
        assert fastprep.clip_hu(x.detach()).shape == (2, 2)

    @pytest.mark.parametrize("dtype", ["bfloat16", "complex64"])
    def test_no_dtype_of_numpy(self, torch: Any, dtype: str) -> None:
        x = torch.zeros((2, 2), dtype=getattr(torch, dtype))
        with pytest.raises(DTypeError, match=rf"x of dtype (torch\.)?{dtype}"):
            fastprep.clip_hu(x)

    def test_dtypes_by_their_own_name(self, torch: Any) -> None:
        x = torch.zeros((2, 2), dtype=torch.int16)
        assert fastprep.clip_hu(x, dtype=torch.float16).dtype == torch.float16
        assert fastprep.clip_hu(x, dtype="int16").dtype == torch.int16
        with pytest.raises(DTypeError, match=r"dtype=torch\.bfloat16: expected bool"):
            fastprep.clip_hu(x, dtype=torch.bfloat16)

    def test_channels_last_is_a_layout_like_any_other(self, torch: Any) -> None:
        x = torch.from_numpy(volume("float32", (2, 3, 4, 5))).to(memory_format=torch.channels_last)
        np.testing.assert_array_equal(fastprep.flip(x, (-1,)).numpy(), x.numpy()[..., ::-1])


class TestJax:
    def test_bfloat16_is_refused(self, jnp: Any) -> None:
        with pytest.raises(DTypeError, match="x of dtype bfloat16"):
            fastprep.clip_hu(jnp.zeros((2, 2), jnp.bfloat16))

    def test_dtypes_by_their_own_name(self, jnp: Any) -> None:
        x = jnp.zeros((2, 2), jnp.int16)
        assert fastprep.clip_hu(x, dtype=jnp.float32).dtype == jnp.float32


def test_dtypes_of_the_array_api() -> None:
    strict = pytest.importorskip("array_api_strict", reason="array_api_strict is not installed")
    x = strict.asarray(volume())
    assert fastprep.clip_hu(x, dtype=strict.float64).dtype == strict.float64


@pytest.mark.parametrize(
    ("dtype", "name"),
    [
        ("int16", "int16"),
        (">i2", "int16"),
        (np.dtype(">f4"), "float32"),
        (np.uint8, "uint8"),
        (float, "float64"),
        (bool, "bool"),
    ],
)
def test_dtype_name(dtype: Any, name: str) -> None:
    assert dtype_name(dtype) == name


NO_DTYPES = ["bfloat16", "flaot32", "", "complex64", "S3", np.longdouble, object, object(), 3, "f4,f4", np]


@pytest.mark.parametrize("dtype", NO_DTYPES)
def test_no_dtype(dtype: Any) -> None:
    with pytest.raises(DTypeError, match="expected bool, an integer type, or float16, float32, float64"):
        dtype_name(dtype)


class TestAssertSame:
    """The assertion that all parity tests rest on fails when it should."""

    x = volume("float32")

    @pytest.mark.parametrize(
        ("result", "message"),
        [
            (x.tolist(), "a builtins.list from a numpy.ndarray"),
            (x.astype("float64"), "dtype float64: expected float32"),
            (x[:2], "shape"),
            (x + np.float32(1e-3), "60 of 60 values differ"),
            (np.where(x == 7, np.nan, x).astype("float32"), "1 of 60 values differ"),
            (np.where(x == 7, np.inf, x).astype("float32"), "1 of 60 values differ, the worst at \\(0, 1, 2\\)"),
        ],
    )
    def test_differences(self, result: Any, message: str) -> None:
        for tolerance in (0, 1e-6):
            with pytest.raises(AssertionError, match=message):
                assert_same(result, self.x, self.x, tolerance=tolerance)

    def test_tolerance_is_of_the_range(self) -> None:
        near = self.x + np.float32(59e-4)
        assert_same(near, self.x, self.x, tolerance=1.1e-4)
        with pytest.raises(AssertionError, match="within"):
            assert_same(near, self.x, self.x, tolerance=0.9e-4)
        assert_same(near, self.x, self.x, tolerance=0.9e-4, scale=600)

    def test_nan_and_infinity_are_values(self) -> None:
        odd = np.array([np.nan, np.inf, -np.inf, 1], np.float32)
        for tolerance in (0, 1e-6):
            assert_same(odd.copy(), odd, odd, tolerance=tolerance)
            with pytest.raises(AssertionError, match="differ"):
                assert_same(-odd, odd, odd, tolerance=tolerance)

    def test_integers_may_round_the_other_way(self) -> None:
        whole = volume("int64")
        assert_same(whole + 1, whole, whole, tolerance=1e-6)
        for difference, tolerance in ((2, 1e-6), (1, 0)):
            with pytest.raises(AssertionError, match="differ"):
                assert_same(whole + difference, whole, whole, tolerance=tolerance)

    def test_wide_integers_are_compared_as_such(self) -> None:
        wide = np.array([2**62, 2**62 + 1], np.int64)
        with pytest.raises(AssertionError, match="2 of 2 values differ"):
            assert_same(wide + 3, wide, wide, tolerance=1e-6, scale=0)

    def test_empty(self) -> None:
        empty = np.zeros((0, 3), np.int16)
        assert_same(empty.copy(), empty, empty, tolerance=0)
        assert to_numpy(empty) is not None
