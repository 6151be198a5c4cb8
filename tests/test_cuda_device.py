"""What only a real CUDA device can show: streams, memory pools, nothing waited for, PyTorch and JAX on it."""

from __future__ import annotations

import importlib
import math

import numpy as np
import pytest

import fastprep as fp
from conftest import cuda_is_here
from fastprep.core.grid import Grid
from fastprep.core.image import Image
from fastprep.core.index_map import IndexMap
from fastprep.kernels.gpu import _compile
from fastprep.ops._sample import sample
from fastprep.pipeline import CropOrPad, Pipeline, Resample, Window
from layouts import values

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not cuda_is_here(), reason="no CUDA device")]

ONE = (1, 1, 1)
#: Keeps a stream busy for a given number of clock cycles.
SPIN = 'extern "C" __global__ void spin(long long n) { const long long t = clock64(); while (clock64() - t < n) {} }'
BUSY = 400_000_000
CALLS = {
    "window": lambda x: fp.window(x, preset="lung"),
    "linear": lambda x: fp.resample(x, ONE, (0.8, 1.2, 1.1)),
    "nearest": lambda x: fp.resample(x, ONE, (0.8, 1.2, 1.1), order="nearest"),
    "cubic": lambda x: fp.resample(x, ONE, (0.8, 1.2, 1.1), order="cubic"),
    "antialiased": lambda x: fp.resample(x, ONE, (1.8, 1.2, 1.1), antialias=True),
    "onehot": lambda x: fp.resample(x, ONE, (0.8, 1.2, 1.1), order="onehot"),
    "oblique": lambda x: fp.warp(x, oblique(), x.shape[-3:]),
    "oblique cubic": lambda x: fp.warp(x, oblique(), x.shape[-3:], order="cubic"),
    "flip": lambda x: fp.flip(x, 0),
}


@pytest.fixture(scope="module")
def cupy():
    return importlib.import_module("cupy")


@pytest.fixture(scope="module")
def torch():
    module = pytest.importorskip("torch", reason="torch is not installed")
    if not module.cuda.is_available():
        pytest.skip("this PyTorch has no CUDA")
    return module


@pytest.fixture(scope="module")
def spin(cupy):
    return cupy.RawKernel(SPIN, "spin")


def oblique():
    return np.array([[0.9, 0.1, -0.1, 0.3], [0.1, 0.8, 0.1, 0.2], [-0.1, 0.2, 1.1, 0.1], [0, 0, 0, 1.0]])


@pytest.mark.parametrize("name", CALLS)
def test_a_call_is_back_while_its_stream_is_busy(cupy, spin, name):
    x = cupy.asarray(values((20, 30, 40), "int16"))
    CALLS[name](x)
    cupy.cuda.Device().synchronize()
    with cupy.cuda.Stream(non_blocking=True) as stream:
        spin((1,), (1,), (np.int64(BUSY),))
        result = CALLS[name](x)
        assert not stream.done, "the call waited for the stream, or ran on another"
        stream.synchronize()
    np.testing.assert_array_equal(result.get(), CALLS[name](x).get())


@pytest.mark.parametrize("name", CALLS)
def test_a_torch_call_is_back_while_its_stream_is_busy(torch, spin, name):
    x = torch.from_numpy(values((20, 30, 40), "int16")).cuda()
    expected = CALLS[name](x).cpu()
    torch.cuda.synchronize()
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        torch.cuda._sleep(BUSY)
        result = CALLS[name](x)
        assert not stream.query(), "the call waited for the stream, or ran on another"
    stream.synchronize()
    assert torch.equal(result.cpu(), expected)


@pytest.mark.parametrize("name", ["window", "linear", "nearest", "oblique", "flip"])
def test_results_alone_are_allocated(cupy, name):
    x = cupy.asarray(values((40, 50, 60), "int16"))
    CALLS[name](x)
    pool = cupy.get_default_memory_pool()
    before = pool.used_bytes()
    result = CALLS[name](x)
    assert pool.used_bytes() - before == -(-result.nbytes // 512) * 512


@pytest.mark.parametrize("name", ["window", "linear", "cubic", "oblique cubic"])
def test_torch_results_and_scratch_are_of_its_pool(torch, cupy, name):
    x = torch.from_numpy(values((40, 50, 60), "int16")).cuda()
    CALLS[name](x)
    cupys, before = cupy.get_default_memory_pool().used_bytes(), torch.cuda.memory_allocated()
    result = CALLS[name](x)
    assert cupy.get_default_memory_pool().used_bytes() == cupys
    assert torch.cuda.memory_allocated() - before == -(-result.nbytes // 512) * 512
    assert result.device == x.device


def test_two_runs_give_the_same_bits(cupy):
    x = cupy.asarray(values((60, 70, 80), "int16"))
    for name, call in CALLS.items():
        np.testing.assert_array_equal(call(x).get(), call(x).get(), err_msg=name)


def test_bits_are_those_of_the_cpu_on_large_volumes(cupy):
    x = values((70, 130, 150), "int16")
    for name, call in CALLS.items():
        here, there = call(x), call(cupy.asarray(x)).get()
        if "cubic" in name:
            # The recursion of a segment starts 32 voxels before it.
            assert (here != there).mean() < 1e-4, name
            np.testing.assert_allclose(there, here, rtol=0, atol=1e-3)
        else:
            np.testing.assert_array_equal(there, here, err_msg=name)


def test_jax_arrays_come_back_as_such(cupy):
    jax = pytest.importorskip("jax", reason="jax is not installed")
    try:
        device = jax.devices("cuda")[0]
    except RuntimeError:
        pytest.skip("this JAX has no CUDA")
    x = values((20, 30, 40), "int16")
    there = jax.device_put(x, device)
    result = fp.resample(there, ONE, (0.8, 1.2, 1.1))
    assert isinstance(result, jax.Array) and result.devices() == {device}
    np.testing.assert_array_equal(np.asarray(result), fp.resample(x, ONE, (0.8, 1.2, 1.1)))


def test_uploads_overlap_and_arrive(cupy):
    pipeline = Pipeline([Resample(spacing=(1.3, 1.1, 1.2)), Window(preset="lung"), CropOrPad((48, 64, 64))])
    there = pipeline.to("cuda")
    scans = [Image(values((60, 70, 80), "int16", i), Grid.from_spacing((60, 70, 80), ONE)) for i in range(12)]
    results = [there(scan) for scan in scans]
    for scan, result in zip(scans, results, strict=True):
        np.testing.assert_array_equal(result.array.get(), pipeline(scan).array)


def test_more_than_2_to_the_31_voxels(cupy):
    shape = (33, 1 << 13, 1 << 13)
    if cupy.cuda.runtime.memGetInfo()[0] < 3 * math.prod(shape):
        pytest.skip("the device has too little memory free")
    x = cupy.zeros(shape, np.uint8)
    assert x.size > 2**31
    corner = cupy.arange(12, dtype=np.uint8).reshape(1, 3, 4)
    x[-1:, -3:, -4:] = corner
    flipped = fp.flip(x, (0, 1, 2))
    np.testing.assert_array_equal(flipped[0, :3, :4].get(), np.flip(corner.get())[0])
    del flipped
    clipped = fp.clip_hu(x, 0, 5, dtype="uint8")
    np.testing.assert_array_equal(clipped[-1:, -3:, -4:].get(), np.minimum(corner.get(), 5))
    del clipped
    start = [n - m for n, m in zip(shape, corner.shape, strict=True)]
    between = IndexMap.scaled((1, 3, 3), ONE, (*start[:2], start[2] + 0.5))
    half = (corner[..., :-1] + corner[..., 1:].astype(np.float32)) / 2
    np.testing.assert_array_equal(sample(x, between, order=1).get(), half.get())
    del x
    cupy.get_default_memory_pool().free_all_blocks()


def test_a_second_device(cupy):
    if cupy.cuda.runtime.getDeviceCount() < 2:
        pytest.skip("one device")
    x = values((20, 30, 40), "int16")
    with cupy.cuda.Device(1):
        there = cupy.asarray(x)
    for name, call in CALLS.items():
        result = call(there)
        assert result.device.id == 1, name
        np.testing.assert_array_equal(result.get(), call(cupy.asarray(x)).get(), err_msg=name)
    assert cupy.cuda.runtime.getDevice() == 0


def test_shared_memory_beyond_48_kib_is_asked_for(cupy):
    # Columns of a spline in float64 take 96 KiB a block.
    x = values((300, 20, 40), "float64")
    result = fp.resample(cupy.asarray(x), ONE, (0.9, 1.1, 1.0), order="cubic")
    np.testing.assert_allclose(result.get(), fp.resample(x, ONE, (0.9, 1.1, 1.0), order="cubic"), atol=1e-9)
    assert isinstance(_compile.driver(), importlib.import_module("fastprep.kernels.gpu._cupy").CupyDriver)
