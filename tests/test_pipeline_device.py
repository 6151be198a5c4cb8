"""A pipeline on a GPU: where results are, what overlaps, what does not fit, and the command line."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import emulated
import emulator
import fastprep as fp
from conftest import cuda_is_here
from fastprep.core.errors import ArgumentError, DeviceError, FastprepError, MissingExtraError, TooLargeError
from fastprep.core.grid import Grid
from fastprep.core.image import Image
from fastprep.kernels.gpu import _compile
from fastprep.pipeline import CropOrPad, MultiWindow, Pipeline, Reorient, Resample, Window
from fastprep.pipeline.device import device_bytes, parse_device, run_on_device
from fastprep.testing.assertions import to_numpy
from layouts import values
from test_plan import cases

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(emulator.missing() is not None, reason="no emulator")]

SHAPE, SPACING = (200, 16, 20), (1.5, 0.8, 0.9)
TURN = np.linalg.qr(np.eye(3) + 0.1 * np.random.default_rng(3).standard_normal((3, 3)))[0]
STEPS = {
    "linear": [Resample(spacing=(1.3, 1.1, 1)), Window(preset="lung"), CropOrPad((240, 20, 18))],
    "nearest": [Reorient("LPS"), Resample(spacing=(1.3, 1.1, 1), order="nearest")],
    "cubic": [CropOrPad((190, 14, 18)), Resample(spacing=(1.3, 1.1, 2), order="cubic"), Window(preset="lung")],
    "antialiased": [Resample(spacing=(3.3, 1.1, 2), antialias=True), MultiWindow(presets=["lung", "bone"])],
    "window": [Window(preset="bone")],
    "sigmoid": [Window(level=0, width=300, function="sigmoid")],
    "crop": [CropOrPad((150, 20, 14)), Reorient("RPS")],
    "nothing": [],
}


def scan(seed=0, kind="scalar"):
    dtype = "uint8" if kind == "label" else "int16"
    grid = Grid.from_spacing(SHAPE, SPACING)
    x = values(SHAPE, dtype, seed)
    return Image(x % 5 if kind == "label" else x, grid, kind=kind, modality="CT")


def pipeline(name):
    return Pipeline(STEPS[name], dtype=None if name in ("nothing", "crop", "nearest") else "float32")


@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize("kind", ["scalar", "label"])
def test_the_device_gives_what_the_cpu_gives(driver, name, kind):
    image = scan(kind=kind)
    here = pipeline(name)(image)
    there = pipeline(name).to("cuda")(image)
    assert type(there.array) is emulated.DeviceArray
    assert there.grid.same_as(here.grid) and there.modality == here.modality and there.kind == kind
    exact = name != "sigmoid" or kind == "label"
    np.testing.assert_allclose(there.array.get(), here.array, rtol=0, atol=0 if exact else 1e-6)
    assert there.array.get().dtype == here.array.dtype


@pytest.mark.parametrize("name", STEPS)
def test_a_scan_on_the_device_stays_there(driver, name):
    image = scan()
    moved = Image(emulated.put(image.array), image.grid, modality="CT")
    for where in (pipeline(name), pipeline(name).to("cuda")):
        driver.log.clear()
        result = where(moved).array
        assert type(result) is emulated.DeviceArray and driver.count("copy") == 0
        np.testing.assert_allclose(result.get(), pipeline(name)(image).array, atol=1e-6)


@pytest.mark.parametrize("name", [n for n in STEPS if n != "nothing"])
@pytest.mark.parametrize("to_host", [True, False])
def test_what_does_not_fit_goes_in_slabs(driver, name, to_host):
    image = scan()
    plan = pipeline(name).plan_for(image)
    here = plan(image.array)
    whole = device_bytes(plan, image.array.shape, image.array.dtype)
    if len(plan.passes) > 1:
        pytest.skip("done whole or not at all")
    slabs = 0
    for share in (0.9, 0.7, 0.5) if to_host else (0.95, 0.85):
        driver.free = int(whole * share / 0.9)
        driver.log.clear()
        there = run_on_device(plan, image.array, 0, to_host=to_host)
        assert isinstance(there, np.ndarray) == to_host
        # The recursion of a spline starts elsewhere, and exp is each library's own.
        np.testing.assert_allclose(to_numpy(there), here, rtol=0, atol=1e-5 * np.ptp(here))
        slabs = max(slabs, sum(kind == "copy" and about[1] != 7 for kind, about in driver.log))
    assert slabs > 1, "it went whole"


def test_what_fits_in_no_way_is_named(driver):
    image = scan()
    driver.free = 40_000
    words = r"a scan of shape \(200, 16, 20\) int16 takes \d\.\d MiB of the GPU, which has 0\.0 MiB free"
    with pytest.raises(TooLargeError, match=words + ", and one plane of it is too large: use the CPU"):
        pipeline("cubic").to("cuda")(image)
    two = Pipeline([CropOrPad((210, 30, 40)), Resample(spacing=(2, 2, 2))])
    with pytest.raises(TooLargeError, match=words + ", and 2 passes cannot be done in slabs: use the CPU"):
        two.to("cuda")(image)


def test_out_of_memory_in_the_middle_falls_back_to_slabs(driver, monkeypatch):
    class OutOfMemoryError(MemoryError):
        pass

    image, plan = scan(), pipeline("linear").plan_for(scan())
    real, limit = driver.empty, plan(image.array).nbytes // 2

    def empty(shape, dtype, device):
        if np.prod(shape) * np.dtype(dtype).itemsize > limit:
            raise OutOfMemoryError
        return real(shape, dtype, device)

    monkeypatch.setattr(driver, "empty", empty)
    driver.free = 4 * image.array.nbytes + 2 * plan(image.array).nbytes
    np.testing.assert_array_equal(run_on_device(plan, image.array, 0, to_host=True), plan(image.array))


def test_uploads_are_pinned_in_two_slots_on_a_stream_of_their_own(driver):
    where = pipeline("linear").to("cuda")
    for seed in range(4):
        where(scan(seed))
    copies = [about for kind, about in driver.log if kind == "copy"]
    assert len(copies) == 4 and {size for size, _ in copies} == {scan().array.nbytes}
    (side,) = {stream for _, stream in copies}
    launched = {about[2] for kind, about in driver.log if kind == "launch"}
    assert launched == {7} and side != 7
    assert driver.count("pin") == driver.count("memory") == 2, "two slots, made once"
    story = [(k, a) for k, a in driver.log if k in ("copy", "hold", "launch")]
    # The kernel's stream waits for the copy, and the copy for the kernel that read this slot before, not for the last.
    order = [("hold " + str(a[0])) if k == "hold" else k for k, a in story]
    assert order == [f"hold {side}", "copy", "hold 7", "launch"] * 4
    assert driver.count("synchronize") == 0


def test_pinned_memory_is_copied_from_where_it_is(driver):
    image = scan()
    memory = driver.pinned(image.array.nbytes, 0)
    array = memory.bytes.view("int16").reshape(SHAPE)
    array[...] = image.array
    driver.log.clear()
    result = pipeline("linear").to("cuda")(Image(array, image.grid, modality="CT"))
    assert driver.count("pin") == 0 and driver.count("copy") == 1
    np.testing.assert_array_equal(result.array.get(), pipeline("linear")(image).array)


def test_scans_of_any_layout_are_uploaded(driver):
    image = scan()
    for array in (image.array[:, ::-1], np.asfortranarray(image.array), image.array.astype(">i2")):
        moved = Image(array, image.grid, modality="CT")
        np.testing.assert_array_equal(pipeline("linear").to("cuda")(moved).array.get(), pipeline("linear")(moved).array)


def test_a_batch_is_uploaded(driver):
    scans = [scan(seed) for seed in range(3)]
    expected = np.stack([pipeline("linear")(image).array for image in scans])
    np.testing.assert_array_equal(pipeline("linear").to("cuda").batch(scans).get(), expected)


def test_a_cpu_tensor_and_a_pytorch_without_cuda(driver, monkeypatch):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    image = Image(torch.from_numpy(scan().array), scan().grid, modality="CT")
    words = r"a PyTorch tensor on the CPU for cuda:0, and this PyTorch has no CUDA: pass x\.numpy\(\)"
    with pytest.raises(DeviceError, match=words):
        pipeline("linear").to("cuda")(image)
    with pytest.raises(DeviceError, match=words):
        pipeline("linear").to("cuda").batch([image])


def test_the_device_is_no_part_of_what_is_done(driver):
    plain, there = pipeline("linear"), pipeline("linear").to("cuda:1")
    assert (there.device, plain.device, there.to("cpu").device) == ("cuda:1", None, None)
    assert plain == there and plain.hash == there.hash and plain.to_dict() == there.to_dict()


def test_devices_by_name(driver):
    assert [parse_device(d) for d in ("cpu", "cuda", "cuda:1", "auto")] == [None, 0, 1, 0]
    for wrong in ("gpu", "cuda:x", "cuda:", "cuda0", ""):
        with pytest.raises(ArgumentError, match=f"device={wrong!r}: expected 'cpu', 'cuda', 'cuda:1' or 'auto'"):
            parse_device(wrong)
    with pytest.raises(ArgumentError, match="device='cuda:2': this machine has 2, cuda:0 to cuda:1"):
        parse_device("cuda:2")


def test_without_a_gpu_one_line_says_what_to_install(no_cupy, capsys, tmp_path):
    from fastprep.cli import main

    assert parse_device("auto") is None
    with pytest.raises(MissingExtraError, match=r"pip install 'fastprep\[cuda13\]'"):
        Pipeline.load("ct-chest").to("cuda")
    assert main(["run", "ct-chest", str(tmp_path), "-o", str(tmp_path / "out"), "--device", "cuda"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: a GPU needs CuPy: pip install") and said.count("\n") == 1


@pytest.mark.skipif(cuda_is_here(), reason="there is a device")
def test_cupy_without_a_device_says_so(monkeypatch):
    def make():
        msg = "no CUDA device: cudaErrorNoDevice"
        raise DeviceError(msg)

    before = _compile.use_driver(None)
    monkeypatch.setattr(_compile, "make_driver", make)
    try:
        assert parse_device("auto") is None
        with pytest.raises(DeviceError, match="no CUDA device"):
            parse_device("cuda")
    finally:
        _compile.use_driver(before)


def test_a_run_on_the_device_writes_what_a_run_on_the_cpu_writes(driver, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("emulator.ORDERS", ("forward",))
    from fastprep.cli import main

    (tmp_path / "in").mkdir()
    for seed in range(3):
        fp.save(scan(seed), tmp_path / "in" / f"case{seed}.nii.gz")
    for device in ("cpu", "cuda"):
        status = main(["run", "ct-chest", str(tmp_path / "in"), "-o", str(tmp_path / device), "--device", device])
        assert status == 0, capsys.readouterr().err
    assert driver.count("launch") == 3
    for seed in range(3):
        here, there = (fp.load(tmp_path / device / f"case{seed}.nii.gz") for device in ("cpu", "cuda"))
        np.testing.assert_array_equal(there.array, here.array)
        assert there.grid.same_as(here.grid)
        record = json.loads((tmp_path / "cuda" / f"case{seed}.json").read_text())
        assert record["device"] == "emulator" and record["seconds"]["device"] > 0
        assert json.loads((tmp_path / "cpu" / f"case{seed}.json").read_text())["device"] == "cpu"


def test_a_run_in_slabs(driver, tmp_path, monkeypatch):
    monkeypatch.setattr("emulator.ORDERS", ("forward",))
    from fastprep.cli import main

    (tmp_path / "in").mkdir()
    fp.save(scan(), tmp_path / "in" / "case.nii.gz")
    driver.free = 900_000
    for device in ("cpu", "cuda"):
        assert main(["run", "ct-chest", str(tmp_path / "in"), "-o", str(tmp_path / device), "--device", device]) == 0
    assert driver.count("launch") > 1
    here, there = (fp.load(tmp_path / device / "case.nii.gz") for device in ("cpu", "cuda"))
    np.testing.assert_allclose(there.array, here.array, atol=1e-5)


def test_warmup_compiles_for_the_device(driver):
    fp.warmup(device="cuda")
    assert driver.count("launch") > 50


@settings(max_examples=60)
@given(cases(most=2), st.sampled_from([None, "float16", "uint8", "float32"]))
def test_any_pipeline_has_the_bits_of_the_cpu(driver, case, dtype):
    image, steps = case
    try:
        plan = Pipeline(steps, dtype=dtype).plan_for(image)
        here = plan(image.array)
    except FastprepError:
        return
    there = to_numpy(plan(emulated.put(image.array)))
    assert there.dtype == here.dtype
    if any(isinstance(step, Window) and step.function == "sigmoid" for step in steps):
        np.testing.assert_allclose(there.astype(float), here.astype(float), rtol=2e-3, atol=1.01)
    else:
        np.testing.assert_array_equal(there, here)
