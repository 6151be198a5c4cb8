"""CUDA arrays of every library: where results are made, on which stream, and that nothing is done behind the caller."""

from __future__ import annotations

import math
import mmap
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import emulated
import emulator
import fastprep as fp
from conftest import cuda_is_here
from fastprep.core.device_view import DeviceView
from fastprep.core.errors import DeviceError, DTypeError, KernelError, MissingExtraError, ShapeError, TooLargeError
from fastprep.core.grid import Grid
from fastprep.core.image import Image
from fastprep.core.index_map import IndexMap
from fastprep.core.ramp import Ramp
from fastprep.kernels.gpu import _compile
from fastprep.ops._sample import sample
from fastprep.pipeline import CropOrPad, MultiWindow, Pipeline, Resample, Window
from fastprep.testing.assertions import assert_same, to_numpy
from layouts import values

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(emulator.missing() is not None, reason="no emulator")]

ONE = (1, 1, 1)
TURNED = np.array([[0.9, 0.1, -0.1, 0.3], [0.1, 0.8, 0.1, 0.2], [-0.1, 0.2, 1.1, 0.1], [0, 0, 0, 1.0]])


@pytest.fixture
def torch(monkeypatch):
    module = pytest.importorskip("torch", reason="torch is not installed")
    module.on_cuda = emulated.torch_on_cuda(monkeypatch, stream=99)
    yield module
    del module.on_cuda


def kinds(driver):
    return {kind for kind, _ in driver.log}


def test_which_names_cuda(driver):
    assert fp.which("resample", emulated.put(np.zeros((2, 2, 2)))) == "gpu: cuda (resample, take, onehot)"


@pytest.mark.parametrize("order", ["nearest", "linear", "cubic"])
def test_torch_tensors_come_back_as_such(driver, torch, order):
    x = values((2, 5, 6, 7), "int16")
    there = torch.on_cuda(torch.from_numpy(x))
    driver.log.clear()
    result = fp.resample(there, ONE, (0.8, 1.2, 1.1), order=order)
    assert type(result) is type(there) and result.device.type == "cuda"
    with fp.registry.backend("cpu"):
        np.testing.assert_array_equal(to_numpy(result), fp.resample(x, ONE, (0.8, 1.2, 1.1), order=order))
    streams = {about[2] for kind, about in driver.log if kind == "launch"}
    assert streams == {99}, "the stream that is PyTorch's current one"
    assert driver.count("allocate") == 0, "results and scratch are of PyTorch's pool"


def test_torch_has_bfloat16(driver, torch):
    x = values((4, 5, 6), "float32")
    there = torch.on_cuda(torch.from_numpy(x))
    result = fp.window(there, preset="lung", dtype=torch.bfloat16)
    assert result.dtype == torch.bfloat16
    expected = torch.from_numpy(fp.window(x, preset="lung")).to(torch.bfloat16)
    assert torch.equal(result.cpu(), expected)
    half = fp.resample(result, ONE, (0.5, 1, 1))
    assert half.dtype == torch.bfloat16 and tuple(half.shape) == (8, 5, 6)
    flipped = fp.flip(result, 0)
    assert torch.equal(flipped.cpu(), expected.flip(0))
    padded = fp.crop_or_pad(result, (6, 5, 6), fill=-0.3)
    assert padded.cpu()[0, 0, 0] == torch.tensor(-0.3).to(torch.bfloat16)
    with pytest.raises(DTypeError, match="PyTorch alone"):
        fp.window(emulated.put(x), preset="lung", dtype="bfloat16")


def test_a_batch_of_bfloat16_stays_so(driver, torch):
    scans = [torch.on_cuda(torch.from_numpy(values(s, "float32")).to(torch.bfloat16)) for s in ((4, 5, 6), (5, 4, 7))]
    images = [Image(x, Grid.from_spacing(tuple(x.shape), ONE)) for x in scans]
    pipeline = Pipeline([CropOrPad((4, 4, 6))], dtype=None)
    result = pipeline.batch(images)
    assert result.dtype == torch.bfloat16
    assert torch.equal(result.cpu(), torch.stack([pipeline(image).array.cpu() for image in images]))


def test_torch_views_are_read_where_they_lie(driver, torch):
    x = values((4, 5, 6), "int16")
    there = torch.on_cuda(torch.from_numpy(x))
    turned = there.permute(2, 0, 1)[1:, ::2]
    driver.log.clear()
    result = fp.resample(turned, ONE, (0.8, 0.7, 1.1))
    np.testing.assert_array_equal(to_numpy(result), fp.resample(x.transpose(2, 0, 1)[1:, ::2], ONE, (0.8, 0.7, 1.1)))
    assert driver.count("launch") == 1


def test_gradients_are_refused(driver, torch):
    there = torch.on_cuda(torch.zeros(3, 4, 5)).requires_grad_()
    with pytest.raises(DTypeError, match=r"requires grad.*x\.detach\(\)"):
        fp.resample(there, ONE, (2, 2, 2))
    with pytest.raises(DTypeError, match="complex64"):
        fp.window(torch.on_cuda(torch.zeros(3, dtype=torch.complex64)), preset="lung")


def test_empty_arrays_launch_nothing(driver):
    result = fp.window(emulated.put(np.zeros((0, 4), np.int16)), preset="lung")
    assert result.shape == (0, 4) and result.dtype == np.float32
    assert driver.count("launch") == 0


def test_read_only_arrays_are_read(driver):
    x = values((3, 4, 5), "int16")
    x.setflags(write=False)
    there = emulated.put(x)
    there._host.setflags(write=False)
    np.testing.assert_array_equal(fp.window(there, preset="bone").get(), fp.window(x, preset="bone"))


@pytest.mark.parametrize(
    ("call", "launches"),
    [
        (lambda x: fp.window(x, preset="lung"), 1),
        (lambda x: fp.multi_window(x, ["lung", "bone"]), 1),
        (lambda x: fp.resample(x, ONE, (0.8, 1.2, 1.1)), 1),
        (lambda x: fp.resample(x, ONE, (0.8, 1.2, 1.1), order="nearest"), 1),
        (lambda x: fp.resample(x, ONE, (0.8, 1.2, 1.1), order="cubic"), 3),
        (lambda x: fp.resample(x, ONE, (1.8, 1.2, 1.1), antialias=True), 3),
        (lambda x: fp.resample(x, ONE, (0.8, 1.2, 1.1), order="onehot"), 1),
        (lambda x: fp.warp(x, TURNED, (4, 5, 6)), 1),
        (lambda x: fp.warp(x, TURNED, (4, 5, 6), order="cubic"), 4),
        (lambda x: fp.flip(x, 0), 1),
        (lambda x: fp.crop_or_pad(x, (9, 9, 9)), 1),
    ],
)
def test_nothing_is_copied_or_waited_for(driver, call, launches):
    there = emulated.put(values((5, 6, 7), "int16"))
    call(there)
    assert "synchronize" not in kinds(driver) and "copy" not in kinds(driver) and "wait" not in kinds(driver)
    assert driver.count("launch") == launches
    driver.log.clear()
    call(there)
    # The tables of the first call are found again.
    assert kinds(driver) == {"launch", "allocate"}
    assert driver.count("launch") == launches


def test_calls_that_differ_in_one_thing_are_told_apart(driver):
    """What was kept of one call must not be done again for another."""
    x, other = values((5, 6, 7), "int16", 1), values((5, 6, 7), "int16", 2)
    there, too, turned = emulated.put(x), emulated.put(other), emulated.put(x.transpose(2, 1, 0).copy())
    grid = IndexMap.scaled((6, 7, 8), (0.8, 0.9, 0.9), (-1, 0, 0.3))
    how = {"order": 1, "fill": 0.0, "dtype": "float32"}
    changes = [
        {"fill": 5.0},
        {"order": 3},
        {"order": 0},
        {"dtype": "float16"},
        {"pre": Ramp(1, 0, -100, 100)},
        {"pre": Ramp(1, 0, -50, 100)},
        {"post": (Ramp(0.5, 1),)},
        {"post": (Ramp(0.5, 1), Ramp(2, 0)), "channels": True},
        {"outside": (9.0,)},
        {"limit": ((0, 5), (1, 7), (0, 8))},
        {"seen": IndexMap.flip((5, 6, 7), (0,))},
        {"antialias": True},
    ]
    for _ in range(2):
        for change in ({}, *changes):
            expected = sample(x, grid, **(how | change))
            np.testing.assert_array_equal(sample(there, grid, **(how | change)).get(), expected, err_msg=str(change))
        np.testing.assert_array_equal(sample(too, grid, **how).get(), sample(other, grid, **how))
        shifted = IndexMap.scaled((6, 7, 8), (0.8, 0.9, 0.9), (-1, 0, 0.4))
        np.testing.assert_array_equal(sample(there, shifted, **how).get(), sample(x, shifted, **how))
        for window in ((0, 100), (0, 200), (50, 100)):
            np.testing.assert_array_equal(fp.window(there, *window).get(), fp.window(x, *window))
            np.testing.assert_array_equal(fp.window(turned, *window).get(), fp.window(x, *window).transpose(2, 1, 0))


def test_only_an_answer_of_numbers_is_waited_for(driver):
    x, mask = values((5, 6, 7), "int16"), np.zeros((5, 6, 7), bool)
    mask[1:3, 2:4, 3:6] = True
    there, marks = emulated.put(x), emulated.put(mask)
    np.testing.assert_array_equal(fp.crop_to_mask(there, marks).get(), x[1:3, 2:4, 3:6])
    assert driver.count("synchronize") == 1


def test_a_batch_is_one_launch(driver):
    x = values((32, 8, 9, 10), "int16")
    result = fp.resample(emulated.put(x), ONE, (1.3, 1.2, 1.1))
    assert driver.count("launch") == 1
    np.testing.assert_array_equal(result.get(), fp.resample(x, ONE, (1.3, 1.2, 1.1)))


def test_leading_axes_without_one_stride_are_one_launch_too(driver):
    x = values((3, 4, 5, 6, 7), "int16")
    for call, launches in (
        (lambda x: fp.resample(x, ONE, (0.8, 1.2, 1.1)), 1),
        (lambda x: fp.resample(x, ONE, (0.8, 1.2, 1.1), order="cubic"), 3),
        (lambda x: fp.warp(x, TURNED, (4, 5, 6), order="cubic"), 4),
        (lambda x: fp.window(x, preset="lung"), 1),
        (lambda x: fp.multi_window(x, ["lung", "bone"]), 1),
        (lambda x: fp.warp(x, TURNED, (4, 5, 6), order="onehot"), 1),
    ):
        for turned in (x[:, ::2], x.transpose(1, 0, 2, 3, 4)[::2]):
            there = emulated.put(turned)
            driver.log.clear()
            result = call(there)
            assert driver.count("launch") == launches
            np.testing.assert_array_equal(result.get(), call(turned))


def test_more_channels_than_a_launch_takes(driver):
    x = values((5, 6, 7), "int16")
    windows = [(level, 300.0) for level in range(-500, 501, 50)]
    assert_same(fp.multi_window(x, windows), fp.multi_window(emulated.put(x), windows).get(), x, tolerance=0)
    pipeline = Pipeline([Resample(spacing=(0.8, 1.2, 1.1)), MultiWindow(windows)])
    image = Image(x, Grid.from_spacing(x.shape, ONE))
    moved = Image(emulated.put(x), image.grid)
    np.testing.assert_array_equal(pipeline(moved).array.get(), pipeline(image).array)
    cubic = Pipeline([Resample(spacing=(0.8, 1.2, 1.1), order="cubic"), MultiWindow(windows), CropOrPad((9, 9, 9))])
    np.testing.assert_array_equal(cubic(moved).array.get(), cubic(image).array)


@pytest.mark.parametrize("order", ["linear", "cubic"])
def test_ragged_scans_are_one_launch_a_pass(driver, order):
    grids = [Grid.from_spacing(s, (2.0, 1.0, 0.9)) for s in ((6, 9, 11), (12, 7, 8), (9, 10, 13))]
    scans = [Image(values(g.shape, "int16", i), g, modality="CT") for i, g in enumerate(grids)]
    pipeline = Pipeline([Resample(spacing=(1.5, 1.2, 1.1), order=order), Window(preset="lung"), CropOrPad((10, 9, 8))])
    expected = np.stack([pipeline(scan).array for scan in scans])
    np.testing.assert_array_equal(pipeline.batch(scans), expected)
    moved = [Image(emulated.put(scan.array), scan.grid, modality="CT") for scan in scans]
    pipeline.batch(moved)
    driver.log.clear()
    result = pipeline.batch(moved)
    assert driver.count("launch") == {"linear": 1, "cubic": 4}[order], driver.log
    np.testing.assert_array_equal(result.get(), expected)


def test_ragged_copies_of_another_kind_each(driver):
    scans = [Image(values(s, "int16"), Grid.from_spacing(s, ONE)) for s in ((4, 5, 6), (6, 5, 4))]
    moved = [Image(emulated.put(scan.array), scan.grid) for scan in scans]
    pipeline = Pipeline([CropOrPad((4, 5, 6))], dtype=None)
    # The first is nothing to do at all, the second is cut and padded.
    np.testing.assert_array_equal(pipeline.batch(moved).get(), pipeline.batch(scans))


def test_ragged_scans_of_unequal_passes(driver):
    # The first is cropped on the way, in one pass; the second must be padded before it is interpolated.
    scans = [Image(values(s, "int16"), Grid.from_spacing(s, ONE)) for s in ((9, 9, 9), (5, 8, 8))]
    pipeline = Pipeline([CropOrPad((8, 8, 8)), Resample(spacing=(1.3, 1.2, 1.1)), CropOrPad((6, 7, 7))])
    assert [len(pipeline.plan_for(scan).passes) for scan in scans] == [1, 2]
    expected = np.stack([pipeline(scan).array for scan in scans])
    moved = [Image(emulated.put(scan.array), scan.grid) for scan in scans]
    np.testing.assert_array_equal(pipeline.batch(scans), expected)
    np.testing.assert_array_equal(pipeline.batch(moved).get(), expected)


def test_batches_of_unequal_results_are_refused(driver):
    scans = [Image(values(s, "int16"), Grid.from_spacing(s, ONE)) for s in ((9, 9, 9), (5, 8, 8))]
    with pytest.raises(
        ShapeError, match=r"\(9, 9, 9\) float32 from image 0, \(5, 8, 8\) float32 from image 1: a batch"
    ):
        Pipeline([Window(preset="lung")]).batch(scans)
    with pytest.raises(ShapeError, match="images: expected at least one"):
        Pipeline([Window(preset="lung")]).batch([])


def test_an_array_of_another_gpu_runs_there(driver):
    x = values((5, 6, 7), "int16")
    result = fp.resample(emulated.put(x, device=1), ONE, (0.8, 1.2, 1.1), order="cubic")
    assert driver.devices == {1} and result.__dlpack_device__() == (2, 1)


def test_two_devices_in_one_call_are_refused(driver):
    x, mask = values((3, 4, 5), "int16"), np.ones((3, 4, 5), bool)
    with pytest.raises(DeviceError, match=r"x on GPU 0, mask on the CPU: expected one device.*never moves"):
        fp.crop_to_mask(emulated.put(x), mask)
    with pytest.raises(DeviceError, match="x on the CPU, mask on GPU 0"):
        fp.crop_to_mask(x, emulated.put(mask))
    image = Image(x, Grid.from_spacing(x.shape, ONE))
    there = Image(emulated.put(x), image.grid)
    with pytest.raises(DeviceError, match="image 0 on the CPU, image 1 on GPU 0"):
        Pipeline([Window(preset="lung")]).batch([image, there])


def test_a_full_device_is_named(driver, monkeypatch):
    class OutOfMemoryError(MemoryError):
        pass

    def full(*_):
        raise OutOfMemoryError

    x = emulated.put(values((5, 6, 7), "int16"))
    monkeypatch.setattr(driver, "empty", full)
    with pytest.raises(TooLargeError, match=r"result of shape \(5, 6, 7\) float32 takes .* GiB, in use by others"):
        fp.window(x, preset="lung")


def test_without_cupy_the_extra_is_named(no_cupy):
    x = emulated.put(values((5, 6, 7), "int16"))
    with pytest.raises(MissingExtraError, match=r"needs CuPy: pip install 'fastprep\[cuda13\]'"):
        fp.window(x, preset="lung")


def test_a_forked_process_is_told_what_to_do(tmp_path):
    script = tmp_path / "fork.py"
    script.write_text(
        "import os, numpy as np, emulated, fastprep as fp\n"
        "from fastprep.core.errors import DeviceError\n"
        "with emulated.use():\n"
        "    x = emulated.put(np.zeros((3, 4), np.int16))\n"
        "    fp.window(x, preset='lung')\n"
        "    if os.fork() == 0:\n"
        "        fp.window(np.zeros((3, 4), np.int16), preset='lung')  # the CPU goes on\n"
        "        try:\n"
        "            fp.window(x, preset='lung')\n"
        "        except DeviceError as error:\n"
        "            print(error, flush=True)\n"
        "        os._exit(0)\n"
        "    os.wait()\n"
        "    fp.window(x, preset='lung')\n"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, check=False, env=environment, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1
    for remedy in ("'spawn'", "threads", "main process"):
        assert remedy in done.stdout


@pytest.mark.skipif(not cuda_is_here(), reason="needs CuPy's compiler and a device")
def test_a_kernel_that_does_not_compile_shows_the_log(monkeypatch, gpu):
    monkeypatch.setattr(_compile, "text", lambda stem: '#line 7 "ramp.cu"\n__global__ void ramp() { int x = ; }')
    talk = _compile.make_driver()
    with pytest.raises(KernelError, match=r"(?s)ramp\.cu does not compile.*ramp\.cu\(7\): error"):
        talk.function("ramp", "ramp", 0)


def test_more_than_2_to_the_31_voxels(driver):
    """Offsets are 64 bits wide: a corner of memory of which nothing else is ever touched."""
    shape = (5, 1 << 15, 1 << 14)
    x = np.frombuffer(mmap.mmap(-1, math.prod(shape)), np.uint8).reshape(shape)
    corner = x[4:, -3:, -4:]
    corner[...] = np.arange(12).reshape(1, 3, 4)
    view = DeviceView(x.ctypes.data, shape, (1 << 29, 1 << 14, 1), x.dtype, 0, x)
    start = [n - m for n, m in zip(shape, corner.shape, strict=True)]
    copied = sample(view, IndexMap.crop(start, shape), order=0)
    np.testing.assert_array_equal(copied.get(), corner)
    between = IndexMap.scaled((1, 3, 3), ONE, (*start[:2], start[2] + 0.5))
    half = (corner[..., :-1] + corner[..., 1:].astype(np.float32)) / 2
    np.testing.assert_array_equal(sample(view, between, order=1).get(), half)
    turned = np.eye(4)
    turned[:3, 3] = start
    turned[0, 1] = 1e-7
    oblique = sample(view, IndexMap(corner.shape, turned), order=1).get()
    np.testing.assert_allclose(oblique, corner, atol=1e-5)
