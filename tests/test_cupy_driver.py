"""The driver's calls into CuPy, made to a stand-in that has CuPy's names and the emulator beneath."""

from __future__ import annotations

import ctypes
import sys
import types
from contextlib import contextmanager

import numpy as np
import pytest

import emulated
import emulator
import fastprep as fp
from fastprep.core.errors import DeviceError, KernelError
from fastprep.core.grid import Grid
from fastprep.core.image import Image
from fastprep.kernels.gpu import _compile
from fastprep.pipeline import Pipeline, Resample, Window
from layouts import values

pytestmark = pytest.mark.skipif(emulator.missing() is not None, reason="no emulator")


class Stream:
    null: Stream
    current: Stream

    def __init__(self, ptr=None, *, non_blocking=False):
        self.ptr = id(self) if ptr is None else ptr
        self.waited = 0

    def __enter__(self):
        self.before, Stream.current = Stream.current, self
        return self

    def __exit__(self, *_):
        Stream.current = self.before

    def synchronize(self):
        self.waited += 1

    def wait_event(self, event):
        assert isinstance(event, Event)


class Event:
    done = True

    def __init__(self, *, disable_timing):
        assert disable_timing

    def record(self, stream):
        assert isinstance(stream, Stream)

    def synchronize(self):
        pass


class Raw:
    """RawModule, its kernel, and the function inside, in one."""

    modules: dict[int, tuple[emulator.Module, str]] = {}  # noqa: RUF012

    def __init__(self, *, code, options, name_expressions):
        assert "--fmad=false" in options
        (self.expression,) = name_expressions
        self.code, self.asked = code, []

    def get_function(self, expression):
        assert expression == self.expression
        if "broken" in self.code:
            raise CompileException("ramp.cu(7): error: expected an expression")
        self.kernel, self.ptr = self, id(self)
        module = emulator.build(self.code, [expression], name="raw.cu")
        Raw.modules[self.ptr] = (module, expression)
        return self

    def __setattr__(self, name, value):
        if name == "max_dynamic_shared_size_bytes":
            self.asked.append(value)
        object.__setattr__(self, name, value)


class CompileException(Exception):
    pass


def launch_kernel(function, gx, gy, gz, bx, by, bz, shared, stream, parameters, extra):
    module, expression = Raw.modules[function]
    sizes = module._kernels[expression][1]
    pointers = (ctypes.c_void_p * len(sizes)).from_address(parameters)
    given = [ctypes.string_at(p, size) for p, size in zip(pointers, sizes, strict=True)]
    module.launch(expression, (gx, gy, gz), (bx, by, bz), shared, given)


@pytest.fixture
def cupy(monkeypatch):
    state = types.SimpleNamespace(device=0, count=2, kept=[])

    def memory(size):
        made = emulated.Memory(size)
        state.kept.append(made)
        return types.SimpleNamespace(ptr=made.address, made=made)

    def pinned(size):
        holder = type("PinnedMemoryPointer", (ctypes.c_ubyte * (size + 64),), {})()
        holder.ptr = ctypes.addressof(holder)
        return holder

    class CUDARuntimeError(RuntimeError):
        pass

    def count():
        if isinstance(state.count, str):
            raise CUDARuntimeError(f"cudaError{state.count}")
        return state.count

    def copy(to, source, size, kind, stream):
        assert kind in (1, 2, 4)
        ctypes.memmove(to, source, size)

    runtime = types.SimpleNamespace(
        memoryTypeHost=1,
        memoryTypeManaged=3,
        memcpyHostToDevice=1,
        memcpyDeviceToHost=2,
        memcpyDefault=4,
        CUDARuntimeError=CUDARuntimeError,
        getDeviceCount=count,
        getDevice=lambda: state.device,
        setDevice=lambda device: setattr(state, "device", device),
        memGetInfo=lambda: (1 << 33, 1 << 34),
        getDeviceProperties=lambda device: {"name": b"NVIDIA Test"},
        memcpyAsync=copy,
        streamSynchronize=lambda stream: None,
        pointerGetAttributes=lambda pointer: types.SimpleNamespace(type=0),
    )
    Stream.null = Stream.current = Stream(0)
    fake = types.ModuleType("cupy")
    fake.cuda = types.SimpleNamespace(
        runtime=runtime,
        driver=types.SimpleNamespace(launchKernel=launch_kernel),
        alloc=memory,
        alloc_pinned_memory=pinned,
        Stream=Stream,
        ExternalStream=Stream,
        Event=Event,
        get_current_stream=lambda: Stream.current,
        compiler=types.SimpleNamespace(CompileException=CompileException),
    )
    fake.RawModule = Raw
    fake.empty = lambda shape, dtype: emulated.put(np.zeros(shape, dtype), state.device)
    fake.from_dlpack = lambda x: x
    fake.get_default_memory_pool = lambda: types.SimpleNamespace(free_bytes=lambda: 100)
    fake.state = state
    monkeypatch.setitem(sys.modules, "cupy", fake)
    monkeypatch.delitem(sys.modules, "fastprep.kernels.gpu._cupy", raising=False)
    return fake


@contextmanager
def real_driver():
    before = _compile.use_driver(None)
    try:
        yield _compile.driver()
    finally:
        _compile.use_driver(before)


def test_kernels_run_through_it(cupy):
    x = values((90, 6, 7), "int16")
    with real_driver() as talk:
        for order in ("nearest", "linear", "cubic"):
            result = fp.resample(emulated.put(x), (1, 1, 1), (0.8, 1.2, 1.1), order=order).get()
            np.testing.assert_array_equal(result, fp.resample(x, (1, 1, 1), (0.8, 1.2, 1.1), order=order))
        mask = x > 0
        np.testing.assert_array_equal(
            fp.crop_to_mask(emulated.put(x), emulated.put(mask)).get(), fp.crop_to_mask(x, mask)
        )
        asked = [size for _, kernel in talk._functions.values() for size in kernel.asked]
        assert asked and all(size > 48 << 10 for size in asked), "shared memory beyond 48 KiB is asked for, once"
        assert talk.device_name(0) == "NVIDIA Test" and talk.total_memory(0) == 1 << 34
        assert talk.free_memory(0) == (1 << 33) + 100


def test_arrays_of_another_device_leave_the_current_one_as_it_was(cupy):
    x = values((5, 6, 7), "int16")
    with real_driver():
        result = fp.window(emulated.put(x, device=1), preset="lung")
    np.testing.assert_array_equal(result.get(), fp.window(x, preset="lung"))
    assert cupy.state.device == 0


def test_a_pipeline_goes_up_and_comes_back(cupy):
    from fastprep.pipeline.device import run_on_device

    scan = Image(values((9, 10, 11), "int16"), Grid.from_spacing((9, 10, 11), (1, 1, 1)), modality="CT")
    pipeline = Pipeline([Resample(spacing=(1.3, 1.1, 1)), Window(preset="lung")])
    plan = pipeline.plan_for(scan)
    with real_driver() as talk, talk.own_stream(0):
        there = run_on_device(plan, scan.array, 0, to_host=True)
        kept = pipeline.to("cuda")(scan).array.get()
    np.testing.assert_array_equal(there, pipeline(scan).array)
    np.testing.assert_array_equal(kept, pipeline(scan).array)


def test_without_a_device(cupy):
    said = {"InsufficientDriver": "no CUDA device: cudaErrorInsufficientDriver", "InitializationError": "'spawn'"}
    for count, words in ((0, "no CUDA device"), *said.items()):
        cupy.state.count = count
        words = said.get(count, words)
        with pytest.raises(DeviceError, match=words), real_driver():
            pass


def test_a_kernel_that_does_not_compile_shows_file_and_line(cupy, monkeypatch):
    monkeypatch.setattr(_compile, "text", lambda stem: "broken")
    with (
        real_driver() as talk,
        pytest.raises(KernelError, match=r"(?s)of ramp\.cu does not compile.*ramp\.cu\(7\): error"),
    ):
        talk.function("ramp", "ramp<int16, float32>", 0)
